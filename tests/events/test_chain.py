from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import EventEnvelope, decode_event, encode_event
from libs.events.chain import GENESIS, chain_hash
from tests.events.building import MORNING, STREAM, envelope_for, status, streams

FIELDS: dict[str, Any] = {
    "stream_id": "s-1",
    "sequence": 7,
    "type_name": "bitacora.StatusChanged.v1",
    "time": "2026-03-02T09:00:00Z",
    "recorded_time": "2026-03-02T09:00:01.500000Z",
    "actor": "agent:7",
    "correlation_id": "c-1",
    "causation_id": "s-1:6",
    "data": b'{"status":"solved","previous":"open"}',
}


def test_the_hashed_bytes_are_these() -> None:
    """Written out by hand, so that the format never changes by accident: recorded hashes depend on
    every byte of it, and so do the programs of auditors."""
    hashed = (
        b"0000000000000000000000000000000000000000000000000000000000000000\n"
        b"s-1\n"
        b"7\n"
        b"bitacora.StatusChanged.v1\n"
        b"2026-03-02T09:00:00Z\n"
        b"2026-03-02T09:00:01.500000Z\n"
        b"agent:7\n"
        b"c-1\n"
        b"s-1:6\n"
        b'{"status":"solved","previous":"open"}'
    )
    digest = "a07770ace45a86e354ef86e27f3085848e99edfc015552165c75b541046c65e1"
    assert sha256(hashed).hexdigest() == digest
    assert chain_hash(GENESIS, **FIELDS) == digest


def test_a_recorded_hash_holds() -> None:
    """The hash of one envelope, times as datetimes, through every layer."""
    envelope = envelope_for(
        status("solved"), time=MORNING + timedelta(microseconds=120_000), correlation_id=""
    )
    assert envelope.hash == "1e0b42e5758a166bd1d6d3d8097106badb995c62f7e22a5a8575292cfeac0022"


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_counts(name: str) -> None:
    value = FIELDS[name]
    others = [value + 1] if isinstance(value, int) else [value + value[:1], value[:-1], value[:0]]
    before = chain_hash(GENESIS, **FIELDS)
    for other in others:
        assert chain_hash(GENESIS, **{**FIELDS, name: other}) != before
    assert chain_hash("1" + GENESIS[1:], **FIELDS) != before


def test_no_text_can_move_from_one_field_to_the_next() -> None:
    moved = [
        {"actor": "a\nb", "correlation_id": "c", "causation_id": "", "data": b"{}"},
        {"actor": "a", "correlation_id": "b\nc", "causation_id": "", "data": b"{}"},
        {"actor": "a", "correlation_id": "b", "causation_id": "c", "data": b"\n{}"},
        {"actor": "a", "correlation_id": "b", "causation_id": "c\n", "data": b"{}"},
        {"actor": "a\\nb", "correlation_id": "c", "causation_id": "", "data": b"{}"},
        {"actor": "a\\\nb", "correlation_id": "c", "causation_id": "", "data": b"{}"},
    ]
    hashes = {chain_hash(GENESIS, **{**FIELDS, **fields}) for fields in moved}
    assert len(hashes) == len(moved)


tricky = st.text(st.sampled_from("a\\\nn"), max_size=4)


@given(a=st.tuples(tricky, tricky, tricky), b=st.tuples(tricky, tricky, tricky))
def test_different_fields_never_hash_alike(
    a: tuple[str, str, str], b: tuple[str, str, str]
) -> None:
    def hashed(fields: tuple[str, str, str]) -> str:
        names = ("actor", "correlation_id", "causation_id")
        return chain_hash(GENESIS, **{**FIELDS, **dict(zip(names, fields, strict=True))})

    assert (hashed(a) == hashed(b)) is (a == b)


@pytest.mark.parametrize(
    "change",
    [
        {"stream_id": STREAM[:-1] + "2"},
        {"sequence": 2},
        {"type": "bitacora.StatusChanged.v2"},
        {"time": MORNING + timedelta(microseconds=1)},
        {"recorded_time": MORNING + timedelta(microseconds=1)},
        {"actor": "agent:8"},
        {"correlation_id": ""},
        {"causation_id": ""},
        {"previous_hash": "f" * 64},
        {"data": b'{"status":"solved","previous":"open" }'},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_envelope_that_was_changed_no_longer_gives_its_hash(change: dict[str, Any]) -> None:
    envelope = envelope_for(status("solved"))
    assert replace(envelope, **change).computed_hash() != envelope.hash


@given(streams(max_size=4))
def test_hashes_survive_the_wire(stream: list[EventEnvelope]) -> None:
    for envelope in stream:
        decoded = decode_event(*encode_event(envelope)[1:])
        assert isinstance(decoded, EventEnvelope)
        assert decoded.computed_hash() == envelope.hash == decoded.hash


def test_the_way_a_time_is_written_on_the_wire_does_not_matter() -> None:
    """Another client may rewrite 09:00:00Z as 10:00:00.000+01:00: the instant is what is hashed."""
    envelope = envelope_for(status("solved"))
    _, value, headers = encode_event(envelope)
    rewritten = dict(headers) | {"ce_time": b"2026-03-02T10:00:00.000+01:00"}
    decoded = decode_event(value, list(rewritten.items()))
    assert isinstance(decoded, EventEnvelope)
    assert decoded.computed_hash() == envelope.hash

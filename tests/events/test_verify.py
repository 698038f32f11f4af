from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import EventEnvelope, decode_event, encode_event
from libs.events.chain import GENESIS
from libs.events.verify import Problem, StreamVerifier, verify_stream, verify_streams
from tests.events.building import (
    MORNING,
    assigned,
    created,
    envelope_for,
    status,
    stream_of,
    streams,
)

STREAM = stream_of(
    created(), assigned("tier-1"), assigned("tier-1", "7"), status("solved"), status("closed")
)


def found(problems: list[Problem]) -> list[tuple[int, str]]:
    return [(problem.sequence, problem.code) for problem in problems]


def test_a_sound_stream_has_no_problems() -> None:
    assert verify_stream(STREAM) == []
    assert verify_stream([]) == []


@given(streams())
def test_what_was_recorded_is_sound(stream: list[EventEnvelope]) -> None:
    assert verify_stream(stream) == []


@given(st.data())
def test_any_bit_that_flips_is_found(data: st.DataObject) -> None:
    """In the recorded JSON, as on a damaged disk or by a hand that edits the log."""
    index = data.draw(st.integers(0, len(STREAM) - 1))
    content = bytearray(STREAM[index].data)
    if not content:
        return
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    tampered = [*STREAM]
    tampered[index] = replace(STREAM[index], data=bytes(content))
    assert found(verify_stream(tampered)) == [(index + 1, "hash_mismatch")]


def test_a_changed_event_with_a_new_hash_breaks_the_chain_behind_it() -> None:
    forged = replace(STREAM[1], actor="agent:666")
    forged.hash = forged.computed_hash()
    problems = verify_stream([STREAM[0], forged, *STREAM[2:]])
    assert found(problems) == [(3, "chain_broken")]
    assert problems[0].broken
    assert problems[0].detail == "previous_hash is not the hash of event 2"


def test_a_forger_must_rewrite_everything_and_then_the_last_hash_differs() -> None:
    rewritten = stream_of(created(subject="forged"), *(envelope.event for envelope in STREAM[1:]))
    assert verify_stream(rewritten) == []
    assert rewritten[-1].hash != STREAM[-1].hash


@pytest.mark.parametrize("index", range(len(STREAM) - 1))
def test_a_dropped_event_is_a_gap(index: int) -> None:
    problems = verify_stream(STREAM[:index] + STREAM[index + 1 :])
    if index == 0:  # the first that came says where the stream seems to begin
        assert found(problems) == [(2, "gap")]
    else:
        assert found(problems) == [(index + 2, "gap")]
    assert all(problem.broken for problem in problems)


def test_several_dropped_events_are_named() -> None:
    (problem,) = verify_stream([STREAM[0], STREAM[4]])
    assert problem.detail == "the events 2 to 4 are missing"


def test_a_gap_of_any_size_costs_nothing() -> None:
    far = envelope_for(created(), sequence=10**17)
    assert found(verify_stream([STREAM[0], far])) == [(10**17, "gap")]


def test_events_in_another_order_are_found() -> None:
    swapped = [STREAM[0], STREAM[2], STREAM[1], *STREAM[3:]]
    assert found(verify_stream(swapped)) == [(3, "gap"), (2, "out_of_order")]


def test_an_event_that_comes_again_is_only_odd() -> None:
    problems = verify_stream([*STREAM[:3], STREAM[1], *STREAM[3:], STREAM[4]])
    assert found(problems) == [(2, "repeated"), (5, "repeated")]
    assert not any(problem.broken for problem in problems)


def test_another_event_in_the_same_place_is_a_conflict() -> None:
    other = replace(STREAM[1], actor="agent:8")
    other.hash = other.computed_hash()
    problems = verify_stream([*STREAM, other])
    assert found(problems) == [(2, "conflict")]
    assert problems[0].broken


def test_a_repeated_event_whose_content_was_changed_is_found() -> None:
    changed = replace(STREAM[1], data=b"{}")
    assert found(verify_stream([*STREAM, changed])) == [(2, "hash_mismatch"), (2, "repeated")]


def test_a_chain_begins_at_the_genesis_hash() -> None:
    first = envelope_for(created(), previous_hash="f" * 64)
    problems = verify_stream([first])
    assert found(problems) == [(1, "chain_broken")]
    assert problems[0].detail == "previous_hash is not the hash of the start of every chain"


def test_an_event_of_another_stream_is_a_problem() -> None:
    stranger = stream_of(created(), stream_id="another")[0]
    assert found(verify_stream([STREAM[0], stranger, *STREAM[1:]])) == [(1, "other_stream")]


def test_times_that_run_backwards_are_odd() -> None:
    first = envelope_for(created(), recorded_time=MORNING.replace(hour=10))
    second = envelope_for(
        status("solved"),
        sequence=2,
        previous_hash=first.hash,
        time=MORNING.replace(hour=9, minute=30),
        recorded_time=MORNING.replace(hour=9, minute=15),
    )
    problems = verify_stream([first, second])
    assert found(problems) == [(2, "recorded_backwards"), (2, "from_the_future")]
    assert not any(problem.broken for problem in problems)


def test_imported_history_is_recorded_long_after_it_happened() -> None:
    assert verify_stream([envelope_for(created(), time=MORNING.replace(year=2016))]) == []


def test_verification_can_go_on_where_it_ended() -> None:
    verifier = StreamVerifier(STREAM[0].stream_id, sequence=2, last_hash=STREAM[1].hash)
    assert [verifier.check(envelope) for envelope in STREAM[2:]] == [[], [], []]
    assert (verifier.sequence, verifier.last_hash) == (5, STREAM[4].hash)
    assert found(verifier.check(STREAM[0])) == [(1, "repeated")]
    wrong = StreamVerifier(STREAM[0].stream_id, sequence=2, last_hash=GENESIS)
    assert found(wrong.check(STREAM[2])) == [(3, "chain_broken")]


def test_a_topic_with_many_streams_mixed() -> None:
    other = stream_of(created(), status("open"), status("solved"), stream_id="another")
    mixed = [STREAM[0], other[0], other[1], STREAM[1], STREAM[2], other[2], *STREAM[3:]]
    assert verify_streams(mixed) == []
    del mixed[2]
    assert [(p.stream_id, p.sequence, p.code) for p in verify_streams(mixed)] == [
        ("another", 3, "gap")
    ]


@given(streams(max_size=6))
def test_an_auditor_sees_the_same_from_the_topic(stream: list[EventEnvelope]) -> None:
    records = [encode_event(envelope) for envelope in stream]
    decoded = [decode_event(value, headers) for _, value, headers in records]
    assert all(isinstance(envelope, EventEnvelope) for envelope in decoded)
    assert verify_streams(e for e in decoded if isinstance(e, EventEnvelope)) == []

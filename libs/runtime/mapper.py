"""The thin mapper between events and what is stored: type name ↔ class, JSON bytes.

A stored event is a frame: one line of JSON with everything around the event (`meta`), and the
event's own JSON (`data`), byte for byte as it will be published. The hash covers the data as stored.

`protect` is the one seam through which every field that is marked as personal data passes on its
way into a frame; encryption under a person's key belongs there.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import from_json, to_json

from libs.events import EVENTS, Event, EventEnvelope, InvalidData, parse_time
from libs.events.chain import chain_hash
from libs.events.envelope import format_time
from libs.runtime.errors import Poison


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """An event ready to be stored: `meta` is one line of JSON, `data` the event's JSON."""

    stream_id: str
    sequence: int
    type: str
    hash: str
    meta: bytes
    data: bytes


def protect(event: Event) -> bytes:
    """The event's JSON with every marked field as it may be stored (today: as it is).

    Raises Poison for what no reader could decode again: the store is strict, because what it holds
    it holds for ever.
    """
    data = event.model_dump_json(exclude_defaults=True).encode()
    try:
        EVENTS.decode(event.TYPE, data)
    except InvalidData as error:
        raise Poison("not_recordable", str(error)[:300]) from error
    return data


def record_event(
    event: Event,
    *,
    stream_id: str,
    sequence: int,
    time: datetime,
    recorded_time: datetime,
    actor: str,
    correlation_id: str,
    causation_id: str,
    traceparent: str | None,
    previous_hash: str,
    data: bytes | None = None,
) -> StoredFrame:
    """The frame of one event, chained to the one before it. `data` is what `protect` made of the
    event, where that was done before."""
    data = protect(event) if data is None else data
    time_text, recorded_text = format_time(time), format_time(recorded_time)
    digest = chain_hash(
        previous_hash,
        stream_id=stream_id,
        sequence=sequence,
        type_name=event.TYPE,
        time=time_text,
        recorded_time=recorded_text,
        actor=actor,
        correlation_id=correlation_id,
        causation_id=causation_id,
        data=data,
    )
    meta = {
        "time": time_text,
        "recorded": recorded_text,
        "actor": actor,
        "correlation": correlation_id,
        "causation": causation_id,
        "previous_hash": previous_hash,
        "hash": digest,
    }
    if traceparent:
        meta["traceparent"] = traceparent
    return StoredFrame(stream_id, sequence, event.TYPE, digest, to_json(meta), data)


def envelope_of(
    *,
    source: str,
    type_name: str,
    stream_id: str,
    sequence: int,
    position: int,
    meta: bytes,
    data: bytes,
) -> EventEnvelope:
    """The envelope of a stored frame."""
    m = from_json(meta)
    return EventEnvelope(
        source=source,
        type=type_name,
        stream_id=stream_id,
        sequence=sequence,
        position=position,
        time=parse_time(m["time"]),
        recorded_time=parse_time(m["recorded"]),
        actor=m["actor"],
        correlation_id=m["correlation"],
        causation_id=m["causation"],
        previous_hash=m["previous_hash"],
        hash=m["hash"],
        data=data,
        traceparent=m.get("traceparent"),
    )


def pack_headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Kafka headers as JSON; values in base64, because they may be any bytes, or null."""
    return to_json(
        [
            [name, None if value is None else base64.b64encode(value).decode()]
            for name, value in headers
        ]
    )


def unpack_headers(packed: bytes) -> list[tuple[str, bytes | None]]:
    return [
        (name, None if value is None else base64.b64decode(value))
        for name, value in from_json(packed)
    ]

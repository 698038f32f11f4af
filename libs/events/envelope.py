"""The envelope: CloudEvents 1.0 in Kafka binary mode (attributes in headers `ce_*`, data in value).

`decode_event` and `decode_command` never raise on what a foreign producer sent: they answer with a
`Malformed` that says what is wrong, so that the caller can park the message and go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.events.base import Command, Event
from libs.events.chain import chain_hash
from libs.events.headers import (
    BadMessage,
    Malformed,
    RawHeaders,
    event_headers,
    instant_of,
    link_of,
    number_of,
    read_attributes,
    read_data,
    subject_of,
    texts_of,
    uuid_of,
)
from libs.events.registry import COMMANDS, EVENTS, InvalidData, UnknownType
from libs.events.requests import Asked, decode_request, encode_request
from libs.events.times import format_time, parse_time


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event of a type that this version of the code does not know. Tolerated, and counted."""

    type_name: str


@dataclass(slots=True)
class EventEnvelope:
    """One recorded event with everything that is known about it. Treat it as read-only.

    `time` is when it happened (business time), `recorded_time` when it was appended; `sequence`
    counts from 1 without gaps within the stream; `position` is the place in the owner's whole log;
    `data` is the JSON exactly as recorded (the hash covers these bytes).
    """

    source: str
    type: str
    stream_id: str
    sequence: int
    position: int
    time: datetime
    recorded_time: datetime
    actor: str
    correlation_id: str
    causation_id: str
    previous_hash: str
    hash: str
    data: bytes = field(repr=False)  # personal data stays out of logs and tracebacks
    traceparent: str | None = None
    _event: Event | UnknownEvent | None = field(default=None, repr=False, compare=False)

    @property
    def id(self) -> str:
        return f"{self.stream_id}:{self.sequence}"

    @property
    def event(self) -> Any:
        """The decoded event (an `Event`, or `UnknownEvent`). Raises InvalidData.

        Decoded once, on first use, and lifted to the present version of its contract.
        """
        if self._event is None:
            self._event = _decode(self.type, self.data)
        return self._event

    def computed_hash(self) -> str:
        """What `hash` must be, computed anew from the content."""
        return chain_hash(
            self.previous_hash,
            stream_id=self.stream_id,
            sequence=self.sequence,
            type_name=self.type,
            time=format_time(self.time),
            recorded_time=format_time(self.recorded_time),
            actor=self.actor,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
            data=self.data,
        )


@dataclass(slots=True)
class CommandEnvelope:
    """One request on one ticket. Treat it as read-only.

    `command_id` recognizes the command when it comes twice. `time` None means "now, when it is
    decided"; only imports set another. `expected_sequence` is If-Match: refuse when the ticket has
    moved on.
    """

    command_id: str
    ticket_id: str
    command: Command
    actor: str
    time: datetime | None = None
    correlation_id: str = ""
    causation_id: str = ""
    expected_sequence: int | None = None
    traceparent: str | None = None
    source: str = ""

    @property
    def type(self) -> str:
        return self.command.TYPE

    @property
    def stream_id(self) -> str:
        return self.ticket_id


def encode_event(envelope: EventEnvelope) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the Kafka record."""
    headers = event_headers(
        source=envelope.source,
        type_name=envelope.type,
        stream_id=envelope.stream_id,
        sequence=envelope.sequence,
        position=envelope.position,
        time=format_time(envelope.time),
        recorded_time=format_time(envelope.recorded_time),
        actor=envelope.actor,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        previous_hash=envelope.previous_hash,
        hash_=envelope.hash,
        traceparent=envelope.traceparent,
    )
    return envelope.stream_id.encode(), envelope.data, headers


def encode_command(envelope: CommandEnvelope) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the Kafka record."""
    return encode_request(envelope)


def decode_event(value: bytes | None, headers: RawHeaders) -> EventEnvelope | Malformed:
    """The event, decoded and validated, or what is wrong with the message. Never raises."""
    stream_id: str | None = None
    sequence: int | None = None
    try:
        attributes = read_attributes(headers)
        stream_id = subject_of(attributes)
        data = read_data(value)
        sequence = number_of(attributes, "ce_sequence")
        source, type_name, subject, actor, previous_hash, hash_ = texts_of(attributes)
        envelope = EventEnvelope(
            source=source,
            type=type_name,
            stream_id=subject,
            sequence=sequence,
            position=number_of(attributes, "ce_position"),
            time=instant_of(attributes, "ce_time"),
            recorded_time=instant_of(attributes, "ce_recordedtime"),
            actor=actor,
            correlation_id=link_of(attributes, "ce_correlationid"),
            causation_id=link_of(attributes, "ce_causationid"),
            previous_hash=previous_hash,
            hash=hash_,
            data=data,
            traceparent=link_of(attributes, "traceparent") or None,
            _event=_decode(type_name, data),
        )
    except BadMessage as bad:
        return Malformed(bad.code, bad.detail, stream_id, sequence)
    except InvalidData as error:
        return Malformed("invalid_data", str(error)[:500], stream_id, sequence)
    return envelope


def _decode(type_name: str, data: bytes) -> Event | UnknownEvent:
    try:
        event: Event = EVENTS.decode(type_name, data)
    except UnknownType:
        return UnknownEvent(type_name)
    return event


def decode_command(value: bytes | None, headers: RawHeaders) -> CommandEnvelope | Malformed:
    """The command, decoded and validated, or what is wrong with the message. Never raises."""
    return decode_request(value, headers, COMMANDS, _command_envelope)


def _command_envelope(attributes: Mapping[str, str], asked: Asked) -> CommandEnvelope:
    return CommandEnvelope(ticket_id=uuid_of(attributes, "ce_subject"), **asked)


__all__ = [
    "COMMANDS",
    "EVENTS",
    "CommandEnvelope",
    "EventEnvelope",
    "Malformed",
    "UnknownEvent",
    "decode_command",
    "decode_event",
    "encode_command",
    "encode_event",
    "event_headers",
    "format_time",
    "parse_time",
]

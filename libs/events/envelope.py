"""The envelope: CloudEvents 1.0 in Kafka binary mode (attributes in headers `ce_*`, data in value).

`decode_event` and `decode_command` never raise on what a foreign producer sent: they answer with a
`Malformed` that says what is wrong, so that the caller can park the message and go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from libs.events.base import Command, Event
from libs.events.chain import chain_hash
from libs.events.registry import COMMANDS, EVENTS, ContractError, InvalidData, UnknownType

Headers = Sequence[tuple[str, bytes]]
RawHeaders = Sequence[tuple[Any, Any]]

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/json"
SCHEMA_BASE: Final = "urn:bitacora:schema:"
TYPE_PREFIX: Final = "bitacora."


def type_name(name: str, version: int = 1) -> str:
    """`TicketCreated`, 1 → `bitacora.TicketCreated.v1`."""
    return f"{TYPE_PREFIX}{name}.v{version}"


def format_time(instant: datetime) -> str:
    """RFC 3339 in UTC, ending in Z; microseconds only when there are any.

    Raises ValueError for a datetime without a zone.
    """
    if instant.tzinfo is None:
        raise ValueError("a time without a zone")
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """The reverse of format_time. Raises ValueError for anything that is not RFC 3339 with a zone."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return instant.astimezone(UTC)


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
    data: bytes
    traceparent: str | None = None
    _event: Event | UnknownEvent | None = None

    @property
    def id(self) -> str:
        return f"{self.stream_id}:{self.sequence}"

    @property
    def event(self) -> Any:
        """The decoded event (an `Event`, or `UnknownEvent`). Raises InvalidData.

        Decoded once, on first use, and lifted to the present version of its contract.
        """
        if self._event is None:
            try:
                self._event = EVENTS.decode(self.type, self.data)
            except UnknownType:
                self._event = UnknownEvent(self.type)
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


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that is not what it should be. `code` is stable, `detail` is for people.

    `stream_id` and `sequence` are given when at least these could be read.
    """

    code: str
    detail: str
    stream_id: str | None = None
    sequence: int | None = None


class _Bad(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def event_headers(  # noqa: PLR0913 - the envelope has that many parts
    *,
    source: str,
    type_name: str,
    stream_id: str,
    sequence: int,
    position: int,
    time: str,
    recorded_time: str,
    actor: str,
    correlation_id: str,
    causation_id: str,
    previous_hash: str,
    hash_: str,
    traceparent: str | None,
) -> list[tuple[str, bytes]]:
    """The headers of an event's Kafka record; times are already RFC 3339 text."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{stream_id}:{sequence}".encode()),
        ("ce_source", source.encode()),
        ("ce_type", type_name.encode()),
        ("ce_subject", stream_id.encode()),
        ("ce_time", time.encode()),
        ("ce_recordedtime", recorded_time.encode()),
        ("ce_sequence", b"%d" % sequence),
        ("ce_position", b"%d" % position),
        ("ce_correlationid", correlation_id.encode()),
        ("ce_causationid", causation_id.encode()),
        ("ce_actor", actor.encode()),
        ("ce_dataschema", (SCHEMA_BASE + type_name).encode()),
        ("ce_previoushash", previous_hash.encode()),
        ("ce_hash", hash_.encode()),
        ("content-type", b"application/json"),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


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
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", envelope.command_id.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_subject", envelope.ticket_id.encode()),
        ("ce_correlationid", (envelope.correlation_id or envelope.command_id).encode()),
        ("ce_causationid", envelope.causation_id.encode()),
        ("ce_actor", envelope.actor.encode()),
        ("ce_dataschema", (SCHEMA_BASE + envelope.type).encode()),
        ("content-type", b"application/json"),
    ]
    if envelope.time is not None:
        headers.append(("ce_time", format_time(envelope.time).encode()))
    if envelope.expected_sequence is not None:
        headers.append(("ce_expectedsequence", b"%d" % envelope.expected_sequence))
    if envelope.traceparent:
        headers.append(("traceparent", envelope.traceparent.encode()))
    data = envelope.command.model_dump_json(exclude_defaults=True).encode()
    return envelope.ticket_id.encode(), data, headers


def decode_event(value: bytes | None, headers: RawHeaders) -> EventEnvelope | Malformed:
    """The event, decoded and validated, or what is wrong with the message. Never raises."""
    try:
        attributes = _attributes(headers)
    except _Bad as bad:
        return Malformed(bad.code, bad.detail)
    stream_id = attributes.get("ce_subject")
    sequence: int | None = None
    try:
        if value is None:
            raise _Bad("no_value", "the message has no value")
        sequence = _number(attributes, "ce_sequence")
        envelope = EventEnvelope(
            source=_text(attributes, "ce_source"),
            type=_text(attributes, "ce_type"),
            stream_id=_text(attributes, "ce_subject"),
            sequence=sequence,
            position=_number(attributes, "ce_position"),
            time=_instant(attributes, "ce_time"),
            recorded_time=_instant(attributes, "ce_recordedtime"),
            actor=_text(attributes, "ce_actor"),
            correlation_id=attributes.get("ce_correlationid", ""),
            causation_id=attributes.get("ce_causationid", ""),
            previous_hash=_text(attributes, "ce_previoushash"),
            hash=_text(attributes, "ce_hash"),
            data=value,
            traceparent=attributes.get("traceparent"),
        )
        _ = envelope.event
    except _Bad as bad:
        return Malformed(bad.code, bad.detail, stream_id, sequence)
    except InvalidData as error:
        return Malformed("invalid_data", str(error)[:500], stream_id, sequence)
    return envelope


def decode_command(value: bytes | None, headers: RawHeaders) -> CommandEnvelope | Malformed:
    """The command, decoded and validated, or what is wrong with the message. Never raises."""
    try:
        attributes = _attributes(headers)
    except _Bad as bad:
        return Malformed(bad.code, bad.detail)
    ticket_id = attributes.get("ce_subject")
    try:
        if value is None:
            raise _Bad("no_value", "the message has no value")
        expected = attributes.get("ce_expectedsequence")
        return CommandEnvelope(
            command_id=_text(attributes, "ce_id"),
            ticket_id=_uuid(attributes, "ce_subject"),
            command=COMMANDS.decode(_text(attributes, "ce_type"), value),
            actor=_text(attributes, "ce_actor"),
            time=_instant(attributes, "ce_time") if "ce_time" in attributes else None,
            correlation_id=attributes.get("ce_correlationid", ""),
            causation_id=attributes.get("ce_causationid", ""),
            expected_sequence=None
            if expected is None
            else _number(attributes, "ce_expectedsequence"),
            traceparent=attributes.get("traceparent"),
            source=attributes.get("ce_source", ""),
        )
    except _Bad as bad:
        return Malformed(bad.code, bad.detail, ticket_id)
    except UnknownType as error:
        return Malformed("unknown_type", str(error)[:500], ticket_id)
    except ContractError as error:
        return Malformed("invalid_data", str(error)[:500], ticket_id)


def _attributes(headers: RawHeaders) -> dict[str, str]:
    try:
        return {name: value.decode() for name, value in headers}
    except (AttributeError, UnicodeDecodeError, TypeError):
        pass
    # A header that no attribute needs may be anything; one of ours must be text.
    result: dict[str, str] = {}
    for name, value in headers:
        if not isinstance(name, str) or not (name.startswith("ce_") or name == "traceparent"):
            continue
        if value is None:
            raise _Bad("null_header", f"header {name} is null")
        try:
            result[name] = bytes(value).decode()
        except UnicodeDecodeError as error:
            raise _Bad("bad_header", f"header {name} is not UTF-8") from error
    return result


def _text(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name)
    if not value:
        raise _Bad("missing_header", f"header {name} is missing")
    return value


def _uuid(attributes: Mapping[str, str], name: str) -> str:
    text = _text(attributes, name)
    try:
        return str(UUID(text))
    except ValueError as error:
        raise _Bad("bad_header", f"header {name} is not a UUID: {text[:100]!r}") from error


def _number(attributes: Mapping[str, str], name: str) -> int:
    text = _text(attributes, name)
    if not (text.isascii() and text.isdigit() and len(text) <= 18):  # noqa: PLR2004 - fits into 64 bits
        raise _Bad("bad_header", f"header {name} is not a number: {text[:100]!r}")
    number = int(text)
    if name == "ce_sequence" and number < 1:
        raise _Bad("impossible_sequence", "sequences count from 1")
    return number


def _instant(attributes: Mapping[str, str], name: str) -> datetime:
    text = _text(attributes, name)
    try:
        return parse_time(text)
    except (ValueError, OverflowError) as error:
        raise _Bad("bad_header", f"header {name} is not a time: {text[:100]!r}") from error


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
    "format_time",
    "parse_time",
]

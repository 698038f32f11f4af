"""How a request travels, whoever is asked: the attributes around a command, written and read.

`libs.events.envelope` (requests on tickets, to intake) and `libs.events.agent_commands` (requests on
agents, to routing) say what each is about; the rest is the same and is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypedDict, TypeVar

from libs.events.base import Command
from libs.events.headers import (
    SCHEMA_BASE,
    BadMessage,
    Malformed,
    RawHeaders,
    instant_of,
    link_of,
    number_of,
    read_attributes,
    read_data,
    refuse_control_characters,
    subject_of,
    text_of,
    word_of,
)
from libs.events.registry import ContractError, Registry, UnknownType
from libs.events.times import format_time


class Asked(TypedDict):
    """A command of some registry and what is around it, as the envelopes name it."""

    command_id: str
    command: Any
    actor: str
    time: datetime | None
    correlation_id: str
    causation_id: str
    expected_sequence: int | None
    traceparent: str | None
    source: str


class Request(Protocol):
    """An envelope around a command. `stream_id` names whom or what the command is about."""

    command_id: str
    actor: str
    time: datetime | None
    correlation_id: str
    causation_id: str
    expected_sequence: int | None
    traceparent: str | None
    source: str

    @property
    def command(self) -> Command: ...
    @property
    def type(self) -> str: ...
    @property
    def stream_id(self) -> str: ...


R = TypeVar("R", bound=Request)


def encode_request(request: Request) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the Kafka record."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", request.command_id.encode()),
        ("ce_source", request.source.encode()),
        ("ce_type", request.type.encode()),
        ("ce_subject", request.stream_id.encode()),
        ("ce_correlationid", (request.correlation_id or request.command_id).encode()),
        ("ce_causationid", request.causation_id.encode()),
        ("ce_actor", request.actor.encode()),
        ("ce_dataschema", (SCHEMA_BASE + request.type).encode()),
        ("content-type", b"application/json"),
    ]
    if request.time is not None:
        headers.append(("ce_time", format_time(request.time).encode()))
    if request.expected_sequence is not None:
        headers.append(("ce_expectedsequence", b"%d" % request.expected_sequence))
    if request.traceparent:
        headers.append(("traceparent", request.traceparent.encode()))
    data = request.command.model_dump_json(exclude_defaults=True).encode()
    return request.stream_id.encode(), data, headers


def decode_request(
    value: bytes | None,
    headers: RawHeaders,
    registry: Registry,
    make: Callable[[Mapping[str, str], Asked], R],
) -> R | Malformed:
    """The envelope that `make` builds of the attributes and a command of `registry`, or what is
    wrong with the message. Never raises, if `make` raises nothing but BadMessage."""
    stream_id: str | None = None
    try:
        attributes = read_attributes(headers)
        stream_id = subject_of(attributes)
        refuse_control_characters(attributes)
        data = read_data(value)
        asked = Asked(
            command_id=word_of("ce_id", text_of(attributes, "ce_id")),  # a refusal names it
            command=registry.decode(text_of(attributes, "ce_type"), data),
            actor=text_of(attributes, "ce_actor"),
            time=instant_of(attributes, "ce_time") if "ce_time" in attributes else None,
            correlation_id=link_of(attributes, "ce_correlationid"),
            causation_id=link_of(attributes, "ce_causationid"),
            expected_sequence=number_of(attributes, "ce_expectedsequence")
            if "ce_expectedsequence" in attributes
            else None,
            traceparent=link_of(attributes, "traceparent") or None,
            source=link_of(attributes, "ce_source"),
        )
        return make(attributes, asked)
    except BadMessage as bad:
        return Malformed(bad.code, bad.detail, stream_id)
    except UnknownType as error:
        return Malformed("unknown_type", str(error)[:500], stream_id)
    except ContractError as error:
        return Malformed("invalid_data", str(error)[:500], stream_id)


__all__ = ["Asked", "Request", "decode_request", "encode_request"]

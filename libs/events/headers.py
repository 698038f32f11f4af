"""The headers of our Kafka records: writing them, and reading those that somebody else wrote.

Reading raises BadMessage, and only that, when a header is not what it must be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from re import compile as pattern
from typing import Any, Final
from uuid import UUID

from libs.events.times import parse_time

RawHeaders = Sequence[tuple[Any, Any]]

SCHEMA_BASE: Final = "urn:bitacora:schema:"

ID_LENGTH_MAX: Final = 250
"""Of a stream id, a command id, an actor, a type, a source; in characters."""

WORD_LENGTH_MAX: Final = 200
"""Of what a contract names in a field of its own (a `Word`), in characters."""

LINK_LENGTH_MAX: Final = 500
"""Of a correlation id, a causation id, a traceparent; in characters."""

_RECORDED: Final = (
    "ce_id",
    "ce_source",
    "ce_subject",
    "ce_actor",
    "ce_correlationid",
    "ce_causationid",
)
"""Attributes of a command that are kept with the events it leads to, as they are."""

_CONTROL: Final = pattern(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that is not what it should be. `code` is stable, `detail` is for people.

    `stream_id` and `sequence` are given when at least these could be read.
    """

    code: str
    detail: str
    stream_id: str | None = None
    sequence: int | None = None


class BadMessage(Exception):
    """Never leaves the decoders: they turn it into a `Malformed`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def event_headers(
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


def read_attributes(headers: RawHeaders) -> dict[str, str]:
    """Our headers as text. A header that no attribute needs may be anything."""
    try:
        attributes = {name: value.decode() for name, value in headers}
        if len(attributes) == len(headers) and "\0" not in "".join(attributes.values()):
            return attributes
    except (AttributeError, UnicodeDecodeError, TypeError, ValueError):
        pass
    return _one_by_one(headers)


def _one_by_one(headers: Any) -> dict[str, str]:
    """The slow way, which finds out what is wrong with which header."""
    if not isinstance(headers, Sequence) or isinstance(headers, str | bytes):
        raise BadMessage("bad_header", "the headers are not a list of names and values")
    result: dict[str, str] = {}
    for pair in headers:
        if not isinstance(pair, list | tuple) or len(pair) != 2:  # noqa: PLR2004
            raise BadMessage("bad_header", "a header is not a name and a value")
        name, value = pair
        if not isinstance(name, str) or not (name.startswith("ce_") or name == "traceparent"):
            continue
        shown = repr(name[:100])
        if value is None:
            raise BadMessage("null_header", f"header {shown} is null")
        if not isinstance(value, bytes | bytearray | memoryview):
            raise BadMessage("bad_header", f"header {shown} is not bytes")
        try:
            text = bytes(value).decode()
        except UnicodeDecodeError as error:
            raise BadMessage("bad_header", f"header {shown} is not UTF-8") from error
        if "\0" in text:
            raise BadMessage("bad_header", f"header {shown} holds the character U+0000")
        # Two readers could take different ones. Tracing libraries may add theirs again: no harm.
        if name != "traceparent" and result.get(name, text) != text:
            raise BadMessage(
                "duplicate_header", f"header {shown} comes twice and says different things"
            )
        result[name] = text
    return result


def refuse_control_characters(attributes: Mapping[str, str]) -> None:
    """CloudEvents allows none in attributes, and they could forge lines of a log."""
    for name in _RECORDED:
        if _CONTROL.search(attributes.get(name, "")):
            raise BadMessage("bad_header", f"header {name} holds a control character")


def read_data(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if value is None:
        raise BadMessage("no_value", "the message has no value")
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise BadMessage("bad_value", "the message's value is not bytes")


def subject_of(attributes: Mapping[str, str]) -> str | None:
    """The stream that a message claims to belong to, when it can be a stream's id at all."""
    subject = attributes.get("ce_subject")
    return subject if subject and len(subject) <= ID_LENGTH_MAX else None


def text_of(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name)
    if not value:
        raise BadMessage("missing_header", f"header {name} is missing")
    if len(value) > ID_LENGTH_MAX:
        raise BadMessage("bad_header", f"header {name} is longer than {ID_LENGTH_MAX} characters")
    return value


def texts_of(attributes: Mapping[str, str]) -> tuple[str, ...]:
    """The values of `TEXTS`, in that order, each as by `text_of` (all at once: a third of the time)."""
    with suppress(KeyError):
        texts: tuple[str, ...] = _texts(attributes)
        if all(texts) and max(map(len, texts)) <= ID_LENGTH_MAX:
            return texts
    return tuple(text_of(attributes, name) for name in TEXTS)


TEXTS: Final = (
    "ce_source",
    "ce_type",
    "ce_subject",
    "ce_actor",
    "ce_previoushash",
    "ce_hash",
)
_texts: Final = itemgetter(*TEXTS)


def link_of(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name, "")
    if len(value) > LINK_LENGTH_MAX:
        raise BadMessage("bad_header", f"header {name} is longer than {LINK_LENGTH_MAX} characters")
    return value


def word_of(name: str, text: str) -> str:
    """`text` of the header `name`, when a field of a contract could hold it as it is."""
    if not text or text != text.strip():
        raise BadMessage("bad_header", f"header {name} names nothing, or has spaces at an end")
    if len(text) > WORD_LENGTH_MAX:
        raise BadMessage(
            "bad_header", f"header {name} holds a name of more than {WORD_LENGTH_MAX} characters"
        )
    return text


def uuid_of(attributes: Mapping[str, str], name: str) -> str:
    text = text_of(attributes, name)
    try:
        return str(UUID(text))
    except ValueError as error:
        raise BadMessage("bad_header", f"header {name} is not a UUID: {text[:100]!r}") from error


def number_of(attributes: Mapping[str, str], name: str) -> int:
    text = attributes.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):  # noqa: PLR2004 - fits into 64 bits
        text = text_of(attributes, name)
        raise BadMessage("bad_header", f"header {name} is not a number: {text[:100]!r}")
    number = int(text)
    if name == "ce_sequence" and number < 1:
        raise BadMessage("impossible_sequence", "sequences count from 1")
    return number


def instant_of(attributes: Mapping[str, str], name: str) -> datetime:
    text = text_of(attributes, name)
    try:
        return parse_time(text)
    except ValueError as error:
        raise BadMessage("bad_header", f"header {name} is not a time: {text[:100]!r}") from error

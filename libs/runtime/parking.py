"""Parked messages: what a consumer could not decode or apply, kept with its reason.

A row is written in the transaction that moves the consumer's offset past the message, together with
the outbox row that publishes it on `<group>.parked`: a message is applied, or parked, never lost.
An operator lists and shows parked messages and asks for a redrive; the consumer then applies them in
its own transactions, in order of their streams.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    false,
    func,
    insert,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from libs.events import parse_time
from libs.events.envelope import format_time
from libs.runtime.clock import Clock
from libs.runtime.errors import Failure, Transient
from libs.runtime.mapper import pack_headers, unpack_headers
from libs.runtime.outbox import BigKey, Outgoing, RawMessage

IN_CHUNK = 300

Headers = list[tuple[str, bytes | None]]

PUBLISHED_BYTES_MAX = 900_000
"""A larger message is kept whole in the table only."""

GAP = "gap"
"""The code of messages that are fine themselves, but came before one that is missing."""

PARKED = Table(
    "parked",
    MetaData(),
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", LargeBinary, nullable=False),
    Column("stream_id", String(250)),
    Column("sequence", BigInteger),
    Column("code", String(100), nullable=False),
    Column("detail", Text, nullable=False),
    Column("parked_at", String(40), nullable=False),
    Column("attempts", Integer, nullable=False, default=1),
    Column("redrive", Boolean, nullable=False, default=False),
    Index("parked_by_stream", "topic", "stream_id", "sequence"),
    Index("parked_by_place", "topic", "partition", "offset"),
)


def add_parked_table(metadata: MetaData) -> None:
    """Make the table `parked` a part of a service's own metadata."""
    PARKED.to_metadata(metadata)


@dataclass(frozen=True, slots=True)
class Parked:
    """One parked message. `value` and header values are the bytes as they came (or None)."""

    id: int
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    stream_id: str | None
    sequence: int | None
    code: str
    detail: str
    parked_at: str
    attempts: int
    redrive: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stood: its topic, partition and offset."""

    topic: str
    partition: int
    offset: int


def park(
    connection: Connection,
    outgoing: Outgoing,
    *,
    group: str,
    clock: Clock,
    record: Any,
    code: str,
    detail: str,
    stream_id: str | None = None,
    sequence: int | None = None,
) -> bool:
    """Park one Kafka record (anything with topic, partition, offset, key, value, headers).

    False when this very message is parked already, because it came twice.
    """
    if _is_parked(connection, record, stream_id, sequence):
        return False
    headers = [(str(name), value) for name, value in record.headers]
    place = Place(record.topic, record.partition, record.offset)
    row = {
        "topic": place.topic,
        "partition": place.partition,
        "offset": place.offset,
        "key": record.key,
        "value": record.value,
        "headers": pack_headers(headers),
        "stream_id": stream_id,
        "sequence": sequence,
        "code": code,
        "detail": detail,
        "parked_at": format_time(clock.now()),
        "attempts": 1,
        "redrive": False,
    }
    connection.execute(insert(PARKED), [row])
    why: Headers = [
        ("bitacora-parked-code", code.encode()),
        ("bitacora-parked-detail", detail.encode(errors="replace")),
        ("bitacora-parked-from", f"{place.topic}:{place.partition}:{place.offset}".encode()),
    ]
    outgoing.raw(_published(f"{group}.parked", record.key, record.value, headers, why))
    return True


def reason_of(error: Exception) -> tuple[str, str]:
    """(code, detail) with which the one message is parked on which the work failed with `error`.

    Raises `error` when that is not the message's fault: all but a bug, or a value that no column takes.
    """
    if isinstance(error, Transient):
        raise error
    if isinstance(error, DBAPIError) and not isinstance(error, DataError | IntegrityError):
        raise error
    if isinstance(error, Failure):
        return error.code, error.detail[:500]
    # Not the error's own text: it may repeat what the message holds of a person, and this detail goes
    # to logs and to a topic. The log has the traceback.
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}, line {frame.lineno}"
    return "handler_error", f"{type(error).__name__} in {place}"[:500]


def _published(
    topic: str, key: bytes | None, value: bytes | None, headers: Headers, why: Headers
) -> RawMessage:
    """What goes to the parked topic. A message that was as large as a topic takes would be too large
    together with the reason, and stop the relay: of such a one only the reason is published."""
    parts = [key, value, *(part for name, content in headers for part in (name.encode(), content))]
    size = sum(len(part) for part in parts if part)
    if size <= PUBLISHED_BYTES_MAX:
        return RawMessage(topic, key, value, [*headers, *why])
    return RawMessage(topic, None, b"", [*why, ("bitacora-parked-left-out-bytes", b"%d" % size)])


def _is_parked(
    connection: Connection, record: Any, stream_id: str | None, sequence: int | None
) -> bool:
    query = select(PARKED.c.value).where(PARKED.c.topic == record.topic)
    if stream_id is not None and sequence is not None:
        query = query.where(PARKED.c.stream_id == stream_id, PARKED.c.sequence == sequence)
    else:
        query = query.where(
            PARKED.c.partition == record.partition, PARKED.c.offset == record.offset
        )
    return any(row.value == record.value for row in connection.execute(query))


def list_parked(
    connection: Connection, *, limit: int = 100, after: int = 0, stream_id: str | None = None
) -> list[Parked]:
    """The parked messages, oldest first."""
    query = select(PARKED).where(PARKED.c.id > after).order_by(PARKED.c.id).limit(limit)
    if stream_id is not None:
        query = query.where(PARKED.c.stream_id == stream_id)
    return [_parked(row) for row in connection.execute(query)]


def count_parked(connection: Connection) -> dict[str, int]:
    """How many messages are parked, by code."""
    query = select(PARKED.c.code, func.count()).group_by(PARKED.c.code)
    return {row[0]: row[1] for row in connection.execute(query)}


@dataclass(frozen=True, slots=True)
class Lot:
    """What lies parked of one topic with one code: how many, and when the first of them was parked."""

    topic: str
    code: str
    count: int
    oldest_at: datetime


def parked_lots(connection: Connection) -> list[Lot]:
    """What lies parked, by topic and code."""
    c = PARKED.c
    # As text the instants sort as they do in time, to the second at least.
    query = select(c.topic, c.code, func.count(), func.min(c.parked_at)).group_by(c.topic, c.code)
    return [Lot(row[0], row[1], row[2], parse_time(row[3])) for row in connection.execute(query)]


def get_parked(connection: Connection, parked_id: int) -> Parked | None:
    row = connection.execute(select(PARKED).where(PARKED.c.id == parked_id)).first()
    return _parked(row) if row else None


def request_redrive(connection: Connection, ids: Iterable[int] | None = None) -> int:
    """Mark messages (None: all) for another attempt by the consumer; returns how many."""
    statement = update(PARKED).values(redrive=true())
    if ids is not None:
        statement = statement.where(PARKED.c.id.in_(list(ids)))
    return connection.execute(statement).rowcount


def discard_parked(connection: Connection, ids: Iterable[int]) -> int:
    """Forget messages for good (they stay on the `<group>.parked` topic); returns how many."""
    return connection.execute(delete(PARKED).where(PARKED.c.id.in_(list(ids)))).rowcount


def redrive_requested(
    connection: Connection, topics: Collection[str] | None = None, limit: int = 500
) -> list[Parked]:
    """The messages of these topics (None: of all) to try again, in the order of their streams."""
    query = (
        select(PARKED)
        .where(PARKED.c.redrive == true())
        .order_by(PARKED.c.topic, PARKED.c.stream_id, PARKED.c.sequence, PARKED.c.id)
        .limit(limit)
    )
    if topics is not None:
        query = query.where(PARKED.c.topic.in_(topics))
    return [_parked(row) for row in connection.execute(query)]


def waiting_behind(connection: Connection, heads: Sequence[tuple[str, str, int]]) -> list[Parked]:
    """The message that is next for each of these (topic, stream, last applied sequence), where it
    was parked only for coming too early. What failed by itself waits for an operator."""
    if not heads:
        return []
    found = {}
    place = tuple_(PARKED.c.topic, PARKED.c.stream_id, PARKED.c.sequence)
    for chunk in _chunks([(topic, stream, sequence + 1) for topic, stream, sequence in heads]):
        query = select(PARKED).where(PARKED.c.code == GAP, place.in_(chunk))
        for row in connection.execute(query.order_by(PARKED.c.id.desc())):
            found[row.topic, row.stream_id] = _parked(row)
    return list(found.values())


def with_parked(
    connection: Connection, heads: Sequence[tuple[str, str, int]]
) -> list[tuple[str, str, int]]:
    """Those of these (topic, stream, last applied sequence) of which something is parked."""
    known: set[tuple[str, str]] = set()
    by_topic: dict[str, list[str]] = {}
    for topic, stream, _ in heads:
        by_topic.setdefault(topic, []).append(stream)
    for topic, streams in by_topic.items():
        for chunk in _chunks(streams):
            query = select(PARKED.c.stream_id).distinct().where(PARKED.c.topic == topic)
            rows = connection.execute(query.where(PARKED.c.stream_id.in_(chunk)))
            known.update((topic, row[0]) for row in rows)
    return [head for head in heads if head[:2] in known]


def anything_parked(connection: Connection) -> bool:
    return connection.execute(select(PARKED.c.id).limit(1)).first() is not None


def remove(connection: Connection, parked: Parked) -> None:
    connection.execute(delete(PARKED).where(PARKED.c.id == parked.id))


def remove_applied(connection: Connection, heads: Sequence[tuple[str, str, int]]) -> None:
    """Forget parked messages whose sequence has been applied meanwhile."""
    for topic, stream_id, sequence in heads:
        connection.execute(
            delete(PARKED).where(
                PARKED.c.topic == topic,
                PARKED.c.stream_id == stream_id,
                PARKED.c.sequence <= sequence,
            )
        )


def failed_again(connection: Connection, parked: Parked, code: str, detail: str) -> None:
    connection.execute(
        update(PARKED)
        .where(PARKED.c.id == parked.id)
        .values(code=code, detail=detail, attempts=PARKED.c.attempts + 1, redrive=false())
    )


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), IN_CHUNK):
        yield items[start : start + IN_CHUNK]


def _parked(row: Any) -> Parked:
    return Parked(
        id=row.id,
        topic=row.topic,
        partition=row.partition,
        offset=row.offset,
        key=row.key,
        value=row.value,
        headers=unpack_headers(row.headers),
        stream_id=row.stream_id,
        sequence=row.sequence,
        code=row.code,
        detail=row.detail,
        parked_at=row.parked_at,
        attempts=row.attempts,
        redrive=row.redrive,
    )


__all__ = [
    "Lot",
    "Parked",
    "add_parked_table",
    "anything_parked",
    "count_parked",
    "discard_parked",
    "failed_again",
    "get_parked",
    "list_parked",
    "park",
    "parked_lots",
    "reason_of",
    "redrive_requested",
    "remove",
    "remove_applied",
    "request_redrive",
    "waiting_behind",
    "with_parked",
]

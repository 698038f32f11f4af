"""The outbox: what a service says, in the same transaction as the state that makes it say so.

Two kinds of rows: events of the service's own streams (numbered 1, 2, 3 … and hash-chained per
stream) and commands (to `tickets.commands` and `agents.commands`). The relay sends them to Kafka in
order of `position`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    insert,
    select,
    text,
)

from libs.events import (
    AgentCommandEnvelope,
    CommandEnvelope,
    Event,
    EventEnvelope,
    encode_agent_command,
    encode_command,
)
from libs.events.chain import GENESIS
from libs.events.topics import AGENTS_COMMANDS, TICKETS_COMMANDS
from libs.runtime.clock import Clock
from libs.runtime.mapper import StoredFrame, pack_headers, protect, record_event

Message = EventEnvelope | CommandEnvelope | AgentCommandEnvelope
"""What can be the cause of something that a service says."""

BigKey = BigInteger().with_variant(Integer, "sqlite")


@dataclass(frozen=True, slots=True)
class _PendingEvent:
    topic: str
    stream_id: str
    event: Event
    data: bytes
    time: datetime
    actor: str
    correlation_id: str
    causation_id: str
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A Kafka message as bytes: commands and parked messages."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Outgoing:
    """Collects what one transaction says. Not thread-safe; lives as long as the transaction."""

    def __init__(self, source: str, clock: Clock) -> None:
        self.source = source
        self._clock = clock
        self.pending: list[_PendingEvent | RawMessage] = []
        self.appended = 0
        """Events that this transaction appended to an event store (they have a relay of their own)."""

    def event(
        self,
        topic: str,
        stream_id: str,
        event: Event,
        *,
        time: datetime | None = None,
        actor: str,
        cause: Message | None = None,
    ) -> None:
        """Say a fact on a stream of this service. `time` defaults to now; `cause` links it.

        Raises Poison for what could not be read again, here and not when all is written: so that
        whoever applies events one by one knows which of them led to it.
        """
        correlation, causation, traceparent = links(cause)
        self.pending.append(
            _PendingEvent(
                topic,
                stream_id,
                event,
                protect(event),
                time or self._clock.now(),
                actor,
                correlation,
                causation,
                traceparent,
            )
        )

    def command(self, command: CommandEnvelope) -> None:
        """Ask intake for something. `command.command_id` must be derived from the cause, so that
        the same cause asks only once however often it is processed."""
        command.source = command.source or self.source
        key, value, headers = encode_command(command)
        self.pending.append(RawMessage(TICKETS_COMMANDS, key, value, headers))

    def agent_command(self, command: AgentCommandEnvelope) -> None:
        """Ask routing for something, on behalf of somebody. `command.command_id` as above, or one
        that the asking person's browser made; `command.time` defaults to now."""
        command.source = command.source or self.source
        command.time = command.time or self._clock.now()
        key, value, headers = encode_agent_command(command)
        self.pending.append(RawMessage(AGENTS_COMMANDS, key, value, headers))

    def raw(self, message: RawMessage) -> None:
        """A message as it is: used for parking."""
        self.pending.append(message)


def links(cause: Message | None) -> tuple[str, str, str | None]:
    """(correlation id, causation id, traceparent) for what `cause` leads to."""
    if cause is None:
        return "", "", None
    own = cause.id if isinstance(cause, EventEnvelope) else cause.command_id
    return cause.correlation_id or own, own, cause.traceparent


_IN_TURN = text("SELECT pg_advisory_xact_lock(hashtext('bitacora.outbox'))")
"""Not a lock of the table: that would wait for its autovacuum, until PostgreSQL cancels it after a second
(deadlock_timeout), and no vacuum would ever come to its end while events are said."""


class Outbox:
    """The tables `outbox` and `outbox_streams` in the database of one service."""

    def __init__(self, metadata: MetaData, source: str, clock: Clock) -> None:
        self.source = source
        self.clock = clock
        self.rows = Table(
            "outbox",
            metadata,
            Column("position", BigKey, primary_key=True, autoincrement=True),
            Column("topic", String(249), nullable=False),
            Column("stream_id", String(250)),
            Column("sequence", BigInteger),
            Column("type", String(200)),
            Column("key", LargeBinary),
            Column("meta", LargeBinary, nullable=False),
            Column("data", LargeBinary),
            UniqueConstraint("topic", "stream_id", "sequence"),
            sqlite_autoincrement=True,
        )
        self.streams = Table(
            "outbox_streams",
            metadata,
            Column("topic", String(249), primary_key=True),
            Column("stream_id", String(250), primary_key=True),
            Column("sequence", BigInteger, nullable=False),
            Column("hash", String(64), nullable=False),
        )
        # Put together once: they run in every transaction that says something.
        s = self.streams
        self._add_row = insert(self.rows)
        self._add_head = insert(s)
        # By topic and stream, which is the key: by the stream alone it would read the whole table.
        self._heads_of = select(s.c.stream_id, s.c.sequence, s.c.hash).where(
            s.c.topic == bindparam("topic"), s.c.stream_id.in_(bindparam("ids", expanding=True))
        )
        self._set_head = (
            s.update()
            .where(s.c.topic == bindparam("b_topic"), s.c.stream_id == bindparam("b_stream"))
            .values(sequence=bindparam("sequence"), hash=bindparam("hash"))
        )

    def open(self) -> Outgoing:
        return Outgoing(self.source, self.clock)

    def said(self, connection: Connection, topic: str, ids: Collection[str]) -> dict[str, int]:
        """Stream id → the sequence of the last event said on it; streams without any are left out."""
        rows = connection.execute(self._heads_of, {"topic": topic, "ids": list(ids)})
        return {row[0]: int(row[1]) for row in rows}

    def flush(self, connection: Connection, outgoing: Outgoing) -> int:
        """Write what was collected, numbered and chained. Returns the number of rows.

        On PostgreSQL transactions that say something come one after the other, so that positions
        commit in order and a tailing relay cannot pass over one.
        """
        if not outgoing.pending:
            return 0
        if connection.dialect.name == "postgresql":
            connection.execute(_IN_TURN)
        heads = self._heads(connection, outgoing)
        touched: dict[tuple[str, str], tuple[int, str]] = {}
        recorded_at = self.clock.now()
        rows: list[dict[str, Any]] = []
        for item in outgoing.pending:
            if isinstance(item, RawMessage):
                rows.append(_raw_row(item))
                continue
            stream = (item.topic, item.stream_id)
            sequence, previous_hash = touched.get(stream) or heads.get(stream) or (0, GENESIS)
            frame = record_event(
                item.event,
                data=item.data,
                stream_id=item.stream_id,
                sequence=sequence + 1,
                time=item.time,
                recorded_time=recorded_at,
                actor=item.actor,
                correlation_id=item.correlation_id,
                causation_id=item.causation_id,
                traceparent=item.traceparent,
                previous_hash=previous_hash,
            )
            touched[stream] = (frame.sequence, frame.hash)
            rows.append(_event_row(item.topic, frame))
        connection.execute(self._add_row, rows)
        self._save_heads(connection, heads, touched)
        outgoing.pending.clear()
        return len(rows)

    def _heads(
        self, connection: Connection, outgoing: Outgoing
    ) -> dict[tuple[str, str], tuple[int, str]]:
        wanted: dict[str, set[str]] = {}
        for item in outgoing.pending:
            if isinstance(item, _PendingEvent):
                wanted.setdefault(item.topic, set()).add(item.stream_id)
        found: dict[tuple[str, str], tuple[int, str]] = {}
        for topic, ids in wanted.items():
            rows = connection.execute(self._heads_of, {"topic": topic, "ids": list(ids)})
            found.update({(topic, row[0]): (row[1], row[2]) for row in rows})
        return found

    def _save_heads(
        self,
        connection: Connection,
        heads: dict[tuple[str, str], tuple[int, str]],
        touched: dict[tuple[str, str], tuple[int, str]],
    ) -> None:
        new = [
            {"topic": key[0], "stream_id": key[1], "sequence": value[0], "hash": value[1]}
            for key, value in touched.items()
            if key not in heads
        ]
        old = [
            {"b_topic": key[0], "b_stream": key[1], "sequence": value[0], "hash": value[1]}
            for key, value in touched.items()
            if key in heads
        ]
        if new:
            connection.execute(self._add_head, new)
        if old:
            connection.execute(self._set_head, old)


def _event_row(topic: str, frame: StoredFrame) -> dict[str, Any]:
    return {
        "topic": topic,
        "stream_id": frame.stream_id,
        "sequence": frame.sequence,
        "type": frame.type,
        "key": None,
        "meta": frame.meta,
        "data": frame.data,
    }


def _raw_row(message: RawMessage) -> dict[str, Any]:
    return {
        "topic": message.topic,
        "stream_id": None,
        "sequence": None,
        "type": None,
        "key": message.key,
        "meta": pack_headers(message.headers),
        "data": message.value,
    }

"""Applying event topics: every event once, in the order of its stream, or parked with a reason.

`StreamApplier.apply` runs inside one database transaction per poll. In that transaction lie the
handler's state changes, the last applied sequence of every stream (`consumer_streams`, key topic +
stream id: this is what makes a repeated event harmless), the offsets, whatever the handler says
(outbox), and what was parked. The Kafka offset is committed only afterwards.

- sequence ≤ last applied: skipped, it is a duplicate.
- sequence = last + 1: applied.
- sequence > last + 1: a gap. The event is parked and an alarm is logged; other streams go on. When
  the missing event arrives, what waits behind it is applied in order.
- undecodable, or the handler fails on it: parked; later events of its stream are then gaps behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    select,
    text,
)

from libs.events import EventEnvelope, Malformed, UnknownEvent, decode_event
from libs.runtime import parking
from libs.runtime.clock import Clock
from libs.runtime.database import upsert
from libs.runtime.errors import Poison
from libs.runtime.logs import get_logger
from libs.runtime.outbox import Outgoing

log = get_logger(__name__)

IN_CHUNK = 500


class Record(Protocol):
    """A Kafka record as the client hands it over."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[Any, Any]]: ...


class EventHandler(Protocol):
    """What a service does with events."""

    def apply(
        self, connection: Connection, envelopes: Sequence[EventEnvelope], outgoing: Outgoing
    ) -> None:
        """Apply events in one transaction.

        Each stream's events come in order, without gaps or duplicates; several topics may be mixed.
        `envelope.event` is decoded (perhaps an `UnknownEvent`, to be ignored). It must not block on
        anything but the database, and may be called again with the same events after a rollback.
        Raises Poison for an event that can never be applied.
        """


@dataclass(slots=True)
class Report:
    """What happened to one poll's records."""

    applied: int = 0
    duplicates: int = 0
    gaps: int = 0
    parked: int = 0
    """All that was parked, `waiting` included."""
    waiting: int = 0
    """Parked only because an event before it is missing or parked: nothing is wrong with it."""
    redriven: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    by_topic: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Of `applied`, `duplicates` and `gaps`: (name, topic) → how many."""
    parked_by: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(topic, code) → how many were parked."""


@dataclass(slots=True)
class _Item:
    envelope: EventEnvelope
    record: Record


Stream = tuple[str, str]
"""(topic, stream id)"""


class ConsumerTables:
    """`consumer_streams` and `consumer_offsets`, and the table `parked`."""

    def __init__(self, metadata: MetaData) -> None:
        self.streams = Table(
            "consumer_streams",
            metadata,
            Column("topic", String(249), primary_key=True),
            Column("stream_id", String(250), primary_key=True),
            Column("sequence", BigInteger, nullable=False),
        )
        self.offsets = Table(
            "consumer_offsets",
            metadata,
            Column("topic", String(249), primary_key=True),
            Column("partition", Integer, primary_key=True),
            Column("next_offset", BigInteger, nullable=False),
        )
        parking.add_parked_table(metadata)


class StreamApplier:
    """Applies records to one service's database; see the module's text. Not thread-safe.

    `topics`: those whose parked messages it tries again; None: of all.
    """

    def __init__(
        self,
        group: str,
        handler: EventHandler,
        tables: ConsumerTables,
        clock: Clock,
        topics: Collection[str] | None = None,
    ) -> None:
        self.group = group
        self._topics = topics
        self._handler = handler
        self._tables = tables
        self._clock = clock
        self._unknown_logged: set[str] = set()

    def apply(
        self, connection: Connection, outgoing: Outgoing, records: Sequence[Record]
    ) -> Report:
        """Apply one poll's records. Raises Transient (or a database error): nothing is written."""
        report = Report()
        _lock_partitions(connection, self.group, records)
        items = self._decode(connection, outgoing, records, report)
        last = self._last_sequences(connection, items)
        heads = dict(last)
        accepted = self._accept(connection, outgoing, items, heads, report)
        self._apply(connection, outgoing, accepted, heads, report)
        if parking.anything_parked(connection):
            self._catch_up(connection, outgoing, heads, report)
        self._save(connection, last, heads, records)
        return report

    def redrive(self, connection: Connection, outgoing: Outgoing) -> Report:
        """Try again what an operator asked for, and what waits behind it."""
        report = Report()
        asked = parking.redrive_requested(connection, self._topics)
        places = {(parked.topic, parked.partition) for parked in asked}
        lock_partitions(connection, self.group, places)
        # Read again: another process may have done it while this one waited for the partitions.
        for parked in parking.redrive_requested(connection, self._topics):
            if (parked.topic, parked.partition) in places:
                self._redrive_one(connection, outgoing, parked, report)
        return report

    # -- accepting ----------------------------------------------------------------------------

    def _decode(
        self,
        connection: Connection,
        outgoing: Outgoing,
        records: Sequence[Record],
        report: Report,
    ) -> list[_Item]:
        items: list[_Item] = []
        for record in records:
            envelope = decode_event(record.value, record.headers)
            if isinstance(envelope, Malformed):
                self._park(connection, outgoing, record, envelope, report)
                continue
            if isinstance(envelope.event, UnknownEvent):
                self._note_unknown(envelope.type, report)
            items.append(_Item(envelope, record))
        return items

    def _accept(
        self,
        connection: Connection,
        outgoing: Outgoing,
        items: Sequence[_Item],
        heads: dict[Stream, int],
        report: Report,
    ) -> list[_Item]:
        accepted: list[_Item] = []
        for item in items:
            stream = (item.record.topic, item.envelope.stream_id)
            head = heads.get(stream, 0)
            sequence = item.envelope.sequence
            if sequence <= head:
                report.duplicates += 1
                report.by_topic["duplicates", item.record.topic] += 1
            elif sequence == head + 1:
                heads[stream] = sequence
                accepted.append(item)
            else:
                report.gaps += 1
                report.by_topic["gaps", item.record.topic] += 1
                detail = f"sequence {sequence} came, {head + 1} was expected"
                problem = Malformed(parking.GAP, detail, item.envelope.stream_id, sequence)
                self._park(connection, outgoing, item.record, problem, report)
        return accepted

    def _apply(
        self,
        connection: Connection,
        outgoing: Outgoing,
        items: Sequence[_Item],
        heads: dict[Stream, int],
        report: Report,
    ) -> None:
        """The whole batch at once; when the handler fails, in halves, to find what it fails on."""
        held: set[Stream] = set()
        parts = [items]
        while parts:
            part = parts.pop()
            if held:
                part = self._without_held(connection, outgoing, part, held, report)
            if not part:
                continue
            failure = self._attempt(connection, outgoing, part)
            if failure is None:
                report.applied += len(part)
                for topic, count in Counter(item.record.topic for item in part).items():
                    report.by_topic["applied", topic] += count
            elif len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]  # the first half is tried first
            else:
                item = part[0]
                stream = (item.record.topic, item.envelope.stream_id)
                held.add(stream)
                heads[stream] = item.envelope.sequence - 1
                problem = Malformed(*failure, stream[1], item.envelope.sequence)
                self._park(connection, outgoing, item.record, problem, report)

    def _without_held(
        self,
        connection: Connection,
        outgoing: Outgoing,
        items: Sequence[_Item],
        held: Collection[Stream],
        report: Report,
    ) -> list[_Item]:
        """Those of the items that no parked event of their stream comes before; the others are parked."""
        free: list[_Item] = []
        for item in items:
            stream_id, sequence = item.envelope.stream_id, item.envelope.sequence
            if (item.record.topic, stream_id) not in held:
                free.append(item)
                continue
            problem = Malformed(parking.GAP, "waits behind a parked event", stream_id, sequence)
            self._park(connection, outgoing, item.record, problem, report)
        return free

    def _attempt(
        self, connection: Connection, outgoing: Outgoing, items: Sequence[_Item]
    ) -> tuple[str, str] | None:
        """None, or the code and the detail to park the event with."""
        mark = len(outgoing.pending)
        try:
            with connection.begin_nested():
                self._handler.apply(connection, [item.envelope for item in items], outgoing)
        except Exception as error:
            reason = parking.reason_of(error)
            del outgoing.pending[mark:]
            if len(items) == 1 and not isinstance(error, Poison):
                log.exception("event_not_applicable", group=self.group, id=items[0].envelope.id)
            return reason
        return None

    # -- parking ------------------------------------------------------------------------------

    def _park(
        self,
        connection: Connection,
        outgoing: Outgoing,
        record: Record,
        problem: Malformed,
        report: Report,
    ) -> None:
        parked = parking.park(
            connection,
            outgoing,
            group=self.group,
            clock=self._clock,
            record=record,
            code=problem.code,
            detail=problem.detail,
            stream_id=problem.stream_id,
            sequence=problem.sequence,
        )
        if not parked:
            report.duplicates += 1
            report.by_topic["duplicates", record.topic] += 1
            return
        report.parked += 1
        report.parked_by[record.topic, problem.code] += 1
        report.waiting += problem.code == parking.GAP
        log.warning(
            "message_parked",
            group=self.group,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            code=problem.code,
            detail=problem.detail,
        )

    def _catch_up(
        self, connection: Connection, outgoing: Outgoing, heads: dict[Stream, int], report: Report
    ) -> None:
        """Apply parked events whose turn has come because the one before them has been applied."""
        moved = parking.with_parked(
            connection,
            [(topic, stream, sequence) for (topic, stream), sequence in heads.items()],
        )
        parking.remove_applied(connection, moved)
        while ready := parking.waiting_behind(connection, moved):
            moved = []
            for parked in ready:
                sequence = self._try_parked(connection, outgoing, parked, report)
                if sequence is not None and parked.stream_id is not None:
                    heads[parked.topic, parked.stream_id] = sequence
                    moved.append((parked.topic, parked.stream_id, sequence))

    def _redrive_one(
        self, connection: Connection, outgoing: Outgoing, parked: parking.Parked, report: Report
    ) -> None:
        envelope = decode_event(parked.value, parked.headers)
        if isinstance(envelope, Malformed):
            parking.failed_again(connection, parked, envelope.code, envelope.detail)
            return
        stream = (parked.topic, envelope.stream_id)
        head = self._stream_sequence(connection, stream)
        if envelope.sequence <= head:
            parking.remove(connection, parked)
            return
        if envelope.sequence > head + 1:
            detail = f"sequence {envelope.sequence} waits for {head + 1}"
            parking.failed_again(connection, parked, parking.GAP, detail)
            return
        heads: dict[Stream, int] = {}
        sequence = self._try_parked(connection, outgoing, parked, report)
        if sequence is None:
            return
        heads[stream] = sequence
        self._catch_up(connection, outgoing, heads, report)
        self._save(connection, {stream: head} if head else {}, heads, ())

    def _try_parked(
        self, connection: Connection, outgoing: Outgoing, parked: parking.Parked, report: Report
    ) -> int | None:
        """Apply one parked event; its sequence, or None when it stays parked."""
        envelope = decode_event(parked.value, parked.headers)
        if isinstance(envelope, Malformed):
            parking.failed_again(connection, parked, envelope.code, envelope.detail)
            return None
        failure = self._attempt(connection, outgoing, [_Item(envelope, parked)])
        if failure is not None:
            parking.failed_again(connection, parked, *failure)
            return None
        parking.remove(connection, parked)
        report.redriven += 1
        return envelope.sequence

    # -- bookkeeping --------------------------------------------------------------------------

    def _last_sequences(self, connection: Connection, items: Sequence[_Item]) -> dict[Stream, int]:
        by_topic: dict[str, set[str]] = {}
        for item in items:
            by_topic.setdefault(item.record.topic, set()).add(item.envelope.stream_id)
        t = self._tables.streams
        found: dict[Stream, int] = {}
        for topic, ids in by_topic.items():
            wanted = list(ids)
            for start in range(0, len(wanted), IN_CHUNK):
                query = select(t.c.stream_id, t.c.sequence).where(
                    t.c.topic == topic, t.c.stream_id.in_(wanted[start : start + IN_CHUNK])
                )
                found.update({(topic, row[0]): row[1] for row in connection.execute(query)})
        return found

    def _stream_sequence(self, connection: Connection, stream: Stream) -> int:
        t = self._tables.streams
        query = select(t.c.sequence).where(t.c.topic == stream[0], t.c.stream_id == stream[1])
        return connection.execute(query).scalar() or 0

    def _save(
        self,
        connection: Connection,
        last: dict[Stream, int],
        heads: dict[Stream, int],
        records: Sequence[Record],
    ) -> None:
        moved = [
            {"topic": topic, "stream_id": stream_id, "sequence": sequence}
            for (topic, stream_id), sequence in heads.items()
            if last.get((topic, stream_id)) != sequence and sequence > 0
        ]
        upsert(connection, self._tables.streams, moved)
        ends: dict[tuple[str, int], int] = {}
        for record in records:
            ends[record.topic, record.partition] = record.offset + 1
        rows = [
            {"topic": topic, "partition": partition, "next_offset": end}
            for (topic, partition), end in ends.items()
        ]
        upsert(connection, self._tables.offsets, rows)

    def _note_unknown(self, type_name: str, report: Report) -> None:
        report.unknown[type_name] += 1
        if type_name not in self._unknown_logged:
            self._unknown_logged.add(type_name)
            log.warning("unknown_event_type", group=self.group, type=type_name)


def _lock_partitions(connection: Connection, group: str, records: Sequence[Record]) -> None:
    """After a rebalance the old and the new owner of a partition may both hold its records: on
    PostgreSQL they take turns here, and the second one sees duplicates."""
    lock_partitions(connection, group, {(r.topic, r.partition) for r in records})


def lock_partitions(connection: Connection, group: str, places: Iterable[tuple[str, int]]) -> None:
    """Wait until nobody applies records of these (topic, partition), and keep it so until the
    transaction ends. For PostgreSQL; on SQLite the write transaction alone does it."""
    if connection.dialect.name != "postgresql":
        return
    for topic, partition in sorted(places):
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtext(:name))"),
            {"name": f"{group}:{topic}:{partition}"},
        )

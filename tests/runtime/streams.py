"""Events and records made by hand, for tests of what consumes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert

from libs.events import Channel, Event, EventEnvelope, Priority, encode_event
from libs.events.chain import GENESIS
from libs.events.ticket import CategoryChanged, PriorityChanged, Requester, TicketCreated
from libs.runtime.clock import ManualClock
from libs.runtime.consume import ConsumerTables, StreamApplier
from libs.runtime.database import Database
from libs.runtime.errors import Poison
from libs.runtime.mapper import envelope_of, record_event
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LOW_HIGH = (Priority.LOW, Priority.HIGH)


@dataclass(slots=True)
class HandRecord:
    """A Kafka record as the client hands it over."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def stream(stream_id: str, length: int) -> list[EventEnvelope]:
    """`length` chained events of one ticket."""
    created = TicketCreated(
        number=1, subject="s", requester=Requester(id="r"), channel=Channel.EMAIL
    )
    changes = [
        PriorityChanged(priority=LOW_HIGH[i % 2], previous=LOW_HIGH[1 - i % 2])
        for i in range(1, length)
    ]
    events: list[Event] = [created, *changes]
    return chained(stream_id, events[:length])


def chained(stream_id: str, events: Sequence[Event]) -> list[EventEnvelope]:
    previous, envelopes = GENESIS, []
    for sequence, event in enumerate(events, 1):
        frame = record_event(
            event,
            stream_id=stream_id,
            sequence=sequence,
            time=NOON,
            recorded_time=NOON,
            actor="system",
            correlation_id="c",
            causation_id="c",
            traceparent=None,
            previous_hash=previous,
        )
        previous = frame.hash
        envelopes.append(
            envelope_of(
                source="/bitacora/intake",
                type_name=frame.type,
                stream_id=stream_id,
                sequence=sequence,
                position=sequence,
                meta=frame.meta,
                data=frame.data,
            )
        )
    return envelopes


def records(
    envelopes: Sequence[EventEnvelope], *, topic: str = "tickets.events", offset: int = 0
) -> list[HandRecord]:
    made = []
    for number, envelope in enumerate(envelopes, offset):
        key, value, headers = encode_event(envelope)
        made.append(HandRecord(topic, 0, number, key, value, [*headers]))
    return made


@dataclass(slots=True)
class Recorder:
    """A handler that writes down what it was given, and where it is told to, fails or says what
    nobody could read."""

    table: Table
    fails_on: set[str] = field(default_factory=set)
    raves_on: set[str] = field(default_factory=set)

    def apply(
        self, connection: Connection, envelopes: Sequence[EventEnvelope], outgoing: Outgoing
    ) -> None:
        rows = [{"stream_id": e.stream_id, "sequence": e.sequence} for e in envelopes]
        connection.execute(insert(self.table), rows)
        for envelope in envelopes:
            if envelope.id in self.fails_on:
                raise Poison("cannot_be", f"{envelope.id} cannot be applied")
            if envelope.id in self.raves_on:
                fact = CategoryChanged.model_construct(category="c" * 201)
                outgoing.event("tickets.events", "x", fact, actor="system")


class Bench:
    """A database with a consumer on it."""

    def __init__(self, url: str) -> None:
        metadata = MetaData()
        self.clock = ManualClock(NOON)
        self.seen = Table(
            "seen",
            metadata,
            Column("n", Integer, primary_key=True, autoincrement=True),
            Column("stream_id", String(100)),
            Column("sequence", Integer),
        )
        self.store = ServiceStore(
            Database(url), metadata, source="/bitacora/test", clock=self.clock
        )
        tables = ConsumerTables(metadata)
        self.store.create_tables()
        self.handler = Recorder(self.seen)
        self.applier = StreamApplier("test", self.handler, tables, self.clock)

    def close(self) -> None:
        self.store.close()

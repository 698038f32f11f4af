"""The SLA service without Kafka: its store, its handler, its timers, on a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from libs.events import Event, EventEnvelope, decode_command
from libs.events.registry import EVENTS
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.mapper import envelope_of, unpack_headers
from libs.runtime.outbox import Outgoing
from libs.runtime.share import WHOLE
from libs.runtime.store import ServiceStore
from libs.worktime.instants import to_us
from services.sla import store as s
from services.sla.handlers import TicketEvents
from services.sla.timers.agenda import BEGINNING
from services.sla.timers.firing import fire
from services.sla.timers.table import Armed, page, timers
from tests.sla.desk import MONDAY


class Bench:
    """One life of the service; make another with the same URL to restart it."""

    def __init__(
        self, database_url: str, now: datetime = MONDAY, *, edges_of_imports: bool = False
    ) -> None:
        self.clock = ManualClock(now)
        self.store = ServiceStore(
            Database(database_url), s.metadata(), source="/bitacora/sla", clock=self.clock
        )
        self.store.create_tables()
        self.store.write_now(lambda connection, _: s.seed(connection))
        self.books = s.Books()
        self.armed: list[Armed] = []
        self.handler = TicketEvents(
            self.books, armed=self.armed.extend, edges_of_imports=edges_of_imports
        )

    def apply(self, *envelopes: EventEnvelope) -> None:
        self.store.write_now(lambda c, outgoing: self.handler.apply(c, envelopes, outgoing))

    def fire(self, now: datetime, limit: int = 500) -> int:
        """What the timer task does when it knows of nothing; the number of facts."""
        self.clock.instant = now

        def work(connection: Connection, outgoing: Outgoing) -> int:
            due = page(connection, WHOLE, BEGINNING, to_us(now), limit)
            ticket_ids = {timer.ticket_id for timer in due}
            return len(fire(connection, outgoing, self.books, ticket_ids, to_us(now)).stated_us)

        return self.store.write_now(work)[0]

    def rows(self) -> list[Any]:
        rows = self.store.outbox.rows

        def query(connection: Connection) -> list[Any]:
            return list(connection.execute(select(rows).order_by(rows.c.position)))

        found: list[Any] = self.read(query)
        return found

    def read(self, query: Any) -> Any:
        with self.store.database.reading() as connection:
            return query(connection)

    def envelopes(self) -> list[EventEnvelope]:
        """What was said on `sla.events`."""
        return [
            envelope_of(
                source="/bitacora/sla",
                type_name=row.type,
                stream_id=row.stream_id,
                sequence=row.sequence,
                position=row.position,
                meta=row.meta,
                data=row.data,
            )
            for row in self.rows()
            if row.topic == "sla.events"
        ]

    def events(self, kind: type[Event] | None = None) -> list[Any]:
        decoded = [EVENTS.decode(envelope.type, envelope.data) for envelope in self.envelopes()]
        return [event for event in decoded if kind is None or isinstance(event, kind)]

    def commands(self) -> list[Any]:
        return [
            decode_command(row.data, unpack_headers(row.meta))
            for row in self.rows()
            if row.topic == "tickets.commands"
        ]

    def timers(self) -> list[tuple[str, str, int]]:
        query = select(timers.c.metric, timers.c.kind, timers.c.at_us).order_by(timers.c.at_us)
        found: list[tuple[str, str, int]] = self.read(
            lambda c: [tuple(row) for row in c.execute(query)]
        )
        return found

    def ticket(self, ticket_id: str) -> Any:
        return self.read(lambda c: s.load(c, [ticket_id]).get(ticket_id))

    def stop(self) -> None:
        self.store.close()


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    """Wait until `condition()` is true. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def apart(envelopes: Sequence[EventEnvelope], size: int) -> list[Sequence[EventEnvelope]]:
    """The same envelopes in polls of `size`."""
    return [envelopes[index : index + size] for index in range(0, len(envelopes), size)]

"""Two routing processes on one database never give away one ticket, or one unit, twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection, MetaData

from libs.events import EventEnvelope
from libs.events.agent import Skill
from libs.runtime.database import Database
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.routing.domain.rules import RoutingRules
from services.routing.store import Desk
from tests.routing.house import House, created, envelope

ROUNDS = 20


class Process(threading.Thread):
    """A routing process of its own, as far as the database can tell."""

    def __init__(
        self, url: str, house: House, events: Sequence[EventEnvelope], start: threading.Barrier
    ) -> None:
        super().__init__()
        metadata = MetaData()
        database = Database(url)
        self.store = ServiceStore(database, metadata, source="/bitacora/routing", clock=house.clock)
        self.desk = Desk(metadata, RoutingRules(), house.clock)
        self.events = events
        self.start_together = start
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for event in self.events:
                self.start_together.wait(20)
                self._hear(event)
                self.store.write_now(self.desk.sweep)
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.failure = error
            self.start_together.abort()
        finally:
            self.store.close()

    def _hear(self, event: EventEnvelope) -> None:
        def change(connection: Connection, outgoing: Outgoing) -> None:
            self.desk.apply(connection, [event], outgoing)

        self.store.write_now(change)


def test_two_tickets_at_once_for_one_unit(database_url: str) -> None:
    house = House(database_url)
    streams: tuple[list[EventEnvelope], list[EventEnvelope]] = ([], [])
    for round_ in range(ROUNDS):
        skill = f"skill {round_}"
        house.agent(f"agent {round_}", 1, skills=(Skill(name=skill, level=1),))
        for part, stream in enumerate(streams):
            ticket_id = str(uuid5(NAMESPACE_URL, f"ticket {round_} {part}"))
            ticket = created(2 * round_ + part + 1, category=skill)
            stream.append(envelope(ticket_id, 1, ticket, house.clock.now()))

    start = threading.Barrier(2)
    processes = [Process(database_url, house, stream, start) for stream in streams]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.failure for process in processes] == [None, None]
    asked = house.commands()
    assert len(asked) == ROUNDS
    assert house.loads() == {f"agent {round_}": 1 for round_ in range(ROUNDS)}
    house.close()

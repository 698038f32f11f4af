"""Two routing processes on one database never give away one ticket, or one unit, twice."""

from __future__ import annotations

import threading
from collections import Counter
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import MetaData

from libs.events.commands import AssignTicket
from libs.runtime.database import Database
from libs.runtime.store import ServiceStore
from services.routing.domain import NeedsRules
from services.routing.domain.agent import SetCapacity
from services.routing.store import Desk
from services.routing.views import Tables
from tests.routing.house import House, created, envelope

TICKETS = 60


def test_two_processes_share_the_capacity(database_url: str) -> None:
    house = House(database_url)
    house.agent("ana", 0)
    house.agent("luis", 5)
    envelopes = [
        envelope(str(uuid5(NAMESPACE_URL, f"ticket {n}")), 1, created(n), house.clock.now())
        for n in range(1, TICKETS + 1)
    ]
    start = threading.Barrier(3)
    failures: list[BaseException] = []

    def process(part: int) -> None:
        metadata = MetaData()
        tables = Tables(metadata)
        store = ServiceStore(
            Database(database_url), metadata, source="/bitacora/routing", clock=house.clock
        )
        desk = Desk(tables, NeedsRules(), house.clock)
        try:
            start.wait(10)
            for one in envelopes[part::2]:
                store.write_now(lambda c, out, one=one: desk.apply(c, [one], out))
                store.write_now(desk.sweep)
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failures.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=process, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    start.wait(10)
    for capacity in range(1, 21):
        house.change("ana", SetCapacity(capacity))
    for thread in threads:
        thread.join(60)

    assert not failures
    asked = house.commands()
    assert len({command.ticket_id for command in asked}) == len(asked)
    given = Counter(
        command.command.agent for command in asked if isinstance(command.command, AssignTicket)
    )
    assert given == {"ana": 20, "luis": 5}
    assert house.loads() == {"ana": 20, "luis": 5}
    house.close()

"""After a calendar was edited, or the time zone database replaced: every running clock reckons anew.

A clock that is touched for any reason (an event, its timer) reckons anew by itself, so no verdict waits
for this task and none is early. What it adds is promptness: a due instant that has come nearer gets its
timer before it is passed.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Final, NamedTuple

from sqlalchemy import Connection

from libs.runtime.clock import Clock
from libs.runtime.logs import get_logger
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from libs.worktime.instants import to_us
from services.sla import store as s
from services.sla.domain.ticket import reckon_anew
from services.sla.handlers import SetTimers, say

log = get_logger(__name__)

BATCH_TICKETS: Final = 250
LOOK_S: Final = 30.0
"""Real seconds: how often it is looked whether another process left something to do."""


class Page(NamedTuple):
    """The last ticket that was looked at (None: there are no more), and how many due instants moved."""

    last: str | None
    moved: int


class Reckoning:
    """Durable: the basis by which all clocks have reckoned is kept, and written when all have."""

    def __init__(self, store: ServiceStore, clock: Clock, books: s.Books, armed: SetTimers) -> None:
        self._store = store
        self._clock = clock
        self._books = books
        self._armed = armed
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A calendar has a new version. To be called in the event loop."""
        self._woken.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._woken.clear()
            await self.once()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_S)

    async def once(self) -> int:
        """Bring every clock up to date, unless they are. Returns how many due instants moved."""

        def state(connection: Connection) -> tuple[str, str | None]:
            return s.basis_of(self._books.read(connection)), s.read_basis(connection)

        basis, done = await self._store.read(state)
        if basis == done:
            return 0
        page, moved = Page("", 0), 0
        while page.last is not None:
            page = await self._store.write(partial(self.page, page.last))
            moved += page.moved
        # A version that was added meanwhile has another basis: the next look finds it.
        await self._store.write(lambda connection, _: s.write_basis(connection, basis))
        log.info("sla_reckoned_anew", basis=basis, moved=moved)
        return moved

    def page(self, after: str, connection: Connection, outgoing: Outgoing) -> Page:
        """One transaction: the tickets that come after `after`."""
        book = self._books.read(connection)
        ids = s.live_ids(connection, after, BATCH_TICKETS)
        before = s.load(connection, ids)
        now_us = to_us(self._clock.now())
        changed, moved = {}, 0
        for ticket_id, ticket in before.items():
            reckoned, facts = reckon_anew(ticket, max(now_us, ticket.last_us), book)
            if reckoned is not ticket:
                changed[ticket_id] = reckoned
                say(outgoing, ticket_id, facts, reckoned, book)
                moved += len(facts)
        self._armed(s.save(connection, before, changed))
        return Page(ids[-1] if len(ids) == BATCH_TICKETS else None, moved)

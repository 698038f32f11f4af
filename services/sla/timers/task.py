"""The task that fires: it sleeps until the next due instant and states what fell due.

The timers are rows, written in the transaction that changes the clock (`table`). In memory is only
what falls due soon (`agenda`), and what fires is looked at again in the transaction that states it
(`firing`). Whatever fell due while no process was running is stated when one runs again, in the order
in which it fell due, each fact with the instant at which it was due.

The wall clock decides what is due, and may be set: nothing is stated twice, because what was stated is
kept with the clock; what a clock that was set back has not reached again waits for it; and no sleep is
longer than a second, so that one that was set forward is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from libs.runtime.clock import Clock, monotonic_s
from libs.runtime.logs import get_logger
from libs.runtime.share import NOTHING, Share
from libs.runtime.store import ServiceStore
from libs.worktime.instants import SECOND_US, to_us
from services.sla.store import Books
from services.sla.timers import table
from services.sla.timers.agenda import BEGINNING, Agenda
from services.sla.timers.firing import fire
from services.sla.timers.table import Armed, Due

log = get_logger(__name__)

BATCH_TICKETS: Final = 250
PAGE_TIMERS: Final = 1000
HORIZON_S: Final = 60.0
"""Real seconds ahead that the agenda is to know, if no more than a few pages fall due by then."""
NAP_S_MAX: Final = 1.0
GATHER_S: Final = 0.002
"""Real seconds after a transaction in which what falls due is gathered for the next one: hundreds of
timers a second need no commit each, and leave time to the consumer."""
SWEEP_S: Final = 1.0
"""Real seconds: how often the table is asked for what is overdue and unknown here. There is such a
timer when another process set it as its partition changed hands, or worked on its ticket as it fell
due."""

CaughtUp = Callable[[], Awaitable[None]]
"""Returns when every event that Kafka is known to hold at this moment has been applied."""
Stated = Callable[[Sequence[float]], None]
"""Told how late (in seconds of the clock) each fact was stated, once these are committed."""
Fired = Callable[[Sequence[tuple[str, str]]], None]
"""Told the kind and the metric of each fact, likewise."""


class Timers:
    """`caught_up` is awaited before anything is stated: an answer that was given in time may still
    be on its way, above all after the service was down. `share` says whose timers this process fires:
    those of the tickets whose events it applies."""

    def __init__(
        self,
        store: ServiceStore,
        clock: Clock,
        books: Books,
        *,
        caught_up: CaughtUp,
        share: Callable[[], Share],
        stated: Stated,
        fired: Fired = lambda _: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._books = books
        self._caught_up = caught_up
        self._share = share
        self._stated = stated
        self._fired = fired
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._agenda = Agenda(low=PAGE_TIMERS // 2)
        self._swept_s = 0.0

    def armed(self, timers: Sequence[Armed]) -> None:
        """Timers are being set, in a transaction that is about to be committed by the thread that
        writes: what fires them comes after it."""
        if self._agenda.armed(timers) and self._loop is not None:
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """For ever. Begins anew whenever it is called."""
        self._loop = asyncio.get_running_loop()
        self._agenda.begin(self._share())
        while True:
            self._woken.clear()
            if self._share() != self._agenda.share:
                self._agenda.begin(self._share())
                log.info("sla_timers_share", partitions=sorted(self._agenda.share.mine))
            await self._read_on()
            if not await self.fire():
                await self._sweep()
                await self._sleep()

    async def fire(self) -> bool:
        """State what has fallen due by now, as far as one transaction goes; was there anything?"""
        now_us, next_us = to_us(self._clock.now()), self._agenda.next_us
        if next_us is None or next_us > now_us:
            return False
        share = self._agenda.share
        await self._caught_up()
        if self._share() != share:
            return True  # what was waited for is not all that these tickets need
        due, until_us = self._agenda.take(now_us, BATCH_TICKETS)
        ticket_ids = [timer.ticket_id for timer in due]
        stated_us, armed, facts = await self._store.write(
            lambda connection, out: fire(connection, out, self._books, ticket_ids, until_us)
        )
        self._agenda.armed(armed)
        done_us = to_us(self._clock.now())
        self._stated([(done_us - at_us) / SECOND_US for at_us in stated_us])
        self._fired(facts)
        if len(due) < BATCH_TICKETS:
            await asyncio.sleep(GATHER_S)
        log.debug("sla_timers_fired", tickets=len(due), facts=len(stated_us))
        return True

    async def _read_on(self) -> None:
        """Read the next page, if the agenda is short of what it should know."""
        horizon_us = self._horizon_us(HORIZON_S)
        if self._agenda.share == NOTHING or not self._agenda.needs(self._horizon_us(HORIZON_S / 2)):
            return
        agenda = self._agenda

        def read(connection: Connection, _: object) -> None:
            # In the thread that writes, so that no transaction of this process is under way.
            found = table.page(connection, agenda.share, agenda.mark, horizon_us, PAGE_TIMERS)
            full = len(found) == PAGE_TIMERS
            agenda.extend(found, found[-1] if full else Due(horizon_us, ""))

        await self._store.write(read)

    async def _sweep(self) -> None:
        """Find what is overdue and not in the agenda, which has nothing that is due."""
        if monotonic_s() - self._swept_s < SWEEP_S or self._agenda.share == NOTHING:
            return
        share, until_us = self._agenda.share, to_us(self._clock.now())
        missed = await self._store.read(
            lambda connection: table.page(connection, share, BEGINNING, until_us, PAGE_TIMERS)
        )
        self._swept_s = monotonic_s()
        self._agenda.again(missed)

    def _horizon_us(self, real_s: float) -> int:
        return to_us(self._clock.now()) + int(real_s * self._clock.rate * SECOND_US)

    async def _sleep(self) -> None:
        next_us = self._agenda.next_us
        seconds = NAP_S_MAX
        if next_us is not None:
            left_us = next_us - to_us(self._clock.now())
            seconds = min(left_us / SECOND_US / self._clock.rate, NAP_S_MAX)
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), seconds)

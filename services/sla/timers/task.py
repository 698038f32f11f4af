"""Durable timers: one task that sleeps until the next due instant and states what fell due.

The timers are rows, written in the transaction that changes the clock. This task knows only the
earliest of them; it is woken when an earlier one is set. Whatever fell due while no process was
running is stated when one runs again, each fact with the instant at which it was due.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from libs.runtime.clock import Clock
from libs.runtime.logs import get_logger
from libs.runtime.store import ServiceStore
from services.sla.domain.instants import SECOND_US, to_us
from services.sla.handlers import fire_due
from services.sla.store import Books
from services.sla.timers.table import next_timer_us

log = get_logger(__name__)

BATCH_TIMERS: Final = 500
NAP_S_MIN: Final = 0.01
NAP_S_MAX: Final = 30.0
"""Real seconds: the longest sleep, so that a clock that was set, or a timer that another process
stored, is noticed soon."""

CaughtUp = Callable[[], Awaitable[None]]
"""Returns when every event that Kafka is known to hold at this moment has been applied."""


class Timers:
    """`caught_up` is awaited before anything is stated: an answer that was given in time may still
    be on its way, above all after the service was down."""

    def __init__(
        self, store: ServiceStore, clock: Clock, books: Books, *, caught_up: CaughtUp
    ) -> None:
        self._store = store
        self._clock = clock
        self._books = books
        self._caught_up = caught_up
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next_us: int | None = None

    def armed(self, at_us: int) -> None:
        """A timer was set, perhaps an earlier one than is waited for. May be called in any thread,
        and before the transaction is committed: the next transaction comes after it."""
        if self._loop is not None and (self._next_us is None or at_us < self._next_us):
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """For ever."""
        self._loop = asyncio.get_running_loop()
        while True:
            # Cleared first: what is set from here on is either seen by the query or wakes the sleep.
            self._woken.clear()
            self._next_us = await self._store.write(lambda connection, _: next_timer_us(connection))
            if self._next_us is not None and self._next_us <= to_us(self._clock.now()):
                if await self.fire() == 0:
                    await self._sleep(NAP_S_MIN)
                continue
            await self._sleep(self._nap_s())

    async def fire(self) -> int:
        """State what has fallen due by now; the number of facts."""
        now_us = to_us(self._clock.now())
        await self._caught_up()
        stated, self._next_us = await self._store.write(
            lambda connection, outgoing: fire_due(
                connection, outgoing, self._books, now_us, BATCH_TIMERS
            )
        )
        if stated:
            log.debug("sla_timers_fired", facts=stated)
        return stated

    def _nap_s(self) -> float:
        if self._next_us is None:
            return NAP_S_MAX
        left_s = (self._next_us - to_us(self._clock.now())) / SECOND_US / self._clock.rate
        return min(max(left_s, 0.0), NAP_S_MAX)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)

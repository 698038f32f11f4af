"""The edges that are not HTTP: consumed events, and the sweep in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from libs.events import EventEnvelope
from libs.runtime.clock import Clock
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.routing.store import Desk

SLEEP_S_MIN: Final = 0.01


class RoutingHandler:
    """Applies `tickets.events`, `tickets.rejections` and `sla.events`.

    Runs in the writer thread, inside the transaction of one poll, and may be called again with the
    same events after a rollback; ids of commands derive from their causes, so nothing is asked
    twice.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def apply(
        self, connection: Connection, envelopes: Sequence[EventEnvelope], outgoing: Outgoing
    ) -> None:
        self._desk.apply(connection, envelopes, outgoing)


def sweeping(
    store: ServiceStore, desk: Desk, *, interval_s: float
) -> Callable[[], Awaitable[None]]:
    """The background task that sweeps when something falls due, and at least every `interval_s`
    real seconds, for ever."""

    async def sweep_for_ever() -> None:
        while True:
            await store.write(desk.sweep)
            await asyncio.sleep(_until(store.clock, desk.next_due, interval_s))

    return sweep_for_ever


def _until(clock: Clock, due: datetime | None, interval_s: float) -> float:
    """Real seconds to sleep."""
    if due is None:
        return interval_s
    left_s = (due - clock.now()).total_seconds() / clock.rate
    return min(interval_s, max(SLEEP_S_MIN, left_s))

"""The edges that are not HTTP: consumed events, and the sweep in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import Connection

from libs.events import EventEnvelope
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.routing.store import Desk


class RoutingHandler:
    """Applies `tickets.events` and `tickets.rejections`.

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
    """The background task that sweeps every `interval_s` real seconds, for ever."""

    async def sweep_for_ever() -> None:
        while True:
            await store.write(desk.sweep)
            await asyncio.sleep(interval_s)

    return sweep_for_ever

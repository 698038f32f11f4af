"""The floor for many readers at once: read when something was applied, not once per reader."""

from __future__ import annotations

import asyncio
from typing import Final

from libs.runtime.clock import monotonic_s
from libs.runtime.store import ServiceStore
from services.reporting.views.floor import Floor, read_floor
from services.reporting.views.positions import stamp

READING_SHARE_MAX: Final = 0.2
"""Of the time: how much of it open pages may spend on reading the floor of a busy desk anew."""


class Floors:
    """The latest floor of routing. The API and every open page read the same one.

    At 10,000 agents and 100,000 waiting tickets reading it takes about a second: open pages then get
    a floor that is some seconds old, rather than one reading after the other.
    """

    def __init__(self, store: ServiceStore) -> None:
        self._store = store
        self._known: tuple[int, Floor] | None = None
        self._fresh_until_s = 0.0
        self._busy = asyncio.Lock()

    async def get(self) -> Floor:
        """The floor as of the last applied event. Raises Transient without a database."""
        async with self._busy:
            if self._known is None or self._known[0] != await self._store.read(stamp):
                began_s = monotonic_s()
                self._known = await self._store.read(lambda c: (stamp(c), read_floor(c)))
                took_s = monotonic_s() - began_s
                self._fresh_until_s = monotonic_s() + took_s * (1 / READING_SHARE_MAX - 1)
            return self._known[1]

    async def recent(self) -> Floor:
        """The floor for a page that stays open: as `get`, or the last one while it is fresh enough."""
        known = self._known
        return known[1] if known and monotonic_s() < self._fresh_until_s else await self.get()

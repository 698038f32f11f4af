"""Waiting in simulated time: every pause is a real one, shortened by the clock's rate."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from libs.runtime.clock import Clock

NAP_S_MAX: Final = 1.0
"""Real seconds: the longest single wait, so that rounding never adds up."""


class DeskClosed(Exception):
    """The simulation is over: whoever waits for something to do stops here."""


class SimTime:
    """`close` ends all waiting; what is being done at that moment is finished first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._closed = asyncio.Event()

    def now(self) -> datetime:
        return self._clock.now()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        self._closed.set()

    async def until(self, instant: datetime) -> None:
        """Return at `instant`, at once if it is past. Raises DeskClosed."""
        while not self._closed.is_set():
            left_s = (instant - self._clock.now()).total_seconds() / self._clock.rate
            if left_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), min(left_s, NAP_S_MAX))
        raise DeskClosed

    async def pause(self, minutes: float) -> None:
        """Return after so many simulated minutes. Raises DeskClosed."""
        await self.until(self._clock.now() + timedelta(minutes=minutes))


class Crowd:
    """Starts what people do side by side, and waits for all of it. A bug in one ends all."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._group.__aexit__(kind, error, traceback)

    def start(self, doing: Coroutine[Any, Any, None]) -> None:
        self._group.create_task(self._until_closed(doing))

    async def _until_closed(self, doing: Coroutine[Any, Any, None]) -> None:
        with contextlib.suppress(DeskClosed):
            await doing

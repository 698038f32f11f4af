"""The timers as gauges, looked up at intervals."""

from __future__ import annotations

from math import nan
from typing import Final

from sqlalchemy import Connection, func, select

from libs.runtime.metrics import show
from libs.runtime.store import ServiceStore
from libs.worktime.instants import SECOND_US, to_us
from services.sla.metrics import SlaMetrics
from services.sla.timers.table import timers

DUE_INTERVAL_S: Final = 5.0
COUNT_INTERVAL_S: Final = 30.0
SHARE_MAX: Final = 0.01
"""Of the time that counting may take: of a million timers it takes a second."""
KINDS: Final = ("warning", "breach")


class TimerGauges:
    """What is due is found by the index; how many wait has to be counted, so that is done seldom."""

    def __init__(self, metrics: SlaMetrics, store: ServiceStore) -> None:
        self._metrics = metrics
        self._store = store

    async def due(self) -> None:
        """Raises Transient."""
        now_us = to_us(self._store.clock.now())

        def query(connection: Connection) -> tuple[int | None, int]:
            first = connection.scalar(select(func.min(timers.c.at_us)))
            overdue = select(func.count()).where(timers.c.at_us <= now_us)
            return first, connection.scalar(overdue) or 0

        first_us, overdue = await self._store.read(query)
        left = nan if first_us is None else (first_us - now_us) / SECOND_US
        self._metrics.next_due_seconds.set(left)
        self._metrics.overdue_timers.set(overdue)

    async def count(self) -> None:
        """Raises Transient."""
        query = select(timers.c.kind, func.count()).group_by(timers.c.kind)
        found = await self._store.read(
            lambda connection: {row[0]: row[1] for row in connection.execute(query)}
        )
        show(self._metrics.timers_waiting, {(kind,): found.get(kind, 0) for kind in KINDS})

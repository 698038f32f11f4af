"""How far the fact tables of this process are behind its database, looked up at intervals."""

from __future__ import annotations

from typing import Final

from libs.runtime.backlog import Waiting
from libs.runtime.clock import monotonic_s
from libs.runtime.store import ServiceStore
from services.reporting.facts.facts import Facts
from services.reporting.metrics import ReportingMetrics
from services.reporting.views.changes import read_head

FACTS_INTERVAL_S: Final = 2.0


class FactsGauges:
    def __init__(self, metrics: ReportingMetrics, store: ServiceStore, facts: Facts) -> None:
        self._metrics = metrics
        self._store = store
        self._facts = facts
        self._waiting = Waiting()

    async def look(self) -> None:
        """Raises Transient."""
        # Read before the database: what is committed in between is then behind, not ahead.
        held = max(0, self._facts.revision)
        last = (await self._store.read(read_head)).revision
        metrics = self._metrics
        metrics.facts_ready.set(self._facts.stamp > 0)
        metrics.facts_lag_revisions.set(max(0, last - held))
        metrics.facts_behind_seconds.set(self._waiting.look(held, last, monotonic_s()))

"""What all pages are made from: the store, the answers, and the lists that filters choose from."""

from __future__ import annotations

from typing import Final

from libs.runtime.clock import monotonic_s
from libs.runtime.errors import Poison
from libs.runtime.store import ServiceStore
from services.reporting.report.model import Report, ReportQuery
from services.reporting.report.service import Reports
from services.reporting.views.lists import known_values

VALUES_KEPT_S: Final = 60.0


class Desk:
    """What pages are made from, shared by all of them."""

    def __init__(self, store: ServiceStore, reports: Reports, interval_s: float) -> None:
        self.store = store
        self.reports = reports
        self.interval_s = interval_s
        self._values: dict[str, list[tuple[str, str]]] = {}
        self._until_s = 0.0

    async def values(self) -> dict[str, list[tuple[str, str]]]:
        """(value, label) of groups, agents and categories, at most a minute old."""
        if monotonic_s() >= self._until_s:
            self._values = await self.store.read(known_values)
            self._until_s = monotonic_s() + VALUES_KEPT_S
        return self._values

    async def answer(self, question: ReportQuery) -> Report | Poison:
        """The answer, or why there is none."""
        try:
            return await self.reports.get(question)
        except Poison as refused:
            return refused

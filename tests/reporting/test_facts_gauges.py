"""How far the fact tables are behind their database, as gauges; on both databases."""

from __future__ import annotations

from contextlib import closing

import pytest
from prometheus_client import CollectorRegistry

from libs.runtime.clock import RealClock
from services.reporting.facts.facts import Facts
from services.reporting.gauges import FactsGauges
from services.reporting.metrics import ReportingMetrics
from services.reporting.report.model import ReportQuery
from services.reporting.report.service import Reports
from tests.reporting.house import feed, open_store
from tests.reporting.streams import Desk, by_time

EVENTS = by_time(Desk(4).streams(20, events=6))


async def test_the_facts_behind_and_caught_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("services.reporting.gauges.monotonic_s", lambda: now_s)
    metrics = ReportingMetrics(CollectorRegistry())

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value(f"bitacora_reporting_{name}")

    with (
        open_store(database_url) as store,
        closing(Facts(store.database, clock=RealClock())) as facts,
    ):
        gauges = FactsGauges(metrics, store, facts)
        await gauges.look()
        assert (value("facts_ready"), value("facts_lag_revisions")) == (0, 0)
        feed(store, [EVENTS[:50]])
        facts.refresh()
        await gauges.look()
        assert (value("facts_ready"), value("facts_lag_revisions")) == (1, 0)
        assert value("facts_behind_seconds") == 0

        feed(store, [EVENTS[50:60], EVENTS[60:]])
        await gauges.look()
        now_s += 7
        await gauges.look()
        assert value("facts_lag_revisions") == 2
        assert value("facts_behind_seconds") == 7
        facts.refresh()
        await gauges.look()
        assert (value("facts_lag_revisions"), value("facts_behind_seconds")) == (0, 0)


async def test_a_report_is_timed_when_it_is_computed(database_url: str) -> None:
    took_s: list[float] = []
    clock = RealClock()
    with open_store(database_url) as store, closing(Facts(store.database, clock=clock)) as facts:
        feed(store, [EVENTS])
        facts.refresh()
        reports = Reports(facts, clock, took=took_s.append)
        query = ReportQuery(metrics=("created",))
        first = await reports.get(query)
        assert await reports.get(query) == first
        assert len(took_s) == 1  # the second time it was known
        assert took_s[0] > 0

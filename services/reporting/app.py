"""Composition root: the only place where reporting's objects are built."""

from __future__ import annotations

from libs.runtime.database import Database
from libs.runtime.service import Service
from libs.runtime.store import ServiceStore
from services.reporting import api
from services.reporting.config import ReportingSettings
from services.reporting.facts.facts import Facts
from services.reporting.facts.rebuilding import Rebuilds
from services.reporting.facts.routes import rebuild_routes
from services.reporting.gauges import FACTS_INTERVAL_S, FactsGauges
from services.reporting.handlers import TOPICS, ReportingHandler
from services.reporting.metrics import ReportingMetrics
from services.reporting.report.routes import report_routes
from services.reporting.report.service import Reports
from services.reporting.snapshot import Floors
from services.reporting.views import fresh_metadata

SOURCE = "/bitacora/reporting"


def build(settings: ReportingSettings) -> Service:
    """The whole service, not started yet."""
    store = ServiceStore(
        Database(settings.database_url),
        fresh_metadata(),
        source=SOURCE,
        clock=settings.make_clock(),
    )
    service = Service(settings, store)
    metrics = ReportingMetrics(service.metrics.registry)
    service.consume(TOPICS, ReportingHandler())
    facts = Facts(
        store.database,
        settings.facts_place(),
        clock=store.clock,
        memory_mb=settings.facts_memory_mb,
        calendar=settings.calendar,
    )
    service.background("facts", facts.run)
    gauges = FactsGauges(metrics, store, facts)
    service.measure("facts", gauges.look, interval_s=FACTS_INTERVAL_S)
    reports = Reports(facts, store.clock, took=metrics.query_seconds.observe)
    floors = Floors(store)
    service.http.include_router(api.router(store, floors))
    service.http.include_router(report_routes(store, reports))
    service.http.include_router(rebuild_routes(Rebuilds(facts, store.clock)))
    if settings.page:
        from services.reporting.page import mount
        from services.reporting.page.open import count_open

        # Last: the page takes every path that no route above has taken.
        mount(service.http, store, reports, floors, interval_s=settings.page_interval_s)
        metrics.open_pages.set_function(count_open)
    return service

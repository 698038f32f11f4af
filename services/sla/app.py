"""Composition root: the only place where the objects of the SLA service are built."""

from __future__ import annotations

from sqlalchemy import Connection

from libs.events.topics import TICKETS_EVENTS
from libs.runtime.database import Database
from libs.runtime.logs import get_logger
from libs.runtime.outbox import Outgoing
from libs.runtime.service import Service
from libs.runtime.store import ServiceStore
from services.sla.announcing import announce_calendars
from services.sla.api import create_questions, create_router
from services.sla.config import SlaSettings
from services.sla.handlers import TOPICS, TicketEvents
from services.sla.metrics import SlaMetrics
from services.sla.reckoning import Reckoning
from services.sla.store import Books, lock_definitions, metadata, seed
from services.sla.timers.gauges import (
    COUNT_INTERVAL_S,
    DUE_INTERVAL_S,
    SHARE_MAX,
    TimerGauges,
)
from services.sla.timers.remake import remake_timers
from services.sla.timers.task import Timers

log = get_logger(__name__)


def build(settings: SlaSettings) -> Service:
    """The service, ready to be run."""
    clock = settings.make_clock()
    store = ServiceStore(
        Database(settings.database_url), metadata(), source="/bitacora/sla", clock=clock
    )
    service = Service(settings, store)
    metrics = SlaMetrics(service.metrics.registry)
    books = Books()
    timers = Timers(
        store,
        clock,
        books,
        caught_up=service.caught_up,
        share=lambda: service.share(TICKETS_EVENTS),
        stated=metrics.timers_late,
        fired=metrics.fired,
    )
    service.consume(
        TOPICS,
        TicketEvents(books, armed=timers.armed, edges_of_imports=settings.publish_imported_edges),
    )
    service.prepare(lambda: _seed(store))
    service.background("timers", timers.run)
    reckoning = Reckoning(store, clock, books, timers.armed)
    service.background("reckoning", reckoning.run)
    gauges = TimerGauges(metrics, store)
    service.measure("due", gauges.due, interval_s=DUE_INTERVAL_S)
    service.measure("timers", gauges.count, interval_s=COUNT_INTERVAL_S, share_max=SHARE_MAX)
    service.http.include_router(create_router(store, clock, books, edited=reckoning.wake))
    service.http.include_router(create_questions(store, clock, books))
    return service


def _seed(store: ServiceStore) -> None:
    def start(connection: Connection, outgoing: Outgoing) -> None:
        lock_definitions(connection)  # one process at a time
        made = remake_timers(connection)
        if made is not None:
            log.warning("sla_timers_made_anew", timers=made)
        seed(connection)
        announce_calendars(connection, outgoing, store.outbox)

    store.write_now(start)

"""The composition root of intake: the only place where its objects are built."""

from __future__ import annotations

from sqlalchemy import MetaData

from libs.events.topics import TICKETS_EVENTS
from libs.runtime.commit import CommitTables
from libs.runtime.database import Database
from libs.runtime.eventstore import EventStore
from libs.runtime.service import Service
from libs.runtime.store import ServiceStore
from services.intake.api import BATCH_PATH, CountTooLarge, routes
from services.intake.batch import BYTES_MAX
from services.intake.config import IntakeSettings
from services.intake.handlers import Closer
from services.intake.metrics import (
    LEDGER_INTERVAL_S,
    TICKETS_INTERVAL_S,
    TICKETS_SHARE_MAX,
    IntakeMetrics,
    LedgerGauges,
)
from services.intake.requirements import RequirementsBook
from services.intake.store import Books, Desk

SOURCE = "/bitacora/intake"


def build(settings: IntakeSettings) -> Service:
    """The service, ready for `libs.runtime.service.run`."""
    return build_with_desk(settings)[0]


def build_with_desk(settings: IntakeSettings) -> tuple[Service, Desk]:
    """As `build`, with the desk beside it, for tools and tests."""
    clock = settings.make_clock()
    database = Database(settings.database_url)
    events = EventStore(database, source=SOURCE)
    metadata = MetaData()
    tables = CommitTables(metadata)
    store = ServiceStore(database, metadata, source=SOURCE, clock=clock)
    service = Service(settings, store, body_limits={BATCH_PATH: BYTES_MAX})
    books = Books(metadata, service.metrics)
    rules = settings.domain()
    requirements = RequirementsBook(metadata, store, events)
    metrics = IntakeMetrics(service.metrics.registry)
    desk = Desk(
        store,
        events,
        tables,
        books,
        requirements,
        settings=rules,
        on_batch=metrics.commit_batch_size.observe,
        took=metrics.decision_seconds.observe,
    )
    # In front of the house's own routes and not as a router of its own: the first match is the
    # creation of a ticket, which everything else may wait for.
    service.http.router.routes[:0] = routes(desk).routes
    service.http.add_middleware(CountTooLarge, noted=desk.note_malformed)
    service.publish(events, TICKETS_EVENTS)
    service.consume_commands(desk)
    closer = Closer(desk, rules.close_after, settings.close_poll_seconds / clock.rate)
    service.background("closer", closer.run)
    gauges = LedgerGauges(metrics, store, books, tables)
    service.measure("ledger", gauges.ledger, interval_s=LEDGER_INTERVAL_S)
    service.measure(
        "tickets", gauges.tickets, interval_s=TICKETS_INTERVAL_S, share_max=TICKETS_SHARE_MAX
    )
    return service, desk

"""Routing put together: the only place where its objects are built."""

from __future__ import annotations

from sqlalchemy import MetaData

from libs.events.topics import TICKETS_EVENTS, TICKETS_REJECTIONS
from libs.runtime.database import Database
from libs.runtime.service import Service
from libs.runtime.store import ServiceStore
from services.routing.api import create_router
from services.routing.config import RoutingSettings
from services.routing.handlers import RoutingHandler, sweeping
from services.routing.store import Desk
from services.routing.views import Tables


def build(settings: RoutingSettings) -> Service:
    """The service, ready to be run. Connects to nothing yet."""
    metadata = MetaData()
    tables = Tables(metadata)
    clock = settings.make_clock()
    database = Database(settings.database_url)
    store = ServiceStore(database, metadata, source="/bitacora/routing", clock=clock)
    desk = Desk(tables, settings.rules(), clock, settings.timing())
    service = Service(settings, store)
    service.http.include_router(create_router(store, desk))
    service.consume([TICKETS_EVENTS, TICKETS_REJECTIONS], RoutingHandler(desk))

    def adopt_rules() -> None:
        store.write_now(desk.adopt_rules)

    service.prepare(adopt_rules)
    service.background("sweep", sweeping(store, desk, interval_s=settings.sweep_interval_s))
    return service

"""Routing put together: the only place where its objects are built."""

from __future__ import annotations

from sqlalchemy import MetaData

from libs.events import decode_agent_command
from libs.events.topics import AGENTS_COMMANDS, SLA_EVENTS, TICKETS_EVENTS, TICKETS_REJECTIONS
from libs.runtime.database import Database
from libs.runtime.service import Service
from libs.runtime.store import ServiceStore
from services.routing.api import create_router
from services.routing.config import RoutingSettings
from services.routing.gauges import FLOOR_INTERVAL_S, FloorGauges
from services.routing.handlers import RequestsHandler, RoutingHandler, sweeping
from services.routing.metrics import RoutingMetrics
from services.routing.notify import Notifications
from services.routing.notify.api import create_notifications_router
from services.routing.notify.channel import channels_of
from services.routing.notify.sending import addresses_in, notifying
from services.routing.store import Desk


def build(settings: RoutingSettings) -> Service:
    """The service, ready to be run. Connects to nothing yet."""
    metadata = MetaData()
    clock = settings.make_clock()
    channels = channels_of(settings)
    notifications = Notifications(
        metadata,
        clock,
        channels=tuple(channels),
        kinds=settings.kinds_told,
        attempts_max=settings.notify_attempts,
    )
    database = Database(settings.database_url)
    store = ServiceStore(database, metadata, source="/bitacora/routing", clock=clock)
    desk = Desk(metadata, settings.rules(), clock, settings.timing(), notifications)
    service = Service(settings, store)
    service.http.include_router(create_router(store, desk))
    service.http.include_router(create_notifications_router(store, notifications))
    service.consume([TICKETS_EVENTS, TICKETS_REJECTIONS, SLA_EVENTS], RoutingHandler(desk))
    service.consume_requests(AGENTS_COMMANDS, decode_agent_command, RequestsHandler(desk))
    service.background("sweep", sweeping(store, desk, interval_s=settings.sweep_interval_s))
    metrics = RoutingMetrics(service.metrics.registry)
    floor = FloorGauges(metrics, store, desk)
    service.measure("floor", floor.look, interval_s=FLOOR_INTERVAL_S)
    telling = notifying(
        store,
        notifications,
        channels,
        addresses_in(desk.tables.agents),
        metrics,
        keep_days=settings.notify_keep_days,
    )
    for name, run in telling.items():
        service.background(name, run)
    return service

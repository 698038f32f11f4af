"""The gauges that every service has: looked up at intervals, never while events are applied."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, text

from libs.runtime import parking
from libs.runtime.clock import monotonic_s
from libs.runtime.errors import Transient
from libs.runtime.feed import Feed
from libs.runtime.logs import get_logger
from libs.runtime.metrics import Metrics, show
from libs.runtime.relay import Relay
from libs.runtime.store import ServiceStore

log = get_logger(__name__)


class Gauges:
    """Sets the gauges of `metrics`; `feeds` and `relays` are the service's own lists, which may still
    grow."""

    def __init__(
        self,
        metrics: Metrics,
        store: ServiceStore,
        feeds: Sequence[Feed],
        relays: Sequence[Relay],
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._feeds = feeds
        self._relays = relays

    async def in_memory(self) -> None:
        """What the consumers know. Asks nobody."""
        metrics = self._metrics
        show(metrics.consumer_connected, {(feed.group,): feed.heard() for feed in self._feeds})
        show(metrics.consumer_held, {(feed.group,): bool(feed.waiting) for feed in self._feeds})
        lags: dict[tuple[str, ...], float] = {}
        for feed in self._feeds:
            lags |= _lags(feed)
        show(metrics.consumer_lag_records, lags)

    async def in_database(self) -> None:
        """What the database knows: a handful of short queries by index. Raises Transient."""
        metrics, store = self._metrics, self._store
        unsent = {(relay.name,): await relay.unsent() for relay in self._relays}
        lots, rows = await store.read(lambda c: (parking.parked_lots(c), self._outbox_rows(c)))
        show(metrics.relay_backlog_events, {key: one.messages for key, one in unsent.items()})
        show(
            metrics.relay_oldest_unsent_seconds, {key: one.oldest_s for key, one in unsent.items()}
        )
        show(metrics.relay_active, {(relay.name,): relay.active for relay in self._relays})
        metrics.outbox_rows.set(rows)
        show(metrics.parked_depth_messages, {(lot.topic, lot.code): lot.count for lot in lots})
        now, rate = store.clock.now(), store.clock.rate
        ages: dict[tuple[str, ...], float] = {}
        for lot in lots:
            age_s = max(0.0, (now - lot.oldest_at).total_seconds() / rate)
            ages[lot.topic,] = max(age_s, ages.get((lot.topic,), 0.0))
        show(metrics.parked_oldest_seconds, ages)

    async def size(self) -> None:
        """The size of the database. Raises Transient."""
        self._metrics.database_size_bytes.set(await self._store.read(_size_bytes))

    def _outbox_rows(self, connection: Connection) -> int:
        """By the first and the last position: counting would read the whole table. On PostgreSQL a
        transaction that is rolled back uses positions up, so there may be fewer."""
        position = self._store.outbox.rows.c.position
        first = connection.scalar(select(func.min(position)))
        last = connection.scalar(select(func.max(position)))
        return 0 if first is None or last is None else last - first + 1


async def looking(
    look: Callable[[], Awaitable[None]], *, interval_s: float, share_max: float = 1.0
) -> None:
    """`look` now and every `interval_s` real seconds, for ever, but less often where it would take more
    than `share_max` of the time. What is Transient is passed over."""
    while True:
        began_s = monotonic_s()
        try:
            await look()
        except Transient as error:
            log.debug("gauges_not_read", error=error.detail)
        took_s = monotonic_s() - began_s
        await asyncio.sleep(max(interval_s, took_s / share_max))


def _lags(feed: Feed) -> dict[tuple[str, ...], float]:
    """(topic, partition) → records behind, where the broker has told the end."""
    consumer: Any = feed.consumer
    found: dict[tuple[str, ...], float] = {}
    for place in consumer.assignment() if consumer else ():
        end = consumer.highwater(place)
        at = consumer._subscription.subscription  # noqa: SLF001 - the only way without a request
        state = at.assignment.state_value(place) if at and at.assignment else None
        if end is not None and state is not None and state.has_valid_position:
            found[place.topic, str(place.partition)] = max(0, end - state.position)
    return found


def _size_bytes(connection: Connection) -> int:
    if connection.dialect.name == "sqlite":
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)

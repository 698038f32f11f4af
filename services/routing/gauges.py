"""The state of the floor as gauges, looked up at intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, false, func, select

from libs.runtime.metrics import OTHER, show
from libs.runtime.store import ServiceStore
from services.routing.domain.floor import Floor
from services.routing.domain.floor.kinds import SECOND_US
from services.routing.domain.instants import micros
from services.routing.metrics import QUEUES_SHOWN, RoutingMetrics
from services.routing.store import Desk

FLOOR_INTERVAL_S: Final = 10.0
PRESENCES: Final = ("online", "away", "offline")
RESERVED: Final = ("offer", "assign")


@dataclass(frozen=True, slots=True)
class Queue:
    """`since_us`: since when the ticket waits that has waited longest (microseconds since 1970)."""

    waiting: int
    since_us: int

    def __add__(self, other: Queue) -> Queue:
        return Queue(self.waiting + other.waiting, min(self.since_us, other.since_us))


class FloorGauges:
    def __init__(self, metrics: RoutingMetrics, store: ServiceStore, desk: Desk) -> None:
        self._metrics = metrics
        self._store = store
        self._desk = desk

    async def look(self) -> None:
        """Raises Transient. The queues are what the floor in memory says, as of now."""

        def query(_: Connection, floor: Floor, now: datetime) -> tuple[dict[str, Queue], int, int]:
            return queues_of(floor), int((floor.columns.duty == 0).sum()), micros(now)

        queues, on_duty, now_us = await self._store.write(self._desk.looking(query))
        presences, reserved = await self._store.read(
            lambda connection: (self._presences(connection), self._reserved(connection))
        )
        self._show_queues(queues, now_us)
        self._metrics.agents_on_duty.set(on_duty)
        show(self._metrics.agents, {(name,): presences.get(name, 0) for name in PRESENCES})
        show(self._metrics.reserved_tickets, {(kind,): reserved.get(kind, 0) for kind in RESERVED})

    def _show_queues(self, queues: Mapping[str, Queue], now_us: int) -> None:
        metrics = self._metrics
        show(metrics.waiting_tickets, {(name,): one.waiting for name, one in queues.items()})
        ages: dict[tuple[str, ...], float] = {
            (name,): max(0, now_us - one.since_us) / SECOND_US for name, one in queues.items()
        }
        show(metrics.oldest_waiting_seconds, ages)

    def _presences(self, connection: Connection) -> dict[str, int]:
        a = self._desk.tables.agents.c
        query = select(a.presence, func.count()).where(a.retired == false()).group_by(a.presence)
        return {row[0]: row[1] for row in connection.execute(query)}

    def _reserved(self, connection: Connection) -> dict[str, int]:
        t = self._desk.tables.tickets.rows.c
        query = select(t.pending_kind, func.count()).where(t.pending_agent.is_not(None))
        return {row[0]: row[1] for row in connection.execute(query.group_by(t.pending_kind))}


def queues_of(floor: Floor, most: int = QUEUES_SHOWN) -> dict[str, Queue]:
    """The queues in which tickets wait, by name: the `most` longest, and the rest together. A queue
    in which none waits is not named."""
    found: dict[str, Queue] = {}
    for kind in floor.lines():
        name = kind.queue.name
        here = Queue(len(kind.line), min(ticket.waiting_us for ticket in kind.line))
        found[name] = found[name] + here if name in found else here
    order = sorted(found, key=lambda name: (-found[name].waiting, name))
    shown = {name: found[name] for name in order[:most]}
    for name in order[most:]:
        shown[OTHER] = shown[OTHER] + found[name] if OTHER in shown else found[name]
    return shown

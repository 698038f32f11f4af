"""The senders: one task per channel that takes what is due, sends it, and writes what became of it.

Nothing is sent inside a transaction, and the thread that writes routing's state never waits for a
mail server: it only takes rows and settles them, both in one short transaction per turn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Literal, TypeVar

from sqlalchemy import Connection, Table, select

from libs.events.routing import AgentNotified
from libs.events.topics import ROUTING_DECISIONS
from libs.runtime.errors import Poison, Transient
from libs.runtime.logs import get_logger
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.routing.domain.instants import micros
from services.routing.metrics import RoutingMetrics
from services.routing.notify.channel import Channel
from services.routing.notify.model import Message
from services.routing.notify.queue import (
    SECOND_US,
    Delivery,
    Ending,
    Notifications,
    Result,
)
from services.routing.notify.texts import words_of

log = get_logger(__name__)
T = TypeVar("T")

ACTOR: Final = "service:routing"
AT_ONCE: Final = 8
"""Messages under way per channel."""
NAP_S_MAX: Final = 2.0
"""Real seconds: the longest sleep, so that what another process enqueued is noticed soon."""
NAP_S_MIN: Final = 0.01
WRITE_AGAIN_S: Final = 1.0
PRUNE_INTERVAL_S: Final = 3_600.0
PRUNE_PAUSE_S: Final = 0.05
LINE_MAX: Final = 500

Addresses = Callable[[Connection, Sequence[str]], Mapping[str, str]]
"""The e-mail addresses of these agents, of those who have one, by agent id."""
Background = Callable[[], Awaitable[None]]


def notifying(
    store: ServiceStore,
    queue: Notifications,
    channels: Mapping[str, Channel],
    addresses: Addresses,
    metrics: RoutingMetrics,
    *,
    keep_days: int,
) -> dict[str, Background]:
    """The background tasks by name, for `Service.background`: a sender per channel, and the one
    that cleans up. They may run in several processes on one database."""
    tasks: dict[str, Background] = {
        f"notify-{name}": Sender(store, queue, name, channel, addresses, metrics).run
        for name, channel in channels.items()
    }
    tasks["notify-prune"] = pruning(store, queue, metrics, keep_days=keep_days)
    return tasks


class Sender:
    """Sends what waits on one channel, `AT_ONCE` at a time, until cancelled."""

    def __init__(
        self,
        store: ServiceStore,
        queue: Notifications,
        name: str,
        channel: Channel,
        addresses: Addresses,
        metrics: RoutingMetrics,
    ) -> None:
        self._store = store
        self._queue = queue
        self._name = name
        self._channel = channel
        self._addresses = addresses
        self._metrics = metrics
        for outcome in ("sent", "retried", "failed", "skipped"):
            metrics.notifications.labels(name, outcome)  # shown as 0 from the beginning
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flights: set[asyncio.Task[Result]] = set()
        queue.listen(self._wake)

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            results: list[Result] = []
            while True:
                # Cleared first: what is enqueued from here on is either taken or wakes the sleep.
                self._woken.clear()
                next_us = await self._turn(results)
                results = await self._landed(self._nap_s(next_us))
        finally:
            self._loop = None
            for flight in self._flights:
                flight.cancel()
            await asyncio.gather(*self._flights, return_exceptions=True)
            self._flights.clear()
            await self._channel.close()

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._woken.set)

    async def _turn(self, results: Sequence[Result]) -> int | None:
        """Settle the results and take as many rows as may set out. When the next is due (µs)."""
        free = AT_ONCE - len(self._flights)

        def turn(
            connection: Connection, outgoing: Outgoing
        ) -> tuple[list[Ending], list[Delivery], Mapping[str, str], int | None]:
            over = self._queue.settle(connection, results)
            for ending in over:
                say(outgoing, ending)
            taken, next_us = self._queue.take(connection, self._name, free)
            agents = sorted({row.agent for row in taken})
            addresses = self._addresses(connection, agents) if agents else {}
            return over, taken, addresses, next_us

        over, taken, addresses, next_us = await self._written(turn)
        self._count(results, over)
        for row in taken:
            flight = asyncio.create_task(self._try(row, addresses.get(row.agent)))
            self._flights.add(flight)
        return next_us

    async def _written(self, change: Callable[[Connection, Outgoing], T]) -> T:
        """Keeps the results of tries until the database is back: they are not to be repeated."""
        while True:
            try:
                return await self._store.write(change)
            except Transient as error:
                log.warning("notify_cannot_write", channel=self._name, error=error.detail)
                await asyncio.sleep(WRITE_AGAIN_S)

    async def _try(self, row: Delivery, address: str | None) -> Result:
        now = self._store.clock.now()
        if row.attempts > self._queue.attempts_max:
            return Result(row, "failed", "the service ended during each of its attempts")
        if row.until is not None and row.until <= now:
            return Result(row, "skipped", "the offer had ended before it could be told")
        subject, text = words_of(row.kind, row.facts)
        message = Message(
            row.id,
            row.kind,
            row.agent,
            address,
            row.ticket_id,
            row.facts,
            row.at,
            now,
            subject,
            text,
        )
        try:
            await self._channel.send(message)
        except Transient as error:
            return Result(row, None, error.detail)
        except Poison as error:
            return Result(row, "failed", error.detail)
        return Result(row, "sent")

    async def _landed(self, nap_s: float) -> list[Result]:
        """The results that are there when something happens: a try ended, a row came, or time went
        by. While nobody may set out, only an end counts."""
        waker = asyncio.create_task(self._woken.wait())
        waiting: set[asyncio.Task[Result] | asyncio.Task[Literal[True]]] = set(self._flights)
        full = len(self._flights) >= AT_ONCE
        if not full:
            waiting.add(waker)
        try:
            await asyncio.wait(
                waiting, timeout=None if full else nap_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waker
        done = {flight for flight in self._flights if flight.done()}
        self._flights -= done
        return [flight.result() for flight in done]

    def _nap_s(self, next_us: int | None) -> float:
        if next_us is None:
            return NAP_S_MAX
        clock = self._store.clock
        left_s = (next_us - micros(clock.now())) / SECOND_US / clock.rate
        return min(max(left_s, NAP_S_MIN), NAP_S_MAX)

    def _count(self, results: Sequence[Result], over: Sequence[Ending]) -> None:
        counter = self._metrics.notifications
        for ending in over:
            counter.labels(self._name, ending.outcome).inc()
            if ending.outcome == "failed":
                log.warning(
                    "notification_failed",
                    notification=ending.delivery.id,
                    channel=self._name,
                    attempts=ending.delivery.attempts,
                    error=ending.reason,
                )
        if len(results) > len(over):
            counter.labels(self._name, "retried").inc(len(results) - len(over))


def pruning(
    store: ServiceStore, queue: Notifications, metrics: RoutingMetrics, *, keep_days: int
) -> Background:
    """The task that, at start, gives up what waits for a channel that is gone, and then forgets
    what is over and older than `keep_days` of the service's clock."""

    def give_up(connection: Connection, outgoing: Outgoing) -> list[Result]:
        gone = [
            Result(row, "skipped", f"the channel {row.channel} is no longer set up")
            for row in queue.orphans(connection)
        ]
        for ending in queue.settle(connection, gone):
            say(outgoing, ending)
        return gone

    def prune(connection: Connection, _: Outgoing) -> int:
        return queue.prune(connection, store.clock.now() - timedelta(days=keep_days))

    async def prune_for_ever() -> None:
        for result in await store.write(give_up):
            metrics.notifications.labels(result.delivery.channel, "skipped").inc()
        while True:
            while await store.write(prune):
                await asyncio.sleep(PRUNE_PAUSE_S)  # others get a turn
            await asyncio.sleep(PRUNE_INTERVAL_S)

    return prune_for_ever


def addresses_in(agents: Table) -> Addresses:
    """The addresses as the table of agents has them (columns `id` and `email`)."""

    def addresses(connection: Connection, wanted: Sequence[str]) -> Mapping[str, str]:
        c = agents.c
        query = select(c.id, c.email).where(c.id.in_(wanted), c.email.is_not(None))
        return {row.id: row.email for row in connection.execute(query)}

    return addresses


def say(outgoing: Outgoing, ending: Ending) -> None:
    """The fact, on the notification's own stream."""
    row = ending.delivery
    outgoing.event(
        ROUTING_DECISIONS,
        f"notification:{row.id}",
        AgentNotified(
            notification_id=row.id,
            agent=row.agent,
            ticket_id=row.ticket_id,
            kind=row.kind,
            channel=row.channel,
            outcome=ending.outcome,
            attempts=row.attempts,
            reason=ending.reason and ending.reason[:LINE_MAX],
        ),
        actor=ACTOR,
    )

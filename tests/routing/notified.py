"""A queue of notifications with its senders, and a webhook's real server to receive them.

Run as a program (`DATABASE_URL WEBHOOK_URL`) it is a process that sends until it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, MetaData, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from libs.events.routing import AgentNotified
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.store import ServiceStore
from services.routing.metrics import RoutingMetrics
from services.routing.notify import KINDS, Facts, Notification, Notifications
from services.routing.notify.channel import Channel
from services.routing.notify.queue import Delivery
from services.routing.notify.sending import notifying
from services.routing.notify.webhook import WebhookChannel

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
PATIENCE_S = 20.0
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def told(cause: str = "t1:2", **values: Any) -> Notification:
    given = {
        "kind": "assigned",
        "agent": "ana",
        "at": START,
        "ticket_id": "t1",
        "facts": Facts(number=7, priority="high", category="vpn", queue="first line"),
        **values,
    }
    return Notification(cause=cause, **given)


class Switchboard:
    """Routing's store as far as notifications see it, with the senders of `channels`."""

    def __init__(
        self,
        url: str,
        channels: Mapping[str, Channel],
        *,
        clock: ManualClock | None = None,
        kinds: Sequence[str] = KINDS,
        attempts_max: int = 14,
        keep_days: int = 30,
    ) -> None:
        metadata = MetaData()
        self.clock = clock or ManualClock(START)
        self.queue = Notifications(
            metadata, self.clock, channels=tuple(channels), kinds=kinds, attempts_max=attempts_max
        )
        self.store = ServiceStore(
            Database(url), metadata, source="/bitacora/routing", clock=self.clock
        )
        self.store.create_tables()
        self.metrics = RoutingMetrics(CollectorRegistry())
        self.emails = {"ana": "ana@desk.example", "bo": "bo@desk.example"}
        self.background = notifying(
            self.store, self.queue, channels, self.addresses, self.metrics, keep_days=keep_days
        )

    def addresses(self, _: Connection, agents: Sequence[str]) -> Mapping[str, str]:
        return {agent: self.emails[agent] for agent in agents if agent in self.emails}

    async def tell(self, *notifications: Notification) -> None:
        await self.store.write(lambda connection, _: self.queue.enqueue(connection, notifications))

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """The background tasks run inside."""
        tasks = [asyncio.ensure_future(run()) for run in self.background.values()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended

    def rows(self) -> list[Delivery]:
        with self.store.database.reading() as connection:
            return self.queue.log(connection, limit=10_000)

    async def until(self, condition: Callable[[list[Delivery]], bool]) -> list[Delivery]:
        """The log as soon as it fulfils the condition."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(rows := self.rows()):
                await asyncio.sleep(0.01)
        return rows

    async def in_state(self, *states: str) -> list[Delivery]:
        """The log when its entries are in these states, in any order."""
        return await self.until(lambda rows: sorted(r.state for r in rows) == sorted(states))

    def counted(self, outcome: str) -> float:
        """What the metric says of the webhook's."""
        labels = {"channel": "webhook", "outcome": outcome}
        name = "bitacora_notifications_total"
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.queue.wake()

    def said(self) -> list[AgentNotified]:
        rows = self.store.outbox.rows
        with self.store.database.reading() as connection:
            found = connection.execute(select(rows.c.data).order_by(rows.c.position))
            return [AgentNotified.model_validate_json(row.data) for row in found]


@contextlib.contextmanager
def switchboard(url: str, channels: Mapping[str, Channel], **values: Any) -> Iterator[Switchboard]:
    board = Switchboard(url, channels, **values)
    try:
        yield board
    finally:
        board.store.close()


@dataclass
class Hook:
    """What a webhook's server received, and the statuses that it answers with (then 204)."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    on_request: Callable[[], None] | None = None
    held: asyncio.Event | None = None
    """While set to an event, requests wait for it before they are answered."""

    async def answer(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.headers.append(request.headers)
        if self.on_request is not None:
            self.on_request()
        if self.held is not None:
            await self.held.wait()
        status = self.statuses.pop(0) if self.statuses else 204
        return Response(status_code=status, headers={"location": "/elsewhere"})

    def keys(self) -> list[str]:
        return [headers["idempotency-key"] for headers in self.headers]

    async def has(self, count: int) -> None:
        """Return when so many requests have come."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.bodies) < count:
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Hook]:
    hook = Hook()
    app = Starlette(routes=[Route("/{path:path}", hook.answer, methods=["GET", "POST"])])
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE_S):
        while not server.started:
            await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    hook.url = f"http://127.0.0.1:{port}/hook"
    try:
        yield hook
    finally:
        server.should_exit = True
        await task


def main() -> None:
    async def send_for_ever() -> None:
        board = Switchboard(sys.argv[1], {"webhook": WebhookChannel(sys.argv[2])})
        async with board.sending():
            await asyncio.Event().wait()

    asyncio.run(send_for_ever())


if __name__ == "__main__":
    main()

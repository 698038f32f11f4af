"""Requests that a service carries out one by one, each in one transaction with its effect.

The command id is written to `answered_commands` in that transaction, before anything else is done: the
same id again changes nothing, also when two processes hold the same record after a rebalance (the
second waits for the first). What a business rule refuses is undone; the refusal is said, and the id
kept, in a second transaction. The Kafka offset is committed after all of that.

Ids are kept for twice as long as the topic keeps its messages. A request that says that it was asked
longer ago than the topic keeps messages is passed over: where a topic was lost and is published again
from its senders' stores, requests come that nobody remembers the answer to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    MetaData,
    String,
    Table,
    delete,
    select,
)

from libs.events import Malformed
from libs.events.headers import ID_LENGTH_MAX
from libs.events.requests import Request
from libs.events.topics import Topic
from libs.runtime import parking
from libs.runtime.database import insert_new
from libs.runtime.errors import Poison, Rejected
from libs.runtime.logs import get_logger
from libs.runtime.metrics import Metrics
from libs.runtime.outbox import Outgoing
from libs.runtime.requests import Decode, RequestConsumer
from libs.runtime.store import ServiceStore

log = get_logger(__name__)

PRUNE_INTERVAL_S: Final = 3600.0
PRUNE_PAUSE_S: Final = 0.05
PRUNED_MAX: Final = 1_000

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

R = TypeVar("R", bound=Request)
R_contra = TypeVar("R_contra", bound=Request, contravariant=True)
Outcome = Literal["accepted", "duplicate", "rejected"]


class RequestHandler(Protocol[R_contra]):
    """What a service does with requests. Both run in the writer thread, in a transaction."""

    def answer(self, connection: Connection, outgoing: Outgoing, request: R_contra) -> None:
        """Carry the request out. Raises Rejected when a rule forbids it, Poison when it can never be
        decided; nothing of what was written stays then."""

    def refuse(self, outgoing: Outgoing, request: R_contra, refusal: Rejected) -> None:
        """Say that the request was refused."""


def answered_table(metadata: MetaData) -> Table:
    """`answered_commands`: which requests were carried out or refused, and when (microseconds since
    1970)."""
    return Table(
        "answered_commands",
        metadata,
        Column("command_id", String(ID_LENGTH_MAX), primary_key=True),
        Column("answered_us", BigInteger, nullable=False),
        Index("answered_commands_by_time", "answered_us"),
    )


class AnsweringConsumer(RequestConsumer[R]):
    """Does requests one by one; see the module's text."""

    def __init__(
        self,
        group: str,
        store: ServiceStore,
        topic: Topic,
        decode: Decode[R],
        handler: RequestHandler[R],
        metrics: Metrics,
    ) -> None:
        super().__init__(group, store, topic.name, decode)
        self._handler = handler
        self._metrics = metrics
        self._answered = answered_table(store.metadata)
        # The topic keeps messages by real time.
        self._kept = timedelta(milliseconds=topic.retention_ms) * store.clock.rate

    async def answer(self, requests: Sequence[R]) -> list[Malformed | None]:
        """Each in a transaction of its own, in order."""
        return [await self._one(request) for request in requests]

    async def _one(self, request: R) -> Malformed | None:
        try:
            outcome = await self._carry_out(request)
        except Exception as error:
            code, detail = parking.reason_of(error)
            if not isinstance(error, Poison):
                log.exception("request_not_answerable", group=self.group, id=request.command_id)
            return Malformed(code, detail, request.stream_id)
        self._metrics.commands.labels(request.type, outcome).inc()
        return None

    async def _carry_out(self, request: R) -> Outcome:
        if self._is_past(request):
            return "duplicate"

        def change(connection: Connection, outgoing: Outgoing) -> Outcome:
            if not self._claim(connection, request):
                return "duplicate"
            self._handler.answer(connection, outgoing, request)
            return "accepted"

        try:
            return await self._store.write(change)
        except Rejected as rejected:
            return await self._refuse(request, rejected)

    async def _refuse(self, request: R, refusal: Rejected) -> Outcome:
        def change(connection: Connection, outgoing: Outgoing) -> Outcome:
            if not self._claim(connection, request):
                return "duplicate"
            self._handler.refuse(outgoing, request, refusal)
            return "rejected"

        return await self._store.write(change)

    def _claim(self, connection: Connection, request: R) -> bool:
        """False when the request was answered before."""
        row = {"command_id": request.command_id, "answered_us": _micros(self._store.clock.now())}
        return insert_new(connection, self._answered, row)

    def _is_past(self, request: R) -> bool:
        if request.time is None or self._store.clock.now() - request.time <= self._kept:
            return False
        log.info("request_is_past", group=self.group, id=request.command_id)
        return True

    # -- forgetting ---------------------------------------------------------------------------

    async def prune_for_ever(self) -> None:
        """Forget answers that nobody needs any more, until cancelled."""
        while True:
            while await self._store.write(self.prune):
                await asyncio.sleep(PRUNE_PAUSE_S)  # others get a turn
            await asyncio.sleep(PRUNE_INTERVAL_S)

    def prune(self, connection: Connection, _: Outgoing) -> int:
        """Delete a bounded number of rows that are older than twice what the topic keeps."""
        c = self._answered.c
        before = _micros(self._store.clock.now()) - 2 * (self._kept // MICROSECOND)
        old = (
            select(c.command_id)
            .where(c.answered_us < before)
            .order_by(c.answered_us)
            .limit(PRUNED_MAX)
        )
        return connection.execute(delete(self._answered).where(c.command_id.in_(old))).rowcount


def _micros(instant: datetime) -> int:
    return (instant - EPOCH) // MICROSECOND


__all__ = ["AnsweringConsumer", "RequestHandler", "answered_table"]

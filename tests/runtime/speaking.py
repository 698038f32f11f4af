"""A service's store with a relay on it, and what lies on the topics; for tests of both edges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from sqlalchemy import MetaData, text

from libs.events import Priority
from libs.events.ticket import PriorityChanged
from libs.events.topics import TICKETS_EVENTS, TOPICS
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.kafka import ensure_topics, producer
from libs.runtime.relay import OutboxSource, Relay, checkpoint_table
from libs.runtime.store import ServiceStore
from libs.runtime.topiclog import read_topics
from tests.backends.shared import Kafka
from tests.runtime.streams import NOON

DEADLINE_S = 40.0
POLL_S = 0.02


async def until(question: Callable[[], Awaitable[Any] | Any], what: str) -> Any:
    """The first true answer; `question` may be a coroutine function."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        answer = question()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline_s, f"not within {DEADLINE_S:g} s: {what}"
        await asyncio.sleep(POLL_S)


class Speaker:
    """A store that says things, and its relay."""

    def __init__(self, url: str, kafka: Kafka) -> None:
        self.kafka = kafka
        metadata = MetaData()
        self.store = ServiceStore(
            Database(url), metadata, source="/bitacora/test", clock=ManualClock(NOON)
        )
        checkpoints = checkpoint_table(metadata)
        self.store.create_tables()
        self.relay = Relay(
            "test-outbox",
            OutboxSource(self.store),
            self.store,
            checkpoints,
            bootstrap=kafka.bootstrap,
            make_producer=self.producer,
            ensure_topics=self.ensure_topics,
        )

    def producer(self) -> AIOKafkaProducer:
        return producer(self.kafka.bootstrap, embedded=self.kafka.embedded)

    async def ensure_topics(self) -> None:
        await ensure_topics(self.kafka.bootstrap, TOPICS)

    async def say(self, streams: Sequence[str], times: int = 1) -> None:
        """One event more on each of these streams, `times` times over."""

        def change(_: Any, outgoing: Any) -> None:
            event = PriorityChanged(priority=Priority.HIGH, previous=Priority.LOW)
            for _number in range(times):
                for stream in streams:
                    outgoing.event(TICKETS_EVENTS, stream, event, actor="system")

        await self.store.write(change)

    async def checkpoint(self) -> int:
        query = text("SELECT position FROM relay_checkpoints")
        return int(await self.store.read(lambda c: c.execute(query).scalar()) or 0)

    async def settled(self) -> None:
        """Everything is sent, acknowledged, and the checkpoint says so."""
        last = await asyncio.to_thread(OutboxSource(self.store).last)

        async def saved() -> bool:
            return await self.checkpoint() == last

        await until(saved, f"the checkpoint reaches {last}")

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.relay.run())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def close(self) -> None:
        self.store.close()


async def on_topic(kafka: Kafka, topic: str = TICKETS_EVENTS) -> dict[str, list[int]]:
    """The sequences of each stream, in the order in which a consumer gets them."""
    found: dict[str, list[int]] = {}
    async for records in read_topics(kafka.bootstrap, [topic], quiet_s=0.4):
        for record in records:
            headers = dict(record.headers)
            sequence = int(headers["ce_sequence"])
            found.setdefault(headers["ce_subject"].decode(), []).append(sequence)
            assert record.key == headers["ce_subject"]
    return found


__all__ = ["Speaker", "on_topic", "until"]

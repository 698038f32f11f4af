"""Reads whole topics from their beginning, for rebuilding and checking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from libs.runtime.client import prepare_client
from libs.runtime.clock import monotonic_s

QUIET_S = 1.0
LINGER = 2
POLL_MS = 200
RECORDS_MAX = 2_000


class TopicLog:
    """Topics that are read from their beginning to their end, and on from there when asked again."""

    def __init__(self, consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._places = tuple(places)

    @property
    def places(self) -> list[tuple[str, int]]:
        """(topic, partition) of all that is read."""
        return [(place.topic, place.partition) for place in self._places]

    async def count(self) -> int:
        """About how many records are still to come."""
        if not self._places:
            return 0
        ends = await self._consumer.end_offsets(self._places)
        return sum([ends[p] - await self._consumer.position(p) for p in self._places])

    def back_to(self, topic: str, partition: int, offset: int) -> None:
        """Read this partition again from `offset` at the next `read`."""
        self._consumer.seek(TopicPartition(topic, partition), offset)

    async def read(self, *, quiet_s: float = QUIET_S) -> AsyncIterator[list[Any]]:
        """Every record from here to the end, in order per partition, in batches.

        The end of a topic is where nothing more has come for `quiet_s` and every partition has been
        read to the end that the broker named (a broker may name one that lags behind by a batch, so
        the named end alone is not believed). While others write all the time it is never quiet: then
        the end is where this stands LINGER times `quiet_s` after that. Raises KafkaError.
        """
        if not self._places:
            return
        consumer = self._consumer
        ends = await consumer.end_offsets(self._places)
        last_s = monotonic_s()
        reached_s: float | None = None
        while True:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            if found:
                yield [record for records in found.values() for record in records]
                last_s = monotonic_s()
            if reached_s is None:
                if not await self._reached(ends):
                    continue
                reached_s = monotonic_s()
            now_s = monotonic_s()
            if now_s - last_s >= quiet_s or now_s - reached_s >= LINGER * quiet_s:
                return

    async def _reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        for place, end in ends.items():
            if await self._consumer.position(place) < end:
                return False
        return True


@asynccontextmanager
async def open_topics(bootstrap: str, topics: Sequence[str]) -> AsyncIterator[TopicLog]:
    """The topics, at their beginning. Those that do not exist are empty. Raises KafkaError."""
    prepare_client()
    # Before the consumer is made: when Kafka does not answer, there is none that must be closed.
    places = await _partitions(bootstrap, topics)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    try:
        if places:
            await consumer.start()
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
        yield TopicLog(consumer, places)
    finally:
        await _stop(consumer)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """The client cancels a fetch that waits to be tried again, and lets that cancellation out of its own
    `stop`, half-way: nobody has cancelled us, and its connections are still open."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        await consumer._client.close()  # noqa: SLF001 - it has no other way to finish
        if task is None or task.cancelling():
            raise


async def _partitions(bootstrap: str, topics: Sequence[str]) -> list[TopicPartition]:
    """Asked of the broker: a consumer knows the partitions of what it has subscribed to only."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        # Only topics that are there are described: asking for another could make it.
        there = set(await admin.list_topics())
        wanted = [topic for topic in topics if topic in there]
        described = await admin.describe_topics(wanted) if wanted else []
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in sorted(topic["partitions"], key=lambda found: int(found["partition"]))
    ]


async def read_topics(
    bootstrap: str, topics: Sequence[str], *, quiet_s: float = QUIET_S
) -> AsyncIterator[list[Any]]:
    """Every record of these topics that is there now: `open_topics` and `read` in one."""
    async with open_topics(bootstrap, topics) as log:
        async for records in log.read(quiet_s=quiet_s):
            yield records

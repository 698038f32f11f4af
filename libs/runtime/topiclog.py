"""Reads whole topics from their beginning, for rebuilding and checking."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.runtime.clock import monotonic_s

QUIET_S = 1.0
POLL_MS = 200
RECORDS_MAX = 2_000


@asynccontextmanager
async def _reader(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def read_topics(
    bootstrap: str, topics: Sequence[str], *, quiet_s: float = QUIET_S
) -> AsyncIterator[list[Any]]:
    """Every record of these topics that is there now, in order per partition, in batches.

    The end of a topic is where nothing more has come for `quiet_s` and every partition has been
    read to the end that the broker names (a broker may name one that lags behind by a batch, so the
    named end alone is not believed). Topics that do not exist are empty. Raises KafkaError.
    """
    async with _reader(bootstrap) as consumer:
        places = []
        known = await consumer.topics()
        for topic in topics:
            partitions = consumer.partitions_for_topic(topic) if topic in known else None
            places += [TopicPartition(topic, number) for number in sorted(partitions or ())]
        if not places:
            return
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        last_s = monotonic_s()
        while True:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            if found:
                last_s = monotonic_s()
                yield [record for records in found.values() for record in records]
                continue
            if monotonic_s() - last_s < quiet_s:
                continue
            positions = [(await consumer.position(place), ends[place]) for place in places]
            if all(position >= end for position, end in positions):
                return

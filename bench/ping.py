"""What `assign_latency` stands beside: a bare message that takes the same three hops over Kafka.

A client → topic 0 → a task → topic 1 → a task → topic 2 → the observer: as a created ticket goes to
routing, routing's command to intake, and the assignment to reporting. Nothing is stored or decided.
The hops are aiokafka consumers and producers that send at once (no linger), in one process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.harness import now_s, until
from libs.events.topics import Topic
from libs.runtime.kafka import ensure_topics

HOPS = 3
FETCH_WAIT_MS = 250
WARM_UP_S = 1.0
"""Of new topics: clients learn who leads them."""


async def ping(bootstrap: str, *, per_second: float, seconds: float, run: str) -> list[float]:
    """Milliseconds of each message from send to sight, after a second to warm up.

    Raises TimeoutError when one is lost.
    """
    topics = [f"bench.{run}.{hop}" for hop in range(HOPS)]
    await ensure_topics(bootstrap, [Topic(name, "bench", "pings") for name in topics])
    sent: dict[bytes, float] = {}
    waits_ms: list[float] = []

    def seen(key: bytes) -> None:
        waits_ms.append((now_s() - sent[key]) * 1e3)

    async with AsyncExitStack() as stack:
        first = await _producer(stack, bootstrap)
        tasks = []
        for hop, topic in enumerate(topics):
            consumer = await _consumer(stack, bootstrap, topic)
            if hop + 1 < HOPS:
                producer = await _producer(stack, bootstrap)
                tasks.append(asyncio.create_task(_forward(consumer, producer, topics[hop + 1])))
            else:
                tasks.append(asyncio.create_task(_observe(consumer, seen)))
        try:
            begun_s = now_s()
            for number in range(round(per_second * (seconds + WARM_UP_S))):
                await asyncio.sleep(begun_s + number / per_second - now_s())
                key = b"%d" % number
                sent[key] = now_s()
                await first.send(topics[0], key=key, value=b"x" * 400)

            async def all_seen() -> bool:
                return len(waits_ms) >= len(sent)

            await until(all_seen, within_s=60, every_s=0.05, what="the last ping")
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
    return waits_ms[round(per_second * WARM_UP_S) :]


async def _producer(stack: AsyncExitStack, bootstrap: str) -> Any:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
    await producer.start()
    stack.push_async_callback(producer.stop)
    return producer


async def _consumer(stack: AsyncExitStack, bootstrap: str, topic: str) -> Any:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    await consumer.start()
    stack.push_async_callback(consumer.stop)
    return consumer


async def _forward(consumer: Any, producer: Any, topic: str) -> None:
    async for record in consumer:
        await producer.send(topic, key=record.key, value=record.value)


async def _observe(consumer: Any, seen: Callable[[bytes], None]) -> None:
    async for record in consumer:
        seen(record.key)

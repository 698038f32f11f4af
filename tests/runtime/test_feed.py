"""The feed: what is polled is done, durably, before it is acknowledged; on both brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faststream.kafka import KafkaBroker
from httpx import ASGITransport, AsyncClient

from libs.events.topics import Topic
from libs.runtime.errors import Transient
from libs.runtime.feed import Feed
from libs.runtime.http import create_http_app
from libs.runtime.kafka import ensure_topics
from libs.runtime.metrics import Metrics
from libs.runtime.topiclog import read_topics
from tests.backends.shared import Kafka
from tests.runtime.speaking import until
from tests.runtime.strange import Strange, send_strange

TOPIC = Topic("test.feed", "tests", "records", partitions=2)
GROUP = "test-feed"


class Worker:
    """Does a poll's records by writing them down; fails, or parks, where it is told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []
        self.records: list[Any] = []
        self.before: Callable[[Sequence[Any]], int] = lambda _: 0
        self.attempts = 0

    async def __call__(self, records: Sequence[Any]) -> int:
        self.attempts += 1
        parked = self.before(records)
        self.seen += [(record.partition, record.offset) for record in records]
        self.records += records
        return parked


def make_feed(worker: Worker, *, records_max: int = 100, parked_max: int = 1_000) -> Feed:
    return Feed(
        GROUP, [TOPIC.name], worker, records_max=records_max, parked_per_minute_max=parked_max
    )


@asynccontextmanager
async def feeding(kafka: Kafka, feed: Feed) -> AsyncIterator[None]:
    broker = KafkaBroker(
        kafka.bootstrap, consumer_only=True, apply_types=False, logger=None, graceful_timeout=1
    )
    feed.attach(broker, kafka.bootstrap, embedded=kafka.embedded)
    await broker.start()
    try:
        yield
    finally:
        await broker.stop()


@asynccontextmanager
async def sender(kafka: Kafka) -> AsyncIterator[AIOKafkaProducer]:
    await ensure_topics(kafka.bootstrap, [TOPIC])
    made = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, enable_idempotence=False)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def send(kafka: Kafka, count: int) -> None:
    async with sender(kafka) as made:
        for number in range(count):
            place = number % 2
            await made.send(TOPIC.name, b"%d" % number, key=b"k%d" % place, partition=place)


async def committed(kafka: Kafka) -> int:
    """How many records the group has acknowledged."""
    asking = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=GROUP, enable_auto_commit=False
    )
    await asking.start()
    try:
        found = [await asking.committed(TopicPartition(TOPIC.name, place)) for place in (0, 1)]
    finally:
        await asking.stop()
    return sum(offset or 0 for offset in found)


def in_order(seen: Sequence[tuple[int, int]]) -> bool:
    """Where a record came twice (a rebalance on a busy machine), its first time counts."""
    seen = list(dict.fromkeys(seen))
    return all(
        offsets == sorted(offsets)
        for offsets in ([offset for place, offset in seen if place == p] for p in (0, 1))
    )


async def test_every_record_comes_in_order_and_is_acknowledged_when_asked(
    kafka: Kafka,
) -> None:
    await send(kafka, 250)
    worker = Worker()
    feed = make_feed(worker, records_max=40)
    async with feeding(kafka, feed):
        await until(lambda: len(set(worker.seen)) == 250, "all records come")
        assert in_order(worker.seen)
        assert await committed(kafka) == 0
        await feed.commit()
        assert await committed(kafka) == 250
    assert feed.waiting == ""


async def test_while_the_database_is_away_nothing_is_acknowledged_and_all_is_tried_again(
    kafka: Kafka,
) -> None:
    await send(kafka, 20)
    worker = Worker()
    away = True

    def before(_: Sequence[Any]) -> int:
        if away:
            raise Transient("database_unavailable", "the database is away")
        return 0

    worker.before = before
    feed = make_feed(worker)
    async with feeding(kafka, feed):
        await until(lambda: worker.attempts >= 3, "it is tried again")
        assert feed.waiting == "the database is away"
        await feed.commit()
        assert await committed(kafka) == 0
        assert worker.seen == []
        away = False
        await until(lambda: len(set(worker.seen)) == 20, "all records are done")
        await until(lambda: feed.waiting == "", "the feed is well again")
        await feed.commit()
        assert await committed(kafka) == 20


async def test_a_bug_is_fatal_and_what_failed_comes_again_to_the_next_process(
    kafka: Kafka,
) -> None:
    await send(kafka, 10)
    worker = Worker()

    def before(_: Sequence[Any]) -> int:
        raise ZeroDivisionError("a bug")

    worker.before = before
    feed = make_feed(worker)
    async with feeding(kafka, feed):
        assert feed.fatal is not None
        error = await asyncio.wait_for(feed.fatal, 40)
        assert isinstance(error, ZeroDivisionError)
        await feed.commit()
        assert worker.attempts == 1
    assert await committed(kafka) == 0
    worker.before = lambda _: 0
    async with feeding(kafka, make_feed(worker)):
        await until(lambda: len(set(worker.seen)) == 10, "the next process gets them")


async def test_too_many_parked_stop_the_feed_and_readiness_says_why(kafka: Kafka) -> None:
    await send(kafka, 60)
    worker = Worker()
    worker.before = len
    feed = make_feed(worker, records_max=10, parked_max=25)

    async def readiness() -> list[str]:
        return [feed.waiting] if feed.waiting else []

    http = create_http_app("test", readiness=readiness, metrics=Metrics())
    async with (
        feeding(kafka, feed),
        AsyncClient(transport=ASGITransport(http), base_url="http://test") as client,
    ):
        await until(lambda: feed.waiting, "the feed stops")
        answer = await client.get("/health/ready")
        assert answer.status_code == 503
        assert "parked more than 25 messages" in answer.text
        assert "bitacora parked list" in answer.text
        assert 25 < len(worker.seen) <= 40
        done = len(set(worker.seen))
        await feed.commit()
        # What was done is acknowledged, what was not is left for the restart.
        assert await committed(kafka) == done
    worker.before = lambda _: 0
    async with feeding(kafka, make_feed(worker)):
        await until(lambda: len(set(worker.seen)) == 60, "a restart goes on")


async def test_records_that_no_client_can_read_come_like_any_other(kafka: Kafka) -> None:
    """A header name that is not UTF-8, in the middle of a batch, beside other partitions."""
    async with sender(kafka) as made:
        await made.send_and_wait(TOPIC.name, b"before", partition=0)
        for compressed in (False, True):
            records: list[Strange] = [
                (b"k", b"first", [("good", b"1")]),
                (b"k", b"strange", [("good", b"1"), ("ce_\udcff", None), ("last", b"\xff")]),
                (b"k", b"last", [("good", None)]),
            ]
            await send_strange(made, TOPIC.name, records, partition=0, compressed=compressed)
        await made.send_and_wait(TOPIC.name, b"after", partition=0)
        await made.send_and_wait(TOPIC.name, b"elsewhere", partition=1)
    worker = Worker()
    async with feeding(kafka, make_feed(worker)):
        await until(lambda: len(set(worker.seen)) == 9, "all records come")
        assert in_order(worker.seen)
    came = dict(zip(worker.seen, worker.records, strict=True))
    assert [came[0, offset].value for offset in range(8)] == [
        b"before",
        *[b"first", b"strange", b"last"] * 2,
        b"after",
    ]
    for offset in (2, 5):
        assert list(came[0, offset].headers) == [
            ("good", b"1"),
            ("ce_\\xff", None),
            ("last", b"\xff"),
        ]
    read = [r.value async for rs in read_topics(kafka.bootstrap, [TOPIC.name]) for r in rs]
    assert len(read) == 9

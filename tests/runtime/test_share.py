"""Which keys are whose: the partitions that a group gave this process."""

from __future__ import annotations

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from libs.runtime.share import NOTHING, WHOLE, Share, slot_of
from tests.backends.shared import Kafka
from tests.runtime.speaking import until
from tests.runtime.test_feed import TOPIC, Worker, feeding, make_feed, send


@given(st.text(max_size=60), st.integers(1, 200))
def test_the_slot_tells_the_partition_that_the_producer_chooses(key: str, partitions: int) -> None:
    every = list(range(partitions))
    chosen = DefaultPartitioner()(key.encode(), every, every)
    assert 0 <= slot_of(key) < 2**31
    assert slot_of(key) % partitions == chosen
    assert Share(partitions, frozenset({chosen})).has(slot_of(key))


@given(st.integers(0, 2**31 - 1))
def test_one_has_everything_and_one_that_has_nothing_has_none(slot: int) -> None:
    assert WHOLE.everything
    assert WHOLE.has(slot)
    assert not NOTHING.everything
    assert not NOTHING.has(slot)


async def test_a_feed_tells_its_share_and_whether_the_broker_is_heard(
    embedded_kafka: Kafka,
) -> None:
    await send(embedded_kafka, 10)
    worker = Worker()
    feed = make_feed(worker)
    assert feed.share(TOPIC.name) == NOTHING
    assert not feed.heard()
    async with feeding(embedded_kafka, feed):
        await until(lambda: len(set(worker.seen)) == 10, "all records come")
        assert feed.share(TOPIC.name) == Share(TOPIC.partitions, frozenset({0, 1}))
        assert feed.share("another.topic") == NOTHING
        await until(feed.heard, "the broker tells where its partitions end")
        assert embedded_kafka.broker is not None
        embedded_kafka.broker.kill()
        await until(lambda: not feed.heard(), "its silence is noticed")
        assert feed.ends() is not None  # known, but from before
        embedded_kafka.broker.start()
        await send(embedded_kafka, 10)
        await until(feed.heard, "it is heard again")

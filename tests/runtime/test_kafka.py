"""The Kafka factory, on the embedded broker and on Apache Kafka."""

from __future__ import annotations

import asyncio
import time
from itertools import chain
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from libs.events.topics import TOPICS, Topic, parked_topic
from libs.runtime.kafka import (
    RewindOnNewCluster,
    TopicsNotMade,
    consumer_options,
    ensure_topics,
    is_embedded,
    producer,
    wait_until_reachable,
)
from libs.runtime.localserver import free_port
from tests.backends.shared import Kafka

TOPIC = Topic("test.stream", "tests", "records", retention_ms=3_600_000)
RECORDS = 10_000
DEADLINE_S = 40.0


async def produce(kafka: Kafka, count: int) -> None:
    sender = producer(kafka.bootstrap, embedded=kafka.embedded)
    await sender.start()
    try:
        sent = [
            await sender.send(
                TOPIC.name,
                key=b"key-%d" % (n % 100),
                value=b"%d" % n,
                headers=[("ce_id", b"%d" % n), ("nothing", None), ("bytes", b"\xff\x00")],
            )
            for n in range(count)
        ]
        await asyncio.gather(*sent)
    finally:
        await sender.stop()


def group_consumer(kafka: Kafka) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap,
        group_id="test-group",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        metadata_max_age_ms=2_000,  # as in a service: a topic may be made anew
        **consumer_options(embedded=kafka.embedded),
    )


async def read(consumer: AIOKafkaConsumer, count: int, *, commit: bool = True) -> list[Any]:
    records: list[Any] = []
    deadline_s = time.monotonic() + DEADLINE_S
    while len(records) < count:
        assert time.monotonic() < deadline_s, f"{len(records)} of {count} records came"
        for place, found in (await consumer.getmany(timeout_ms=200)).items():
            records += found
            if commit:
                await consumer.commit({place: OffsetAndMetadata(found[-1].offset + 1, "")})
    return records


async def test_topics_are_made_once_and_with_their_settings(kafka: Kafka) -> None:
    wanted = [*TOPICS, parked_topic("routing"), TOPIC]
    assert set(await ensure_topics(kafka.bootstrap, wanted)) == {topic.name for topic in wanted}
    assert await ensure_topics(kafka.bootstrap, wanted) == []
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        described = {d["topic"]: d for d in await admin.describe_topics([t.name for t in wanted])}
        resource = ConfigResource(ConfigResourceType.TOPIC, TOPIC.name)
        (answer,) = await admin.describe_configs([resource])
    finally:
        await admin.close()
    for topic in wanted:
        assert len(described[topic.name]["partitions"]) == topic.partitions
    settings = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    assert settings["retention.ms"] == "3600000"
    assert settings["cleanup.policy"] == "delete"


async def test_several_processes_may_make_the_topics_at_once(kafka: Kafka) -> None:
    made = await asyncio.gather(*(ensure_topics(kafka.bootstrap, TOPICS) for _ in range(4)))
    assert sorted(chain.from_iterable(made)) == sorted(topic.name for topic in TOPICS)


@pytest.mark.kafka
async def test_a_refused_topic_is_said_with_its_reason(apache_kafka: Kafka) -> None:
    with pytest.raises(TopicsNotMade, match=r"test\.stream.*BITACORA_KAFKA_REPLICATION_FACTOR"):
        await ensure_topics(apache_kafka.bootstrap, [TOPIC], replication_factor=3)


async def test_the_embedded_broker_is_told_from_a_real_one(kafka: Kafka) -> None:
    assert await is_embedded(kafka.bootstrap) is kafka.embedded


async def test_nobody_at_the_address_is_a_timeout_that_names_it() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(TimeoutError, match=address):
        await wait_until_reachable(address, timeout_s=0.3)


async def test_ten_thousand_records_pass_a_group_in_order_of_their_keys(kafka: Kafka) -> None:
    await ensure_topics(kafka.bootstrap, [TOPIC])
    await produce(kafka, RECORDS)
    consumer = group_consumer(kafka)
    consumer.subscribe([TOPIC.name])
    await consumer.start()
    try:
        records = await read(consumer, RECORDS)
    finally:
        await consumer.stop()
    by_key: dict[bytes, list[int]] = {}
    for record in records:
        by_key.setdefault(record.key, []).append(int(record.value))
        assert dict(record.headers) == {
            "ce_id": record.value,
            "nothing": None,
            "bytes": b"\xff\x00",
        }
    assert sum(map(len, by_key.values())) == RECORDS
    assert all(numbers == sorted(set(numbers)) for numbers in by_key.values())


async def test_a_group_goes_on_where_it_committed(kafka: Kafka) -> None:
    await ensure_topics(kafka.bootstrap, [TOPIC])
    await produce(kafka, 100)
    for expected in (100, 50):
        consumer = group_consumer(kafka)
        consumer.subscribe([TOPIC.name])
        await consumer.start()
        try:
            assert len(await read(consumer, expected)) == expected
        finally:
            await consumer.stop()
        await produce(kafka, 50)


async def test_the_high_watermark_is_right_and_the_end_offset_never_too_high(kafka: Kafka) -> None:
    await ensure_topics(kafka.bootstrap, [TOPIC])
    await produce(kafka, 100)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(TOPIC.name, n) for n in range(TOPIC.partitions)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        records = await read(consumer, 100, commit=False)
        ends = await consumer.end_offsets(places)
        for place in places:
            there = sum(record.partition == place.partition for record in records)
            if there:
                assert consumer.highwater(place) == there
            assert ends[place] <= there
            assert kafka.embedded or ends[place] == there
    finally:
        await consumer.stop()


async def test_a_consumer_finds_everything_on_an_embedded_broker_that_was_restarted(
    embedded_kafka: Kafka,
) -> None:
    await ensure_topics(embedded_kafka.bootstrap, [TOPIC])
    await produce(embedded_kafka, 600)
    consumer = group_consumer(embedded_kafka)
    listener = RewindOnNewCluster(embedded_kafka.bootstrap, lambda: consumer)
    consumer.subscribe([TOPIC.name], listener=listener)
    await consumer.start()
    committing: asyncio.Task[None] | None = None
    try:
        records = await read(consumer, 600)
        # Old offsets are committed again and again, also to the broker that starts empty.
        old = {
            TopicPartition(r.topic, r.partition): OffsetAndMetadata(r.offset + 1, "")
            for r in records
        }
        committing = asyncio.create_task(commit_for_ever(consumer, old))
        embedded_kafka.broker.kill()
        embedded_kafka.broker.start()
        await ensure_topics(embedded_kafka.bootstrap, [TOPIC])
        await produce(embedded_kafka, 60)
        again = await read(consumer, 60, commit=False)
    finally:
        if committing is not None:
            committing.cancel()
        await consumer.stop()
    assert sorted(int(record.value) for record in again) == list(range(60))
    assert listener.rewinds == 2


async def commit_for_ever(
    consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, OffsetAndMetadata]
) -> None:
    while True:
        assigned = consumer.assignment()
        due = {place: offset for place, offset in offsets.items() if place in assigned}
        try:
            if due:
                await consumer.commit(due)
        except (KafkaError, ValueError):
            pass
        await asyncio.sleep(0.02)

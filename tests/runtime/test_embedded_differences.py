"""What libs/runtime/embedded.py says is different on the embedded broker. A test that fails here
after an upgrade of the broker is good news: something can be made simpler."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.protocol.metadata import MetadataRequest

from libs.runtime.client import prepare_client
from libs.runtime.kafka import ensure_topics, producer
from tests.backends.shared import Kafka
from tests.runtime.test_kafka import TOPIC, produce


async def test_there_is_no_idempotent_producer(embedded_kafka: Kafka) -> None:
    sender = producer(embedded_kafka.bootstrap, embedded=False)
    with pytest.raises(KafkaError):
        await sender.start()
    await sender.stop()


async def test_asking_for_a_topic_makes_it_with_four_partitions(embedded_kafka: Kafka) -> None:
    asking = AIOKafkaAdminClient(bootstrap_servers=embedded_kafka.bootstrap)
    await asking.start()
    await asking._send_request(MetadataRequest([TOPIC.name], allow_auto_topic_creation=True))
    await asking.close()
    assert await ensure_topics(embedded_kafka.bootstrap, [TOPIC]) == []
    admin = AIOKafkaAdminClient(bootstrap_servers=embedded_kafka.bootstrap)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([TOPIC.name])
    finally:
        await admin.close()
    assert len(described["partitions"]) == 4


async def test_our_clients_make_no_topic_by_asking(embedded_kafka: Kafka) -> None:
    prepare_client()
    consumer = AIOKafkaConsumer(TOPIC.name, bootstrap_servers=embedded_kafka.bootstrap)
    with pytest.raises(UnknownTopicOrPartitionError):
        await consumer.start()
    await consumer.stop()
    assert TOPIC.name in await ensure_topics(embedded_kafka.bootstrap, [TOPIC])


async def test_the_end_offset_is_behind_the_first_record_of_the_last_batch(
    embedded_kafka: Kafka,
) -> None:
    await ensure_topics(embedded_kafka.bootstrap, [TOPIC])
    place = TopicPartition(TOPIC.name, 0)
    sender = producer(embedded_kafka.bootstrap, embedded=True)
    await sender.start()
    try:
        for count in (10, 5):
            batch = sender.create_batch()
            for _ in range(count):
                batch.append(key=b"k", value=b"v", timestamp=None, headers=[])
            await (await sender.send_batch(batch, TOPIC.name, partition=0))
    finally:
        await sender.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=embedded_kafka.bootstrap)
    await consumer.start()
    try:
        assert await consumer.end_offsets([place]) == {place: 11}
        consumer.assign([place])
        consumer.seek(place, 14)
        found = await consumer.getmany(timeout_ms=2_000)
        assert [record.offset for record in found[place]] == [14]
        assert consumer.highwater(place) == 15
    finally:
        await consumer.stop()


async def test_reading_past_the_end_gives_nothing_and_no_error(embedded_kafka: Kafka) -> None:
    await ensure_topics(embedded_kafka.bootstrap, [TOPIC])
    await produce(embedded_kafka, 10)
    place = TopicPartition(TOPIC.name, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=embedded_kafka.bootstrap,
        group_id="test-past",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    consumer.assign([place])
    await consumer.start()
    try:
        await consumer.commit({place: OffsetAndMetadata(1_000, "")})
        assert await consumer.committed(place) == 1_000
        consumer.seek(place, 1_000)
        assert await consumer.getmany(timeout_ms=300) == {}
        assert await consumer.position(place) == 1_000
    finally:
        await consumer.stop()

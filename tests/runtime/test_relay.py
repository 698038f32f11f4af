"""The relay: what is stored reaches its topic, in order, whatever dies; on both brokers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import text

from libs.events.topics import TICKETS_EVENTS
from libs.runtime.outbox import RawMessage
from tests.backends.shared import Kafka, delete_topics
from tests.runtime.speaking import Speaker, on_topic, until

STREAMS = ("a", "b", "c", "d", "e")


@pytest.fixture
def speaker(sqlite_url: str, kafka: Kafka) -> Iterator[Speaker]:
    made = Speaker(sqlite_url, kafka)
    yield made
    made.close()


async def test_everything_is_sent_once_in_the_order_of_its_stream(speaker: Speaker) -> None:
    await speaker.say(STREAMS, times=300)
    async with speaker.relaying():
        await speaker.say(STREAMS, times=100)
        await speaker.settled()
        assert await speaker.relay.backlog() == 0
    found = await on_topic(speaker.kafka)
    assert found == {stream: list(range(1, 401)) for stream in STREAMS}


async def test_a_restart_goes_on_behind_the_checkpoint(speaker: Speaker) -> None:
    for times in (1, 2):
        await speaker.say(STREAMS)
        async with speaker.relaying():
            await speaker.settled()
            assert speaker.relay.position == times * len(STREAMS)
    assert await on_topic(speaker.kafka) == {key: [1, 2] for key in STREAMS}
    assert speaker.relay.republished == 0


async def test_what_was_sent_and_not_checkpointed_is_sent_again_in_order(speaker: Speaker) -> None:
    await speaker.say(STREAMS, times=4)
    async with speaker.relaying():
        await speaker.settled()
    # As if the process had died after the broker's answer and before the checkpoint of the last 15.
    await speaker.store.write(
        lambda c, _: c.execute(text("UPDATE relay_checkpoints SET position = 5"))
    )
    async with speaker.relaying():
        await speaker.settled()
    assert await on_topic(speaker.kafka) == {key: [1, 2, 3, 4, 2, 3, 4] for key in STREAMS}


async def test_the_checkpoint_waits_for_the_broker(sqlite_url: str, embedded_kafka: Kafka) -> None:
    speaker = Speaker(sqlite_url, embedded_kafka)
    await speaker.say(STREAMS)
    async with speaker.relaying():
        await speaker.settled()
        embedded_kafka.broker.kill()
        await speaker.say(STREAMS, times=10)
        assert await speaker.relay.backlog() == 10 * len(STREAMS)
        assert await speaker.checkpoint() == len(STREAMS)
        embedded_kafka.broker.start()
        await speaker.settled()
    # The broker came back empty: what it had lost was sent again, too.
    found = await on_topic(embedded_kafka)
    assert {stream: sorted(set(seen)) for stream, seen in found.items()} == {
        stream: list(range(1, 12)) for stream in STREAMS
    }
    assert speaker.relay.republished >= 1
    speaker.close()


@pytest.mark.kafka
async def test_a_topic_that_was_made_anew_is_written_again(
    sqlite_url: str, apache_kafka: Kafka
) -> None:
    speaker = Speaker(sqlite_url, apache_kafka)
    await speaker.say(STREAMS, times=3)
    async with speaker.relaying():
        await speaker.settled()
    await delete_topics(apache_kafka.bootstrap)
    async with speaker.relaying():
        await until(lambda: speaker.relay.republished, "the loss is noticed")
        await speaker.settled()
        await until(lambda: speaker.relay.position == 3 * len(STREAMS), "all is sent")
    assert await on_topic(apache_kafka) == {key: [1, 2, 3] for key in STREAMS}
    speaker.close()


async def test_a_topic_that_is_lost_while_the_relay_idles_is_written_again(
    sqlite_url: str, embedded_kafka: Kafka
) -> None:
    speaker = Speaker(sqlite_url, embedded_kafka)
    await speaker.say(STREAMS)
    async with speaker.relaying():
        await speaker.settled()
        embedded_kafka.broker.kill()
        embedded_kafka.broker.start()
        await until(lambda: speaker.relay.republished, "the loss is noticed")
        await until(lambda: speaker.relay.position == len(STREAMS), "all is sent again")
    assert set(await on_topic(embedded_kafka)) == set(STREAMS)
    speaker.close()


async def test_of_two_relays_on_one_store_one_is_active(
    database_url: str, embedded_kafka: Kafka
) -> None:
    first, second = (Speaker(database_url, embedded_kafka) for _ in range(2))
    async with first.relaying():
        await until(lambda: first.relay.active, "the first is active")
        async with second.relaying():
            for _ in range(20):
                await first.say(STREAMS)
            await first.settled()
            assert not second.relay.active
            assert await on_topic(embedded_kafka) == {s: list(range(1, 21)) for s in STREAMS}
    async with second.relaying():
        await second.say(STREAMS)
        await second.settled()
    assert await on_topic(embedded_kafka) == {s: list(range(1, 22)) for s in STREAMS}
    first.close()
    second.close()


async def test_the_second_relay_takes_over_where_the_first_one_ended(
    database_url: str, embedded_kafka: Kafka
) -> None:
    first, second = (Speaker(database_url, embedded_kafka) for _ in range(2))
    taking_over = second.relaying()
    async with first.relaying():
        await first.say(STREAMS, times=3)
        await first.settled()
        await taking_over.__aenter__()
        await second.say(STREAMS)
        await first.settled()
        assert not second.relay.active
    await until(lambda: second.relay.active, "the second takes over")
    await second.say(STREAMS)
    await second.settled()
    await taking_over.__aexit__(None, None, None)
    assert await on_topic(embedded_kafka) == {key: [1, 2, 3, 4, 5] for key in STREAMS}
    first.close()
    second.close()


@pytest.mark.postgres
async def test_a_relay_that_loses_its_lock_lets_go_and_loses_nothing(
    postgres_url: str, embedded_kafka: Kafka
) -> None:
    speaker = Speaker(postgres_url, embedded_kafka)
    cut = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    lock = text("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")

    def holder() -> int | None:
        with speaker.store.database.reading() as connection:
            return connection.execute(lock).scalar()

    async with speaker.relaying():
        await speaker.say(STREAMS)
        await speaker.settled()
        before = holder()
        with speaker.store.database.transaction() as connection:
            assert connection.execute(cut).scalar()
        await until(lambda: holder() not in (None, before), "the relay has the lock again")
        await until(lambda: speaker.relay.active, "the relay works again")
        await speaker.say(STREAMS)
        await speaker.settled()
    found = await on_topic(embedded_kafka)
    assert {stream: sorted(set(seen)) for stream, seen in found.items()} == {
        key: [1, 2] for key in STREAMS
    }
    speaker.close()


@pytest.mark.postgres
async def test_an_event_of_a_slow_transaction_is_not_passed_over(
    postgres_url: str, embedded_kafka: Kafka
) -> None:
    """Positions are given out when a transaction writes, and seen when it commits: a transaction
    that is held open must hold up the others, or the relay would pass its position by."""
    speaker = Speaker(postgres_url, embedded_kafka)
    slow = Speaker(postgres_url, embedded_kafka)
    written, commit = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        with slow.store.database.transaction() as connection:
            outgoing = slow.store.outbox.open()
            message = RawMessage(
                TICKETS_EVENTS, b"slow", b"{}", [("ce_subject", b"slow"), ("ce_sequence", b"1")]
            )
            outgoing.raw(message)
            slow.store.outbox.flush(connection, outgoing)
            loop.call_soon_threadsafe(written.set)
            asyncio.run_coroutine_threadsafe(commit.wait(), loop).result()

    async with speaker.relaying():
        holding = asyncio.create_task(asyncio.to_thread(hold))
        await written.wait()
        saying = asyncio.create_task(speaker.say(STREAMS))
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

        async def someone_waits() -> bool:
            return bool(await speaker.store.read(lambda c: c.execute(waiting).scalar()))

        await until(someone_waits, "the other transaction waits")
        commit.set()
        await asyncio.gather(holding, saying)
        await speaker.settled()
    assert await on_topic(embedded_kafka) == {"slow": [1], **{key: [1] for key in STREAMS}}
    speaker.close()
    slow.close()


async def test_a_message_as_large_as_we_make_them_passes(speaker: Speaker) -> None:
    value = os.urandom(900_000)  # cannot be made smaller, as ciphertext cannot
    headers: list[tuple[str, bytes | None]] = [("ce_subject", b"large"), ("ce_sequence", b"1")]
    message = RawMessage(TICKETS_EVENTS, b"large", value, headers)
    await speaker.store.write(lambda _, outgoing: outgoing.raw(message))
    await speaker.say(STREAMS)
    async with speaker.relaying():
        await speaker.settled()
    assert await on_topic(speaker.kafka) == {"large": [1], **{key: [1] for key in STREAMS}}


async def test_the_relay_makes_the_topics_that_it_needs(speaker: Speaker) -> None:
    await speaker.say(["a"])
    async with speaker.relaying():
        await speaker.settled()
    admin = AIOKafkaAdminClient(bootstrap_servers=speaker.kafka.bootstrap)
    await admin.start()
    try:
        assert TICKETS_EVENTS in await admin.list_topics()
    finally:
        await admin.close()

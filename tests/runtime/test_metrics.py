"""What the gauges of every service say is so: backlog and age, what lies parked, sizes."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from libs.events.topics import TICKETS_COMMANDS, TICKETS_EVENTS
from libs.runtime.backlog import Unsent, Waiting
from libs.runtime.clock import ManualClock
from libs.runtime.errors import Transient
from libs.runtime.gauges import Gauges, looking
from libs.runtime.metrics import Few, Metrics, MetricSet, show
from libs.runtime.outbox import RawMessage
from tests.backends.shared import Kafka
from tests.runtime.speaking import Speaker, until
from tests.runtime.streams import Bench, records, stream


def value(metrics: MetricSet, name: str, **labels: str) -> float | None:
    found: float | None = metrics.registry.get_sample_value(name, labels)
    return found


async def test_what_is_unsent_is_counted_and_grows_older(database_url: str) -> None:
    nowhere = Kafka("127.0.0.1:9", embedded=True)
    speaker = Speaker(database_url, nowhere)
    clock = speaker.store.clock
    assert isinstance(clock, ManualClock)
    assert await speaker.relay.unsent() == Unsent(0, 0.0)
    await speaker.say(["a", "b"])
    clock.advance(90)
    await speaker.say(["c"])
    clock.advance(10)
    unsent = await speaker.relay.unsent()
    assert (unsent.messages, round(unsent.oldest_s)) == (3, 100)
    speaker.close()


async def test_age_is_real_where_the_clock_is_fast(sqlite_url: str) -> None:
    speaker = Speaker(sqlite_url, Kafka("127.0.0.1:9", embedded=True))
    clock = speaker.store.clock
    assert isinstance(clock, ManualClock)
    clock.rate = 60
    await speaker.say(["a"])
    clock.advance(600)
    assert round((await speaker.relay.unsent()).oldest_s) == 10
    speaker.close()


def test_messages_without_an_instant_are_as_old_as_they_are_known_to_be() -> None:
    waiting = Waiting()
    assert waiting.look(0, 0, now_s=5) == 0
    assert waiting.look(0, 10, now_s=10) == 0
    assert waiting.look(4, 20, now_s=15) == 5  # the tenth was there five seconds ago
    assert waiting.look(10, 20, now_s=17) == 2
    assert waiting.look(20, 20, now_s=18) == 0
    assert waiting.look(0, 20, now_s=30) == 0  # the topic was lost: everything begins anew
    assert waiting.look(5, 20, now_s=33) == 3


async def test_a_relay_counts_what_it_sends_and_what_comes_again(
    sqlite_url: str, kafka: Kafka
) -> None:
    speaker = Speaker(sqlite_url, kafka)
    metrics = speaker.relay._metrics
    await speaker.say(["a", "b"], times=3)
    await speaker.store.write(
        lambda _, out: out.raw(RawMessage(TICKETS_COMMANDS, b"a", b"{}", [])),
    )
    async with speaker.relaying():
        await speaker.settled()
        assert value(metrics, "bitacora_relay_sent_total", topic=TICKETS_EVENTS) == 6
        assert value(metrics, "bitacora_relay_sent_total", topic=TICKETS_COMMANDS) == 1
        assert await speaker.relay.unsent() == Unsent(0, 0.0)
    speaker.close()


async def test_a_lost_topic_is_not_as_old_as_its_first_event(
    sqlite_url: str, embedded_kafka: Kafka
) -> None:
    speaker = Speaker(sqlite_url, embedded_kafka)
    clock = speaker.store.clock
    assert isinstance(clock, ManualClock)
    await speaker.say(["a"])
    async with speaker.relaying():
        await speaker.settled()
        assert (await speaker.relay.unsent()).messages == 0
        clock.advance(86_400)
        embedded_kafka.broker.kill()
        await speaker.store.write(
            lambda c, _: c.execute(text("UPDATE relay_checkpoints SET position = 0"))
        )
        await until(lambda: not speaker.relay.active, "the relay has lost Kafka")
        unsent = await speaker.relay.unsent()
        assert unsent.messages == 1
        assert unsent.oldest_s < 3_600
        name = "bitacora_relay_retries_total"
        assert await until(
            lambda: value(speaker.relay._metrics, name, relay="test-outbox"), "it tries again"
        )
    speaker.close()


async def test_a_relay_that_stands_by_knows_what_is_unsent(
    database_url: str, embedded_kafka: Kafka
) -> None:
    first, second = (Speaker(database_url, embedded_kafka) for _ in range(2))
    async with first.relaying():
        await first.say(["a", "b"])
        await first.settled()
        assert (await second.relay.unsent()).messages == 0
    await first.say(["a"])
    assert (await second.relay.unsent()).messages == 1
    first.close()
    second.close()


async def test_what_lies_parked_is_shown_until_it_is_gone(database_url: str) -> None:
    bench = Bench(database_url)
    metrics = Metrics()
    gauges = Gauges(metrics, bench.store, [], [])
    events = records(stream("a", 4))
    bench.store.write_now(lambda c, out: bench.applier.apply(c, out, [events[0], *events[2:]]))
    clock = bench.store.clock
    assert isinstance(clock, ManualClock)
    clock.advance(120)
    await gauges.in_database()
    of_gaps = {"topic": TICKETS_EVENTS, "code": "gap"}
    assert value(metrics, "bitacora_parked_depth_messages", **of_gaps) == 2
    assert value(metrics, "bitacora_parked_oldest_seconds", topic=TICKETS_EVENTS) == 120
    assert value(metrics, "bitacora_outbox_rows") == 2  # on the topic of parked messages
    bench.store.write_now(lambda c, out: bench.applier.apply(c, out, [events[1]]))
    await gauges.in_database()
    assert value(metrics, "bitacora_parked_depth_messages", **of_gaps) is None
    assert value(metrics, "bitacora_parked_oldest_seconds", topic=TICKETS_EVENTS) is None
    await gauges.size()
    size = value(metrics, "bitacora_database_size_bytes")
    assert size is not None
    assert size > 10_000
    bench.close()


def test_a_poll_is_counted_by_topic_and_code(database_url: str) -> None:
    bench = Bench(database_url)
    events = records(stream("a", 4))

    def apply(*which: int) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
        batch = [events[n] for n in which]
        report = bench.store.write_now(lambda c, out: bench.applier.apply(c, out, batch))[0]
        return dict(report.by_topic), dict(report.parked_by)

    counted, parked = apply(0, 0, 2)
    assert counted == {
        ("applied", TICKETS_EVENTS): 1,
        ("duplicates", TICKETS_EVENTS): 1,
        ("gaps", TICKETS_EVENTS): 1,
    }
    assert parked == {(TICKETS_EVENTS, "gap"): 1}
    bench.close()


async def test_a_look_that_takes_long_is_taken_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is told by hand: each look takes two seconds of it."""
    now_s = 0.0
    slept: list[float] = []

    async def look() -> None:
        nonlocal now_s
        now_s += 2
        if len(slept) == 1:
            raise Transient("database_unavailable", "away")

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr("libs.runtime.gauges.monotonic_s", lambda: now_s)
    monkeypatch.setattr("libs.runtime.gauges.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await looking(look, interval_s=5, share_max=0.1)
    assert slept == [20, 20, 20]
    slept.clear()
    with pytest.raises(asyncio.CancelledError):
        await looking(look, interval_s=5)
    assert slept == [5, 5, 5]


def test_labels_stay_few() -> None:
    few = Few(2)
    assert [few(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]


def test_a_gauge_shows_what_it_was_told_last() -> None:
    metrics = MetricSet(CollectorRegistry())
    gauge = metrics.gauge("bitacora_test_tickets", "For this test.", {"queue": "two"})
    show(gauge, {("a",): 1, ("b",): 2})
    show(gauge, {("b",): 3})
    assert value(metrics, "bitacora_test_tickets", queue="a") is None
    assert value(metrics, "bitacora_test_tickets", queue="b") == 3


def test_every_service_s_process_shows_itself() -> None:
    page = Metrics().exposition()[0].decode()
    assert "bitacora_build_info{" in page
    assert "process_resident_memory_bytes" in page

"""I4: the live rows are those that the topics give; what is not so is found, named and mended."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text, update

from libs.events import EventEnvelope, encode_event
from libs.events.topics import TICKETS_EVENTS, TOPICS
from libs.runtime.clock import ManualClock
from libs.runtime.consume import ConsumerTables, StreamApplier
from libs.runtime.database import Database
from libs.runtime.errors import Rejected
from libs.runtime.kafka import ensure_topics, producer
from libs.runtime.onlyone import only_one
from libs.runtime.store import ServiceStore
from libs.runtime.topiclog import read_topics
from services.reporting.handlers import TOPICS as READ
from services.reporting.handlers import ReportingHandler, topic_of
from services.reporting.rebuild import RebuildReport, rebuild
from services.reporting.views import TICKETS, fresh_metadata
from tests.backends.shared import Kafka
from tests.reporting.house import NOW, everything
from tests.reporting.streams import Desk, interleaved

STREAMS = Desk(11).streams(40, events=8)
EVENTS = list(interleaved(STREAMS, random.Random(4)))


class Live:
    """A live service in small: applies what lies on the topics, as far as it is told."""

    def __init__(self, url: str) -> None:
        metadata = fresh_metadata()
        tables = ConsumerTables(metadata)
        self.store = ServiceStore(Database(url), metadata, source="/x", clock=ManualClock(NOW))
        self.store.create_tables()
        self._applier = StreamApplier("reporting", ReportingHandler(), tables, self.store.clock)

    async def consume(self, bootstrap: str, most: int | None = None) -> int:
        applied = 0
        async for records in read_topics(bootstrap, READ, quiet_s=0.3):
            part = records if most is None else records[:most]
            report, _ = self.store.write_now(
                lambda c, out, part=part: self._applier.apply(c, out, part)  # type: ignore[misc]
            )
            applied += report.applied
            if most is not None:
                break
        return applied


@asynccontextmanager
async def desk(
    kafka: Kafka, url: str, events: Sequence[EventEnvelope] = EVENTS
) -> AsyncIterator[Live]:
    """Topics that hold the events, and a live database that has applied nothing yet."""
    await ensure_topics(kafka.bootstrap, TOPICS)
    await publish(kafka, events)
    live = Live(url)
    try:
        yield live
    finally:
        live.store.close()


async def publish(kafka: Kafka, events: Sequence[EventEnvelope]) -> None:
    sender = producer(kafka.bootstrap, embedded=kafka.embedded)
    await sender.start()
    try:
        for event in events:
            key, value, headers = encode_event(event)
            await sender.send(topic_of(event), value, key=key, headers=headers)
        await sender.flush()
    finally:
        await sender.stop()


def problems(report: RebuildReport) -> dict[str, list[str]]:
    return {table.table: table.examples for table in report.tables if not table.equal}


async def test_a_service_that_has_caught_up_equals_its_rebuild(
    kafka: Kafka, database_url: str
) -> None:
    async with desk(kafka, database_url) as live:
        # The relay sends some again, as after a crash: they must not count twice, here or there.
        await publish(kafka, [e for e in EVENTS if topic_of(e) == TICKETS_EVENTS][:40])
        assert await live.consume(kafka.bootstrap) == len(EVENTS)
        report = await rebuild(database_url, kafka.bootstrap)
        assert problems(report) == {}
        assert report.figures == []
        assert report.ok
        assert (report.events, report.behind, report.parked) == (len(EVENTS), 0, 0)
        assert not report.replaced


async def test_a_service_in_the_middle_of_its_work_equals_its_rebuild(
    embedded_kafka: Kafka, database_url: str
) -> None:
    async with desk(embedded_kafka, database_url) as live:
        applied = await live.consume(embedded_kafka.bootstrap, most=150)
        report = await rebuild(database_url, embedded_kafka.bootstrap)
        assert problems(report) == {}
        assert report.ok
        assert report.events == applied
        assert report.behind == len(EVENTS) - applied


async def test_altered_rows_are_named_and_the_switch_mends_them(
    embedded_kafka: Kafka, database_url: str
) -> None:
    async with desk(embedded_kafka, database_url) as live:
        await live.consume(embedded_kafka.bootstrap)
        right = everything(live.store)
        hurt = next(s for s in STREAMS if topic_of(s[0]) == TICKETS_EVENTS)[0].stream_id
        with live.store.database.transaction() as connection:
            connection.execute(
                update(TICKETS).where(TICKETS.c.id == hurt).values(subject="altered")
            )
            connection.execute(text("DELETE FROM history WHERE sequence = 2"))
        report = await rebuild(database_url, embedded_kafka.bootstrap)
        assert not report.ok
        assert set(problems(report)) == {"tickets", "history"}
        assert any(hurt in line and "altered" in line for line in problems(report)["tickets"])
        assert report.figures
        replaced = await rebuild(database_url, embedded_kafka.bootstrap, replace=True)
        assert replaced.replaced
        assert everything(live.store) == right
        assert (await rebuild(database_url, embedded_kafka.bootstrap)).ok


async def test_the_switch_brings_a_service_that_was_behind_to_the_end_and_it_goes_on(
    embedded_kafka: Kafka, database_url: str
) -> None:
    later, now = EVENTS[-60:], EVENTS[:-60]
    async with desk(embedded_kafka, database_url, now) as live:
        await live.consume(embedded_kafka.bootstrap, most=100)
        assert (await rebuild(database_url, embedded_kafka.bootstrap, replace=True)).replaced
        assert await live.consume(embedded_kafka.bootstrap) == 0
        await publish(embedded_kafka, later)
        assert await live.consume(embedded_kafka.bootstrap) == len(later)
        assert (await rebuild(database_url, embedded_kafka.bootstrap)).ok


async def test_one_at_a_time(embedded_kafka: Kafka, database_url: str) -> None:
    async with desk(embedded_kafka, database_url) as live:
        await live.consume(embedded_kafka.bootstrap)
        async with only_one(live.store.database, "rebuild"):
            with pytest.raises(Rejected) as refused:
                await rebuild(database_url, embedded_kafka.bootstrap, replace=True)
        assert refused.value.code == "rebuild_running"
        assert (await rebuild(database_url, embedded_kafka.bootstrap)).ok


async def test_no_switch_when_the_topics_have_lost_what_the_live_tables_know(
    embedded_kafka: Kafka, sqlite_url: str
) -> None:
    async with desk(embedded_kafka, sqlite_url, EVENTS[:200]) as live:
        await live.consume(embedded_kafka.bootstrap)
        before = everything(live.store)
        with live.store.database.transaction() as connection:
            connection.execute(text("UPDATE consumer_streams SET sequence = sequence + 5"))
        with pytest.raises(Rejected) as refused:
            await rebuild(sqlite_url, embedded_kafka.bootstrap, replace=True)
        assert refused.value.code == "topics_incomplete"
        assert everything(live.store) == before


async def test_what_cannot_be_decoded_is_parked_in_both(
    embedded_kafka: Kafka, sqlite_url: str
) -> None:
    async with desk(embedded_kafka, sqlite_url) as live:
        sender = producer(embedded_kafka.bootstrap, embedded=True)
        await sender.start()
        bad: list[list[tuple[str, Any]]] = [[("ce_subject", b"\xff")], [("ce_sequence", b"x")], []]
        for headers in bad:
            await sender.send_and_wait(TICKETS_EVENTS, b"\x00", key=b"k", headers=headers)
        await sender.stop()
        await live.consume(embedded_kafka.bootstrap)
        report = await rebuild(sqlite_url, embedded_kafka.bootstrap)
        assert report.ok
        assert report.parked == 3

"""Rare instants: a database that goes away in the middle, two processes at once, too much at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import Connection, event, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from libs.events import EventEnvelope, encode_command
from libs.events.topics import TICKETS_EVENTS, Topic
from libs.runtime import commit, parking
from libs.runtime.clock import monotonic_s
from libs.runtime.commands import CommandConsumer
from libs.runtime.consume import Report, StreamApplier
from libs.runtime.errors import Transient
from libs.runtime.kafka import ensure_topics, producer
from libs.runtime.onlyone import only_one
from libs.runtime.outbox import Outgoing
from libs.runtime.relay import EventLogSource, Relay
from libs.runtime.topiclog import read_topics
from tests.backends.shared import Kafka
from tests.runtime.house import Intake, create
from tests.runtime.streams import Bench, HandRecord, records, stream

DEADLINE_S = 30.0


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    made = Bench(database_url)
    yield made
    made.close()


@pytest.fixture
def intake(database_url: str) -> Iterator[Intake]:
    made = Intake(database_url)
    yield made
    made.close()


class Failing:
    """A handler that does `fail` in place of applying."""

    def __init__(self, fail: Callable[[Connection], None]) -> None:
        self.fail = fail

    def apply(
        self, connection: Connection, envelopes: Sequence[EventEnvelope], outgoing: Outgoing
    ) -> None:
        self.fail(connection)


def apply(bench: Bench, batch: list[HandRecord]) -> Report:
    return bench.store.write_now(lambda c, out: bench.applier.apply(c, out, batch))[0]


def parked(bench: Bench) -> list[parking.Parked]:
    with bench.store.database.reading() as connection:
        return parking.list_parked(connection)


# -- what cannot be applied ------------------------------------------------------------------------


def test_what_only_waits_for_another_event_is_told_apart(bench: Bench) -> None:
    batch = records(stream("a", 4))
    report = apply(bench, batch[1:])
    assert (report.parked, report.waiting) == (3, 3)
    batch[0].value = b"{"
    report = apply(bench, batch[:1])
    assert (report.parked, report.waiting) == (1, 0)


def test_a_value_that_the_database_refuses_parks_its_event(bench: Bench) -> None:
    def twice(connection: Connection) -> None:
        row = {"n": 1, "stream_id": "x", "sequence": 1}
        connection.execute(insert(bench.seen), [row])
        connection.execute(insert(bench.seen), [row])

    bench.applier._handler = Failing(twice)
    assert apply(bench, records(stream("a", 1))).parked == 1
    assert parked(bench)[0].detail.startswith("IntegrityError in ")


def test_an_error_that_repeats_personal_data_does_not_park_it_in_the_reason(bench: Bench) -> None:
    def fail(_: Connection) -> None:
        raise ValueError("cannot parse maria@example.com")

    bench.applier._handler = Failing(fail)
    apply(bench, records(stream("a", 1)))
    assert parked(bench)[0].code == "handler_error"
    assert "maria" not in parked(bench)[0].detail
    with bench.store.database.reading() as connection:
        published = connection.execute(select(bench.store.outbox.rows.c.meta)).scalars().all()
    assert published
    assert not any(b"maria" in bytes(meta) for meta in published)


def test_database_errors_do_not_repeat_parameters(bench: Bench) -> None:
    row = {"n": 1, "stream_id": "maria", "sequence": 1}
    with pytest.raises(IntegrityError) as raised:
        bench.store.write_now(lambda c, _: c.execute(insert(bench.seen), [row, row]))
    assert "maria" not in str(raised.value)


def test_many_streams_pass_quickly_while_other_messages_are_parked(bench: Bench) -> None:
    waiting = records(stream("a", 400), offset=0)
    apply(bench, waiting[1:])
    statements = []

    @event.listens_for(bench.store.database.engine, "before_cursor_execute")
    def count(*arguments: object) -> None:
        statements.append(arguments[2])

    others = [r for n in range(200) for r in records(stream(f"b{n}", 1), offset=1000 + n)]
    assert apply(bench, others).applied == 200
    assert len(statements) < 20
    assert apply(bench, waiting[:1]).redriven == 399
    assert parked(bench) == []


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_two_processes_that_redrive_at_once_apply_once(bench: Bench) -> None:
    batch = records(stream("a", 1))
    bench.handler.fails_on.add("a:1")
    apply(bench, batch)
    bench.handler.fails_on.clear()
    bench.store.write_now(lambda c, _: parking.request_redrive(c))
    applier = StreamApplier("test", bench.handler, bench.applier._tables, bench.clock)

    def again(_: int) -> int:
        return bench.store.write_now(applier.redrive)[0].redriven

    # Both are let go at once: while this transaction holds the partition both of them wait.
    with bench.store.database.transaction() as holding, ThreadPoolExecutor(2) as two:
        holding.execute(
            text("SELECT pg_advisory_xact_lock(hashtext(:name))"),
            {"name": "test:tickets.events:0"},
        )
        both = [two.submit(again, n) for n in range(2)]
        until_waiting(bench, 2)
        holding.execute(text("COMMIT"))
        assert sorted(one.result(DEADLINE_S) for one in both) == [0, 1]
    with bench.store.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(bench.seen)).scalar() == 1


def until_waiting(bench: Bench, count: int) -> None:
    """Return when so many sessions wait for an advisory lock."""
    query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    deadline_s = monotonic_s() + DEADLINE_S
    while monotonic_s() < deadline_s:
        with bench.store.database.transaction() as connection:
            if connection.execute(query).scalar() == count:
                return
    raise AssertionError("nobody waits")


# -- commands --------------------------------------------------------------------------------------


async def test_a_command_with_the_same_key_twice_is_parked(intake: Intake) -> None:
    consumer = CommandConsumer("intake", intake.store, intake.commit)
    command = create()
    key, value, headers = encode_command(command)
    value = value[:-1] + b',"subject":"another"}'
    assert await consumer.work([HandRecord("tickets.commands", 0, 0, key, value, [*headers])]) == 1
    with intake.store.database.reading() as connection:
        assert parking.count_parked(connection) == {"duplicate_key": 1}
    assert intake.events.history(command.ticket_id) == []


async def test_more_than_can_wait_is_refused_at_once(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "WAITING_COMMANDS_MAX", 3)
    answers = await asyncio.gather(
        *(intake.commit.submit(create()) for _ in range(5)),
        intake.commit.submit(create(), publish_rejections=True),
        return_exceptions=True,
    )
    assert [getattr(answer, "status", answer) for answer in answers[:3]] == ["accepted"] * 3
    assert all(isinstance(a, Transient) and a.code == "too_busy" for a in answers[3:5])
    assert getattr(answers[5], "status", None) == "accepted"  # from Kafka: it waits
    assert (await intake.commit.submit(create())).status == "accepted"


async def test_a_full_disk_stores_nothing_and_is_told(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    intake = Intake(f"sqlite:///{tmp_path_factory.mktemp('full')}/full.sqlite3")
    try:
        await intake.commit.submit(create())

        @event.listens_for(intake.store.database.engine, "checkout")
        def full(connection: object, *_: object) -> None:
            connection.execute("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]

        command = create(subject="x" * 500)
        answers = [await outcome_of(intake, create(subject="x" * 500)) for _ in range(40)]
        assert isinstance(answers[-1], Transient)
        event.remove(intake.store.database.engine, "checkout", full)

        @event.listens_for(intake.store.database.engine, "checkout")
        def room(connection: object, *_: object) -> None:
            connection.execute("PRAGMA max_page_count = 1000000")  # type: ignore[attr-defined]

        assert (await intake.commit.submit(command)).status == "accepted"
        accepted = 2 + sum(not isinstance(answer, Transient) for answer in answers)
        assert intake.events.last_position() == accepted
    finally:
        intake.close()


async def outcome_of(intake: Intake, command: object) -> object:
    try:
        return await intake.commit.submit(command)  # type: ignore[arg-type]
    except Transient as error:
        return error


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_connection_lost_before_the_commit_stores_nothing(intake: Intake) -> None:
    def die(connection: Connection, _: object) -> None:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with intake.store.database.reading() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    command = create()
    intake.commit._on_recorded = die
    with pytest.raises(Transient):
        await intake.commit.submit(command)
    intake.commit._on_recorded = None
    assert (await intake.commit.submit(command)).status == "accepted"
    assert (await intake.commit.submit(command)).status == "duplicate"
    assert len(intake.events.history(command.ticket_id)) == 1


# -- the relay -------------------------------------------------------------------------------------


@pytest.mark.postgres
async def test_who_loses_the_lock_is_told_and_another_takes_it(postgres_url: str) -> None:
    intake = Intake(postgres_url)
    database = intake.store.database
    try:
        async with only_one(database, "relay") as still_only, AsyncExitStack() as another:
            await still_only()
            second = asyncio.create_task(another.enter_async_context(only_one(database, "relay")))
            with database.transaction() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_locks "
                        "WHERE locktype = 'advisory' AND granted"
                    )
                )
            async with asyncio.timeout(DEADLINE_S):
                await second
            with pytest.raises(Transient):
                await still_only()
    finally:
        intake.close()


async def test_a_database_out_of_reach_does_not_end_the_relay() -> None:
    from libs.runtime.database import Database

    database = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(Transient):
        async with only_one(database, "relay"):
            pass
    database.close()


async def test_a_topic_remade_with_fewer_partitions_is_written_anew(
    embedded_kafka: Kafka, sqlite_url: str
) -> None:
    intake = Intake(sqlite_url)
    await intake.commit.submit_many([create() for _ in range(40)])
    try:
        await relay_until(intake, embedded_kafka, 40)
        embedded_kafka.broker.kill()
        embedded_kafka.broker.start()
        await ensure_topics(embedded_kafka.bootstrap, [Topic(TICKETS_EVENTS, "x", "x", 2)])
        await intake.commit.submit(create())
        await relay_until(intake, embedded_kafka, 41)
        assert await partitions(embedded_kafka) == 2
    finally:
        intake.close()


async def partitions(kafka: Kafka) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        return len((await admin.describe_topics([TICKETS_EVENTS]))[0]["partitions"])
    finally:
        await admin.close()


async def relay_until(intake: Intake, kafka: Kafka, count: int) -> None:
    """Run a relay until the topic holds so many different events."""

    async def topics() -> None:
        await ensure_topics(kafka.bootstrap, [Topic(TICKETS_EVENTS, "intake", "x")])

    relay = Relay(
        "intake-events",
        EventLogSource(intake.events, TICKETS_EVENTS),
        intake.store,
        intake.checkpoints,
        bootstrap=kafka.bootstrap,
        make_producer=lambda: producer(kafka.bootstrap, embedded=True),
        ensure_topics=topics,
    )
    running = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            seen: set[bytes] = set()
            while len(seen) < count:
                await asyncio.sleep(0.1)
                async for found in read_topics(kafka.bootstrap, [TICKETS_EVENTS], quiet_s=0.3):
                    seen |= {dict(record.headers)["ce_id"] for record in found}
        assert len(seen) == count
    finally:
        running.cancel()
        await asyncio.wait([running])

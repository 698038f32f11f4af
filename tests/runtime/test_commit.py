"""Group commit: once per command id, in order, all or nothing; on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text

from libs.events import CommandEnvelope, Priority
from libs.events.commands import ChangePriority
from libs.events.verify import verify_stream
from libs.runtime.commit import Outcome
from tests.runtime.house import Intake, create


@pytest.fixture
def intake(database_url: str) -> Iterator[Intake]:
    made = Intake(database_url)
    yield made
    made.close()


def prioritize(ticket_id: str, priority: str) -> CommandEnvelope:
    return CommandEnvelope(
        str(uuid4()), ticket_id, ChangePriority(priority=Priority(priority)), "agent:1"
    )


async def test_commands_become_chained_events_and_numbers(intake: Intake) -> None:
    first, second = create(), create()
    outcomes = await intake.commit.submit_many(
        [first, second, prioritize(first.ticket_id, "high"), prioritize(first.ticket_id, "low")]
    )
    assert [(o.status, o.sequence, o.number) for o in outcomes] == [
        ("accepted", 1, 1),
        ("accepted", 1, 2),
        ("accepted", 2, None),
        ("accepted", 3, None),
    ]
    history = intake.events.history(first.ticket_id)
    assert [e.sequence for e in history] == [1, 2, 3]
    assert verify_stream(history) == []
    assert [e.position for e in intake.events.read_log(0, 10)] == [1, 2, 3, 4]


async def test_a_repeated_command_gets_the_first_answer(intake: Intake) -> None:
    command = create()
    first = await intake.commit.submit(command)
    other_id = CommandEnvelope(command.command_id, str(uuid4()), command.command, "system")
    again = await intake.commit.submit(other_id)
    assert (again.status, again.ticket_id, again.number) == (
        "duplicate",
        command.ticket_id,
        first.number,
    )
    assert len(intake.events.history(command.ticket_id)) == 1
    assert intake.events.history(other_id.ticket_id) == []


async def test_an_id_reused_for_something_else_is_refused(intake: Intake) -> None:
    command = create()
    await intake.commit.submit(command)
    other = create(subject="something else")
    other.command_id = command.command_id
    outcome = await intake.commit.submit(other)
    assert (outcome.status, outcome.code) == ("rejected", "idempotency_key_reused")


async def test_a_refusal_is_remembered_and_said_once(intake: Intake) -> None:
    command = prioritize(str(uuid4()), "high")
    answers = [
        await intake.commit.submit(command, publish_rejections=True),
        await intake.commit.submit(command, publish_rejections=True),
    ]
    assert [(a.code, a.http_status) for a in answers] == [("unknown_ticket", 404)] * 2
    with intake.store.database.reading() as connection:
        rows = connection.execute(select(intake.store.outbox.rows)).all()
    assert [(row.topic, row.stream_id, row.sequence) for row in rows] == [
        ("tickets.rejections", command.command_id, 1)
    ]


async def test_a_bug_in_one_decision_fails_only_its_command(intake: Intake) -> None:
    first = create()
    outcomes = await intake.commit.submit_many(
        [first, prioritize(first.ticket_id, "critical"), prioritize(first.ticket_id, "low")]
    )
    assert [o.status for o in outcomes] == ["accepted", "failed", "accepted"]
    assert [e.sequence for e in intake.events.history(first.ticket_id)] == [1, 2]


async def test_concurrent_commands_share_transactions(intake: Intake) -> None:
    outcomes = await asyncio.gather(*(intake.commit.submit(create()) for _ in range(200)))
    assert sorted(o.number or 0 for o in outcomes) == list(range(1, 201))
    assert len(intake.batches) < 20


async def test_what_fails_to_commit_leaves_no_trace(intake: Intake) -> None:
    """An append that bypassed us took the sequence: the batch fails, and the next one is right."""
    ticket = create()
    await intake.commit.submit(ticket)
    ghost = intake.group_commit()
    await ghost.submit(prioritize(ticket.ticket_id, "high"))
    if intake.store.database.is_sqlite:
        # One process owns a SQLite file; its cache is now behind, which the unique key reveals.
        with pytest.raises(Exception, match="UNIQUE"):
            await intake.commit.submit(prioritize(ticket.ticket_id, "low"))
    outcome: Outcome = await intake.commit.submit(prioritize(ticket.ticket_id, "low"))
    assert (outcome.status, outcome.sequence) == ("accepted", 3)
    assert verify_stream(intake.events.history(ticket.ticket_id)) == []


async def test_two_writers_never_fork_a_stream(postgres_url: str) -> None:
    intake, other = Intake(postgres_url), Intake(postgres_url)
    try:
        ticket = create()
        await intake.commit.submit(ticket)
        changes = [
            (intake if i % 2 else other).commit.submit(
                prioritize(ticket.ticket_id, "high" if i % 3 else "low")
            )
            for i in range(60)
        ]
        outcomes = await asyncio.gather(*changes)
        assert {o.status for o in outcomes} == {"accepted"}
        history = intake.events.history(ticket.ticket_id)
        assert verify_stream(history) == []
        assert len(history) == 1 + sum(o.events for o in outcomes)
        creates = await asyncio.gather(
            *((intake if i % 2 else other).commit.submit(create()) for i in range(60))
        )
        assert sorted(o.number or 0 for o in creates) == list(range(2, 62))
    finally:
        intake.close()
        other.close()


async def test_the_counts_agree(intake: Intake) -> None:
    await intake.commit.submit_many([create() for _ in range(30)])
    with intake.store.database.reading() as connection:
        stored = connection.execute(text("SELECT COUNT(*) FROM stored_events")).scalar()
        logged = connection.execute(
            select(func.count()).select_from(intake.tables.command_log)
        ).scalar()
    assert (stored, logged, intake.events.last_position()) == (30, 30, 30)


async def test_what_no_reader_could_decode_is_never_stored(intake: Intake) -> None:
    outcomes = await intake.commit.submit_many([create(subject="a\x00b"), create()])
    assert [(o.status, o.code) for o in outcomes] == [
        ("rejected", "not_recordable"),
        ("accepted", ""),
    ]
    assert intake.events.last_position() == 1

"""Requests one by one: each once, in one transaction with its effect; refused, or parked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select

from libs.events import (
    EVENTS,
    AgentCommandEnvelope,
    decode_agent_command,
    encode_agent_command,
)
from libs.events.agent_commands import DeclineOffer
from libs.events.routing import AgentCommandRefused
from libs.events.topics import AGENTS_COMMANDS, ROUTING_DECISIONS, topic_named
from libs.runtime import parking
from libs.runtime.answering import PRUNED_MAX, AnsweringConsumer
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.errors import Poison, Rejected, Transient
from libs.runtime.mapper import unpack_headers
from libs.runtime.metrics import Metrics
from libs.runtime.outbox import Outgoing
from libs.runtime.parking import Parked
from libs.runtime.store import ServiceStore
from tests.runtime.streams import NOON, HandRecord

KEPT = timedelta(milliseconds=topic_named(AGENTS_COMMANDS).retention_ms)


@dataclass(slots=True)
class Notes:
    """Writes down what it is asked, and fails where it is told to, after it has written."""

    table: Table
    fails: dict[str, Exception] = field(default_factory=dict)

    def answer(
        self, connection: Connection, outgoing: Outgoing, request: AgentCommandEnvelope
    ) -> None:
        text = getattr(request.command, "offer_id", "")
        connection.execute(insert(self.table), [{"text": text}])
        outgoing.event("test.said", "said", AgentCommandRefused(**_words("said")), actor="system")
        if text in self.fails:
            raise self.fails[text]

    def refuse(self, outgoing: Outgoing, request: AgentCommandEnvelope, refusal: Rejected) -> None:
        fact = AgentCommandRefused(**{**_words(request.command_id), "code": refusal.code})
        stream = f"refusal:{request.command_id}"
        outgoing.event(ROUTING_DECISIONS, stream, fact, actor="system", cause=request)


def _words(command_id: str) -> dict[str, str]:
    return {
        "command_id": command_id,
        "command_type": "bitacora.DeclineOffer.v1",
        "agent": "7",
        "code": "none",
        "detail": "",
    }


class Answering:
    """A process that answers requests."""

    def __init__(self, url: str) -> None:
        metadata = MetaData()
        self.clock = ManualClock(NOON)
        notes = Table(
            "notes",
            metadata,
            Column("n", Integer, primary_key=True, autoincrement=True),
            Column("text", String(200), nullable=False),
        )
        self.store = ServiceStore(Database(url), metadata, source="/test", clock=self.clock)
        parking.add_parked_table(metadata)
        self.handler = Notes(notes)
        self.metrics = Metrics()
        self.consumer = AnsweringConsumer(
            "test",
            self.store,
            topic_named(AGENTS_COMMANDS),
            decode_agent_command,
            self.handler,
            self.metrics,
        )
        self.store.create_tables()
        self._offset = 0

    def record(self, value: bytes | None, headers: list[tuple[str, bytes | None]]) -> HandRecord:
        self._offset += 1
        return HandRecord(AGENTS_COMMANDS, 0, self._offset, None, value, headers)

    def ask(self, command_id: str, text: str, **around: object) -> HandRecord:
        asked = AgentCommandEnvelope(
            command_id,
            "7",
            DeclineOffer(offer_id=text),
            "agent:7",
            **around,  # type: ignore[arg-type]
        )
        _, value, headers = encode_agent_command(asked)
        return self.record(value, [*headers])

    def notes(self) -> list[str]:
        table = self.handler.table
        with self.store.database.reading() as connection:
            return list(connection.scalars(select(table.c.text).order_by(table.c.n)))

    def answered(self) -> list[str]:
        table = self.store.metadata.tables["answered_commands"]
        with self.store.database.reading() as connection:
            return sorted(connection.scalars(select(table.c.command_id)))

    def said(self) -> list[tuple[str, str]]:
        """(stream, code) of what was said, in order."""
        rows = self.store.outbox.rows
        query = select(rows).where(rows.c.stream_id.is_not(None)).order_by(rows.c.position)
        with self.store.database.reading() as connection:
            found = connection.execute(query).all()
        return [(row.stream_id, EVENTS.decode(row.type, row.data).code) for row in found]

    def parked(self) -> list[Parked]:
        with self.store.database.reading() as connection:
            return parking.list_parked(connection)

    async def redrive(self) -> None:
        self.store.write_now(lambda c, _: parking.request_redrive(c))
        await self.consumer.redrive()

    def counted(self, outcome: str) -> float:
        labels = {"type": "bitacora.DeclineOffer.v1", "outcome": outcome}
        return self.metrics.registry.get_sample_value("bitacora_commands_total", labels) or 0.0


@pytest.fixture
def answering(database_url: str) -> Iterator[Answering]:
    made = Answering(database_url)
    yield made
    made.store.close()


async def test_the_same_id_again_changes_nothing(answering: Answering) -> None:
    first, second = answering.ask("k-1", "one"), answering.ask("k-2", "two")
    same_id = answering.ask("k-1", "one, but other words")
    assert await answering.consumer.work([first, second, same_id]) == 0
    assert await answering.consumer.work([first, second]) == 0, "again, after a crash"
    assert answering.notes() == ["one", "two"]
    assert answering.said() == [("said", "none")] * 2
    assert answering.answered() == ["k-1", "k-2"]
    assert (answering.counted("accepted"), answering.counted("duplicate")) == (2, 3)


async def test_what_is_refused_is_undone_and_said_once(answering: Answering) -> None:
    answering.handler.fails["no"] = Rejected("too_late", "It is too late.")
    no, yes = answering.ask("k-1", "no"), answering.ask("k-2", "yes")
    assert await answering.consumer.work([no, yes]) == 0
    assert await answering.consumer.work([no, yes]) == 0
    assert answering.notes() == ["yes"]
    assert answering.said() == [("refusal:k-1", "too_late"), ("said", "none")]
    assert answering.counted("rejected") == 1
    del answering.handler.fails["no"]
    await answering.consumer.work([no])
    assert answering.notes() == ["yes"], "an answer stays as it was given"


async def test_while_something_is_away_all_of_it_is_tried_again(answering: Answering) -> None:
    answering.handler.fails["two"] = Transient("database_unavailable", "away")
    poll = [answering.ask("k-1", "one"), answering.ask("k-2", "two"), answering.ask("k-3", "three")]
    with pytest.raises(Transient):
        await answering.consumer.work(poll)
    assert answering.notes() == ["one"]
    assert answering.answered() == ["k-1"], "the id is written with the effect, or not at all"
    del answering.handler.fails["two"]
    assert await answering.consumer.work(poll) == 0
    assert answering.notes() == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("failure", "code"),
    [(Poison("cannot_be", "It can never be."), "cannot_be"), (KeyError("x"), "handler_error")],
)
async def test_what_cannot_be_decided_is_parked_and_tried_again_when_asked(
    answering: Answering, failure: Exception, code: str
) -> None:
    answering.handler.fails["bad"] = failure
    poll = [answering.ask("k-1", "bad"), answering.ask("k-2", "good")]
    assert await answering.consumer.work(poll) == 1
    assert await answering.consumer.work(poll) == 0, "parked already"
    assert answering.notes() == ["good"]
    [parked] = answering.parked()
    assert (parked.code, parked.stream_id, parked.attempts) == (code, "agent:7", 1)
    await answering.redrive()
    [parked] = answering.parked()
    assert (parked.attempts, parked.redrive) == (2, False)
    answering.handler.fails.clear()
    await answering.redrive()
    assert answering.parked() == []
    assert answering.notes() == ["good", "bad"]
    assert answering.answered() == ["k-1", "k-2"]


async def test_what_is_no_request_is_parked(answering: Answering) -> None:
    good = answering.ask("k-1", "one")
    bad = [
        answering.record(None, good.headers),
        answering.record(b"{", good.headers),
        answering.record(b"{}", [("ce_type", None)]),
        answering.record(b'{"offer_id":"a","offer_id":"b"}', good.headers),
    ]
    assert await answering.consumer.work([*bad, good]) == len(bad)
    codes = [parked.code for parked in answering.parked()]
    assert codes == ["no_value", "invalid_data", "null_header", "duplicate_key"]
    assert answering.notes() == ["one"]
    await answering.redrive()
    assert [parked.attempts for parked in answering.parked()] == [2] * len(bad)


async def test_parked_messages_of_other_topics_are_left_alone(answering: Answering) -> None:
    event = HandRecord("tickets.events", 0, 1, None, b"{}", [])

    def park(connection: Connection, outgoing: Outgoing) -> None:
        clock = answering.clock
        parking.park(
            connection, outgoing, group="test", clock=clock, record=event, code="x", detail="y"
        )

    answering.store.write_now(park)
    await answering.redrive()
    [parked] = answering.parked()
    assert (parked.attempts, parked.redrive) == (1, True)


async def test_a_service_asks_in_its_own_transaction(answering: Answering) -> None:
    store = answering.store
    asked = AgentCommandEnvelope("k-1", "7", DeclineOffer(offer_id="one"), "agent:7")

    def ask_and_fail(_: Connection, outgoing: Outgoing) -> None:
        outgoing.agent_command(asked)
        raise Rejected("no", "not now")

    with pytest.raises(Rejected):
        store.write_now(ask_and_fail)
    store.write_now(lambda _, outgoing: outgoing.agent_command(asked))
    with store.database.reading() as connection:
        [row] = connection.execute(select(store.outbox.rows)).all()
    assert (row.topic, row.key) == (AGENTS_COMMANDS, b"agent:7")
    headers = unpack_headers(row.meta)
    assert {("ce_time", b"2026-03-02T12:00:00Z"), ("ce_source", b"/test")} <= set(headers)
    assert await answering.consumer.work([answering.record(row.data, headers)]) == 0
    assert answering.notes() == ["one"]


async def test_what_was_asked_too_long_ago_is_passed_over(answering: Answering) -> None:
    old = answering.ask("k-1", "old", time=NOON - KEPT - timedelta(seconds=1))
    recent = answering.ask("k-2", "recent", time=NOON - KEPT)
    assert await answering.consumer.work([old, recent]) == 0
    assert answering.notes() == ["recent"]


async def test_answers_are_forgotten_in_bounded_steps_when_nobody_can_ask_again(
    answering: Answering,
) -> None:
    store, count = answering.store, PRUNED_MAX + 5
    rows = [{"command_id": f"o-{n}", "answered_us": n} for n in range(count)]
    table = store.metadata.tables["answered_commands"]
    store.write_now(lambda c, _: c.execute(insert(table), rows))
    asked = answering.ask("k-1", "one", time=NOON)
    await answering.consumer.work([asked])
    pruned = [store.write_now(answering.consumer.prune)[0] for _ in range(3)]
    assert pruned == [PRUNED_MAX, 5, 0]
    # Whenever the same request comes, it is known, or it is too old.
    for _ in range(40):
        answering.clock.advance(KEPT.total_seconds() / 10)
        store.write_now(answering.consumer.prune)
        await answering.consumer.work([asked])
    assert answering.notes() == ["one"]
    assert answering.answered() == []


async def test_two_processes_with_the_same_records(database_url: str) -> None:
    processes = [Answering(database_url) for _ in range(2)]
    try:
        one = processes[0]
        records = [one.ask(f"k-{n}", f"{n}") for n in range(30)]
        for process in processes:
            process.handler.fails["7"] = Rejected("too_late", "It is too late.")
        await asyncio.gather(*(process.consumer.work(records) for process in processes))
        assert sorted(map(int, one.notes())) == [n for n in range(30) if n != 7]
        assert one.said().count(("refusal:k-7", "too_late")) == 1
        done = sum(p.counted("accepted") + p.counted("rejected") for p in processes)
        assert done == len(records)
    finally:
        for process in processes:
            process.store.close()

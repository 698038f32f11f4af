from __future__ import annotations

import itertools

import pytest

from bench.desk_year import TICKETS_PER_PIECE, YEAR_BEGIN, Plan, agents, piece
from bench.freshness import _waits_ms
from bench.year_queries import questions
from bench.year_rows import rows_of_piece
from libs.events import EventEnvelope, decode_event, encode_event, fold
from libs.events.agent import PresenceChanged
from libs.runtime.clock import RealClock
from libs.runtime.database import Database
from libs.runtime.outbox import Outgoing
from services.reporting.handlers import ReportingHandler
from services.reporting.report.check import check
from services.reporting.views import fresh_metadata

PLAN = Plan(tickets=300, agents=24)


def test_a_year_is_the_same_whenever_it_is_drawn() -> None:
    assert piece(PLAN, 0) == piece(PLAN, 0)
    assert piece(Plan(300, 24, seed=2), 0) != piece(PLAN, 0)
    assert Plan(TICKETS_PER_PIECE + 1).pieces == 2
    assert len(piece(Plan(TICKETS_PER_PIECE + 1), 1)) <= 2


def test_every_event_of_a_year_is_one_that_a_consumer_takes() -> None:
    streams = [*piece(PLAN, 0), *itertools.islice(agents(PLAN), 2)]
    for stream in streams:
        assert [e.sequence for e in stream] == list(range(1, len(stream) + 1))
        for envelope in stream:
            _, value, headers = encode_event(envelope)
            decoded = decode_event(value, headers)
            assert isinstance(decoded, EventEnvelope)
            assert decoded.event.model_dump() == envelope.event.model_dump()
            assert envelope.time.year == YEAR_BEGIN.year or envelope.time < YEAR_BEGIN
    assert any(type(e.event) is PresenceChanged for stream in streams for e in stream)


def test_a_year_has_tickets_of_every_fate() -> None:
    states = [fold(s) for s in piece(PLAN, 0) if not s[0].stream_id.startswith("sla:")]
    assert len(states) == PLAN.tickets
    made = [state for state in states if state is not None]
    assert {state.status.value for state in made} >= {"new", "solved", "closed"}
    assert any(state.reopens for state in made)
    assert any(state.hand_overs for state in made)
    assert {state.rating for state in made} == {None, "good", "bad"}
    assert {state.language for state in made} == {"en", "es", "ru"}


def test_the_rows_of_a_year_are_those_that_the_handler_writes(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    database.create(fresh_metadata())
    streams = piece(PLAN, 0)
    with database.transaction() as connection:
        events = [e for stream in streams for e in stream]
        ReportingHandler().apply(connection, events, Outgoing("/x", RealClock()))
    history, tickets = rows_of_piece(PLAN, 0)
    with database.reading() as connection:
        query = "SELECT * FROM history ORDER BY stream_id, sequence"
        assert [tuple(row) for row in connection.exec_driver_sql(query)] == history
        query = "SELECT * FROM tickets ORDER BY id"
        assert [tuple(row) for row in connection.exec_driver_sql(query)] == tickets
    database.close()


def test_questions_can_be_asked() -> None:
    asked = dict(questions())
    assert len(asked) > 200
    for query in asked.values():
        check(query)


def test_an_event_is_seen_when_as_many_are_shown() -> None:
    sights = [(10.0, 0), (10.5, 2), (11.0, 3)]
    assert _waits_ms([10.1, 10.2, 10.6], sights) == pytest.approx([400, 300, 400])

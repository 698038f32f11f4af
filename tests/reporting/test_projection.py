"""The rows depend on the streams alone."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.events import EventEnvelope, Status
from libs.events import ticket as t
from libs.events.base import Channel, Event
from libs.events.topics import SLA_EVENTS
from services.reporting.domain import microseconds
from services.reporting.handlers import topic_of
from services.reporting.report.engine import look, run
from services.reporting.report.model import ReportQuery
from services.reporting.views.lists import get_ticket
from tests.reporting.house import NOW, everything, feed, open_store, refreshed
from tests.reporting.streams import START, Desk, batches, envelope, interleaved

TICKET = "00000000-0000-4000-8000-000000000001"


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32), most=st.integers(1, 60))
def test_any_interleaving_and_any_batches_give_the_same_rows(
    database_url: str, seed: int, most: int
) -> None:
    rng = random.Random(seed)
    streams = Desk(seed).streams(8, events=10)
    with open_store(database_url) as store:
        feed(store, [[event for stream in streams for event in stream]])
        expected = everything(store)
    with open_store(database_url) as store:
        feed(store, batches(list(interleaved(streams, rng)), rng, most))
        assert everything(store) == expected


def test_an_imported_history_lies_in_the_days_where_it_happened(database_url: str) -> None:
    old = START.replace(year=2016, month=2, day=29)
    events: list[Event] = [
        _created(1, imported_from="elsewhere"),
        t.StatusChanged(status=Status.SOLVED, previous=Status.NEW),
        t.StatusChanged(status=Status.OPEN, previous=Status.SOLVED),
        t.StatusChanged(status=Status.SOLVED, previous=Status.OPEN),
    ]
    with open_store(database_url) as store:
        feed(store, [_stream(events, old, step=timedelta(hours=30))])
        with store.database.reading() as connection:
            ticket = get_ticket(connection, TICKET)
        with refreshed(store) as facts, facts.reading() as reading:
            query = ReportQuery(
                metrics=("created", "solved", "reopened", "backlog"), granularity="day"
            )
            now = look(reading.cursor, stamp=1, recorded_us=None, now_us=microseconds(NOW))
            days = run(reading.cursor, query, now).rows
    assert [[cell.value for cell in day.cells] for day in days] == [
        [1, 0, 0, 1],
        [0, 1, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 0, 1],
        [0, 1, 0, 0],
    ]
    assert days[0].bucket_us == microseconds(old)
    assert ticket is not None
    assert ticket["first_resolution_s"] == 30 * 3600
    assert ticket["resolution_s"] == 90 * 3600
    assert ticket["reopens"] == 1
    assert ticket["live"] is False


def test_events_before_the_creation_make_no_ticket_but_are_in_the_history(
    database_url: str,
) -> None:
    stray: list[Event] = [t.TagsChanged(added=("x",)), _created(3)]
    with open_store(database_url) as store:
        feed(store, [[event] for event in _stream(stray, START)])
        with store.database.reading() as connection:
            ticket = get_ticket(connection, TICKET)
    assert ticket is not None
    assert ticket["tags"] == []
    assert [entry["sequence"] for entry in ticket["history"]] == [1, 2]


def test_the_versions_of_a_calendar_are_in_the_history_and_move_nothing_else(
    database_url: str,
) -> None:
    versions = Desk(1).calendar()
    assert {topic_of(version) for version in versions} == {SLA_EVENTS}
    with open_store(database_url) as store:
        feed(store, [versions])
        rows = everything(store)
    kept = sorted((row[0], row[1], json.loads(row[-1])["version"]) for row in rows["history"])
    assert kept == [("calendar:desk", 1, 1), ("calendar:desk", 2, 2)]
    assert {name for name, found in rows.items() if found} == {"history", "positions"}


def test_text_that_a_database_cannot_store_is_made_storable(database_url: str) -> None:
    with open_store(database_url) as store:
        feed(store, [_stream([_created(3, subject="a\x00b\U0001f600")], START)])
        with store.database.reading() as connection:
            ticket = get_ticket(connection, TICKET)
    assert ticket is not None
    assert ticket["subject"] == "a\ufffdb\U0001f600"


def _created(number: int, subject: str = "Help", imported_from: str | None = None) -> Event:
    return t.TicketCreated(
        number=number,
        subject=subject,
        requester=t.Requester(id="r1"),
        channel=Channel.FORM,
        imported_from=imported_from,
    )


def _stream(
    events: list[Event], start: datetime, step: timedelta = timedelta(minutes=1)
) -> list[EventEnvelope]:
    return [
        envelope(TICKET, number, event, start + step * (number - 1))
        for number, event in enumerate(events, 1)
    ]

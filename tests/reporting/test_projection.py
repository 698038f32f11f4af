"""The rows depend on the streams alone; the figures are those that a plain fold gives."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from statistics import mean

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.events import EventEnvelope, Status, Ticket, fold
from libs.events import ticket as t
from libs.events.base import Channel, Event
from libs.events.topics import SLA_EVENTS
from services.reporting.handlers import topic_of
from services.reporting.views.figures import read_figures
from services.reporting.views.lists import get_ticket
from tests.reporting.house import NOW, everything, feed, open_store
from tests.reporting.streams import START, Desk, Stream, batches, by_time, envelope, interleaved

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


def test_the_figures_are_those_of_a_plain_fold(database_url: str) -> None:
    streams = Desk(5).streams(150, events=12)
    tickets = [fold(s) for s in streams if ":" not in s[0].stream_id and _is_ticket(s)]
    known = [ticket for ticket in tickets if ticket is not None]
    with open_store(database_url) as store:
        feed(store, batches(by_time(streams), random.Random(1), 300))
        with store.database.reading() as connection:
            figures = read_figures(connection, "all", now=NOW)
    for status in Status:
        assert figures.backlog[status] == sum(ticket.status is status for ticket in known)
    assert figures.tickets == figures.sums["created"] == len(known)
    assert figures.sums["reopened"] == sum(ticket.reopens for ticket in known)
    assert figures.sums["group_changed"] == sum(ticket.group_changes for ticket in known)
    assert figures.sums["handed_over"] == sum(ticket.hand_overs for ticket in known)
    assert figures.sums["escalated"] == sum(ticket.escalations for ticket in known)
    assert figures.flow[-1].backlog == figures.open
    assert sum(bucket.created for bucket in figures.flow) == len(known)
    reply = next(d for d in figures.durations if d.name == "first_reply")
    seconds = sorted(_seconds(ticket) for ticket in known if ticket.first_replied_at)
    assert reply.count == len(seconds)
    assert reply.mean_s == round(mean(seconds), 1)
    assert reply.p50_s == seconds[-(-50 * len(seconds) // 100) - 1]
    assert reply.p90_s == seconds[-(-90 * len(seconds) // 100) - 1]


def test_a_shorter_range_counts_only_what_lies_in_it(database_url: str) -> None:
    streams = Desk(6, span_days=60).streams(120, events=6)
    with open_store(database_url) as store:
        feed(store, [by_time(streams)])
        with store.database.reading() as connection:
            everything_ = read_figures(connection, "all", now=NOW)
            month = read_figures(connection, "30d", now=NOW)
            day = read_figures(connection, "24h", now=NOW)
    assert 0 < month.sums["created"] < everything_.sums["created"]
    assert day.granularity == "hour"
    assert len(day.flow) <= 24
    for figures in (everything_, month, day):
        assert figures.flow[-1].backlog == figures.open
        for name in ("created", "solved", "reopened"):
            assert sum(getattr(b, name) for b in figures.flow) == figures.sums[name]


def test_an_event_far_in_the_future_does_not_hide_the_present(database_url: str) -> None:
    far = envelope(TICKET, 1, _created(7), START.replace(year=9999))
    with open_store(database_url) as store:
        feed(store, [[*by_time(Desk(2).streams(20)), far]])
        with store.database.reading() as connection:
            figures = read_figures(connection, "30d", now=NOW)
    assert figures.last is not None
    assert figures.last < "2026-06-02"
    assert figures.tickets == 21


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
            figures = read_figures(connection, "all", now=NOW)
            ticket = get_ticket(connection, TICKET)
    by_day = {bucket.start[:10]: bucket for bucket in figures.flow}
    assert by_day["2016-02-29"].created == 1
    assert by_day["2016-03-01"].solved == 1
    assert by_day["2016-03-02"].reopened == 1
    assert [b.backlog for b in figures.flow] == [1, 0, 1, 1, 0][: len(figures.flow)]
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


def _is_ticket(stream: Stream) -> bool:
    return isinstance(stream[0].event, t.TicketCreated)


def _seconds(ticket: Ticket) -> int:
    assert ticket.first_replied_at is not None
    assert ticket.created_at is not None
    return int((ticket.first_replied_at - ticket.created_at).total_seconds())

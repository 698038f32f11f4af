"""Reports over the streams of a desk, from the store through the fact tables: what a plain fold says."""

from __future__ import annotations

import random
from statistics import mean
from typing import Any

import pytest

from libs.events import Status, Ticket, fold
from libs.events import ticket as t
from libs.events.base import Channel
from services.reporting.domain import microseconds
from services.reporting.facts.facts import Facts
from services.reporting.report.drill import facts_of as facts_behind
from services.reporting.report.engine import look, run
from services.reporting.report.model import Report, ReportQuery
from tests.reporting.house import NOW, facts_of, feed, open_store, refreshed
from tests.reporting.streams import START, Desk, batches, by_time, envelope

TICKET = "00000000-0000-4000-8000-000000000001"


def answer(facts: Facts, **asked: Any) -> Report:
    with facts.reading() as reading:
        known = look(reading.cursor, stamp=1, recorded_us=None, now_us=microseconds(NOW))
        return run(reading.cursor, ReportQuery(**asked), known)


def values(report: Report) -> dict[tuple[str | None, ...], list[Any]]:
    return {row.keys: [cell.value for cell in row.cells] for row in report.rows}


def test_figures_are_those_of_a_plain_fold(database_url: str) -> None:
    streams = Desk(5).streams(150, events=12)
    folded = [fold(s) for s in streams if type(s[0].event) is t.TicketCreated]
    tickets = [ticket for ticket in folded if ticket is not None]
    with facts_of(database_url, batches(by_time(streams), random.Random(1), 300)) as facts:
        flow = ("created", "reopened", "group_changes", "hand_overs", "escalated")
        assert values(answer(facts, metrics=flow))[()] == [
            len(tickets),
            sum(ticket.reopens for ticket in tickets),
            sum(ticket.group_changes for ticket in tickets),
            sum(ticket.hand_overs for ticket in tickets),
            sum(ticket.escalations for ticket in tickets),
        ]
        by_status = values(answer(facts, metrics=("created",), by=("status",)))
        standing = values(answer(facts, metrics=("backlog",), by=("status",)))
        for status in Status:
            count = sum(ticket.status is status for ticket in tickets)
            assert by_status.get((status.value,), [0]) == [count]
            at_work = status not in (Status.SOLVED, Status.CLOSED)
            assert standing.get((status.value,), [0]) == [count if at_work else 0]
        replied = sorted(_seconds(ticket) for ticket in tickets if ticket.first_replied_at)
        times = answer(facts, metrics=("first_reply_time",)).rows[0].cells
        assert [cell.facts for cell in times] == [len(replied)] * 3
        assert times[0].value == pytest.approx(mean(replied))
        assert times[1].value == replied[-(-50 * len(replied) // 100) - 1]
        assert times[2].value == replied[-(-90 * len(replied) // 100) - 1]


def test_the_backlog_of_each_day_follows_from_what_came_and_went(sqlite_url: str) -> None:
    with facts_of(sqlite_url, [by_time(Desk(6, span_days=60).streams(120, events=6))]) as facts:
        metrics = ("created", "solved", "reopened", "backlog")
        for granularity in ("hour", "day", "week", "month"):
            backlog = 0
            for row in answer(facts, metrics=metrics, granularity=granularity).rows:
                created, solved, reopened, level = (int(cell.value or 0) for cell in row.cells)
                backlog += created - solved + reopened
                assert level == backlog


def test_an_event_far_in_the_future_does_not_hide_the_present(sqlite_url: str) -> None:
    creation = t.TicketCreated(
        number=7, subject="x", requester=t.Requester(id="r"), channel=Channel.FORM
    )
    far = envelope(TICKET, 1, creation, START.replace(year=9999))
    with facts_of(sqlite_url, [[*by_time(Desk(2).streams(20)), far]]) as facts:
        days = answer(facts, metrics=("created",), granularity="day")
        assert days.end_us is not None
        assert days.end_us < microseconds(NOW)
        assert sum(int(row.cells[0].value or 0) for row in days.rows) == 20
        ever = answer(
            facts, metrics=("created",), end_us=microseconds(START.replace(year=9999)) + 1
        )
        assert ever.rows[0].cells[0].value == 21


def test_figures_stand_still_while_stamps_are_equal(sqlite_url: str) -> None:
    with facts_of(sqlite_url, [by_time(Desk(3).streams(30))]) as facts:
        before = facts.stamp
        one = answer(facts, metrics=("created", "solved"), by=("channel",))
        assert facts.refresh() is False
        assert facts.stamp == before
        assert answer(facts, metrics=("created", "solved"), by=("channel",)) == one


def _seconds(ticket: Ticket) -> int:
    assert ticket.first_replied_at is not None
    assert ticket.created_at is not None
    return int((ticket.first_replied_at - ticket.created_at).total_seconds())


def test_pages_of_facts_go_on_in_another_copy_of_the_tables(sqlite_url: str) -> None:
    """As after a rebuild, or in another process: tickets have other numbers there."""
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(1, 8)]
    made = {
        ticket_id: envelope(
            ticket_id,
            1,
            t.TicketCreated(
                number=number, subject="s", requester=t.Requester(id="r"), channel=Channel.EMAIL
            ),
            START,
        )
        for number, ticket_id in enumerate(ids, start=1)
    }
    query = ReportQuery(("created",))
    listed: list[str] = []
    after: str | None = None
    with open_store(sqlite_url) as store, refreshed(store) as followed:
        for ticket_id in random.Random(4).sample(ids, len(ids)):
            feed(store, [[made[ticket_id]]])
            followed.refresh()
        with refreshed(store) as loaded:
            for facts in (followed, loaded, followed, loaded):
                with facts.reading() as reading:
                    known = look(reading.cursor, stamp=1, recorded_us=None, now_us=None)
                    found = facts_behind(
                        reading.cursor, query, known, bucket_us=None, keys=(), limit=2, after=after
                    )
                listed += [fact.ticket_id for fact in found.facts]
                after = found.next
    assert listed == ids
    assert after is None

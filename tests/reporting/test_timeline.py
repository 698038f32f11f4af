"""The timeline of a ticket's clocks: from what the SLA service really publishes, drawn and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import Connection

from libs.events import EventEnvelope, format_time
from libs.runtime.outbox import Outgoing
from libs.worktime.instants import to_datetime, to_us
from services.reporting.page.open_hours import cut
from services.reporting.page.parts import render
from services.reporting.page.timeline import drawing, table
from services.reporting.page.timeline_rows import Row, calendars_in, rows_of
from services.reporting.views.calendars import timelines_of
from services.reporting.views.lists import get_ticket
from services.sla import store as s
from services.sla import views
from services.sla.announcing import announce_calendars
from tests.reporting.house import feed, open_store
from tests.reporting.served import Browser, serving
from tests.sla.bench import Bench
from tests.sla.desk import Stream, at, created, priority, reply, status


def published(
    stream: Stream, database_url: str, calendars: Sequence[tuple[str, dict[str, Any]]] = ()
) -> list[EventEnvelope]:
    """The events of the ticket, what its clocks say about them, and the calendars: the default ones and
    these versions, each with when it is in force."""
    bench = Bench(database_url, edges_of_imports=False)

    def define(connection: Connection, outgoing: Outgoing) -> None:
        for when, document in calendars:
            s.put_calendar(connection, bench.books.read(connection), document, to_us(at(when)))
        announce_calendars(connection, outgoing, bench.store.outbox)

    bench.store.write_now(define)
    bench.apply(*stream.envelopes)
    said = bench.envelopes()
    bench.stop()
    return [*stream.envelopes, *said]


def explained(stream: Stream, database_url: str, metric: str, now: datetime) -> list[Any]:
    """Start, end, and why it did not count, of every stretch: as `bitacora sla explain` has it."""
    bench = Bench(database_url)
    found = bench.read(
        lambda c: views.proofs_of(c, bench.books.read(c), stream.id, to_us(now), metric)
    )
    bench.stop()
    return [
        (one["start"], one["end"], "" if one["why"] == "counted" else one["why"], one["name"])
        for one in found["clocks"][0]["intervals"]
    ]


def shown_with_calendars(events: Sequence[EventEnvelope], directory: Path) -> Any:
    with open_store(f"sqlite:///{directory}/reporting.sqlite3") as store:
        feed(store, [events])
        with store.database.reading() as connection:
            ticket = get_ticket(connection, events[0].stream_id)
            assert ticket is not None
            return ticket, timelines_of(connection, calendars_in(ticket))


def shown(events: Sequence[EventEnvelope], directory: Path) -> Any:
    with open_store(f"sqlite:///{directory}/reporting.sqlite3") as store:
        feed(store, [events])
        with store.database.reading() as connection:
            return get_ticket(connection, events[0].stream_id)


def full() -> Stream:
    """Paused, retargeted, late, reopened."""
    stream = Stream()
    stream.add("10:00", created(priority="low"))
    stream.add("10:10", status("pending", "new"), "agent:7")
    stream.add("12:00", reply(), "agent:7")
    stream.add("12:30", status("open", "pending"))
    stream.add("13:00", priority("critical", "low"), "agent:7")
    stream.add("20:00", status("solved"), "agent:7")
    stream.add("+1 09:00", status("open", "solved"))
    return stream


def row(rows: list[Row], metric: str) -> Row:
    return next(one for one in rows if one.metric == metric)


def hours(instant: datetime, us: int | None) -> float:
    assert us is not None
    return (us / 1e6 - instant.timestamp()) / 3600


def test_the_rows_are_what_the_clocks_published(tmp_path: Path, sqlite_url: str) -> None:
    ticket = shown(published(full(), sqlite_url), tmp_path)
    rows = rows_of(ticket)
    wait = row(rows, "requester_wait")
    spans = [
        (one.kind, hours(at("10:00"), one.start_us), one.end_us and hours(at("10:00"), one.end_us))
        for one in wait.spans
    ]
    assert spans == [
        ("running", 0, pytest.approx(1 / 6)),
        ("paused", pytest.approx(1 / 6), 2.5),
        ("running", 2.5, 10),
        ("running", 23, None),
    ]
    assert [one.cause for one in wait.spans] == ["1", "2", "4", "7"]
    # Ten minutes before the pause, the rest of 4 hours after it.
    assert hours(at("10:00"), wait.due_us) == pytest.approx(2.5 + 4 - 1 / 6)
    assert [mark.sign for mark in wait.marks] == ["◆", "▲", "▲", "✖", "✔"]
    assert (wait.breached, wait.verdict) == (True, "running")
    assert row(rows, "first_reply").verdict == "met"


def test_the_drawing_stays_inside_and_says_everything_in_words(
    tmp_path: Path, sqlite_url: str
) -> None:
    ticket = shown(published(full(), sqlite_url), tmp_path)
    rows = rows_of(ticket)
    drawn = drawing(rows, at("+1 12:00"))
    assert drawn is not None
    for line in drawn.lines:
        for bar in line.bars:
            assert bar.x >= 0
            assert bar.x + bar.width <= 100.01
        assert all(0 <= sign.x <= 100 for sign in line.signs)
    assert "requester wait: breached, running" in drawn.text
    svg = render("timeline.html", d=drawn, unseen=False, number=1)
    assert svg.count("<rect") >= sum(len(line.bars) for line in drawn.lines)
    assert "<title" in svg
    assert "<desc" in svg
    listed = table(rows, at("+1 12:00"))
    assert ("requester wait", "2026-06-01 10:10:00", "2026-06-01 12:30:00", "paused", "2") in listed
    assert any(until == "now" for _, _, until, _, _ in listed)


WEEK = ("mon", "tue", "wed", "thu", "fri")
OFFICE: dict[str, Any] = {
    "id": "business",
    "zone": "Europe/Madrid",
    "hours": {day: [["09:00", "13:00"], ["14:00", "18:00"]] for day in WEEK},
    "holidays": [],
}


def test_closed_hours_are_drawn_as_explain_says_them(tmp_path: Path, sqlite_url: str) -> None:
    """A lunch break, nights, a weekend, a holiday with a name, a special day, a version that closes
    earlier, a pause, and the present."""
    feast = {"source": "upload:plant.ics", "dates": {"2026-06-03": "Plant closed"}}
    closed = {**OFFICE, "resolved_holidays": [feast]}
    summer = {**closed, "hours": {day: [["08:00", "15:00"]] for day in WEEK}}
    versions = (("09:00", closed), ("+7 00:00", {**summer, "special_days": {"2026-06-11": []}}))
    stream = Stream()
    stream.add("10:00", created(priority="low"))
    stream.add("+3 08:00", status("pending", "new"), "agent:7")
    stream.add("+4 12:30", status("open", "pending"))
    now = at("+11 10:30")
    events = published(stream, sqlite_url, versions)
    ticket, calendars = shown_with_calendars(events, tmp_path)
    rows = rows_of(ticket)
    wait = row(rows, "requester_wait")
    pieces = cut(wait, calendars, to_us(now))
    drawn = [
        (
            format_time(to_datetime(one.start_us)),
            format_time(now if one.end_us is None else to_datetime(one.end_us)),
            one.why or ("paused" if one.kind == "paused" else ""),
        )
        for one in pieces
    ]
    words = {
        "hours": "outside the calendar's hours",
        "holiday": "holiday: {}",
        "special_day": "closed on the special day {}",
        "status": "paused",
    }
    expected = [
        (start, end, words[why].format(name) if why else "")
        for start, end, why, name in explained(stream, sqlite_url, "requester_wait", now)
    ]
    assert drawn == expected
    assert {why for _, _, why in drawn} == {
        *("", "paused", "outside the calendar's hours"),
        *("holiday: Plant closed", "closed on the special day 2026-06-11"),
    }
    assert pieces[-1].end_us is None

    made = drawing(rows, now, calendars)
    assert made is not None
    assert (made.hours_known, made.too_short) == (True, False)
    bars = next(line.bars for line in made.lines if line.name == "requester wait")
    assert sum(bar.kind == "closed" for bar in bars) == sum(one.kind == "closed" for one in pieces)
    assert all(bar.x >= 0 and bar.x + bar.width <= 100.01 for bar in bars)
    svg = render("timeline.html", d=made, unseen=False, number=1)
    assert "holiday: Plant closed" in svg
    assert "Closed hours" not in svg
    listed = {what for _, _, _, what, _ in table(rows, now, calendars)}
    assert "holiday: Plant closed" in listed


def test_a_calendar_that_nobody_said_leaves_closed_hours_inside_and_says_so(
    tmp_path: Path, sqlite_url: str
) -> None:
    ticket, calendars = shown_with_calendars(published(full(), sqlite_url), tmp_path)
    rows = rows_of(ticket)
    made = drawing(rows, at("+1 12:00"), {})
    assert made is not None
    assert not made.hours_known
    assert "inside what is drawn as counted" in render(
        "timeline.html", d=made, unseen=False, number=1
    )
    assert set(calendars) == {"always", "business"}


def test_years_are_no_thousands_of_bars(tmp_path: Path, sqlite_url: str) -> None:
    stream = Stream()
    stream.add("10:00", created(priority="low"))
    stream.add("+1 10:00", status("pending", "new"))
    stream.add("+2 10:00", status("open", "pending"))
    stream.add("+900 10:00", status("solved"))
    ticket, calendars = shown_with_calendars(published(stream, sqlite_url), tmp_path)
    rows = rows_of(ticket)
    made = drawing(rows, at("+901 12:00"), calendars)
    assert made is not None
    assert made.too_short
    assert all(len(line.bars) <= 1_001 for line in made.lines)
    assert "too short to be seen" in render("timeline.html", d=made, unseen=False, number=1)
    listed = table(rows, at("+901 12:00"), calendars)
    assert len(listed) < 1_000
    assert any("stretches more" in what for _, _, _, what, _ in listed)


def test_imported_history_without_edges_shows_its_verdicts(tmp_path: Path, sqlite_url: str) -> None:
    stream = Stream()
    stream.add("10:00", created(imported_from="x", priority="critical"))
    stream.add("11:00", status("solved"))
    ticket = shown(published(stream, sqlite_url), tmp_path)
    wait = row(rows_of(ticket), "requester_wait")
    assert [(one.kind, hours(at("10:00"), one.end_us)) for one in wait.spans] == [("unseen", 1)]
    assert wait.verdict == "met"
    late = row(rows_of(ticket), "first_reply")
    assert (late.breached, hours(at("10:00"), late.due_us)) == (True, 0.25)


def test_no_clock_no_drawing() -> None:
    assert drawing([], at("10:00")) is None
    assert "No clock" in render("timeline.html", d=None, unseen=False, number=1)
    assert render("timeline_table.html", rows=[], ticket_id="t") == ""


@pytest.mark.browser
def test_on_the_page(tmp_path: Path, sqlite_url: str, browser: Browser) -> None:
    stream = full()
    events = published(stream, sqlite_url)
    page = browser.page
    with serving(tmp_path, events) as served:
        page.goto(f"{served.url}/tickets/{stream.id}")
        svg = page.get_by_role("img", name="SLA clocks of this ticket over time")
        expect(svg).to_be_visible()
        expect(svg.locator("rect.tl-paused")).to_have_count(1)
        expect(svg.locator(".tl-name")).to_have_count(3)
        page.get_by_text("The timeline as a table").click()
        cell = page.get_by_role("region", name="The timeline as a table").get_by_text("paused")
        expect(cell).to_be_visible()
        # The drawing goes on with the time; the table stays open.
        page.set_viewport_size({"width": 375, "height": 740})
        expect(svg).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        expect(cell).to_be_visible()
    assert browser.complaints == []

"""The timeline of a ticket's clocks: from what the SLA service really publishes, drawn and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from libs.events import EventEnvelope
from services.reporting.page.parts import render
from services.reporting.page.timeline import Row, drawing, rows_of, table
from services.reporting.views.lists import get_ticket
from tests.reporting.house import feed, open_store
from tests.reporting.served import Browser, serving
from tests.sla.bench import Bench
from tests.sla.desk import Stream, at, created, priority, reply, status


def published(stream: Stream, database_url: str) -> list[EventEnvelope]:
    """The events of the ticket, and what its clocks say about them."""
    bench = Bench(database_url, edges_of_imports=False)
    bench.apply(*stream.envelopes)
    said = bench.envelopes()
    bench.stop()
    return [*stream.envelopes, *said]


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
    listed = table(rows)
    assert ("requester wait", "2026-06-01 10:10:00", "2026-06-01 12:30:00", "paused", "2") in listed
    assert any(until == "now" for _, _, until, _, _ in listed)


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

"""The SLA clocks of a ticket as a drawn timeline, from the events that the clocks published.

Closed hours are laid out by the calendars that the SLA service has said; where it has not said one, they
are inside what is drawn as counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nicegui import ui

from services.reporting.domain import HOUR_US, microseconds, words
from services.reporting.page.frame import update
from services.reporting.page.open_hours import Calendars, cut, hours_known, without_short
from services.reporting.page.parts import duration
from services.reporting.page.timeline_rows import (
    CLOSED,
    PAUSED,
    RUNNING,
    UNSEEN,
    Row,
    Span,
    rows_of,
)
from services.reporting.views.lists import Json

NONE: Final[Calendars] = {}
ROWS_MAX: Final = 40
"""Reply clocks start anew with each question; the latest are drawn."""
STRETCHES_MAX: Final = 200
"""Of one row, in the table: the latest."""
TICKS: Final = 4
LEAST: Final = 0.4
"""Per cent of the width: what is shorter is drawn this wide, so that it can be seen."""
CLOSED_LEAST: Final = 0.2
"""Per cent of the width: shorter closed hours are not drawn, so that years are no thousands of bars."""


# ---- the drawing -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bar:
    """In per cent of the width."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Sign:
    sign: str
    x: float
    anchor: str
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """A drawn row. `due_x` None: nothing is due, or outside the drawing."""

    name: str
    verdict: str
    late: bool
    held: str
    y: int
    bars: list[Bar]
    signs: list[Sign]
    due_x: float | None
    due: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """`text` says in words what is drawn; `left_out` how many rows are not; `too_short`: some closed hours
    are not; `hours_known`: those of every row are known."""

    lines: list[Line]
    ticks: list[tuple[float, str, str]]
    height: int
    text: str
    left_out: int
    too_short: bool = False
    hours_known: bool = True


ROW_PX: Final = 46
AXIS_PX: Final = 26


def drawing(rows: list[Row], now: datetime, calendars: Calendars = NONE) -> Drawing | None:
    """The timeline as of `now`; None when there is nothing to draw."""
    shown = rows[-ROWS_MAX:]
    known = list(_instants(shown))
    if not known:
        return None
    now_us = microseconds(now)
    first_us, last_us = min(known), max(known)
    if any(row.live and row.verdict in (RUNNING, PAUSED) for row in shown):
        # A clock that runs on for months must not squeeze what happened into the edge.
        last_us = min(max(last_us, now_us), last_us + max(last_us - first_us, HOUR_US) // 2)
    length_us = max(last_us - first_us, 1)
    shortest_us = int(length_us * CLOSED_LEAST / 100)
    too_short: list[bool] = []

    def x(at_us: int) -> float:
        return round(100 * (at_us - first_us) / length_us, 2)

    def line(number: int, row: Row) -> Line:
        goes_on_us = now_us if row.last_us is None else row.last_us
        until_us = min(max(goes_on_us, first_us), last_us)
        bars = []
        spans, left_out = without_short(cut(row, calendars, until_us), shortest_us)
        too_short.append(left_out)
        for span in spans:
            end_us = until_us if span.end_us is None else span.end_us
            width = max(x(end_us) - x(span.start_us), 0 if span.part else LEAST)
            start = min(x(span.start_us), 100 - width)
            bars.append(Bar(span.kind, round(start, 2), round(width, 2), _said(span)))
        signs = [
            Sign(
                mark.sign,
                x(mark.at_us),
                _anchor(x(mark.at_us)),
                f"{mark.text}, {_time(mark.at_us)}",
            )
            for mark in row.marks
        ]
        return Line(
            row.name,
            _verdict(row),
            row.breached,
            f"{duration(row.target_s)} by {row.held}",
            number * ROW_PX,
            bars,
            signs,
            None if row.due_us is None else x(row.due_us),
            "" if row.due_us is None else _time(row.due_us),
        )

    lines = [line(number, row) for number, row in enumerate(shown)]
    return Drawing(
        lines,
        [
            (
                100 * part / TICKS,
                _anchor(100 * part / TICKS),
                _time(first_us + length_us * part // TICKS)[:16],
            )
            for part in (0, TICKS // 2, TICKS)
        ],
        len(lines) * ROW_PX + AXIS_PX,
        "; ".join(f"{one.name}: {one.verdict}" for one in lines),
        len(rows) - len(shown),
        any(too_short),
        all(hours_known(row, calendars) for row in shown),
    )


def _instants(rows: Iterable[Row]) -> Iterable[int]:
    for row in rows:
        for span in row.spans:
            yield span.start_us
            if span.end_us is not None:
                yield span.end_us
        yield from (mark.at_us for mark in row.marks)
        if row.due_us is not None:
            yield row.due_us


def _verdict(row: Row) -> str:
    if not row.breached:
        return row.verdict
    return "met, but late" if row.verdict == "met" else f"breached, {row.verdict}"


def _anchor(x: float) -> str:
    """So that a text at the edge stays inside."""
    return "start" if x < 3 else "end" if x > 97 else "middle"  # noqa: PLR2004 - per cent


_KINDS: Final = {
    RUNNING: "counted",
    PAUSED: "paused",
    UNSEEN: "before its first event; not itemised",
    CLOSED: "closed",
}


def _said(span: Span) -> str:
    until = "now" if span.end_us is None else _time(span.end_us)
    return f"{span.why or _KINDS[span.kind]}, {_time(span.start_us)} to {until}"


def _time(us: int) -> str:
    return str(words(us))[:19].replace("T", " ")


# ---- the section -------------------------------------------------------------------------------


class Timeline:
    """The section of the page. The table is an element of its own: it stays open while the drawing goes
    on with the time."""

    def __init__(self) -> None:
        with ui.element("section").classes("card").props('aria-labelledby="h-timeline"'):
            self._drawn = ui.html("", sanitize=False)
            self._table = ui.html("", sanitize=False)

    def show(self, ticket: Json, calendars: Calendars, now: datetime) -> None:
        """The clocks of this ticket, as `get_ticket` gives it, by the calendars that it names."""
        rows = rows_of(ticket)
        update(
            self._drawn,
            "timeline.html",
            d=drawing(rows, now, calendars),
            unseen=any(span.kind == UNSEEN for row in rows for span in row.spans),
            number=ticket["number"],
        )
        update(
            self._table,
            "timeline_table.html",
            rows=table(rows, now, calendars),
            ticket_id=ticket["id"],
        )


# ---- the same as a table -------------------------------------------------------------------------


def table(
    rows: list[Row], now: datetime, calendars: Calendars = NONE
) -> list[tuple[str, str, str, str, str]]:
    """Clock, from, until (empty: an instant; `now`: goes on), what, number of the ticket event."""
    now_us, found = microseconds(now), []
    for row in rows[-ROWS_MAX:]:
        spans = cut(row, calendars, now_us if row.last_us is None else row.last_us)
        lines = [
            (
                span.start_us,
                "now" if span.end_us is None else _time(span.end_us),
                span.why or _KINDS[span.kind],
                span.cause,
            )
            for span in spans[-STRETCHES_MAX:]
        ]
        if len(spans) > STRETCHES_MAX:
            more = f"{len(spans) - STRETCHES_MAX} stretches more, in bitacora sla explain"
            lines.insert(
                0, (spans[0].start_us, _time(spans[-STRETCHES_MAX].start_us), more, spans[0].cause)
            )
        lines += [(mark.at_us, "", f"{mark.sign} {mark.text}", mark.cause) for mark in row.marks]
        if row.due_us is not None and not row.breached:
            lines.append((row.due_us, "", "due", ""))
        lines.sort(key=lambda one: one[0])
        found += [(row.name, _time(at), until, what, cause) for at, until, what, cause in lines]
    return found

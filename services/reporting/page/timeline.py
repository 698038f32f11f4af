"""The SLA clocks of a ticket as a drawn timeline, from the events that the clocks published.

One row per activation: when it counted, when it was paused, warnings, due instant, verdict. What is
outside a calendar's hours is not in the events; `bitacora sla explain` has that to the second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from nicegui import ui

from libs.events import parse_time
from services.reporting.domain import HOUR_US, microseconds, words
from services.reporting.page.frame import update
from services.reporting.page.parts import duration, type_name, word
from services.reporting.views.history import SLA_PREFIX
from services.reporting.views.lists import Json

RUNNING: Final = "running"
PAUSED: Final = "paused"
UNSEEN: Final = "unseen"
ROWS_MAX: Final = 40
"""Reply clocks start anew with each question; the latest are drawn."""
TICKS: Final = 4
LEAST: Final = 0.4
"""Per cent of the width: what is shorter is drawn this wide, so that it can be seen."""

_MARKS: Final = {
    "SlaWarning": "▲",
    "SlaBreached": "✖",
    "ClockSatisfied": "✔",
    "ClockCancelled": "⊘",
}


@dataclass(slots=True)
class Span:
    """A stretch of a row. `end_us` None: it goes on. `cause` is the ticket event that began it."""

    kind: str
    start_us: int
    end_us: int | None = None
    cause: str = ""


@dataclass(slots=True)
class Mark:
    """Something that happened to a clock at an instant."""

    sign: str
    at_us: int
    text: str
    cause: str = ""


@dataclass(slots=True)
class Row:
    """One activation. `verdict`: running, paused, met, breached, cancelled."""

    metric: str
    activation: int
    target_s: int | None = None
    due_us: int | None = None
    held: str = ""
    verdict: str = RUNNING
    breached: bool = False
    live: bool = True
    spans: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @property
    def name(self) -> str:
        return word(self.metric) + (f" {self.activation}" if self.activation > 1 else "")


def rows_of(ticket: Json) -> list[Row]:
    """The rows, in the order in which the clocks began. Of imported history often only the verdicts
    are published; the time before them is shown as not itemised."""
    rows: dict[tuple[str, int], Row] = {}
    latest: dict[str, int] = {}
    created_us = _us(ticket["created_at"])
    for event in ticket["history"]:
        if not event["stream_id"].startswith(SLA_PREFIX):
            continue
        name, data = type_name(event["type"]), event["data"]
        apply = _CHANGES.get(name)
        if apply is None:
            continue
        metric = data["metric"]
        number = data.get("activation")
        if number is None:  # an older event: each start begins the next one
            number = latest.get(metric, 0) + (name == "ClockStarted") or 1
        latest[metric] = number
        row = rows.get((metric, number))
        if row is None:
            row = rows[metric, number] = Row(metric, number)
            if name != "ClockStarted" and created_us is not None:
                row.spans.append(Span(UNSEEN, created_us))
        row.live = data.get("live", True)
        row.held = (
            f"{data['policy']} v{data['policy_version']},"
            f" {data['calendar']} v{data['calendar_version']}"
        )
        row.target_s = data.get("target_s", row.target_s)
        apply(row, data, (data.get("cause") or "").rpartition(":")[2])
    return list(rows.values())


def _us(text: str | None) -> int | None:
    return None if text is None else microseconds(parse_time(text))


def _at(data: dict[str, Any]) -> int:
    return microseconds(parse_time(data["at"]))


def _turn(row: Row, kind: str, at_us: int, cause: str) -> None:
    """End the span that goes on, and begin one of this kind."""
    _stop(row, at_us)
    row.spans.append(Span(kind, at_us, cause=cause))
    row.verdict = kind


def _stop(row: Row, at_us: int) -> None:
    if row.spans and row.spans[-1].end_us is None:
        row.spans[-1].end_us = max(at_us, row.spans[-1].start_us)


def _started(row: Row, data: dict[str, Any], cause: str) -> None:
    _turn(row, RUNNING, _at(data), cause)
    row.due_us = _us(data["due"])


def _paused(row: Row, data: dict[str, Any], cause: str) -> None:
    _turn(row, PAUSED, _at(data), cause)
    row.due_us = None if not row.breached else row.due_us


def _resumed(row: Row, data: dict[str, Any], cause: str) -> None:
    _turn(row, RUNNING, _at(data), cause)
    if not row.breached:
        row.due_us = _us(data["due"])


def _retargeted(row: Row, data: dict[str, Any], cause: str) -> None:
    row.marks.append(Mark("◆", _at(data), f"new target {duration(data['target_s'])}", cause))
    if not row.breached:
        row.due_us = _us(data.get("due"))


def _warned(row: Row, data: dict[str, Any], cause: str) -> None:
    text = f"{data['fraction']} % of the target used up"
    row.marks.append(Mark(_MARKS["SlaWarning"], _at(data), text, cause))


def _breached(row: Row, data: dict[str, Any], cause: str) -> None:
    row.breached = True
    row.due_us = microseconds(parse_time(data["due"]))
    row.marks.append(Mark(_MARKS["SlaBreached"], row.due_us, "breached: this was due", cause))


def _satisfied(row: Row, data: dict[str, Any], cause: str) -> None:
    _stop(row, _at(data))
    row.verdict, row.breached = "met", bool(data["breached"])
    text = f"ended after {duration(data['elapsed_s'])}" + (
        ", late" if row.breached else ", in time"
    )
    row.marks.append(Mark(_MARKS["ClockSatisfied"], _at(data), text, cause))


def _cancelled(row: Row, data: dict[str, Any], cause: str) -> None:
    _stop(row, _at(data))
    row.verdict = "cancelled"
    text = f"cancelled: {word(data['reason'])}"
    row.marks.append(Mark(_MARKS["ClockCancelled"], _at(data), text, cause))


_CHANGES: Final[dict[str, Any]] = {
    "ClockStarted": _started,
    "ClockPaused": _paused,
    "ClockResumed": _resumed,
    "ClockRetargeted": _retargeted,
    "SlaWarning": _warned,
    "SlaBreached": _breached,
    "ClockSatisfied": _satisfied,
    "ClockCancelled": _cancelled,
}


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
    """`text` says in words what is drawn; `left_out` how many rows are not."""

    lines: list[Line]
    ticks: list[tuple[float, str, str]]
    height: int
    text: str
    left_out: int


ROW_PX: Final = 46
AXIS_PX: Final = 26


def drawing(rows: list[Row], now: datetime) -> Drawing | None:
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

    def x(at_us: int) -> float:
        return round(100 * (at_us - first_us) / length_us, 2)

    def line(number: int, row: Row) -> Line:
        until_us = min(max(now_us, first_us), last_us) if row.live else last_us
        bars = []
        for span in row.spans:
            end_us = until_us if span.end_us is None else span.end_us
            width = max(x(end_us) - x(span.start_us), LEAST)
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
}


def _said(span: Span) -> str:
    until = "now" if span.end_us is None else _time(span.end_us)
    return f"{_KINDS[span.kind]}, {_time(span.start_us)} to {until}"


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

    def show(self, ticket: Json, now: datetime) -> None:
        """The clocks of this ticket, as `get_ticket` gives it."""
        rows = rows_of(ticket)
        update(
            self._drawn,
            "timeline.html",
            d=drawing(rows, now),
            unseen=any(span.kind == UNSEEN for row in rows for span in row.spans),
            number=ticket["number"],
        )
        update(self._table, "timeline_table.html", rows=table(rows), ticket_id=ticket["id"])


# ---- the same as a table -------------------------------------------------------------------------


def table(rows: list[Row]) -> list[tuple[str, str, str, str, str]]:
    """Clock, from, until (empty: an instant; `now`: goes on), what, number of the ticket event."""
    found = []
    for row in rows[-ROWS_MAX:]:
        lines = [
            (
                span.start_us,
                "now" if span.end_us is None else _time(span.end_us),
                _KINDS[span.kind],
                span.cause,
            )
            for span in row.spans
        ]
        lines += [(mark.at_us, "", f"{mark.sign} {mark.text}", mark.cause) for mark in row.marks]
        if row.due_us is not None and not row.breached:
            lines.append((row.due_us, "", "due", ""))
        lines.sort(key=lambda one: one[0])
        found += [(row.name, _time(at), until, what, cause) for at, until, what, cause in lines]
    return found

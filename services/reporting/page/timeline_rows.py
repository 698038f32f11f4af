"""The rows of a ticket's SLA timeline, from the events that its clocks published.

One row per activation: when it counted, when it was paused, warnings, due instant, verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from libs.events import parse_time
from services.reporting.domain import microseconds
from services.reporting.page.parts import duration, type_name, word
from services.reporting.views.history import SLA_PREFIX
from services.reporting.views.lists import Json

RUNNING: Final = "running"
PAUSED: Final = "paused"
UNSEEN: Final = "unseen"
CLOSED: Final = "closed"

_MARKS: Final = {
    "SlaWarning": "▲",
    "SlaBreached": "✖",
    "ClockSatisfied": "✔",
    "ClockCancelled": "⊘",
}


@dataclass(slots=True)
class Span:
    """A stretch of a row. `end_us` None: it goes on. `cause` is the ticket event that began it, `why` what
    kept it from counting, where that was the calendar. `part`: one of several into which the calendar cut
    it."""

    kind: str
    start_us: int
    end_us: int | None = None
    cause: str = ""
    why: str = ""
    part: bool = False


@dataclass(slots=True)
class Mark:
    """Something that happened to a clock at an instant."""

    sign: str
    at_us: int
    text: str
    cause: str = ""


@dataclass(slots=True)
class Row:
    """One activation. `verdict`: running, paused, met, breached, cancelled. `calendar` is the one that it
    was held to last, `last_us` the end of imported history, whose time does not go on."""

    metric: str
    activation: int
    target_s: int | None = None
    due_us: int | None = None
    held: str = ""
    calendar: str = ""
    last_us: int | None = None
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
        row.last_us = None if row.live else _us(ticket["updated_at"])
        row.calendar = data["calendar"]
        row.held = (
            f"{data['policy']} v{data['policy_version']},"
            f" {data['calendar']} v{data['calendar_version']}"
        )
        row.target_s = data.get("target_s", row.target_s)
        apply(row, data, (data.get("cause") or "").rpartition(":")[2])
    return list(rows.values())


def calendars_in(ticket: Json) -> set[str]:
    """The calendars by which clocks of this ticket counted."""
    return {
        event["data"]["calendar"]
        for event in ticket["history"]
        if event["stream_id"].startswith(SLA_PREFIX) and "calendar" in event["data"]
    }


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

"""Which part of the time that a clock ran was open: laid out as `bitacora sla explain` does it.

By the calendar that the clock was held to last, each instant by the version in force then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from libs.worktime.layout import Reason, lay_out
from libs.worktime.timeline import Timeline
from services.reporting.page.timeline_rows import CLOSED, RUNNING, Row, Span

Calendars = Mapping[str, Timeline]

WHY: Final[Mapping[Reason, str]] = {
    "open": "",
    "hours": "outside the calendar's hours",
    "holiday": "holiday: {name}",
    "special_day": "closed on the special day {name}",
}


def hours_known(row: Row, calendars: Calendars) -> bool:
    """False: closed hours are inside what is shown as counted."""
    return row.calendar in calendars or all(span.kind != RUNNING for span in row.spans)


def cut(row: Row, calendars: Calendars, until_us: int) -> list[Span]:
    """The spans of a row, those that ran cut into open and closed stretches. `until_us`: up to when one
    that goes on is laid out. Where the calendar is not known, the spans as they are."""
    line = calendars.get(row.calendar)
    if line is None:
        return row.spans
    return [piece for span in row.spans for piece in _pieces(span, line, until_us)]


def _pieces(span: Span, line: Timeline, until_us: int) -> Iterator[Span]:
    end_us = max(until_us, span.start_us) if span.end_us is None else span.end_us
    stretches = list(lay_out(line, span.start_us, end_us)) if span.kind == RUNNING else []
    if not stretches:
        yield span
    for stretch in stretches:
        yield Span(
            RUNNING if stretch.reason == "open" else CLOSED,
            stretch.start_us,
            span.end_us if stretch.end_us == end_us else stretch.end_us,
            span.cause if stretch.start_us == span.start_us else "",
            WHY[stretch.reason].format(name=stretch.name),
            part=len(stretches) > 1,
        )


def without_short(spans: Iterable[Span], shortest_us: int) -> tuple[list[Span], bool]:
    """The spans without closed stretches that are too short to be drawn, and whether there were any."""
    found: list[Span] = []
    left_out = False
    for span in spans:
        if span.kind == CLOSED and span.end_us and span.end_us - span.start_us < shortest_us:
            left_out = True
            span = replace(span, kind=RUNNING, why="")  # noqa: PLW2901
        last = found[-1] if found else None
        if last is not None and last.part and span.part and last.kind == span.kind == RUNNING:
            found[-1] = replace(last, end_us=span.end_us)
        else:
            found.append(span)
    return found, left_out

"""A calendar laid out day by day: every open stretch of a span, and every closed one with its reason.

For proofs, drawings and tables of open time. It walks the days and knows nothing of the running totals
with which `calendar` and `openings` reckon, so that the two ways check each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final, Literal, NamedTuple

from libs.worktime.calendar import Calendar
from libs.worktime.hours import EPOCH_ORDINAL, Span, other_days, weekday_of
from libs.worktime.instants import DAY_US, SECOND_US
from libs.worktime.timeline import Timeline
from libs.worktime.zones import BLOCK_US, zone_of

MINUTE_US: Final = 60 * SECOND_US
DAY_MIN: Final = 1440

Reason = Literal["open", "hours", "holiday", "special_day"]


_OPEN: Final[tuple[Reason, str]] = ("open", "")


class Stretch(NamedTuple):
    """`name` is that of the holiday (its date, if it has none) or the date of the special day; `version`
    is the calendar's version that counts here."""

    start_us: int
    end_us: int
    reason: Reason
    name: str
    version: int


def lay_out(timeline: Timeline, start_us: int, end_us: int) -> Iterator[Stretch]:
    """The whole span, without gaps, in order. Neighbours differ in something."""
    last: Stretch | None = None
    for stretch in _pieces(timeline, start_us, end_us):
        if last is not None and stretch[2:] == last[2:]:
            last = last._replace(end_us=stretch.end_us)
            continue
        if last is not None:
            yield last
        last = stretch
    if last is not None:
        yield last


def open_spans(timeline: Timeline, start_us: int, end_us: int) -> Iterator[tuple[int, int]]:
    """The spans of open time between two instants, in order and apart: start, end.

    Each instant counts by the version in force then; spans that touch, at a new version or at midnight,
    are one. Their lengths summed up are the running total that answers for any number of instants at
    once; `Timeline.elapsed_us` gives the same for two.
    """
    begin_us = until_us = start_us
    for stretch in _pieces(timeline, start_us, end_us):
        if stretch.reason != "open":
            continue
        if stretch.start_us > until_us:
            if begin_us < until_us:
                yield begin_us, until_us
            begin_us = stretch.start_us
        until_us = stretch.end_us
    if begin_us < until_us:
        yield begin_us, until_us


def _pieces(timeline: Timeline, start_us: int, end_us: int) -> Iterator[Stretch]:
    for begin_us, until_us, calendar in timeline.parts(start_us, end_us):
        if calendar.always:
            yield Stretch(begin_us, until_us, "open", "", calendar.version)
        else:
            yield from _of_calendar(calendar, begin_us, until_us)


def _of_calendar(calendar: Calendar, start_us: int, end_us: int) -> Iterator[Stretch]:
    week = calendar.week or ()
    others = other_days(week, calendar.holidays, calendar.special_days)
    zone = zone_of(calendar.zone)
    for block in range(start_us // BLOCK_US, end_us // BLOCK_US + 1):
        for from_us, to_us, offset_us in zone.pieces(block):
            begin_us, until_us = max(from_us, start_us), min(to_us, end_us)
            if begin_us >= until_us:
                continue
            # Between two changes of the offset the wall clock runs evenly.
            wall_us, wall_end_us = begin_us + offset_us, until_us + offset_us
            for number in range(wall_us // DAY_US, (wall_end_us - 1) // DAY_US + 1):
                spans = others.get(number, week[weekday_of(number)])
                for first, last, is_open in _whole_day(spans):
                    at_us = max(number * DAY_US + first * MINUTE_US, wall_us)
                    to_wall_us = min(number * DAY_US + last * MINUTE_US, wall_end_us)
                    if at_us < to_wall_us:
                        reason, name = _OPEN if is_open else _why(calendar, number)
                        yield Stretch(
                            at_us - offset_us,
                            to_wall_us - offset_us,
                            reason,
                            name,
                            calendar.version,
                        )


def _whole_day(spans: tuple[Span, ...]) -> Iterator[tuple[int, int, bool]]:
    """The open minutes of a day and those between them."""
    at = 0
    for first, last in spans:
        yield at, first, False
        yield first, last, True
        at = last
    yield at, DAY_MIN, False


def _why(calendar: Calendar, number: int) -> tuple[Reason, str]:
    """Why a day of the wall clock is closed where it is."""
    day = date.fromordinal(EPOCH_ORDINAL) + timedelta(days=number)
    if day in calendar.special_days:
        return "special_day", day.isoformat()
    if day in calendar.holidays:
        return "holiday", calendar.holiday_names.get(day.isoformat(), day.isoformat())
    return "hours", ""

"""Weekly opening hours as people write them → open minutes of each weekday.

`{"mon": [["09:00", "13:00"], ["14:00", "18:00"]], …}`: a weekday that is missing is closed. `24:00` is
the end of the day. An end before its start is a night shift into the next day, as long as it lasts
at most twelve hours; anything longer is taken for a slip of the pen (`18:00`-`09:00`) and refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Final

from services.sla.domain.errors import InvalidDefinition

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN: Final = 24 * 60
NIGHT_SHIFT_MIN: Final = 12 * 60
HOLIDAYS_MAX: Final = 5_000
SHIFTS_PER_DAY_MAX: Final = 50

Span = tuple[int, int]
"""From one minute of the day (0…1439) up to another (1…1440)."""

Week = tuple[tuple[Span, ...], ...]
"""Seven days, Monday first; the spans of a day are sorted and do not overlap."""

_CLOCK = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)$")


def week_of(hours: Mapping[str, Sequence[Sequence[str]]]) -> Week:
    """The week that `hours` describes. Raises InvalidDefinition (unknown_weekday, bad_hours,
    reversed_hours, overlapping_hours, no_open_minute)."""
    days: list[list[Span]] = [[] for _ in WEEKDAYS]
    for name, shifts in hours.items():
        if name not in WEEKDAYS:
            raise InvalidDefinition(
                "unknown_weekday", f"{name!r} is not a weekday; write one of {', '.join(WEEKDAYS)}"
            )
        if len(shifts) > SHIFTS_PER_DAY_MAX:
            raise InvalidDefinition(
                "bad_hours", f"{name} has {len(shifts)} shifts; at most {SHIFTS_PER_DAY_MAX}"
            )
        weekday = WEEKDAYS.index(name)
        for shift in shifts:
            today, tomorrow = _shift(name, shift)
            days[weekday].append(today)
            if tomorrow is not None:
                days[(weekday + 1) % 7].append(tomorrow)
    for name, spans in zip(WEEKDAYS, days, strict=True):
        spans.sort()
        _refuse_overlap(name, spans)
    if not any(days):
        raise InvalidDefinition(
            "no_open_minute",
            "the calendar is never open, so nothing would ever be due;"
            " give at least one shift, or null for round the clock",
        )
    return tuple(tuple(spans) for spans in days)


def holidays_of(days: Sequence[str]) -> frozenset[date]:
    """The dates (`2026-12-25`). Raises InvalidDefinition (bad_holiday, too_many_holidays)."""
    if len(days) > HOLIDAYS_MAX:
        raise InvalidDefinition(
            "too_many_holidays", f"{len(days)} holidays; at most {HOLIDAYS_MAX} are taken"
        )
    return frozenset(_holiday(day) for day in days)


def open_minutes(week: Week) -> int:
    """Minutes that are open in a week without holidays and clock changes."""
    return sum(end - start for spans in week for start, end in spans)


def _holiday(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidDefinition(
            "bad_holiday", f"{text!r} is not a date; write YYYY-MM-DD, for example 2026-12-25"
        ) from error


def _shift(weekday: str, shift: Sequence[str]) -> tuple[Span, Span | None]:
    if len(shift) != 2:  # noqa: PLR2004 - from, to
        raise InvalidDefinition("bad_hours", f'a shift on {weekday} must be ["HH:MM", "HH:MM"]')
    start, end = (_minute(weekday, text) for text in shift)
    if start in {end, DAY_MIN}:
        raise InvalidDefinition(
            "bad_hours", f"the shift {shift[0]}-{shift[1]} on {weekday} has no minute in it"
        )
    if start < end:
        return (start, end), None
    if DAY_MIN - start + end > NIGHT_SHIFT_MIN:
        raise InvalidDefinition(
            "reversed_hours",
            f"the shift {shift[0]}-{shift[1]} on {weekday} ends before it starts; as a night shift it"
            " would last more than 12 hours. If that is meant, write it as two: up to 24:00, and from"
            " 00:00 of the next day",
        )
    return (start, DAY_MIN), (0, end) if end else None


def _minute(weekday: str, text: str) -> int:
    if text == "24:00":
        return DAY_MIN
    match = _CLOCK.match(text)
    if match is None:
        raise InvalidDefinition(
            "bad_hours", f"{text!r} on {weekday} is not a time of day; write 00:00 to 24:00"
        )
    return int(match[1]) * 60 + int(match[2])


def _refuse_overlap(name: str, spans: list[Span]) -> None:
    for (_, end), (start, _) in pairwise(spans):
        if start < end:
            raise InvalidDefinition(
                "overlapping_hours",
                f"on {name} a shift starts at {start // 60:02}:{start % 60:02} while another lasts"
                f" until {end // 60:02}:{end % 60:02} (night shifts of the day before count too)",
            )

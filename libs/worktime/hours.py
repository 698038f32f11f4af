"""Opening hours as people write them → open minutes of each weekday and of days that differ.

`{"mon": [["09:00", "13:00"], ["14:00", "18:00"]], …}`: a weekday that is missing is closed. `24:00` is
the end of the day. An end before its start is on the next day: `["18:00", "08:00"]` is a night shift.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Final

from libs.worktime.errors import InvalidDefinition

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN: Final = 24 * 60
EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday
EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
HOLIDAYS_MAX: Final = 5_000
SHIFTS_PER_DAY_MAX: Final = 50

Span = tuple[int, int]
"""From one minute of the day (0…1439) up to another (1…1440)."""

Week = tuple[tuple[Span, ...], ...]
"""Seven days, Monday first; the spans of a day are sorted and do not overlap."""

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_CLOCK = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)\Z", re.ASCII)


def week_of(hours: Mapping[str, Sequence[Sequence[str]]]) -> Week:
    """The week that `hours` describes. Raises InvalidDefinition (unknown_weekday, bad_hours,
    overlapping_hours, no_open_minute)."""
    days: list[list[Span]] = [[] for _ in WEEKDAYS]
    for name, shifts in hours.items():
        if name not in WEEKDAYS:
            raise InvalidDefinition(
                "unknown_weekday", f"{name!r} is not a weekday; write one of {', '.join(WEEKDAYS)}"
            )
        weekday = WEEKDAYS.index(name)
        today, tomorrow = _day(name, shifts)
        days[weekday] += today
        days[(weekday + 1) % 7] += tomorrow
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


def holidays_of(days: Collection[str], most: int | None = HOLIDAYS_MAX) -> frozenset[date]:
    """The dates (`2026-12-25`), at most so many. Raises InvalidDefinition (bad_holiday,
    too_many_holidays)."""
    if most is not None and len(days) > most:
        raise InvalidDefinition(
            "too_many_holidays", f"{len(days)} holidays; at most {most} are taken"
        )
    return frozenset(_date("bad_holiday", day) for day in days)


def special_days_of(
    days: Mapping[str, Sequence[Sequence[str]]],
) -> dict[date, tuple[list[Span], list[Span]]]:
    """Date → its own spans, and what its night shifts add to the date after it.

    `days`: `{"2026-12-24": [["09:00", "12:00"]]}`; an empty list is a closed day. Raises
    InvalidDefinition (bad_special_day, too_many_holidays, bad_hours, overlapping_hours).
    """
    if len(days) > HOLIDAYS_MAX:
        raise InvalidDefinition(
            "too_many_holidays", f"{len(days)} special days; at most {HOLIDAYS_MAX} are taken"
        )
    found = {}
    for text, shifts in days.items():
        today, tomorrow = _day(text, shifts)
        today.sort()
        _refuse_overlap(text, today)
        found[_date("bad_special_day", text)] = (today, tomorrow)
    return found


def other_days(
    week: Week,
    holidays: Iterable[date],
    special_days: Mapping[date, tuple[Sequence[Span], Sequence[Span]]],
) -> dict[int, tuple[Span, ...]]:
    """Day number (since 1970-01-01) → spans, of every day whose hours are not those of its weekday.

    A holiday closes its date from midnight to midnight; a special day has its own hours instead of
    those of its weekday and of a holiday, and its night shifts go on into the next date unless that
    is a holiday. Dates alone decide: the tail of a night shift belongs to the date it falls on.
    """
    closed = {day.toordinal() - EPOCH_ORDINAL for day in holidays}
    special = {day.toordinal() - EPOCH_ORDINAL: both for day, both in special_days.items()}
    found: dict[int, tuple[Span, ...]] = dict.fromkeys(closed, ())
    found.update((day, tuple(today)) for day, (today, _) in special.items())
    for day, (_, tail) in special.items():
        following = day + 1
        if tail and (following in special or following not in closed):
            usual = found.get(following, week[weekday_of(following)])
            found[following] = _union([*usual, *tail])
    return found


def weekday_of(day: int) -> int:
    """0 (Monday) to 6 of a day number (since 1970-01-01)."""
    return (day + EPOCH_WEEKDAY) % 7


def _union(spans: list[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def _date(code: str, text: str) -> date:
    try:
        if _DATE.match(text) is None:
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidDefinition(
            code, f"{text!r} is not a date; write YYYY-MM-DD, for example 2026-12-25"
        ) from error


def _day(name: str, shifts: Sequence[Sequence[str]]) -> tuple[list[Span], list[Span]]:
    """The spans on the day itself, and on the next one; neither sorted nor checked for overlaps."""
    if len(shifts) > SHIFTS_PER_DAY_MAX:
        raise InvalidDefinition(
            "bad_hours", f"{name} has {len(shifts)} shifts; at most {SHIFTS_PER_DAY_MAX}"
        )
    pairs = [_shift(name, shift) for shift in shifts]
    return [today for today, _ in pairs], [tail for _, tail in pairs if tail is not None]


def _shift(weekday: str, shift: Sequence[str]) -> tuple[Span, Span | None]:
    if len(shift) != 2:  # noqa: PLR2004 - from, to
        raise InvalidDefinition("bad_hours", f'a shift on {weekday} must be ["HH:MM", "HH:MM"]')
    start, end = (_minute(weekday, text) for text in shift)
    if start in {end, DAY_MIN}:
        raise InvalidDefinition(
            "bad_hours",
            f"the shift {shift[0]}-{shift[1]} on {weekday} has no minute in it; a whole day"
            " is 00:00-24:00",
        )
    if start < end:
        return (start, end), None
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

"""Holidays from an iCalendar file (RFC 5545): the all-day events in it → dates and names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Any, Final

from libs.worktime.errors import InvalidDefinition
from libs.worktime.hours import HOLIDAYS_MAX

ICAL_LIMIT_BYTES: Final = 1_000_000
EVENTS_MAX: Final = 5_000
DAYS_PER_EVENT_MAX: Final = 366
INTERVAL_MAX: Final = 1_000
YEARS_MAX: Final = 100_000
"""Years that are looked through for all rules of a file together: some seconds."""
NAME_MAX: Final = 200
YEARLY_ONLY: Final = frozenset(
    (
        *("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST"),
        *("BYMONTH", "BYMONTHDAY", "BYDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"),
    )
)
"""What a rule may have; finer ones (BYHOUR …) are for events of an hour."""


def holidays_of_ical(data: bytes, first_year: int, last_year: int) -> dict[str, str]:
    """The dates (`2026-12-25`), with the names of the events, within these years.

    An event of several days gives each of them; one that comes every year gives each of its years;
    EXDATE, RDATE and changed occurrences (RECURRENCE-ID) count; cancelled events do not. Raises
    InvalidDefinition (too_large, bad_icalendar, too_many_holidays).
    """
    if len(data) > ICAL_LIMIT_BYTES:
        raise InvalidDefinition(
            "too_large", f"{len(data)} bytes; an iCalendar file may have {ICAL_LIMIT_BYTES}"
        )
    events = _events(data)
    changed = {(_uid(event), _day_of(event, "RECURRENCE-ID")) for event in events} - {("", None)}
    _refuse_endless(events, last_year)
    found: dict[str, str] = {}
    for event in events:
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        name, length = _name(event), _length(event)
        replaced = "RECURRENCE-ID" in event
        for start in _starts(event, first_year, last_year):
            if not replaced and (_uid(event), start) in changed:
                continue
            for number in range(length):
                day = start + timedelta(days=number)
                if first_year <= day.year <= last_year:
                    found.setdefault(day.isoformat(), name)
        if len(found) > HOLIDAYS_MAX:
            raise InvalidDefinition(
                "too_many_holidays", f"the file has more than {HOLIDAYS_MAX} dates"
            )
    if not found:
        raise InvalidDefinition(
            "bad_icalendar", f"the file has no all-day event in {first_year} to {last_year}"
        )
    return dict(sorted(found.items()))


def _events(data: bytes) -> list[Any]:
    from icalendar import Calendar  # 50 ms that only uploads pay

    try:
        calendars = Calendar.from_ical(data, multiple=True)
        events = [event for one in calendars for event in one.walk("VEVENT")]
    except (ValueError, IndexError, KeyError, TypeError, RecursionError) as error:
        raise _bad(f"the file cannot be read: {error}") from error
    if len(events) > EVENTS_MAX:
        raise _bad(f"the file has {len(events)} events; at most {EVENTS_MAX} are taken")
    for event in events:
        broken = [f"{name}: {reason}" for name, reason in event.errors]
        if broken:
            raise _bad(f"the event {_name(event)!r} cannot be read: {broken[0]}")
        if _day_of(event, "DTSTART") is None:
            raise _bad(f"the event {_name(event)!r} has no DTSTART")
    return events


def _starts(event: Any, first_year: int, last_year: int) -> list[date]:
    """The first days of the event and of its repetitions, up to the end of the last year."""
    start = _day_of(event, "DTSTART")
    assert start is not None  # noqa: S101 - _events has seen to it
    rule = event.get("RRULE")
    if "EXRULE" in event or isinstance(rule, list):
        raise _bad(f"the event {_name(event)!r} has several rules; give it one yearly RRULE")
    starts = {start, *_listed(event, "RDATE")}
    if rule is not None:
        starts.update(_repeated(event, rule, start, first_year, last_year))
    return sorted(starts - set(_listed(event, "EXDATE")))


class _OverError(Exception):
    """The years that count are over."""


class _Interval(int):
    """The years between two occurrences. dateutil looks for the next occurrence up to the year 9999, for
    every event that has none (30 February) a second; it adds this to a year to get the next."""

    last_year: int

    def __radd__(self, year: int) -> int:
        following = year + int(self)
        if following > self.last_year:
            raise _OverError
        return following


def _refuse_endless(events: Iterable[Any], last_year: int) -> None:
    years = 0
    for event in events:
        start = _day_of(event, "DTSTART")
        if event.get("RRULE") is not None and start is not None:
            years += max(last_year - start.year, 0)
    if years > YEARS_MAX:
        raise _bad(
            f"the rules of the file go through {years:,} years together; at most {YEARS_MAX:,} are"
            " taken: let events begin later, or list their dates"
        )


def _repeated(
    event: Any, rule: Any, start: date, first_year: int, last_year: int
) -> Iterator[date]:
    from dateutil.rrule import rrule, rrulestr

    text = rule.to_ical().decode()
    parts = {part.partition("=")[0].upper() for part in text.split(";")}
    if rule.get("FREQ") != ["YEARLY"] or not parts <= YEARLY_ONLY:
        raise _bad(f"the event {_name(event)!r} repeats by {text}; only FREQ=YEARLY is taken")
    if not all(1 <= years <= INTERVAL_MAX for years in rule.get("INTERVAL", ())):
        raise _bad(f"the event {_name(event)!r} repeats by {text}; INTERVAL must be at least 1")
    # Days have no zone, and dateutil compares like with like.
    text = re.sub(r"(UNTIL=\d{8})[T\dZ]*", r"\1", text)
    end = datetime(last_year, 12, 31)  # noqa: DTZ001 - a day, in no zone
    try:
        days = rrulestr(text, dtstart=datetime(start.year, start.month, start.day))  # noqa: DTZ001
        assert isinstance(days, rrule)  # noqa: S101 - of one rule
        interval = _Interval(next(iter(rule.get("INTERVAL", ())), 1))
        interval.last_year = last_year
        days = days.replace(interval=interval)
        for number, moment in enumerate(days):
            if moment > end:
                return
            if number >= HOLIDAYS_MAX:
                raise _bad(f"the event {_name(event)!r} repeats more than {HOLIDAYS_MAX} times")
            if moment.year >= first_year - 1:  # it may last into the first year
                yield moment.date()
    except InvalidDefinition:
        raise
    except _OverError:
        return
    except (ValueError, OverflowError) as error:
        raise _bad(f"the event {_name(event)!r} repeats by {text}: {error}") from error


def _length(event: Any) -> int:
    """How many days the event lasts. DTEND is the day after its last one."""
    start, end = _day_of(event, "DTSTART"), _day_of(event, "DTEND")
    duration = event.get("DURATION")
    days = 1
    if start is not None and end is not None:
        days = (end - start).days
    elif duration is not None:
        days = -(-duration.dt // timedelta(days=1))
    if not 0 <= days <= DAYS_PER_EVENT_MAX:
        raise _bad(
            f"the event {_name(event)!r} lasts {days} days; 1 to {DAYS_PER_EVENT_MAX} may be"
        )
    return max(days, 1)  # some programs end a day's event on that day


def _listed(event: Any, name: str) -> Iterator[date]:
    lists = event.get(name, ())
    for one in lists if isinstance(lists, list | tuple) else (lists,):
        for entry in one.dts:
            yield _whole_day(event, name, entry.dt)


def _day_of(event: Any, name: str) -> date | None:
    entry = event.get(name)
    if isinstance(entry, list):
        raise _bad(f"the event {_name(event)!r} has {name} more than once")
    return None if entry is None else _whole_day(event, name, entry.dt)


def _whole_day(event: Any, name: str, value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise _bad(
        f"the event {_name(event)!r} is not all-day ({name} has a time); for a day with other hours"
        " use special_days"
    )


def _name(event: Any) -> str:
    summary = event.get("SUMMARY", "")
    texts: Iterable[object] = summary if isinstance(summary, list) else (summary,)
    return " ".join(str(text) for text in texts)[:NAME_MAX]


def _uid(event: Any) -> str:
    return str(event.get("UID", ""))


def _bad(detail: str) -> InvalidDefinition:
    return InvalidDefinition("bad_icalendar", detail)

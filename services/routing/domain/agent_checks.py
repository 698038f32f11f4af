"""What an agent cannot be. Each check raises Refused (`invalid_agent`, 422) with what to mend, and
those that answer give the value in the one form in which it is kept."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, get_args
from zoneinfo import ZoneInfo

from libs.events import format_time
from libs.events.agent import OutOfOffice, Shift, Skill, Weekday, WorkingHours
from libs.events.base import Channel

CAPACITY_MAX: Final = 10_000
LEVELS: Final = range(1, 11)
TIERS: Final = range(1, 4)
WEEKDAYS: Final[tuple[Weekday, ...]] = get_args(Weekday)
DAY_MIN: Final = 1_440
WEEK_MIN: Final = 7 * DAY_MIN
FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Out-of-office periods lie between these: beyond, wall time cannot be reckoned in every zone."""

_ID: Final = re.compile(r"[^\s/\x00-\x1f\x7f](?:[^/\x00-\x1f\x7f]{0,198}[^\s/\x00-\x1f\x7f])?")
_EMAIL: Final = re.compile(
    r'[^\s@<>()\[\]\\,;:"]{1,64}@[^\W_](?:[\w-]{0,62})(?:\.[^\W_](?:[\w-]{0,62}))*'
)
_STEERING: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


class Refused(Exception):
    """A rule says no. `code` is stable and meant for programs; `detail` tells a person what to do.
    `extra` are further members of the answer."""

    def __init__(self, code: str, detail: str, *, status: int = 409, **extra: object) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.extra = extra


def invalid(detail: str) -> Refused:
    return Refused("invalid_agent", detail, status=422)


def check_id(agent_id: str) -> None:
    """It stands in paths and on streams."""
    if not _ID.fullmatch(agent_id):
        raise invalid(
            f"{agent_id!r} cannot be the id of an agent: 1 to 200 characters, no slash, no control"
            " characters, no space at the start or the end."
        )


def check_name(name: str) -> str:
    return _one_line("name", name)


def check_capacity(capacity: int) -> int:
    if not 0 <= capacity <= CAPACITY_MAX:
        raise invalid(f"The capacity must be from 0 to {CAPACITY_MAX}, not {capacity}.")
    return capacity


def check_skills(skills: Sequence[Skill]) -> tuple[Skill, ...]:
    """Skills that nobody else in the house has, and that no rule asks for, are fine."""
    check_words("skill", [skill.name for skill in skills])
    for skill in skills:
        if skill.level not in LEVELS:
            raise invalid(
                f"The level of the skill {skill.name!r} must be from 1 to 10, not {skill.level}."
            )
    return tuple(skills)


def check_words(what: str, values: Iterable[str]) -> tuple[str, ...]:
    """Names of one kind, each of them once."""
    seen: dict[str, None] = {}
    for value in values:
        if value in seen:
            raise invalid(f"The {what} {value!r} is named twice.")
        seen[_one_line(what, value)] = None
    return tuple(seen)


def check_tiers(tiers: Sequence[int]) -> tuple[int, ...]:
    if not tiers or any(tier not in TIERS for tier in tiers):
        raise invalid("An agent works in at least one of the tiers 1, 2 and 3.")
    return tuple(sorted(set(tiers)))


def check_channels(channels: Sequence[Channel]) -> tuple[Channel, ...]:
    if len(set(channels)) < len(channels):
        raise invalid("A channel is named twice.")
    return tuple(channels)


def check_limits(limits: Mapping[Channel, int]) -> dict[Channel, int]:
    for channel, limit in limits.items():
        if not 0 <= limit <= CAPACITY_MAX:
            raise invalid(
                f"The limit of the channel {channel.value!r} must be from 0 to {CAPACITY_MAX},"
                f" not {limit}."
            )
    return dict(limits)


def check_email(email: str | None) -> str | None:
    """One plain address: no display name, no list, nothing that could end a mail's header."""
    if email is None:
        return None
    if not email.isprintable() or not _EMAIL.fullmatch(email):
        raise invalid(f"{email!r} is no e-mail address: give one such as name@example.com.")
    return email


def check_hours(hours: WorkingHours | None) -> WorkingHours | None:
    """A zone of the time zone database, and shifts that do not overlap, the end of Sunday and the
    start of Monday included. Days without a shift are left out."""
    if hours is None:
        return None
    _check_zone(hours.zone)
    week = {
        day: tuple(sorted(hours.week[day], key=lambda shift: minutes(shift.start)))
        for day in WEEKDAYS
        if hours.week.get(day)
    }
    if not week:
        raise invalid(
            "The working hours name no shift: the agent would never be on duty. Leave the working"
            " hours out for an agent who is always on duty."
        )
    _check_shifts(week)
    return WorkingHours(zone=hours.zone, week=week)


def minutes(clock_time: str) -> int:
    """Minutes since midnight of `HH:MM`."""
    return int(clock_time[:2]) * 60 + int(clock_time[3:])


def check_out_of_office(periods: Sequence[OutOfOffice]) -> tuple[OutOfOffice, ...]:
    """Periods that are not empty, not reversed, and do not overlap; earliest first."""
    for period in periods:
        if period.end <= period.start:
            what = "empty" if period.end == period.start else "reversed"
            raise invalid(
                f"The out-of-office period {_period(period)} is {what}:"
                " its end must be later than its start."
            )
        if period.start < FIRST or period.end > LAST:
            raise invalid(
                f"The out-of-office period {_period(period)} must lie between the years"
                f" {FIRST.year} and {LAST.year}."
            )
        if period.note is not None:
            _one_line("note", period.note)
    ordered = tuple(sorted(periods, key=lambda period: period.start))
    for earlier, later in pairwise(ordered):
        if later.start < earlier.end:
            raise invalid(
                f"The out-of-office periods {_period(earlier)} and {_period(later)} overlap:"
                " make one of them, or let the first end where the second starts."
            )
    return ordered


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise invalid(f"There is no time zone {zone!r}; name one such as Europe/Madrid.") from None


def _check_shifts(week: Mapping[Weekday, Sequence[Shift]]) -> None:
    spans: list[tuple[int, int, str]] = []
    for day, shifts in week.items():
        midnight = WEEKDAYS.index(day) * DAY_MIN
        for shift in shifts:
            start, end = minutes(shift.start), minutes(shift.end)
            name = f"{day} {shift.start}-{shift.end}"
            if start == DAY_MIN:
                raise invalid(f"The shift {name} starts at 24:00: make it 00:00 of the next day.")
            spans.append(
                (midnight + start, midnight + end + (DAY_MIN if end <= start else 0), name)
            )
    spans.sort()
    first = spans[0]
    for earlier, later in pairwise([*spans, (first[0] + WEEK_MIN, first[1] + WEEK_MIN, first[2])]):
        if later[0] < earlier[1]:
            raise invalid(
                f"The shifts {earlier[2]} and {later[2]} overlap"
                " (a shift that ends at or before its start ends on the next day)."
            )


def _period(period: OutOfOffice) -> str:
    return f"{format_time(period.start)} to {format_time(period.end)}"


def _one_line(what: str, value: str) -> str:
    if not value.strip() or any(unicodedata.category(c) in _STEERING for c in value):
        raise invalid(f"The {what} {value!r} is empty or holds control characters.")
    return value

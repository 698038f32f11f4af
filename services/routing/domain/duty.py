"""Whether an agent is on duty, and when time alone will change that. Pure: `now` is an argument.

Reason codes, of which the first that holds is told::

    out_of_office   inside an out-of-office period, whatever the presence says
    offline, away   the presence
    off_hours       present, but outside the working hours

An agent is inside the working hours while the wall clock of their zone shows a time inside a shift,
as in the calendars of the SLA service. That settles the changes of the clocks: what is skipped is
not worked, a shift whose start is skipped begins with the first minute after the gap, and what the
clock shows twice is worked twice. A zone that this machine's time zone data does not know counts as
UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from heapq import merge
from typing import Final
from zoneinfo import ZoneInfo

from libs.events.agent import Shift, WorkingHours
from services.routing.domain.agent import Agent
from services.routing.domain.agent_checks import DAY_MIN, WEEKDAYS, minutes

OUT_OF_OFFICE: Final = "out_of_office"
OFFLINE: Final = "offline"
OFF_HOURS: Final = "off_hours"

HORIZON_DAYS: Final = 16
"""How far to look for a change of shift. A week that has both on and off repeats within it even
when the clocks change once in between."""

DAY: Final = timedelta(days=1)
SECOND: Final = timedelta(seconds=1)


def off_duty(agent: Agent, now: datetime) -> str | None:
    """Why the agent gets no work at this instant, as a reason code; None: on duty."""
    if any(period.start <= now < period.end for period in agent.out_of_office):
        return OUT_OF_OFFICE
    if agent.presence != "online":
        return agent.presence
    if agent.working_hours is not None and not _in_shift(agent.working_hours, now):
        return OFF_HOURS
    return None


def next_change(agent: Agent, after: datetime) -> datetime | None:
    """The first instant later than `after` at which `off_duty` answers something else if nothing
    happens to the agent; None: never."""
    reason = off_duty(agent, after)
    for instant in _moments(agent, after):
        if instant > after and off_duty(agent, instant) != reason:
            return instant
    return None


def away_since(agent: Agent, now: datetime) -> datetime | None:
    """Since when the agent has been gone without a break: out of office or offline, in any order.

    None: not gone now. (Away and off hours are short absences: whoever is only that keeps their
    tickets.) Presence is known since it was last set; what it was before counts as not gone.
    """
    since = now
    spans = [(period.start, period.end) for period in agent.out_of_office if period.start <= now]
    if agent.presence == OFFLINE:
        spans.append((min(agent.presence_since or now, now), now + SECOND))
    gone = False
    for start, end in sorted(spans, key=lambda span: span[1], reverse=True):
        if start <= now < end or (gone and start < since <= end):
            gone, since = True, min(since, start)
    return since if gone else None


def _moments(agent: Agent, after: datetime) -> Iterator[datetime]:
    """Every instant at which `off_duty` may change, in order."""
    absences = sorted({at for period in agent.out_of_office for at in (period.start, period.end)})
    if agent.presence != "online" or agent.working_hours is None:
        return iter(absences)
    return merge(absences, _boundaries(agent.working_hours, after))


def _in_shift(hours: WorkingHours, now: datetime) -> bool:
    local = now.astimezone(_zone(hours.zone))
    today, minute = local.weekday(), local.hour * 60 + local.minute
    for shift in _shifts(hours, today):
        start, end = minutes(shift.start), minutes(shift.end)
        if start <= minute and (minute < end or end <= start):
            return True
    for shift in _shifts(hours, today - 1):
        end = minutes(shift.end)
        if minute < end <= minutes(shift.start):
            return True
    return False


def _boundaries(hours: WorkingHours, after: datetime) -> Iterator[datetime]:
    """The starts and ends of shifts from `after` on, and the changes of the zone's offset."""
    zone = _zone(hours.zone)
    for day in range(HORIZON_DAYS):
        start, end = after + day * DAY, after + (day + 1) * DAY
        offset = _offset(zone, start)
        if _offset(zone, end) == offset:
            yield from _in_piece(hours, start, end, offset)
            continue
        change = _change_of_offset(zone, start, end)
        yield from _in_piece(hours, start, change, offset)
        yield change
        yield from _in_piece(hours, change, end, _offset(zone, change))


def _in_piece(
    hours: WorkingHours, start: datetime, end: datetime, offset: timedelta
) -> list[datetime]:
    """The starts and ends of shifts from `start` until `end`, between which the offset is one."""
    midnight = (start + offset).replace(hour=0, minute=0, second=0, microsecond=0)
    found = {
        midnight + day * DAY + timedelta(minutes=minute) - offset
        for day in (-1, 0, 1)
        for shift in _shifts(hours, (midnight + day * DAY).weekday())
        for minute in _span(shift)
    }
    return sorted(instant for instant in found if start <= instant < end)


def _span(shift: Shift) -> tuple[int, int]:
    start, end = minutes(shift.start), minutes(shift.end)
    return start, end + DAY_MIN if end <= start else end


def _shifts(hours: WorkingHours, weekday: int) -> Sequence[Shift]:
    return hours.week.get(WEEKDAYS[weekday], ())


def _change_of_offset(zone: tzinfo, start: datetime, end: datetime) -> datetime:
    """The whole second in (start, end] at which the offset of `start` no longer holds."""
    before, low = _offset(zone, start), start.replace(microsecond=0)
    high = end.replace(microsecond=0)
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(zone: tzinfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


@cache
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC

"""Calendars of time zones: where buckets begin, and what the clock on the wall shows.

Python's `zoneinfo` decides, never the database's own copy of the time zones.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from libs.runtime.errors import Poison
from services.reporting.domain import EPOCH, instant_of, microseconds
from services.reporting.report.model import Granularity

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
FIRST_US: Final = microseconds(datetime.min.replace(tzinfo=UTC)) + 2 * DAY_US
LAST_US: Final = microseconds(datetime.max.replace(tzinfo=UTC)) - 2 * DAY_US
"""Instants between these have a local time in every zone."""


_NO_PLACES: Final = frozenset(("localtime", "posixrules", "Factory"))


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_PLACES


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises Poison (422, `unknown_zone`), naming close matches."""
    if name not in _names():
        near = get_close_matches(name, _names(), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise Poison(
            "unknown_zone", f"{name[:100]!r} is no IANA time zone, such as Europe/Madrid{hint}"
        )
    return ZoneInfo(name)


def local(at_us: int, zone: ZoneInfo) -> datetime:
    """What the clock on the wall shows, without zone."""
    within = min(max(at_us, FIRST_US), LAST_US)
    return instant_of(within).astimezone(zone).replace(tzinfo=None)


def start_of(wall: datetime, zone: ZoneInfo) -> int:
    """The first instant at which the clock shows `wall` or, where that is skipped, a later time."""
    first, second = (_instant(wall, zone, fold) for fold in (0, 1))
    if second >= first:  # once, or twice: the first time
        return first
    low, high = second, first  # skipped: the clock jumps somewhere between these
    while low < high:
        middle = (low + high) // 2
        if local(middle, zone) >= wall:
            high = middle
        else:
            low = middle + 1
    return high


def _instant(wall: datetime, zone: ZoneInfo, fold: int) -> int:
    offset = wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0)
    return microseconds(wall.replace(tzinfo=UTC)) - offset // timedelta(microseconds=1)


def bucket_starts(
    start_us: int, end_us: int, zone: ZoneInfo, granularity: Granularity, most: int
) -> list[int]:
    """Where the buckets of `start_us` … `end_us` begin; the first at `start_us` itself.

    Weeks begin on Monday (ISO 8601). A day lasts 23 or 25 hours where the clocks change.
    Raises Poison (422, `too_many_buckets`) for more than `most`.
    """
    if granularity == "none":
        return [start_us]
    starts = [start_us]
    for at in _boundaries(start_us, zone, granularity):
        if at >= end_us:
            return starts
        if at > starts[-1]:
            starts.append(at)
        if len(starts) > most:
            raise _too_many(granularity, most)
    return starts


def _too_many(granularity: Granularity, most: int) -> Poison:
    return Poison(
        "too_many_buckets",
        f"the period has more than {most:,} buckets of granularity {granularity}: "
        "shorten it (from, to) or ask for a coarser granularity",
    )


def _boundaries(start_us: int, zone: ZoneInfo, granularity: Granularity) -> Iterator[int]:
    """Beginnings of buckets around and after `start_us`, in order; until the end of the calendar."""
    wall = local(start_us, zone)
    if granularity == "hour":
        yield from _hours(wall.replace(minute=0, second=0, microsecond=0), zone)
        return
    day = first_day(wall.date(), granularity)
    while True:
        yield start_of(datetime.combine(day, time()), zone)
        try:
            day = next_day(day, granularity)
        except (ValueError, OverflowError):
            return


def _hours(wall: datetime, zone: ZoneInfo) -> Iterator[int]:
    """The wall is read twice where clocks are put back: both hours are buckets."""
    repeated: list[int] = []
    while True:
        first = start_of(wall, zone)
        while repeated and repeated[0] <= first:
            yield repeated.pop(0)
        yield first
        again = _instant(wall, zone, 1)
        if again > first:
            repeated.append(again)
        try:
            wall += timedelta(hours=1)
        except OverflowError:
            return


def first_day(day: date, granularity: Granularity) -> date:
    """The day with which the bucket of `day` begins."""
    if granularity == "week":
        return day - timedelta(days=min(day.weekday(), (day - date.min).days))
    if granularity == "month":
        return day.replace(day=1)
    if granularity == "quarter":
        return day.replace(day=1, month=day.month - (day.month - 1) % 3)
    return day.replace(day=1, month=1) if granularity == "year" else day


def next_day(day: date, granularity: Granularity) -> date:
    """The day with which the next bucket begins. Raises ValueError or OverflowError after 9999."""
    if granularity in ("day", "week"):
        return day + timedelta(days=7 if granularity == "week" else 1)
    return add_months(day, {"month": 1, "quarter": 3, "year": 12}[granularity])


def add_months(day: date, months: int) -> date:
    """The first of a month, so many months later. Raises ValueError outside the years 1 to 9999."""
    whole = day.year * 12 + day.month - 1 + months
    return date(whole // 12, whole % 12 + 1, 1)


def period_before(start_us: int, end_us: int, zone: ZoneInfo) -> tuple[int, int]:
    """The period of the same length before: whole months before whole months, whole days before
    whole days (by the calendar of the zone), else as many microseconds."""
    first, last = local(start_us, zone), local(end_us, zone)
    exact = all(
        start_of(wall, zone) == us and wall.time() == time()
        for wall, us in ((first, start_us), (last, end_us))
    )
    try:
        if exact and first.day == last.day == 1:
            months = (last.year - first.year) * 12 + last.month - first.month
            before = datetime.combine(add_months(first.date(), -months), time())
            return start_of(before, zone), start_us
        if exact:
            return start_of(first - (last - first), zone), start_us
    except (ValueError, OverflowError):
        pass
    return start_us - (end_us - start_us), start_us


@lru_cache(maxsize=256)
def offsets(start_us: int, end_us: int, zone: ZoneInfo) -> tuple[tuple[int, int], ...]:
    """From which instant (microseconds) which offset from UTC (microseconds) holds. The first
    holds before, too."""
    at = max(start_us, FIRST_US)
    last = min(end_us, LAST_US)
    found = [(at, _offset(at, zone))]
    while at < last:
        following = min(at + DAY_US, last)
        if _offset(following, zone) != found[-1][1]:
            low, high = at, following
            while low < high:
                middle = (low + high) // 2
                if _offset(middle, zone) != found[-1][1]:
                    high = middle
                else:
                    low = middle + 1
            found.append((high, _offset(high, zone)))
            following = high
        at = following
    return tuple(found)


def _offset(at_us: int, zone: ZoneInfo) -> int:
    offset = (EPOCH + timedelta(microseconds=at_us)).astimezone(zone).utcoffset() or timedelta(0)
    return offset // timedelta(microseconds=1)

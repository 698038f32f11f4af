"""Business calendars: how much open time lies between two instants, and when a target is used up.

A minute is open when the local wall clock shows a time inside the day's hours and the local date is no
holiday. That definition settles the clock changes: an hour that is skipped is not counted, one that is
repeated is counted twice if it is open. The days are reckoned in UTC days, each cut where the zone's
offset changes, so that neither folds around midnight nor days without a midnight need a rule.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.sla.domain.errors import InvalidDefinition
from services.sla.domain.hours import Week, holidays_of, open_minutes, week_of
from services.sla.domain.instants import DAY_US, EPOCH, FIRST_US, LAST_US, SECOND_US

DAY_S: Final = 86_400
BLOCK_DAYS: Final = 64
WEEK_US: Final = 7 * DAY_US
EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday
EPOCH_ORDINAL: Final = EPOCH.toordinal()
FIRST_S: Final = FIRST_US // SECOND_US
LAST_S: Final = LAST_US // SECOND_US

Interval = tuple[int, int]


class Calendar:
    """One version of a calendar. Immutable to its users; what was once reckoned is kept.

    `week` None means round the clock. Long spans are crossed by the open time of whole blocks of 64
    days, which is reckoned once.
    """

    def __init__(
        self, name: str, version: int, zone: str, week: Week | None, holidays: frozenset[date]
    ) -> None:
        self.name = name
        self.version = version
        self.zone = zone
        self.week = week
        self.holidays = holidays
        self.always = week is None
        self._zone = ZoneInfo(zone)
        self._closed = frozenset(day.toordinal() - EPOCH_ORDINAL for day in holidays)
        self._days: dict[int, tuple[Interval, ...]] = {}
        self._blocks: dict[int, Sequence[int]] = {}

    def add_us(self, start_us: int, target_us: int) -> int:
        """The instant at which `target_us` of open time after `start_us` is used up.

        The earliest such instant: a target that is consumed exactly at closing time is due at closing
        time. Never before `start_us`, never after the last instant that can be reckoned with.
        """
        if target_us <= 0:
            return start_us
        if self.always:
            return min(start_us + target_us, LAST_US)
        day, left = start_us // DAY_US, target_us
        for start, end in self._day(day):
            available = end - max(start, start_us)
            if available >= left:
                return end - available + left
            left -= max(available, 0)
        return self._due_in_later_days(day + 1, left)

    def elapsed_us(self, start_us: int, end_us: int) -> int:
        """The open time between two instants; 0 when they are reversed."""
        if end_us <= start_us:
            return 0
        if self.always:
            return end_us - start_us
        first, last = start_us // DAY_US, end_us // DAY_US
        if first == last:
            return self._within(first, start_us, end_us)
        return (
            self._within(first, start_us, (first + 1) * DAY_US)
            + self._whole_days(first + 1, last)
            + self._within(last, last * DAY_US, end_us)
        )

    def longest_us(self, target_us: int) -> int:
        """An upper bound of how long `target_us` can take by the wall clock, wherever it starts."""
        if self.week is None:
            return target_us
        weekly_us = open_minutes(self.week) * 60 * SECOND_US
        # One week for the start within a week; one for each holiday; clock changes take an hour or
        # two twice a year, which a tenth more covers for any calendar that is open in daytime.
        weeks = target_us * 11 // (weekly_us * 10) + 2 + len(self.holidays)
        return weeks * WEEK_US

    def _due_in_later_days(self, day: int, left: int) -> int:
        last_day = LAST_US // DAY_US
        while day <= last_day:
            block, offset = divmod(day, BLOCK_DAYS)
            sums = self._block(block)
            wanted = sums[offset] + left
            if sums[BLOCK_DAYS] >= wanted:
                index = bisect_left(sums, wanted, offset + 1)
                return self._within_day(block * BLOCK_DAYS + index - 1, wanted - sums[index - 1])
            left = wanted - sums[BLOCK_DAYS]
            day = (block + 1) * BLOCK_DAYS
        return LAST_US

    def _within_day(self, day: int, left: int) -> int:
        for start, end in self._day(day):
            if end - start >= left:
                return start + left
            left -= end - start
        raise AssertionError("the day has less open time than its sum says")

    def _within(self, day: int, start_us: int, end_us: int) -> int:
        total = 0
        for start, end in self._day(day):
            if start < end_us and end > start_us:
                total += min(end, end_us) - max(start, start_us)
        return total

    def _whole_days(self, first: int, last: int) -> int:
        """Open time of the UTC days `first` … `last - 1`."""
        total = 0
        while first < last:
            block, offset = divmod(first, BLOCK_DAYS)
            until = min(last - block * BLOCK_DAYS, BLOCK_DAYS)
            sums = self._block(block)
            total += sums[until] - sums[offset]
            first = block * BLOCK_DAYS + until
        return total

    def _block(self, block: int) -> Sequence[int]:
        """Cumulative open time at the start of each of the block's days, and at its end."""
        known = self._blocks.get(block)
        if known is None:
            sums = [0]
            for day in range(block * BLOCK_DAYS, (block + 1) * BLOCK_DAYS):
                sums.append(sums[-1] + sum(end - start for start, end in self._day(day)))
            known = self._blocks[block] = sums
        return known

    def _day(self, day: int) -> tuple[Interval, ...]:
        """The open intervals (instants) of one UTC day, in order."""
        known = self._days.get(day)
        if known is None:
            start, end = day * DAY_S, (day + 1) * DAY_S
            known = self._days[day] = tuple(
                interval for piece in self._pieces(start, end) for interval in self._open_in(*piece)
            )
        return known

    def _open_in(self, start_s: int, end_s: int, offset_s: int) -> Iterator[Interval]:
        """Open intervals of a span of seconds throughout which the zone has one offset."""
        assert self.week is not None  # noqa: S101 - round-the-clock calendars never come here
        local_start, local_end = start_s + offset_s, end_s + offset_s
        for local_day in range(local_start // DAY_S, (local_end - 1) // DAY_S + 1):
            if local_day in self._closed:
                continue
            midnight = local_day * DAY_S
            for first, last in self.week[(local_day + EPOCH_WEEKDAY) % 7]:
                opens = max(midnight + first * 60, local_start)
                closes = min(midnight + last * 60, local_end)
                if opens < closes:
                    yield (opens - offset_s) * SECOND_US, (closes - offset_s) * SECOND_US

    def _pieces(self, start_s: int, end_s: int) -> Iterator[tuple[int, int, int]]:
        """The span cut where the offset changes: (start, end, offset), all in seconds."""
        while start_s < end_s:
            offset = self._offset_s(start_s)
            until = end_s
            if self._offset_s(end_s) != offset:
                low, high = start_s, end_s  # same offset at low, another at high
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (
                        (middle, high) if self._offset_s(middle) == offset else (low, middle)
                    )
                until = high
            yield start_s, until, offset
            start_s = until

    def _offset_s(self, instant_s: int) -> int:
        instant = EPOCH + timedelta(seconds=min(max(instant_s, FIRST_S), LAST_S))
        offset = instant.astimezone(self._zone).utcoffset()
        return 0 if offset is None else offset // timedelta(seconds=1)


def calendar_of(definition: Mapping[str, Any], version: int) -> Calendar:
    """The calendar that `definition` (id, zone, hours, holidays) describes.

    Raises InvalidDefinition (unknown_zone and those of `hours`).
    """
    zone, hours = definition["zone"], definition.get("hours")
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError) as error:
        raise InvalidDefinition(
            "unknown_zone", f"{zone!r} is not a time zone; write one like Europe/Madrid or UTC"
        ) from error
    week = None if hours is None else week_of(hours)
    holidays = holidays_of(definition.get("holidays") or ())
    if week is None and holidays:
        raise InvalidDefinition(
            "holidays_without_hours",
            "a calendar that is open round the clock cannot have holidays; give it hours",
        )
    return Calendar(str(definition["id"]), version, zone, week, holidays)

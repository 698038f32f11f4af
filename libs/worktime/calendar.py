"""Business calendars: how much open time lies between two instants, and when a target is used up.

A minute is open when the local wall clock shows a time inside the hours of the local date. That
definition settles the clock changes: an hour that is skipped is not counted, one that is repeated is
counted twice if it is open, and a day that a zone left out has no minute.

Between two changes of the zone's offset the wall clock runs evenly, and `openings` answers by binary
search; over longer spans a calendar keeps running totals of its years. So neither a span of ten years
nor a target of a thousand hours walks over days.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import accumulate
from typing import Any, Final

from libs.worktime.errors import InvalidDefinition
from libs.worktime.hours import (
    HOLIDAYS_MAX,
    Span,
    Week,
    holidays_of,
    other_days,
    special_days_of,
    week_of,
)
from libs.worktime.instants import LAST_US
from libs.worktime.openings import WEEK_US, Openings
from libs.worktime.zones import BLOCK_US, zone_of

LAST_BLOCK: Final = LAST_US // BLOCK_US

_Stretch = tuple[int, int, int, int, int]
"""A piece of the zone (start, end, offset), and the amounts of `openings` at its start and its end."""


class Calendar:
    """One version of a calendar. Immutable to its users; what was once reckoned is kept.

    `week` None means round the clock. `special_days`: as of `special_days_of`. `holiday_names`: date
    (`2026-12-25`) → what it is called, as far as that is known. Raises InvalidDefinition (unknown_zone).
    """

    def __init__(
        self,
        name: str,
        version: int,
        zone: str,
        week: Week | None,
        holidays: frozenset[date],
        special_days: Mapping[date, tuple[Sequence[Span], Sequence[Span]]] | None = None,
        holiday_names: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.zone = zone
        self.week = week
        self.holidays = holidays
        self.special_days = special_days or {}
        self.holiday_names = holiday_names or {}
        self.always = week is None
        self._zone = zone_of(zone)
        self._blocks: dict[int, tuple[_Stretch, ...]] = {}
        self._totals: tuple[int, list[int]] = (0, [])
        if week is not None:
            self._openings = Openings(week, other_days(week, holidays, self.special_days))

    def add_us(self, start_us: int, target_us: int) -> int:
        """The instant at which `target_us` of open time after `start_us` is used up.

        The earliest such instant: a target that is consumed exactly at closing time is due at closing
        time. Never before `start_us`, never after the last instant that can be reckoned with.
        """
        if target_us <= 0:
            return start_us
        if self.always or start_us + target_us >= LAST_US:
            return min(start_us + target_us, LAST_US)
        block = start_us // BLOCK_US
        due_us, left_us = self._due_within(block, start_us, target_us)
        if due_us is None:
            block, left_us = self._due_block(block + 1, left_us)
            if block > LAST_BLOCK:
                return LAST_US
            due_us, _ = self._due_within(block, block * BLOCK_US, left_us)
        return LAST_US if due_us is None else min(due_us, LAST_US)

    def elapsed_us(self, start_us: int, end_us: int) -> int:
        """The open time between two instants; 0 when they are reversed."""
        if end_us <= start_us:
            return 0
        if self.always:
            return end_us - start_us
        first, last = start_us // BLOCK_US, end_us // BLOCK_US
        if first == last:
            return self._within(first, start_us, end_us)
        origin, sums = self._running(first + 1, last)
        return (
            self._within(first, start_us, (first + 1) * BLOCK_US)
            + (sums[last - origin] - sums[first + 1 - origin])
            + self._within(last, last * BLOCK_US, end_us)
        )

    def longest_us(self, target_us: int) -> int:
        """An upper bound of how long `target_us` can take by the wall clock, wherever it starts.

        For a calendar that is open in daytime: clock changes take an hour or two twice a year,
        which a tenth more covers.
        """
        if self.always:
            return target_us
        openings, weeks, needed = self._openings, 0, 1
        while weeks < needed and weeks * WEEK_US < LAST_US:
            weeks = needed
            # Each day with other hours within the span may take a whole day's open time away.
            lost_us = openings.others_within(weeks * WEEK_US) * openings.busiest_us
            # Two more: the span begins and ends somewhere within a week.
            needed = (target_us + lost_us) * 11 // (openings.weekly_us * 10) + 2
        return weeks * WEEK_US

    def _due_within(self, block: int, start_us: int, left_us: int) -> tuple[int | None, int]:
        """The due instant if it lies in the rest of this block, else None and what is left then."""
        for begin_us, end_us, offset_us, before_us, after_us in self._stretches(block):
            if end_us <= start_us:
                continue
            used_us = before_us
            if begin_us < start_us:
                used_us = self._openings.before(start_us + offset_us)
            if after_us - used_us >= left_us:
                return self._openings.reached(used_us + left_us) - offset_us, 0
            left_us -= after_us - used_us
        return None, left_us

    def _within(self, block: int, start_us: int, end_us: int) -> int:
        """Open time between two instants of one block."""
        total_us, before = 0, self._openings.before
        for begin_us, until_us, offset_us, first_us, last_us in self._stretches(block):
            if begin_us < end_us and until_us > start_us:
                total_us += last_us if until_us <= end_us else before(end_us + offset_us)
                total_us -= first_us if begin_us >= start_us else before(start_us + offset_us)
        return total_us

    def _due_block(self, first: int, left_us: int) -> tuple[int, int]:
        """The block from `first` on in which this amount is used up, and what is left at its start.
        A block after LAST_BLOCK: never."""
        until = first + 1
        while True:
            origin, sums = self._running(first, until)
            wanted_us = sums[first - origin] + left_us
            number = bisect_left(sums, wanted_us, first - origin + 1)
            if number < len(sums):
                return origin + number - 1, wanted_us - sums[number - 1]
            known = origin + len(sums) - 1
            if known > LAST_BLOCK:
                return known, left_us
            until = min(known + len(sums), LAST_BLOCK + 1)  # twice as many

    def _running(self, first: int, until: int) -> tuple[int, list[int]]:
        """Running totals that cover the blocks `first` … `until - 1`.

        The number of a block, and the open time from its start up to the start of each block after it.
        Never changed, only replaced: other threads may be reading.
        """
        origin, sums = self._totals
        if sums and origin <= first and until < origin + len(sums):
            return origin, sums
        known = range(origin, origin + len(sums) - 1) if sums else range(first, first)
        blocks = range(min(first, known.start), max(until, known.stop))
        amounts = (
            sum(after_us - before_us for _, _, _, before_us, after_us in self._stretches(block))
            for block in blocks
        )
        self._totals = (blocks.start, [0, *accumulate(amounts)])
        return self._totals

    def _stretches(self, block: int) -> tuple[_Stretch, ...]:
        known = self._blocks.get(block)
        if known is None:
            before = self._openings.before
            known = self._blocks[block] = tuple(
                (
                    begin_us,
                    end_us,
                    offset_us,
                    before(begin_us + offset_us),
                    before(end_us + offset_us),
                )
                for begin_us, end_us, offset_us in self._zone.pieces(block)
            )
        return known


def calendar_of(definition: Mapping[str, Any], version: int) -> Calendar:
    """The calendar that a document describes.

    `id`, `zone`, `hours` (null: round the clock), and optionally `holidays` (dates, as people list them;
    or date → name, as `CalendarDefined` says all of them), `special_days` (date → shifts),
    `holiday_countries` with the dates that `resolved` found for them in `resolved_holidays`. Raises
    InvalidDefinition (unknown_zone, holidays_without_hours, unresolved_holidays, and those of `hours`).
    """
    hours = definition.get("hours")
    week = None if hours is None else week_of(hours)
    found = definition.get("resolved_holidays") or ()
    special_days = special_days_of(definition.get("special_days") or {})
    if definition.get("holiday_countries") and not found:
        raise InvalidDefinition(
            "unresolved_holidays",
            "the holidays of the calendar's countries were not looked up; put the calendar again",
        )
    listed = definition.get("holidays") or ()
    names = (
        {day: name for day, name in listed.items() if name} if isinstance(listed, Mapping) else {}
    )
    for source in found:
        names.update(source["dates"])
    holidays = holidays_of(listed, None if isinstance(listed, Mapping) else HOLIDAYS_MAX)
    holidays = holidays.union(*(holidays_of(source["dates"]) for source in found))
    if week is None and (holidays or special_days):
        raise InvalidDefinition(
            "holidays_without_hours",
            "a calendar that is open round the clock cannot have holidays or special days; give it"
            ' hours ([["00:00", "24:00"]] on each weekday)',
        )
    return Calendar(
        str(definition["id"]), version, definition["zone"], week, holidays, special_days, names
    )

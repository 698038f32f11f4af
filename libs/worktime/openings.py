"""Opening hours on a wall clock that no zone disturbs: open time up to a moment, and the reverse.

Weeks repeat, so any number of them is one multiplication; the days that differ (holidays, special
days) are kept sorted with what they add or take, summed up. Both directions are binary searches,
however long the span is.

Moments are microseconds since 1970-01-01T00:00 on the wall; amounts count from an arbitrary zero, only
differences mean something.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from libs.worktime.hours import Span, Week, weekday_of
from libs.worktime.instants import DAY_US, SECOND_US

MINUTE_US: Final = 60 * SECOND_US
WEEK_US: Final = 7 * DAY_US
MONDAY_US: Final = 4 * DAY_US  # 1970-01-05


class _Shifts:
    """Shifts of a day or a week, in order, without overlap; in µs from its beginning."""

    __slots__ = ("ends", "open_us", "starts", "sums")

    def __init__(self, spans: Sequence[Span]) -> None:
        self.starts = [start * MINUTE_US for start, _ in spans]
        self.ends = [end * MINUTE_US for _, end in spans]
        lengths = (end - start for start, end in zip(self.starts, self.ends, strict=True))
        self.sums = [0, *accumulate(lengths)]
        self.open_us = self.sums[-1]

    def before(self, moment_us: int) -> int:
        begun = bisect_right(self.starts, moment_us)
        if not begun:
            return 0
        left_us = self.ends[begun - 1] - moment_us
        return self.sums[begun] - left_us if left_us > 0 else self.sums[begun]

    def reached(self, amount_us: int) -> int:
        """The earliest moment by which this amount, 1 to `open_us`, is used up."""
        number = bisect_left(self.sums, amount_us)
        return self.ends[number - 1] - (self.sums[number] - amount_us)


class Openings:
    """The open time of a week that repeats, except on days with hours of their own.

    `others`: day number (since 1970-01-01) → the spans of that day.
    """

    __slots__ = ("_at_day", "_days_us", "_hours", "_more_us", "_week", "busiest_us", "weekly_us")

    def __init__(self, week: Week, others: Mapping[int, Sequence[Span]]) -> None:
        self._week = _Shifts(
            [
                (weekday * 1440 + start, weekday * 1440 + end)
                for weekday, spans in enumerate(week)
                for start, end in spans
            ]
        )
        self.weekly_us = self._week.open_us
        usual = [_Shifts(spans).open_us for spans in week]
        self.busiest_us = max(usual)
        """Open time of the usual day that is open the longest."""
        self._days_us: list[int] = []
        self._hours: list[_Shifts] = []
        self._at_day: list[int] = []
        self._more_us = [0]
        for day in sorted(others):
            shifts = _Shifts(others[day])
            self._days_us.append(day * DAY_US)
            self._hours.append(shifts)
            weeks, rest_us = divmod(day * DAY_US - MONDAY_US, WEEK_US)
            usual_us = weeks * self.weekly_us + self._week.before(rest_us)
            self._at_day.append(usual_us + self._more_us[-1])
            self._more_us.append(self._more_us[-1] + shifts.open_us - usual[weekday_of(day)])

    def before(self, moment_us: int) -> int:
        """The amount of open time up to this moment."""
        past = bisect_right(self._days_us, moment_us)
        if past and moment_us < self._days_us[past - 1] + DAY_US:
            within_us = moment_us - self._days_us[past - 1]
            return self._at_day[past - 1] + self._hours[past - 1].before(within_us)
        weeks, rest_us = divmod(moment_us - MONDAY_US, WEEK_US)
        return weeks * self.weekly_us + self._week.before(rest_us) + self._more_us[past]

    def reached(self, amount_us: int) -> int:
        """The earliest moment with this amount of open time before it."""
        past = bisect_left(self._at_day, amount_us)
        if past:
            left_us = amount_us - self._at_day[past - 1]
            if left_us <= self._hours[past - 1].open_us:
                return self._days_us[past - 1] + self._hours[past - 1].reached(left_us)
        weeks, left_us = divmod(amount_us - self._more_us[past] - 1, self.weekly_us)
        return MONDAY_US + weeks * WEEK_US + self._week.reached(left_us + 1)

    def others_within(self, span_us: int) -> int:
        """The greatest number of days with other hours that any span of this length meets."""
        most = first = 0
        for last, day_us in enumerate(self._days_us):
            while day_us - self._days_us[first] > span_us:
                first += 1
            most = max(most, last - first + 1)
        return most

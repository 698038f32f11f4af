"""One calendar through all its versions: each instant is counted by the version in force then.

A new version is in force from a stated instant that is never before its making, so an edit moves what
is still to come and nothing that was counted: time before it stays as it was, a clock that runs across
it goes on under the new hours, and no due instant can move to before the edit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from libs.worktime.calendar import Calendar
from libs.worktime.instants import FIRST_US


class CalendarVersion(NamedTuple):
    effective_from_us: int
    calendar: Calendar


class Timeline:
    """The versions of one calendar, ascending and at least one. Before its first, the first counts.

    Of two versions that are in force at an instant the newer one counts. `known` is how many there
    are: a clock that reckoned with fewer has to reckon anew.
    """

    __slots__ = ("_calendars", "_starts", "known", "name")

    def __init__(self, name: str, versions: Sequence[CalendarVersion]) -> None:
        self.name = name
        self.known = len(versions)
        parts = [CalendarVersion(FIRST_US, versions[0].calendar)]
        for version in versions[1:]:
            while len(parts) > 1 and parts[-1].effective_from_us >= version.effective_from_us:
                parts.pop()
            parts.append(version)
        self._starts = [part.effective_from_us for part in parts]
        self._calendars = [part.calendar for part in parts]

    def at(self, at_us: int) -> Calendar:
        """The version in force at this instant."""
        if len(self._starts) == 1:
            return self._calendars[0]
        return self._calendars[max(bisect_right(self._starts, at_us) - 1, 0)]

    def version_at(self, at_us: int) -> int:
        return self.at(at_us).version

    def coming(self, at_us: int) -> tuple[CalendarVersion, ...]:
        """The version in force at this instant, and each that is to follow it, ascending."""
        first = max(bisect_right(self._starts, at_us) - 1, 0)
        return tuple(map(CalendarVersion, self._starts[first:], self._calendars[first:]))

    def parts(self, start_us: int, end_us: int) -> Iterator[tuple[int, int, Calendar]]:
        """The pieces of a span with the version that counts in each: start, end, calendar."""
        edges = [*self._starts[1:], end_us]
        for begin_us, until_us, calendar in zip(self._starts, edges, self._calendars, strict=True):
            begin_us, until_us = max(begin_us, start_us), min(until_us, end_us)  # noqa: PLW2901
            if begin_us < until_us:
                yield begin_us, until_us, calendar

    def add_us(self, start_us: int, target_us: int) -> int:
        """The earliest instant at which `target_us` of open time after `start_us` is used up."""
        if len(self._starts) == 1:
            return self._calendars[0].add_us(start_us, target_us)
        index = max(bisect_right(self._starts, start_us) - 1, 0)
        for calendar, until_us in zip(
            self._calendars[index:-1], self._starts[index + 1 :], strict=True
        ):
            open_us = calendar.elapsed_us(start_us, until_us)
            if open_us >= target_us:
                return calendar.add_us(start_us, target_us)
            target_us -= open_us
            start_us = until_us
        return self._calendars[-1].add_us(start_us, target_us)

    def elapsed_us(self, start_us: int, end_us: int) -> int:
        """The open time between two instants; 0 when they are reversed."""
        if len(self._starts) == 1:
            return self._calendars[0].elapsed_us(start_us, end_us)
        if end_us <= start_us:
            return 0
        total, index = 0, max(bisect_right(self._starts, start_us) - 1, 0)
        for calendar, until_us in zip(
            self._calendars[index:-1], self._starts[index + 1 :], strict=True
        ):
            if end_us <= until_us:
                return total + calendar.elapsed_us(start_us, end_us)
            total += calendar.elapsed_us(start_us, until_us)
            start_us = until_us
        return total + self._calendars[-1].elapsed_us(start_us, end_us)

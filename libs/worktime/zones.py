"""Time zones as spans with one offset each, so that open time is reckoned without walking the days.

The rules come from the pinned package `tzdata`, never from the machine: two machines, or one before
and after an update of its system, give the same verdict, and `tzdata_version` says by which rules.
"""

from __future__ import annotations

from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

import tzdata

from libs.worktime.errors import InvalidDefinition
from libs.worktime.instants import DAY_US, EPOCH, FIRST_US, LAST_US, ONE_US, SECOND_US

BLOCK_US: Final = 364 * DAY_US
"""About a year: what is looked up at once."""
STEP_US: Final = 4 * DAY_US
"""How far apart the offset is looked at. A change and its reversal between two looks would be missed;
the closest in the whole database are 6.9 days apart (Gaza, Brazil), which a test watches."""
SHOWN_MAX: Final = 100
"""Characters of a name that is no zone that are told and compared."""

Piece = tuple[int, int, int]
"""A span of instants throughout which the zone has one offset: start, end, offset; all in µs."""


class Zone:
    """The offsets of one time zone. Immutable to its users; what was once looked up is kept."""

    def __init__(self, name: str, rules: ZoneInfo) -> None:
        self.name = name
        self._rules = rules
        self._blocks: dict[int, tuple[Piece, ...]] = {}

    def pieces(self, block: int) -> tuple[Piece, ...]:
        """The pieces of the instants `block * BLOCK_US` up to `(block + 1) * BLOCK_US`, in order."""
        known = self._blocks.get(block)
        if known is None:
            known = self._blocks[block] = self._look_up(block * BLOCK_US, (block + 1) * BLOCK_US)
        return known

    def _look_up(self, start_us: int, end_us: int) -> tuple[Piece, ...]:
        found: list[Piece] = []
        begin_us, offset_us = start_us, self._offset_us(start_us)
        for look_us in range(start_us + STEP_US, end_us + STEP_US, STEP_US):
            until_us = min(look_us, end_us)
            while self._offset_us(until_us) != offset_us:
                change_us = self._change_us(max(begin_us, until_us - STEP_US), until_us, offset_us)
                if change_us == end_us:  # the next block begins with it
                    break
                found.append((begin_us, change_us, offset_us))
                begin_us, offset_us = change_us, self._offset_us(change_us)
        found.append((begin_us, end_us, offset_us))
        return tuple(found)

    def _change_us(self, low_us: int, high_us: int, offset_us: int) -> int:
        """The first instant after `low_us`, which has this offset, that has another one."""
        low, high = low_us // SECOND_US, high_us // SECOND_US
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset_us(middle * SECOND_US) == offset_us:
                low = middle
            else:
                high = middle
        return high * SECOND_US

    def _offset_us(self, instant_us: int) -> int:
        instant = EPOCH + timedelta(microseconds=min(max(instant_us, FIRST_US), LAST_US))
        offset = instant.astimezone(self._rules).utcoffset()
        return 0 if offset is None else offset // ONE_US


@cache
def zone_of(name: str) -> Zone:
    """The zone of this IANA name. Raises InvalidDefinition (unknown_zone)."""
    known = zone_names()
    if name not in known:
        shown = name if len(name) <= SHOWN_MAX else f"{name[:SHOWN_MAX]}…"
        near = get_close_matches(name[:SHOWN_MAX], known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InvalidDefinition(
            "unknown_zone",
            f"{shown!r} is not a time zone; write one like Europe/Madrid or UTC{hint}",
        )
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
        return Zone(name, ZoneInfo.from_file(rules, key=name))


@cache
def zone_names() -> frozenset[str]:
    """Every zone of the database, links such as US/Eastern included."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


def tzdata_version() -> str:
    """The version of the time zone database that every zone here comes from, such as `2026f`."""
    return str(tzdata.IANA_VERSION)

"""Time zones: every change of every zone of the database is seen; which edition of it is in use."""

from __future__ import annotations

import struct
from importlib.resources import files
from itertools import pairwise

import pytest

from libs.worktime.errors import InvalidDefinition
from libs.worktime.instants import SECOND_US
from libs.worktime.zones import (
    BLOCK_US,
    STEP_US,
    tzdata_version,
    zone_names,
    zone_of,
)


def changes_of(name: str) -> list[tuple[int, int]]:
    """(second, offset from then on) of a zone, from its file (RFC 9636); the first has no second."""
    data = files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", data[20:44])
    second = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut  # the 64-bit part
    times, types = struct.unpack(">2l", data[second + 32 : second + 40])
    at = second + 44
    instants = struct.unpack(f">{times}q", data[at : at + 8 * times])
    numbers = data[at + 8 * times : at + 9 * times]
    ends = range(at + 9 * times, at + 9 * times + 6 * types, 6)
    offsets = [struct.unpack(">l", data[end : end + 4])[0] for end in ends]
    found = [(-(2**40), offsets[0])]
    for instant, number in zip(instants, numbers, strict=True):
        if offsets[number] != found[-1][1]:
            found.append((instant, offsets[number]))
    return found


def test_no_zone_changes_and_changes_back_between_two_looks() -> None:
    for name in sorted(zone_names()):
        changes = changes_of(name)
        for (_, before), (first, _), (second, after) in zip(
            changes, changes[1:], changes[2:], strict=False
        ):
            assert before != after or (second - first) * SECOND_US > STEP_US, name


@pytest.mark.parametrize(
    "name",
    "Europe/Berlin America/New_York Australia/Lord_Howe Africa/Casablanca Asia/Gaza Europe/Dublin"
    " Pacific/Apia Asia/Kathmandu Antarctica/Troll Africa/Monrovia America/Sao_Paulo UTC".split(),
)
def test_every_change_of_a_zone_is_seen_to_the_second(name: str) -> None:
    zone, changes = zone_of(name), dict(changes_of(name))
    first, last = -60, 67  # 1910 to 2037
    pieces = [piece for block in range(first, last) for piece in zone.pieces(block)]
    assert all(end == start for (_, end, _), (start, _, _) in pairwise(pieces))
    assert (pieces[0][0], pieces[-1][1]) == (first * BLOCK_US, last * BLOCK_US)
    seen = {
        start // SECOND_US: offset // SECOND_US
        for (_, _, before), (start, _, offset) in pairwise(pieces)
        if before != offset
    }
    in_file = {
        second: offset
        for second, offset in changes.items()
        if first * BLOCK_US <= second * SECOND_US < last * BLOCK_US
    }
    assert in_file.items() <= seen.items()
    # Beyond the last change of its file a zone goes on by a rule.
    assert all(second > max(changes) for second in seen.keys() - in_file.keys())


def test_the_edition_of_the_database_is_known() -> None:
    assert tzdata_version()[:4].isdigit()
    assert {"UTC", "Europe/Madrid", "US/Eastern"} <= zone_names()


@pytest.mark.parametrize("name", ["", "europe/madrid", "Europe", "../zones", "zone.tab", "\0"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidDefinition) as refusal:
        zone_of(name)
    assert refusal.value.code == "unknown_zone"

"""The judge of business time: is this instant open? Straight from the words of the rules, one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import assume
from hypothesis import strategies as st

from libs.worktime.calendar import calendar_of
from libs.worktime.errors import InvalidDefinition
from libs.worktime.hours import WEEKDAYS

PLACES = [
    ("Europe/Berlin", datetime(2026, 3, 28, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 24, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 10, 31, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 3, tzinfo=UTC)),  # midnight does not exist
    ("America/St_Johns", datetime(2010, 11, 6, tzinfo=UTC)),  # back at 00:01, into yesterday
    ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),  # half an hour
    ("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2025, 2, 22, tzinfo=UTC)),  # winter time for Ramadan
    ("Africa/Casablanca", datetime(2025, 4, 5, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 29, tzinfo=UTC)),  # a day is left out
    ("Asia/Kathmandu", datetime(2026, 6, 1, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(1985, 12, 31, tzinfo=UTC)),  # a quarter of an hour, once
    ("UTC", datetime(2026, 6, 1, tzinfo=UTC)),
]
"""Zones, and the day before their clocks do something."""


@cache
def rules(zone: str) -> ZoneInfo:
    """The zone by the same edition of the database that the service uses."""
    with files("tzdata").joinpath("zoneinfo", *zone.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data)


def is_open(definition: dict[str, Any], instant: datetime) -> bool:
    if definition["hours"] is None:
        return True
    local = instant.astimezone(rules(definition["zone"]))
    date, now = str(local.date()), f"{local:%H:%M}"
    yesterday = str(local.date() - timedelta(days=1))
    special, holidays = definition["special_days"], definition["holidays"]
    tails = special.get(yesterday, [])
    if date in special:
        return inside(special[date], now) or in_tail(tails, now)
    if date in holidays:
        return False
    usual = definition["hours"].get(WEEKDAYS[local.weekday()], [])
    return (
        inside(usual, now)
        or in_tail(definition["hours"].get(WEEKDAYS[local.weekday() - 1], []), now)
        or in_tail(tails, now)
    )


def inside(shifts: list[list[str]], now: str) -> bool:
    return any((first <= now < last) if first < last else now >= first for first, last in shifts)


def in_tail(shifts: list[list[str]], now: str) -> bool:
    return any(now < last < first for first, last in shifts)


def clock_text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@st.composite
def shifts(draw: st.DrawFn) -> list[list[str]]:
    points = sorted(draw(st.sets(st.integers(0, 96), max_size=6)))
    spans = [
        [clock_text(first * 15), clock_text(last * 15)]
        for first, last in zip(points[::2], points[1::2], strict=False)
    ]
    if draw(st.integers(0, 4)) == 0:
        start = draw(st.integers(60, 95)) * 15
        spans = [span for span in spans if span[1] <= clock_text(start)]
        spans.append([clock_text(start), clock_text(draw(st.integers(0, 50)) * 15)])
    return spans


@st.composite
def definitions(draw: st.DrawFn) -> tuple[dict[str, Any], datetime]:
    """A calendar around a day on which something happens, and an instant near it."""
    zone, around = draw(st.sampled_from(PLACES))
    days = st.integers(-2, 8).map(lambda offset: str(around.date() + timedelta(days=offset)))
    definition = {
        "id": "c",
        "zone": zone,
        "hours": {
            day: draw(shifts()) for day in draw(st.sets(st.sampled_from(WEEKDAYS), min_size=2))
        },
        "holidays": sorted(draw(st.sets(days, max_size=3))),
        "special_days": draw(st.dictionaries(days, shifts(), max_size=3)),
    }
    start = around + timedelta(minutes=draw(st.integers(-1440, 2880)))
    try:
        calendar_of(definition, 1)
    except InvalidDefinition as refusal:
        assume(refusal.code not in {"overlapping_hours", "no_open_minute"})
        raise
    return definition, start

"""Business calendars: worked examples, clock changes, and a naive minute counter as the judge."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.sla.domain.calendar import Calendar, calendar_of
from services.sla.domain.errors import InvalidDefinition
from services.sla.domain.hours import WEEKDAYS
from services.sla.domain.instants import LAST_US, SECOND_US, to_datetime, to_us

SPLIT = [["09:00", "13:00"], ["14:00", "18:00"]]
WORKDAYS = ("mon", "tue", "wed", "thu", "fri")


def calendar(
    hours: dict[str, Any] | None, zone: str = "Europe/Madrid", holidays: tuple[str, ...] = ()
) -> Calendar:
    return calendar_of({"id": "c", "zone": zone, "hours": hours, "holidays": holidays}, 1)


def business(*holidays: str) -> Calendar:
    return calendar(dict.fromkeys(WORKDAYS, SPLIT), holidays=holidays)


def due(of: Calendar, start: str, target_s: int) -> str:
    instant = to_datetime(of.add_us(to_us(datetime.fromisoformat(start)), target_s * SECOND_US))
    return instant.isoformat().replace("+00:00", "Z")


def elapsed_s(of: Calendar, start: str, end: str) -> float:
    first, last = (to_us(datetime.fromisoformat(text)) for text in (start, end))
    return of.elapsed_us(first, last) / SECOND_US


@pytest.mark.parametrize(
    ("start", "target_s", "expected"),
    [
        ("2026-06-01T07:00:00Z", 3600, "2026-06-01T08:00:00Z"),
        ("2026-06-01T10:30:15Z", 3600, "2026-06-01T12:30:15Z"),  # over the lunch break
        ("2026-06-01T07:00:00Z", 4 * 3600, "2026-06-01T11:00:00Z"),  # exactly at closing: then
        ("2026-06-01T07:00:00Z", 8 * 3600, "2026-06-01T16:00:00Z"),
        ("2026-06-01T07:00:00Z", 8 * 3600 + 1, "2026-06-02T07:00:01Z"),
        ("2026-06-05T15:30:00Z", 3600, "2026-06-08T07:30:00Z"),  # over the weekend
        ("2026-06-06T12:00:00Z", 60, "2026-06-08T07:01:00Z"),  # from a closed day
        ("2026-03-27T16:30:00Z", 7200, "2026-03-30T08:30:00Z"),  # summer time began on Sunday
        ("2026-06-01T07:00:00Z", 0, "2026-06-01T07:00:00Z"),
    ],
)
def test_due(start: str, target_s: int, expected: str) -> None:
    assert due(business(), start, target_s) == expected


def test_a_holiday_is_closed() -> None:
    assert due(business("2026-06-02"), "2026-06-01T15:00:00Z", 7200) == "2026-06-03T08:00:00Z"


def test_round_the_clock_loses_no_second_at_a_clock_change() -> None:
    always = calendar(None)
    assert due(always, "2026-03-28T12:00:00Z", 86_400) == "2026-03-29T12:00:00Z"
    assert elapsed_s(always, "2026-10-25T00:00:00Z", "2026-10-26T00:00:00Z") == 86_400


def test_all_day_every_day_is_round_the_clock() -> None:
    full = calendar({day: [["00:00", "24:00"]] for day in WEEKDAYS})
    assert elapsed_s(full, "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z") == 31 * 86_400
    assert elapsed_s(full, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z") == 2 * 86_400


def test_skipped_and_repeated_hours() -> None:
    night = calendar({"sun": [["01:00", "04:00"]]})
    assert elapsed_s(night, "2026-03-28T00:00:00Z", "2026-03-30T00:00:00Z") == 2 * 3600
    assert elapsed_s(night, "2026-10-24T00:00:00Z", "2026-10-26T00:00:00Z") == 4 * 3600
    # The half hour from 02:30 is open in both passes, the one before it in neither.
    late = calendar({"sun": [["02:30", "03:00"]]})
    assert elapsed_s(late, "2026-10-24T00:00:00Z", "2026-10-26T00:00:00Z") == 3600
    assert due(late, "2026-10-24T00:00:00Z", 1801) == "2026-10-25T01:30:01Z"
    # The hour that is skipped is never open: the target waits for the next Sunday.
    assert due(late, "2026-03-28T00:00:00Z", 60) == "2026-04-05T00:31:00Z"


def test_a_day_that_a_zone_left_out() -> None:
    # Samoa went from Thursday 29 to Saturday 31 December 2011.
    samoa = calendar({"fri": [["00:00", "24:00"]]}, "Pacific/Apia")
    assert elapsed_s(samoa, "2011-12-26T00:00:00Z", "2012-01-03T00:00:00Z") == 0


def test_night_shifts() -> None:
    night = calendar({"fri": [["22:00", "06:00"]], "sun": [["20:00", "24:00"]]}, "UTC")
    assert elapsed_s(night, "2026-06-05T00:00:00Z", "2026-06-08T00:00:00Z") == 12 * 3600
    assert due(night, "2026-06-05T23:00:00Z", 7 * 3600) == "2026-06-06T06:00:00Z"
    assert due(night, "2026-06-05T23:00:00Z", 7 * 3600 + 5) == "2026-06-07T20:00:05Z"


def test_reversed_instants_have_nothing_between() -> None:
    assert elapsed_s(business(), "2026-06-02T09:00:00Z", "2026-06-01T09:00:00Z") == 0


def test_a_target_beyond_all_time_ends_at_the_end_of_time() -> None:
    once_a_week = calendar({"mon": [["09:00", "09:01"]]})
    assert once_a_week.add_us(to_us(datetime(9990, 1, 1, tzinfo=UTC)), 10**18) == LAST_US
    assert calendar(None).add_us(LAST_US - 5, 10**18) == LAST_US


def test_long_spans_are_exact_and_quick() -> None:
    open_s = elapsed_s(business(), "2000-01-03T00:00:00Z", "2100-01-04T00:00:00Z")
    weeks, days = divmod((date(2100, 1, 4) - date(2000, 1, 3)).days, 7)
    assert days == 0
    assert open_s == weeks * 40 * 3600


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        ({"hours": {}}, "no_open_minute"),
        ({"hours": {"mon": []}}, "no_open_minute"),
        ({"hours": {"mon": [["09:00", "13:00"], ["12:00", "18:00"]]}}, "overlapping_hours"),
        (
            {"hours": {"mon": [["22:00", "02:00"]], "tue": [["01:00", "05:00"]]}},
            "overlapping_hours",
        ),
        (
            {"hours": {"mon": [["18:00", "09:00"]], "tue": [["08:00", "17:00"]]}},
            "overlapping_hours",
        ),
        ({"hours": {"mon": [["09:00", "09:00"]]}}, "bad_hours"),
        ({"hours": {"mon": [["24:00", "02:00"]]}}, "bad_hours"),
        ({"hours": {"mon": [["9:00", "13:00"]]}}, "bad_hours"),
        ({"hours": {"mon": [["09:00", "24:01"]]}}, "bad_hours"),
        ({"hours": {"mon": [["09:00"]]}}, "bad_hours"),
        ({"hours": {"lunes": [["09:00", "13:00"]]}}, "unknown_weekday"),
        ({"hours": {"mon": SPLIT}, "zone": "Europe/Madriz"}, "unknown_zone"),
        ({"hours": {"mon": SPLIT}, "zone": "../../etc/passwd"}, "unknown_zone"),
        ({"hours": {"mon": SPLIT}, "zone": ""}, "unknown_zone"),
        ({"hours": {"mon": SPLIT}, "zone": "Europe"}, "unknown_zone"),
        ({"hours": {"mon": SPLIT}, "holidays": ["2026-02-30"]}, "bad_holiday"),
        ({"hours": {"mon": SPLIT}, "holidays": ["2026-01-01"] * 5001}, "too_many_holidays"),
        ({"hours": None, "holidays": ["2026-12-25"]}, "holidays_without_hours"),
    ],
)
def test_bad_definitions(definition: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidDefinition) as refusal:
        calendar_of({"id": "c", "zone": "UTC", "holidays": [], **definition}, 1)
    assert refusal.value.code == code


# ---- against a naive minute counter ----------------------------------------------------------

PLACES = [
    ("Europe/Madrid", datetime(2026, 3, 28, tzinfo=UTC)),
    ("Europe/Madrid", datetime(2026, 10, 24, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 7, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 3, tzinfo=UTC)),  # midnight does not exist
    ("America/St_Johns", datetime(2010, 11, 6, tzinfo=UTC)),  # back at 00:01, into yesterday
    ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),  # half an hour
    ("Africa/Casablanca", datetime(2026, 2, 14, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 29, tzinfo=UTC)),  # a day is left out
    ("Asia/Kathmandu", datetime(2026, 6, 1, tzinfo=UTC)),
    ("UTC", datetime(2026, 6, 1, tzinfo=UTC)),
]


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
        spans.append(["22:15", clock_text(draw(st.integers(0, 40)) * 15)])
    return spans


@st.composite
def definitions(draw: st.DrawFn) -> tuple[dict[str, Any], datetime]:
    zone, around = draw(st.sampled_from(PLACES))
    hours = {day: draw(shifts()) for day in draw(st.sets(st.sampled_from(WEEKDAYS), min_size=2))}
    offsets = draw(st.sets(st.integers(-2, 8), max_size=3))
    holidays = [str(around.date() + timedelta(days=offset)) for offset in offsets]
    start = around + timedelta(minutes=draw(st.integers(-1440, 2880)))
    definition = {"id": "c", "zone": zone, "hours": hours, "holidays": sorted(holidays)}
    try:
        calendar_of(definition, 1)
    except InvalidDefinition as refusal:
        assume(refusal.code not in {"overlapping_hours", "no_open_minute"})
        raise
    return definition, start


def naive_open(definition: dict[str, Any], instant: datetime) -> bool:
    """Is the minute from `instant` open? Straight from the words of the definition."""
    local = instant.astimezone(ZoneInfo(definition["zone"]))
    if str(local.date()) in definition["holidays"]:
        return False
    now = f"{local:%H:%M}"
    today = definition["hours"].get(WEEKDAYS[local.weekday()], [])
    yesterday = definition["hours"].get(WEEKDAYS[local.weekday() - 1], [])
    return any(
        (first <= now < last) if first < last else now >= first for first, last in today
    ) or any(now < last < first for first, last in yesterday)


@settings(max_examples=150, deadline=None)
@given(definitions(), st.integers(0, 9 * 1440), st.integers(1, 3000))
def test_it_agrees_with_a_naive_minute_counter(
    drawn: tuple[dict[str, Any], datetime], span_min: int, target_min: int
) -> None:
    definition, start = drawn
    ours = calendar_of(definition, 1)
    minute = 60 * SECOND_US
    start_us = to_us(start)
    counted, due_us = 0, None
    for number in range(span_min):
        counted += naive_open(definition, start + timedelta(minutes=number))
        if due_us is None and counted == target_min:
            due_us = start_us + (number + 1) * minute
    assert ours.elapsed_us(start_us, start_us + span_min * minute) == counted * minute
    if due_us is not None:
        assert ours.add_us(start_us, target_min * minute) == due_us
    else:
        assert ours.add_us(start_us, target_min * minute) > start_us + span_min * minute


@settings(max_examples=150, deadline=None)
@given(
    definitions(),
    st.integers(0, 10**6),
    st.integers(1, 400 * 3600 * SECOND_US),
    st.integers(0, 90 * 86_400 * SECOND_US),
)
def test_due_and_elapsed_are_inverse(
    drawn: tuple[dict[str, Any], datetime], shift_us: int, target_us: int, span_us: int
) -> None:
    definition, start = drawn
    ours = calendar_of(definition, 1)
    start_us = to_us(start) + shift_us
    due_us = ours.add_us(start_us, target_us)
    assume(due_us < LAST_US)
    assert ours.elapsed_us(start_us, due_us) == target_us
    assert ours.elapsed_us(start_us, due_us - 1) == target_us - 1  # the earliest such instant
    end_us = start_us + span_us
    used_us = ours.elapsed_us(start_us, end_us)
    assert ours.add_us(start_us, used_us) <= end_us
    middle_us = start_us + span_us // 3
    assert ours.elapsed_us(start_us, middle_us) + ours.elapsed_us(middle_us, end_us) == used_us

"""Business calendars: worked examples, clock changes, and a naive minute counter as the judge."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from libs.worktime.calendar import Calendar, calendar_of
from libs.worktime.errors import InvalidDefinition
from libs.worktime.hours import WEEKDAYS
from libs.worktime.instants import LAST_US, SECOND_US, to_datetime, to_us
from tests.worktime.naive import definitions, is_open

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


@pytest.mark.parametrize(
    ("zone", "day", "hours_of_the_day"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Africa/Casablanca", "2025-02-23", 25),  # Ramadan began on 1 March
        ("Africa/Casablanca", "2025-04-06", 23),
        ("Asia/Kathmandu", "1986-01-01", 23.75),  # from +05:30 to +05:45
        ("Asia/Kathmandu", "2026-01-01", 24),
        ("Pacific/Apia", "2011-12-29", 24),
        ("Pacific/Apia", "2011-12-30", 0),  # that Friday was left out
        ("America/Sao_Paulo", "2018-11-04", 23),  # its first hour did not exist
    ],
)
def test_how_long_a_local_day_is(zone: str, day: str, hours_of_the_day: float) -> None:
    weekday = WEEKDAYS[date.fromisoformat(day).weekday()]
    whole = calendar({weekday: [["00:00", "24:00"]]}, zone)
    noon = datetime.fromisoformat(f"{day}T12:00:00Z")
    found = whole.elapsed_us(to_us(noon - timedelta(days=2)), to_us(noon + timedelta(days=2)))
    assert found == hours_of_the_day * 3600 * SECOND_US


def test_special_days_have_their_own_hours() -> None:
    definition = {
        "id": "c",
        "zone": "UTC",
        "hours": dict.fromkeys(WORKDAYS, SPLIT),
        "holidays": ["2026-12-24", "2026-12-25"],
        "special_days": {
            "2026-12-24": [["09:00", "12:00"]],  # instead of the holiday
            "2026-12-26": [["22:00", "02:00"]],  # a Saturday; its shift ends on Sunday
            "2026-12-28": [],
        },
    }
    of = calendar_of(definition, 1)
    assert elapsed_s(of, "2026-12-24T00:00:00Z", "2026-12-25T00:00:00Z") == 3 * 3600
    assert elapsed_s(of, "2026-12-26T00:00:00Z", "2026-12-27T00:00:00Z") == 2 * 3600
    assert elapsed_s(of, "2026-12-27T00:00:00Z", "2026-12-29T00:00:00Z") == 2 * 3600
    assert due(of, "2026-12-24T11:00:00Z", 2 * 3600) == "2026-12-26T23:00:00Z"
    assert due(of, "2026-12-26T23:00:00Z", 4 * 3600) == "2026-12-29T10:00:00Z"


def test_the_night_shift_of_a_special_day_ends_before_a_holiday() -> None:
    night = {"2026-12-24": [["22:00", "06:00"]]}
    hours = {"mon": [["09:00", "10:00"]]}
    definition = {"id": "c", "zone": "UTC", "hours": hours, "special_days": night}
    span = "2026-12-24T00:00:00Z", "2026-12-26T00:00:00Z"
    assert elapsed_s(calendar_of(definition, 1), *span) == 8 * 3600
    on_holiday = calendar_of({**definition, "holidays": ["2026-12-25"]}, 1)
    assert elapsed_s(on_holiday, *span) == 2 * 3600


def test_a_night_shift_may_last_longer_than_half_a_day() -> None:
    standby = calendar({day: [["17:00", "09:00"]] for day in WORKDAYS}, "UTC")
    assert elapsed_s(standby, "2026-06-01T00:00:00Z", "2026-06-08T00:00:00Z") == 5 * 16 * 3600


def test_an_upper_bound_of_how_long_a_target_takes() -> None:
    holidays = tuple(f"{year}-12-{day}" for year in range(2006, 2047) for day in (24, 25, 26))
    of = business(*holidays)
    start_us = to_us(datetime(2026, 12, 23, 17, tzinfo=UTC))
    target_us = 80 * 3600 * SECOND_US
    needed_us = of.add_us(start_us, target_us) - start_us
    assert needed_us <= of.longest_us(target_us) < 6 * 7 * 86_400 * SECOND_US
    assert calendar(None).longest_us(5) == 5
    closed_for_years = business(*(str(date(2026, 1, 1) + timedelta(days=n)) for n in range(4000)))
    assert closed_for_years.longest_us(SECOND_US) > 10 * 365 * 86_400 * SECOND_US


def test_ten_years_are_as_exact_as_the_sum_of_their_days() -> None:
    of = business("2021-12-25", "2024-02-29", "2026-06-02")
    start = datetime(2016, 5, 4, 3, 2, 1, tzinfo=UTC)
    days = [to_us(start + timedelta(days=n)) for n in range(3653)]
    daily_us = [of.elapsed_us(first, last) for first, last in pairwise(days)]
    assert of.elapsed_us(days[0], days[-1]) == sum(daily_us)
    assert of.add_us(days[0], sum(daily_us)) == to_us(datetime(2026, 5, 1, 16, tzinfo=UTC))


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
        ({"hours": None, "special_days": {"2026-12-24": []}}, "holidays_without_hours"),
        ({"hours": {"mon": SPLIT}, "holidays": ["20261225"]}, "bad_holiday"),
        ({"hours": {"mon": SPLIT}, "special_days": {"24.12.2026": []}}, "bad_special_day"),
        ({"hours": {"mon": SPLIT}, "special_days": {"2026-12-24": [["9", "12"]]}}, "bad_hours"),
        (
            {"hours": {"mon": SPLIT}, "special_days": {"2026-12-24": [*SPLIT, *SPLIT]}},
            "overlapping_hours",
        ),
        (
            {"hours": {"mon": SPLIT}, "holiday_countries": [{"country": "ES"}]},
            "unresolved_holidays",
        ),
    ],
)
def test_bad_definitions(definition: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidDefinition) as refusal:
        calendar_of({"id": "c", "zone": "UTC", "holidays": [], **definition}, 1)
    assert refusal.value.code == code


# ---- against a naive minute counter ----------------------------------------------------------


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
        counted += is_open(definition, start + timedelta(minutes=number))
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


@settings(max_examples=40, deadline=None)
@given(
    definitions(),
    st.lists(
        st.tuples(
            st.integers(-40 * 365, 40 * 365), st.integers(0, 30 * 365), st.integers(0, 86_399)
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_spans_of_decades_add_up_whatever_was_asked_before(
    drawn: tuple[dict[str, Any], datetime], spans: list[tuple[int, int, int]]
) -> None:
    definition, around = drawn
    kept = calendar_of(definition, 1)
    for first_day, days, seconds in spans:
        start_us = to_us(around) + (first_day * 86_400 + seconds) * SECOND_US
        end_us = start_us + days * 86_400 * SECOND_US
        months = [*range(start_us, end_us, 30 * 86_400 * SECOND_US), end_us]
        used_us = kept.elapsed_us(start_us, end_us)
        assert used_us == sum(kept.elapsed_us(*month) for month in pairwise(months))
        assert used_us == calendar_of(definition, 1).elapsed_us(start_us, end_us)
        due_us = kept.add_us(start_us, used_us)
        assert due_us == calendar_of(definition, 1).add_us(start_us, used_us) <= end_us
        assert kept.elapsed_us(start_us, due_us) == used_us

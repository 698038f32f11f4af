"""A calendar through its versions: counted, laid out, and as spans of open time."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.worktime.calendar import calendar_of
from libs.worktime.hours import WEEKDAYS
from libs.worktime.instants import DAY_US, SECOND_US, to_datetime, to_us
from libs.worktime.layout import lay_out, open_spans
from libs.worktime.timeline import CalendarVersion, Timeline
from tests.worktime.naive import definitions, is_open

HOUR_US = 3600 * SECOND_US
MINUTE_US = 60 * SECOND_US
MONDAY_US = to_us(datetime(2026, 6, 1, tzinfo=UTC))


def desk(*shifts: list[str], zone: str = "UTC", **more: Any) -> dict[str, Any]:
    hours = {day: list(shifts) for day in WEEKDAYS}
    return {"id": "desk", "zone": zone, "hours": hours, "holidays": [], **more}


def line_of(*versions: tuple[int, dict[str, Any]]) -> Timeline:
    made = enumerate(versions, start=1)
    return Timeline("desk", [CalendarVersion(at, calendar_of(doc, n)) for n, (at, doc) in made])


def texts(line: Timeline, start: str, end: str) -> list[str]:
    first, last = (to_us(datetime.fromisoformat(text)) for text in (start, end))
    return [
        f"{to_datetime(begin_us):%d %H:%M}-{to_datetime(until_us):%d %H:%M}"
        for begin_us, until_us in open_spans(line, first, last)
    ]


shift = st.integers(0, 22).flatmap(
    lambda first: st.integers(first + 1, 23).map(
        lambda last: desk([f"{first:02}:00", f"{last:02}:00"])
    )
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 6), shift), min_size=1, max_size=4),
    st.integers(-4 * 24, 6 * 24),
    st.integers(0, 200 * 60),
)
def test_a_timeline_counts_each_instant_by_the_version_in_force(
    versions: list[tuple[int, dict[str, Any]]], start_h: int, minutes: int
) -> None:
    made = [
        CalendarVersion(MONDAY_US + day * DAY_US, calendar_of(document, number))
        for number, (day, document) in enumerate(versions, start=1)
    ]
    line = Timeline("desk", made)
    start_us = MONDAY_US + start_h * HOUR_US
    end_us = start_us + minutes * MINUTE_US
    counted = 0
    for hour in range(start_us, end_us, HOUR_US):  # versions and hours change on the full hour
        in_force = [one for one in made if one.effective_from_us <= hour] or made[:1]
        counted += in_force[-1].calendar.elapsed_us(hour, min(hour + HOUR_US, end_us))
    assert line.elapsed_us(start_us, end_us) == counted
    if counted:
        due_us = line.add_us(start_us, counted)
        assert due_us <= end_us
        assert line.elapsed_us(start_us, due_us) == counted
        assert line.elapsed_us(start_us, due_us - 1) < counted


@settings(max_examples=200, deadline=None)
@given(definitions(), definitions(), st.integers(0, 12 * 1440), st.integers(0, 12 * 1440))
def test_a_calendar_laid_out_has_the_open_time_that_it_reckons(
    first: Any, second: Any, minutes: int, edit: int
) -> None:
    start_us = to_us(first[1])
    line = line_of((start_us, first[0]), (start_us + edit * MINUTE_US, second[0]))
    end_us = start_us + minutes * MINUTE_US
    stretches = list(lay_out(line, start_us, end_us))
    opened = sum(one.end_us - one.start_us for one in stretches if one.reason == "open")
    assert opened == line.elapsed_us(start_us, end_us)
    assert sum(one.end_us - one.start_us for one in stretches) == end_us - start_us


@settings(max_examples=100, deadline=None)
@given(definitions(), definitions(), st.integers(1, 5 * 1440), st.integers(0, 5 * 1440))
def test_a_minute_is_in_a_span_when_the_words_of_the_rules_say_open(
    first: Any, second: Any, minutes: int, edit: int
) -> None:
    start_us = to_us(first[1])
    edit_us = start_us + edit * MINUTE_US
    line = line_of((start_us, first[0]), (edit_us, second[0]))
    spans = list(open_spans(line, start_us, start_us + minutes * MINUTE_US))
    assert all(begin_us < until_us for begin_us, until_us in spans)
    assert all(until_us < begin_us for (_, until_us), (begin_us, _) in pairwise(spans))
    starts = [begin_us for begin_us, _ in spans]
    for minute in range(0, minutes, 7):
        at_us = start_us + minute * MINUTE_US
        place = bisect_right(starts, at_us)
        inside = place > 0 and at_us < spans[place - 1][1]
        definition = first[0] if at_us < edit_us else second[0]
        assert inside == is_open(definition, to_datetime(at_us)), to_datetime(at_us)


@settings(max_examples=100, deadline=None)
@given(definitions(), definitions(), st.integers(0, 40 * 1440), st.data())
def test_running_totals_of_the_spans_answer_as_the_timeline_does(
    first: Any, second: Any, edit: int, data: st.DataObject
) -> None:
    start_us = to_us(first[1])
    line = line_of((start_us, first[0]), (start_us + edit * MINUTE_US, second[0]))
    end_us = start_us + 60 * DAY_US
    spans = list(open_spans(line, start_us, end_us))
    totals = [0, *accumulate(until_us - begin_us for begin_us, until_us in spans)]
    starts = [begin_us for begin_us, _ in spans]

    def total(at_us: int) -> int:
        place = bisect_right(starts, at_us)
        if place == 0:
            return 0
        begin_us, until_us = spans[place - 1]
        return totals[place - 1] + min(at_us, until_us) - begin_us

    instants = st.integers(start_us, end_us)
    for _ in range(20):
        one_us, other_us = sorted((data.draw(instants), data.draw(instants)))
        assert total(other_us) - total(one_us) == line.elapsed_us(one_us, other_us)


def test_spans_are_cut_at_the_range_and_joined_at_midnight_and_at_a_new_version() -> None:
    night = desk(["22:00", "06:00"])
    line = line_of((MONDAY_US, night), (MONDAY_US + DAY_US + 2 * HOUR_US, night))
    found = texts(line, "2026-06-01T03:00:00Z", "2026-06-02T23:00:00Z")
    assert found == ["01 03:00-01 06:00", "01 22:00-02 06:00", "02 22:00-02 23:00"]


def test_round_the_clock_is_one_span_however_long() -> None:
    always = {"id": "always", "zone": "UTC", "hours": None}
    line = line_of((MONDAY_US, always), (MONDAY_US + DAY_US, always))
    assert texts(line, "2026-06-01T00:00:00Z", "2026-06-30T00:00:00Z") == ["01 00:00-30 00:00"]
    assert texts(line, "2026-06-30T00:00:00Z", "2026-06-01T00:00:00Z") == []


def test_closed_days_have_no_span() -> None:
    line = line_of((MONDAY_US, desk(["09:00", "10:00"], holidays=["2026-06-02"])))
    found = texts(line, "2026-06-01T09:30:00Z", "2026-06-03T09:00:00Z")
    assert found == ["01 09:30-01 10:00"]

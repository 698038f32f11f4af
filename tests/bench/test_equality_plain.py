"""The second way to the figures: that it is independent, and right on small cases."""

from __future__ import annotations

import ast
import random
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from bench.equality.plain import incidents
from bench.equality.plain.buckets import PERCENTS, distribution, periods, start_of
from bench.equality.plain.hours import Hours
from bench.equality.plain.levels import level
from bench.equality.plain.measures import at_work, measures_of
from bench.equality.plain.tickets import facts_of
from bench.harness import ROOT, SAMPLE, percentile
from libs.worktime.calendar import calendar_of
from libs.worktime.instants import SECOND_US

PLAIN = ROOT / "bench" / "equality" / "plain"
MADRID = "Europe/Madrid"
WEEK = (0, 1, 2, 3, 4)
SHIFTS = (("09:00", "13:00"), ("14:00", "18:00"))


def seconds(text: str) -> int:
    return int(pd.Timestamp(text).timestamp())


@pytest.mark.parametrize("file", sorted(PLAIN.glob("*.py")), ids=lambda file: str(file.stem))
def test_it_imports_nothing_of_the_project(file: Path) -> None:
    allowed = sys.stdlib_module_names | {"pandas", "numpy"}
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        for name in names:
            own = name.startswith("bench.equality.plain")
            assert own or name.partition(".")[0] in allowed, name


def test_days_of_a_zone_have_23_24_and_25_hours() -> None:
    spring = periods(seconds("2016-03-26T12:00Z"), seconds("2016-03-27T12:00Z"), MADRID, "day")
    assert [b - a for a, b in pairwise(spring)] == [86_400, 82_800]
    autumn = periods(seconds("2016-10-29T12:00Z"), seconds("2016-10-30T12:00Z"), MADRID, "day")
    assert [b - a for a, b in pairwise(autumn)] == [86_400, 90_000]
    months = periods(seconds("2016-02-01T00:00Z"), seconds("2016-03-31T22:00Z"), MADRID, "month")
    assert [pd.Timestamp(one, unit="s").isoformat() for one in months] == [
        "2016-01-31T23:00:00",
        "2016-02-29T23:00:00",
        "2016-03-31T22:00:00",
        "2016-04-30T22:00:00",
    ]
    late = pd.Series([seconds("2016-10-30T01:30Z")])  # the second 02:30 of that night
    assert start_of(late, MADRID, "hour")[0] == seconds("2016-10-30T01:00Z")


def test_percentiles_are_by_nearest_rank() -> None:
    drawn = random.Random(5)
    for size in (1, 2, 3, 10, 99, 100, 101):
        values = [drawn.randrange(50) for _ in range(size)]
        found = distribution(pd.DataFrame({"value": values}), [])[()]
        assert found["mean"] == Fraction(sum(values), size)
        for percent in PERCENTS:
            assert found[f"p{percent}"] == percentile([float(v) for v in values], percent)


def test_business_time_is_that_of_the_calculator() -> None:
    drawn = random.Random(7)
    hours = Hours(MADRID, WEEK, SHIFTS, closed=("2016-03-24",), years=(2016, 2017))
    day = [list(shift) for shift in SHIFTS]
    calendar = calendar_of(
        {
            "id": "desk",
            "zone": MADRID,
            "hours": dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), day),
            "holidays": ["2016-03-24"],
        },
        1,
    )
    first, last = seconds("2016-01-02T00:00Z"), seconds("2016-12-30T00:00Z")
    pairs = [
        sorted((drawn.randrange(first, last), drawn.randrange(first, last))) for _ in range(300)
    ]
    starts, ends = ([pair[side] for pair in pairs] for side in (0, 1))
    counted = (hours.until(ends) - hours.until(starts)).tolist()
    assert counted == [
        calendar.elapsed_us(a * SECOND_US, b * SECOND_US) // SECOND_US for a, b in pairs
    ]
    with pytest.raises(ValueError, match="outside the years"):
        hours.until([seconds("2018-01-01T00:00Z")])


def test_what_begins_at_the_end_of_a_period_belongs_to_the_next() -> None:
    stretches = pd.DataFrame({"start": [0, 5, 10], "end": [10, 20, None]})
    assert level(stretches, [5, 10, 20, 30], []) == {
        (5, ()): 1,
        (10, ()): 2,
        (20, ()): 2,
        (30, ()): 1,
    }


def test_the_sample_adds_up_to_the_log_s_own_counters() -> None:
    """`reassignment_count` and `reopen_count` of the last rows, but for the rises without a change."""
    log = incidents.read(SAMPLE)
    facts = facts_of(log, Hours(MADRID, WEEK, SHIFTS))
    measures = measures_of(log, facts)
    raw = pd.read_csv(
        SAMPLE, usecols=["number", "assignment_group", "reassignment_count", "reopen_count"]
    )
    last = raw.groupby("number").last()
    assert len(measures["created"].facts) == len(last) == 300
    assert len(measures["reopened"].facts) == int(last["reopen_count"].sum()) == 70
    same = (raw["number"] == raw["number"].shift()) & (
        raw["assignment_group"] == raw["assignment_group"].shift()
    )
    hidden = int((raw["reassignment_count"].diff()[same]).sum())
    changes = len(measures["group_changes"].facts)
    assert changes + hidden == int(last["reassignment_count"].sum())
    assert (changes, hidden) == (473, 17)
    assert len(at_work(facts)) > 0

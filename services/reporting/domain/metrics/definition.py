"""What a definition of a metric says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Source = Literal["tickets", "activities", "intervals", "verdicts", "presences"]
Kind = Literal["count", "distribution", "share", "level", "standing", "present"]
Unit = Literal["tickets", "times", "seconds", "clocks", "ratings", "agents", "share"]
Aggregate = Literal[
    "count", "sum", "mean", "min", "max", "p50", "p75", "p90", "p95", "p99", "share"
]
Better = Literal["more", "less", "neither"]

SETTLED: Final = "('solved', 'closed')"

AT_WORK: Final = f"status NOT IN {SETTLED}"
"""The ticket is neither solved nor closed."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric.

    `source`, `when` (which rows), `at` (the column with the instant that puts a row into a period) and
    `value` (what is aggregated) are SQL over `facts.tables`; with `business`, `value` is a column that
    ends in `_s` and has a twin in business time that ends in `_b`. `derived` is a relation that stands
    for `source` when its columns alone do not tell; `$start` and `$end` in it are those of the period. `kind`:

    - count: how many rows,
    - distribution: mean, percentiles … of `value`,
    - share: of the rows, those that fulfil `value`,
    - level: how many rows hold at the end of each period (of `intervals`),
    - standing: the distribution of `value` over the rows that hold at the end of each period; there
      `end_us` is that end, and `t_…` are columns of the ticket,
    - present: of the time that agents are present; `value` is a number made of `present_us` (time present),
      `held_us` (the same times the tickets held in it) and `busy_us` (of it with open tickets).

    `better`: which way is good, for colours and arrows. `edges` says what happens in the cases that
    people ask about. `dimensions`: dimension → SQL, besides those that every row of `source` has.
    """

    name: str
    title: str
    unit: Unit
    kind: Kind
    source: Source
    at: str
    formula: str
    events: tuple[str, ...]
    when: str = ""
    value: str = ""
    business: bool = False
    better: Better = "neither"
    edges: str = ""
    derived: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)

    def value_in(self, time: Literal["calendar", "business"]) -> str:
        """`value` in that kind of time, where it has one."""
        if time == "business" and self.business:
            return self.value.removesuffix("_s") + "_b"
        return self.value

    def when_in(self, time: Literal["calendar", "business"]) -> str:
        """`when` in that kind of time: without a calendar nothing has a business time."""
        when = self.when or "true"
        if time == "business" and self.business:
            return f"{when} AND {self.value_in(time)} IS NOT NULL"
        return when

"""The figures of the desk, each defined once. The API, the pages and the documentation are made
from these definitions, and nothing else computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["tickets", "activities", "intervals", "verdicts", "presences"]
Kind = Literal["count", "sum", "distribution", "share", "level", "utilization"]
Unit = Literal["tickets", "times", "seconds", "clocks", "ratings", "agents", "share"]


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric.

    `source`, `when` (which rows), `at` (the column with the instant that puts a row into a period) and
    `value` (what is aggregated) are SQL over `facts.tables`; with `business`, `value` has a twin in
    business time that ends in `_b`. `kind`: a count of rows; a sum; a distribution (mean, percentiles);
    a share (of the rows, those that fulfil `value`); a level (how many there are at the end of each period).
    `better`: which way is good, for colours and arrows. `edges` says what happens in the cases that
    people ask about.
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
    better: Literal["more", "less", "neither"] = "neither"
    edges: str = ""

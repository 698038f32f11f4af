"""The answer to a question about a measure, or about what stands at the ends of periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from bench.equality.plain.buckets import (
    PERCENTS,
    Key,
    counts,
    distribution,
    periods,
    shares,
    start_of,
)
from bench.equality.plain.levels import ages, level
from bench.equality.plain.measures import Measure

Answer = dict[Key, dict[str, int | Fraction]]
"""(start of the period or None, value of each dimension) → aggregate → value. Where there is nothing,
there is no entry."""


@dataclass(frozen=True)
class Question:
    """`start` (included) and `end` (excluded): seconds since 1970, edges of periods of the zone.
    `granularity`: none, hour, day, month. `by`: priority, group …, hour, weekday."""

    start: int
    end: int
    zone: str
    granularity: str = "none"
    by: tuple[str, ...] = ()
    business: bool = False


def answer(measure: Measure, question: Question) -> Answer:
    facts, q = measure.facts, question
    facts = facts[(facts["at"] >= q.start) & (facts["at"] < q.end)]
    columns = {"period": None if q.granularity == "none" else _period(facts["at"], q)}
    columns |= {name: _dimension(facts, name, q.zone) for name in q.by}
    value = facts["value_b"] if q.business else facts["value"]
    frame = pd.DataFrame(columns | {"value": value}, index=facts.index)
    by = ["period", *q.by]
    if measure.kind == "distribution":
        return dict(distribution(frame, by))
    sizes = counts(frame, by)
    if measure.kind == "share":
        return {key: {"count": sizes[key], "share": one} for key, one in shares(frame, by).items()}
    return {key: {"count": n} for key, n in sizes.items()}


def standing(stretches: Any, question: Question) -> Answer:
    """How many stretches hold at the end of each period."""
    edges = _edges(question)
    start_of_end = dict(zip(edges[1:], edges[:-1], strict=True))
    found = level(stretches, edges[1:], question.by)
    return {(start_of_end[end], *key): {"count": n} for (end, key), n in found.items()}


def standing_ages(stretches: Any, question: Question, until: int) -> Answer:
    """How old what holds at the end of each period is; periods that end after `until` are left out."""
    edges = _edges(question)
    found: Answer = {}
    for start, end in pairwise(edges):
        values = ages(stretches, end) if end <= until else np.empty(0)
        if n := len(values):
            total = int(values.sum())
            own: dict[str, int | Fraction] = {
                "count": n,
                "sum": total,
                "min": int(values[0]),
                "max": int(values[-1]),
                "mean": Fraction(total, n),
            }
            own |= {f"p{p}": int(values[-(-p * n // 100) - 1]) for p in PERCENTS}
            found[(start,)] = own
    return found


def _edges(q: Question) -> Sequence[int]:
    return [edge for edge in periods(q.start, q.end - 1, q.zone, q.granularity) if edge <= q.end]


def _period(at: Any, q: Question) -> Any:
    return start_of(at, q.zone, q.granularity)


def _dimension(facts: Any, name: str, zone: str) -> Any:
    if name in ("hour", "weekday"):
        local = pd.to_datetime(facts["at"], unit="s", utc=True).dt.tz_convert(zone)
        return (local.dt.hour if name == "hour" else local.dt.day_of_week + 1).astype(str)
    if name == "tier":
        return facts["tier"].astype(str)
    return facts[name]

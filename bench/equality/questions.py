"""What is asked of both sides: every metric whole, by period in two zones, and by every dimension."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from bench.equality.logs import Plain
from bench.equality.plain.answers import Answer, Question, answer, standing, standing_ages
from bench.equality.plain.buckets import periods
from bench.equality.plain.measures import BUSINESS

ZONES: Final = ("UTC", "Europe/Madrid")
"""One without summer time, and one with."""
HOURLY: Final = ("created", "solved", "reopened", "closed")
HOURS_MAX: Final = 2_000
"""Periods of one answer."""
OF_TICKET: Final = ("priority", "category", "subcategory", "channel")
HOLDER: Final = ("group", "agent", "tier")
OF_INSTANT: Final = ("hour", "weekday")
CLOCKS: Final = ("sla_attainment", "sla_kept", "sla_breaches", "sla_started")
LEVELS: Final = ("backlog", "unassigned")
AT_ONCE: Final = 10
"""Metrics in one question."""
AGGREGATES: Final = {
    "count": ("count",),
    "share": ("share", "count"),
    "distribution": ("count", "sum", "mean", "min", "max", "p50", "p75", "p90", "p95", "p99"),
}
"""By kind of measure: all that can be asked of it."""
FEW: Final = ("count", "sum", "p90", "share")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question about several metrics, and what to ask of each (as far as it has that)."""

    metrics: tuple[str, ...]
    question: Question
    aggregates: tuple[str, ...]

    def about(self) -> str:
        q = self.question
        parts = [q.granularity, q.zone, *q.by, "business" if q.business else "calendar"]
        return " ".join(parts)

    def expected(self, plain: Plain) -> dict[str, Answer]:
        return {name: _expected(plain, name, self.question) for name in self.metrics}


def _expected(plain: Plain, name: str, question: Question) -> Answer:
    if name == "backlog":
        return standing(plain.backlog, question)
    if name == "unassigned":
        return standing(plain.unassigned, question)
    if name == "backlog_age":
        return standing_ages(plain.backlog, question, plain.until)
    return answer(plain.measures[name], question)


def questions(plain: Plain) -> Iterator[Asked]:
    names = tuple(plain.measures)
    for zone in ZONES:
        every = whole(plain, zone)
        yield from _about(plain, names, every)
        yield from _about(plain, BUSINESS, replace(every, business=True))
        monthly = replace(every, granularity="month")
        yield from _about(plain, names, monthly)
        yield from _about(plain, BUSINESS, replace(monthly, business=True))
        yield from _about(plain, names, replace(every, granularity="day"), few=True)
        for window in _windows(every):
            yield Asked(HOURLY, window, ("count",))
        yield from _levels(plain, every)
    yield from _by_dimensions(plain, names, whole(plain, ZONES[1]))


def _by_dimensions(plain: Plain, names: Sequence[str], every: Question) -> Iterator[Asked]:
    tickets = [name for name in names if name not in CLOCKS]
    for dimension in OF_TICKET:
        yield from _about(plain, names, replace(every, by=(dimension,)))
        yield from _about(plain, BUSINESS, replace(every, by=(dimension,), business=True))
    for dimension in HOLDER:
        yield from _about(plain, tickets, replace(every, by=(dimension,)))
    for zone in ZONES:
        for dimension in OF_INSTANT:
            yield from _about(plain, names, replace(every, zone=zone, by=(dimension,)), few=True)
    yield from _about(plain, tickets, replace(every, by=("channel", "priority")), few=True)
    yield from _about(plain, CLOCKS, replace(every, by=("sla_metric", "priority")), few=True)
    yield from _about(plain, names, replace(every, granularity="month", by=("priority",)), few=True)


def _levels(plain: Plain, every: Question) -> Iterator[Asked]:
    daily = replace(every, granularity="day")
    yield Asked(LEVELS, daily, ("count",))
    yield Asked(LEVELS, replace(daily, by=("priority",)), ("count",))
    monthly = replace(every, granularity="month")
    for by in ("group", "agent", "category", "status"):
        yield Asked(LEVELS, replace(monthly, by=(by,)), ("count",))
    for start, end in _halves(daily):
        # As many days as fit into one answer by group.
        yield Asked(LEVELS, replace(daily, start=start, end=end, by=("group",)), ("count",))
    over = [edge for edge in _edges(monthly) if edge <= plain.until]
    yield Asked(("backlog_age",), replace(monthly, end=over[-1]), AGGREGATES["distribution"])


def _about(
    plain: Plain, names: Sequence[str], question: Question, *, few: bool = False
) -> Iterator[Asked]:
    """Metrics of one kind together, with all that can be asked of them or with a few aggregates."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(plain.measures[name].kind, []).append(name)
    for kind, own in kinds.items():
        wanted = tuple(one for one in AGGREGATES[kind] if not few or one in FEW)
        for at in range(0, len(own), AT_ONCE):
            yield Asked(tuple(own[at : at + AT_ONCE]), question, wanted)


def whole(plain: Plain, zone: str) -> Question:
    """From the month of the first ticket to that of the last change."""
    edges = periods(plain.first, plain.until, zone, "month")
    return Question(edges[0], edges[-1], zone)


def monthly(every: Question) -> list[Question]:
    """Each month by itself."""
    edges = _edges(replace(every, granularity="month"))
    return [replace(every, start=one, end=two) for one, two in pairwise(edges)]


def _windows(every: Question) -> Iterator[Question]:
    edges = _edges(replace(every, granularity="day"))
    step = HOURS_MAX // 25
    for at in range(0, len(edges) - 1, step):
        end = edges[min(at + step, len(edges) - 1)]
        yield replace(every, start=edges[at], end=end, granularity="hour")


def _halves(daily: Question) -> Iterator[tuple[int, int]]:
    edges = _edges(daily)
    step = 200
    for at in range(0, len(edges) - 1, step):
        yield edges[at], edges[min(at + step, len(edges) - 1)]


def _edges(question: Question) -> list[int]:
    return periods(question.start, question.end - 1, question.zone, question.granularity)

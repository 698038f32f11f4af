"""What may be asked of the fact tables, and how the answer looks. The API, the pages and the command
line use these same classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from services.reporting.domain.metrics import Aggregate

__all__ = [
    "Aggregate",
    "Cell",
    "Fact",
    "Granularity",
    "Report",
    "ReportQuery",
    "Row",
    "TimeKind",
]

Granularity = Literal["none", "hour", "day", "week", "month", "quarter", "year"]
TimeKind = Literal["calendar", "business"]


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """`metrics`: names of `domain.metrics.METRICS`. `start` (included) and `end` (excluded) are
    microseconds since 1970; None: from the first, to the last fact. `by`: names of dimensions, two at
    most; `filters`: dimension → values, any of which fits ("" stands for "none"). `zone`: IANA name, in which
    days begin. `aggregates`: empty means each metric's own default ones. `compare`: also the period
    of the same length before. `as_recorded_us`: as the desk knew it at that instant."""

    metrics: tuple[str, ...]
    start_us: int | None = None
    end_us: int | None = None
    zone: str = "UTC"
    granularity: Granularity = "none"
    by: tuple[str, ...] = ()
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    time: TimeKind = "calendar"
    compare: bool = False
    as_recorded_us: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure. `facts`: how many rows of the fact table it is made of (what drill-down lists)."""

    metric: str
    aggregate: Aggregate
    value: float | int | None
    facts: int
    previous: float | int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """`bucket_us`: where the bucket starts, None without granularity; `keys` as asked in `by`, in
    that order, None for "no value"."""

    bucket_us: int | None
    keys: tuple[str | None, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` in order of time, then of keys; buckets without facts are there with their zeros.
    `stamp` grows with every change of the fact tables: equal stamps, equal answers."""

    query: ReportQuery
    start_us: int | None
    end_us: int | None
    rows: tuple[Row, ...]
    stamp: int
    recorded_us: int | None
    """Of the latest event that is in the figures."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact behind a figure: the ticket it belongs to, its instant and its value."""

    ticket_id: str
    number: int
    at_us: int
    value: float | int | None
    detail: dict[str, Any] = field(default_factory=dict)

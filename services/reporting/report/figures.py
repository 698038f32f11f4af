"""The numbers behind a cell, and what each aggregate makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.reporting.domain.metrics import Aggregate, Definition

PERCENTS: Final[dict[Aggregate, int]] = {"p50": 50, "p75": 75, "p90": 90, "p95": 95, "p99": 99}


@dataclass(slots=True)
class Figure:
    """`facts`: how many rows. Sums are whole numbers, so that means do not depend on an order."""

    facts: int = 0
    fulfilled: int = 0
    total: int = 0
    least: int | None = None
    greatest: int | None = None
    ranks: dict[int, int] = field(default_factory=dict)
    ready: float | int | None = None

    def take_distribution(self, row: Sequence[Any], at: int, wanted: list[int]) -> int:
        """Fill in what `rows.distribution` selected from the column `at` on; the next column."""
        self.total = int(row[at] or 0)
        self.least, self.greatest = row[at + 1], row[at + 2]
        if not wanted:
            return at + 3
        self.ranks = dict(zip(wanted, row[at + 3] or (), strict=False))
        return at + 4

    def value(self, metric: Definition, aggregate: Aggregate) -> float | int | None:
        """The cell's value: 0 for a count or a sum of nothing, None for any other figure of it."""
        if metric.kind == "present":
            return 0 if self.ready is None and aggregate == "sum" else self.ready
        if aggregate == "count":
            return self.facts
        if aggregate == "sum":
            return self.total
        if not self.facts:
            return None
        if aggregate == "share":
            return self.fulfilled / self.facts
        if aggregate == "mean":
            return self.total / self.facts
        if aggregate in PERCENTS:
            return self.ranks[PERCENTS[aggregate]]
        return self.least if aggregate == "min" else self.greatest


@dataclass(frozen=True, slots=True)
class Found:
    """The figure of a metric in a bucket (by its place) and a group."""

    metric: Definition
    bucket: int
    keys: tuple[str | None, ...]
    figure: Figure

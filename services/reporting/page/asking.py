"""From what a card shows to questions of the fact tables, and back to its figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.domain.metrics import METRICS
from services.reporting.page.view import Period, View
from services.reporting.report.check import has
from services.reporting.report.model import Aggregate, Cell, Report, ReportQuery

Keys = tuple[str | None, ...]
EVERYTHING: Final = ReportQuery(metrics=("created",))
"""Says from when to when there are facts."""


@dataclass(frozen=True, slots=True)
class Ask:
    """`metrics` in the order in which they are shown. `aggregates` are those of distributions; the others have
    one of their own. `only` stands instead of the view's filters of the same names; `compare` asks for the period before though the
    view does not."""

    metrics: tuple[str, ...]
    by: tuple[str, ...] = ()
    aggregates: tuple[Aggregate, ...] = ("p50",)
    in_buckets: bool = False
    compare: bool = False
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def questions(self, view: View, period: Period) -> list[ReportQuery]:
        """One for all metrics that the same filters fit; a filter that does not fit a metric is left out."""
        sets: dict[tuple[str, ...], list[str]] = {}
        for name in self.metrics:
            fitting = tuple(n for n, _ in view.filters if has(METRICS[name], DIMENSIONS[n]))
            sets.setdefault(fitting, []).append(name)
        return [self._question(view, period, tuple(m), fit) for fit, m in sets.items()]

    def left_out(self, view: View) -> list[str]:
        """The filters that some of the metrics do not know."""
        return [
            name
            for name, _ in view.filters
            if name in dict(self.only)
            or not all(has(METRICS[metric], DIMENSIONS[name]) for metric in self.metrics)
        ]

    def _question(
        self, view: View, period: Period, metrics: tuple[str, ...], fitting: tuple[str, ...]
    ) -> ReportQuery:
        own = dict(self.only)
        filters = {name: (value,) for name, value in view.filters if name in fitting}
        spread = any(METRICS[name].kind in ("distribution", "standing") for name in metrics)
        return ReportQuery(
            metrics=metrics,
            start_us=period.start_us,
            end_us=period.end_us,
            zone=view.zone,
            granularity=period.granularity if self.in_buckets else "none",
            by=self.by,
            filters=tuple({**filters, **own}.items()),
            aggregates=self.aggregates if spread else (),
            time=view.time,
            compare=(view.compare or self.compare) and period.comparable and not self.in_buckets,
        )


class Answer:
    """The figures of an `Ask`, whatever questions they came from."""

    def __init__(self, reports: Sequence[Report]) -> None:
        self.reports = tuple(reports)
        self._cells: dict[tuple[int | None, Keys, str, str], Cell] = {}
        buckets: dict[int | None, None] = {}
        keys: dict[Keys, None] = {}
        for report in reports:
            for row in report.rows:
                buckets[row.bucket_us] = keys[row.keys] = None
                for cell in row.cells:
                    self._cells[row.bucket_us, row.keys, cell.metric, cell.aggregate] = cell
        self.buckets = list(buckets)
        self.keys = list(keys)

    def cell(
        self, metric: str, aggregate: Aggregate, keys: Keys = (), bucket_us: int | None = None
    ) -> Cell:
        """One figure; nothing of it is a figure without a value."""
        found = self._cells.get((bucket_us, keys, metric, aggregate))
        return found or Cell(metric, aggregate, None, 0)

    def cells(self) -> Iterable[Cell]:
        return self._cells.values()

    @property
    def empty(self) -> bool:
        """No fact is behind any of it."""
        return not any(cell.facts for cell in self._cells.values())

    def question(self, metric: str) -> ReportQuery:
        """The question that a metric's figures answer."""
        return next(r.query for r in self.reports if metric in r.query.metrics)

    def period(self, bucket_us: int | None = None) -> tuple[int, int]:
        """From (included) and to (not included), of everything or of a bucket."""
        first, last = self.reports[0].start_us or 0, self.reports[0].end_us or 0
        if bucket_us is None:
            return first, last
        place = self.buckets.index(bucket_us)
        ends = [*self.buckets[1:], last]
        return max(bucket_us, first), ends[place] or last

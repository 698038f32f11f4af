"""Two states of the fact tables, compared figure by figure: every metric in total, by month or year, in
business time, and by the dimensions that people ask for most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from libs.runtime.errors import Poison
from services.reporting.domain.metrics import METRICS
from services.reporting.report.check import METRICS_MAX
from services.reporting.report.engine import Cursor, Known, look, run
from services.reporting.report.model import Granularity, Report, ReportQuery

EXAMPLES_MAX: Final = 20
GRANULARITIES: Final[tuple[Granularity, ...]] = ("none", "month", "year")
BY: Final = ("channel", "priority", "group", "agent")


def compare_reports(live: Cursor, rebuilt: Cursor, *, now_us: int) -> tuple[int, list[str]]:
    """How many questions both were asked, and the figures that differ, in words (some of them)."""
    one, two = (look(c, stamp=0, recorded_us=None, now_us=now_us) for c in (live, rebuilt))
    asked, differ = 0, []
    for query in questions():
        left, right = _ask(live, query, one), _ask(rebuilt, query, two)
        if left is None and right is None:
            continue  # a question that these facts do not allow, as months up to the year 9999
        asked += 1
        if left is None or right is None or left.rows != right.rows:
            differ.append(_words(query, left, right))
    return asked, differ[:EXAMPLES_MAX]


def questions() -> Iterator[ReportQuery]:
    """Metrics that are made of the same rows are asked for together: that is one reading of them."""
    together: dict[str, list[str]] = {}
    for name, metric in METRICS.items():
        together.setdefault(metric.source, []).append(name)
    for names in (part for listed in together.values() for part in _parts(listed)):
        for granularity in GRANULARITIES:
            yield ReportQuery(tuple(names), granularity=granularity)
        if business := tuple(name for name in names if METRICS[name].business):
            yield ReportQuery(business, time="business")
        for dimension in BY:
            yield ReportQuery(tuple(names), by=(dimension,))


def _parts(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), METRICS_MAX):
        yield names[start : start + METRICS_MAX]


def _ask(cursor: Cursor, query: ReportQuery, known: Known) -> Report | None:
    try:
        return run(cursor, query, known)
    except Poison:
        return None


def _words(query: ReportQuery, live: Report | None, rebuilt: Report | None) -> str:
    asked = f"{', '.join(query.metrics)} by {query.by[0] if query.by else query.granularity}"
    if live is None or rebuilt is None:
        return f"{asked}: {'only rebuilt' if live is None else 'only live'} can be answered"
    ours = {(row.bucket_us, row.keys): row.cells for row in live.rows}
    others = {(row.bucket_us, row.keys): row.cells for row in rebuilt.rows}
    for place in [*ours, *others]:
        if ours.get(place) != others.get(place):
            return f"{asked} {place}: {ours.get(place)} live, {others.get(place)} rebuilt"[:500]
    return f"{asked}: the order of the rows"

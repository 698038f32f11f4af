"""Parts of SQL that every kind of metric is compiled from.

Words of users are bound, never written into the SQL: what is written are definitions and whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.reporting.domain.dimensions import Dimension
from services.reporting.domain.metrics import Definition
from services.reporting.report.check import Checked
from services.reporting.report.zones import DAY_US, HOUR_US, SECOND_US, offsets

_CELLS_US: Final = (DAY_US, HOUR_US, 900 * SECOND_US, 60 * SECOND_US, SECOND_US, 1)
_WEEK_US: Final = 7 * DAY_US
_MONDAY_US: Final = 4 * DAY_US  # 1970-01-05

JOINED: Final = (
    "status",
    "tags",
    "requester",
    "problem",
    "imported_from",
    "handling_s",
    "created_us",
)


class Values:
    """The values that a statement is run with; `bind` gives what stands for one in the SQL."""

    def __init__(self) -> None:
        self.bound: dict[str, Any] = {}

    def bind(self, value: Any) -> str:
        name = f"v{len(self.bound)}"
        self.bound[name] = value
        return f"${name}"


@dataclass(frozen=True, slots=True)
class Span:
    """A period and its buckets: `starts`, in order, the first at `start_us`."""

    start_us: int
    end_us: int
    starts: tuple[int, ...]
    zone: ZoneInfo

    @property
    def ends(self) -> tuple[int, ...]:
        return (*self.starts[1:], self.end_us)


class Buckets:
    """Puts instants into buckets by a hash join.

    The time line is cut into cells so small that at most one bucket begins inside each; the cell
    of an instant is found by division, and its bucket is that of the cell's beginning, or the next one. That takes
    a quarter of the time of a join by inequality.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        whole = (w for w in _CELLS_US[:-2] if all(at % w == 0 for at in span.starts[1:]))
        width = next(whole, None)
        self.whole = width is not None
        """Each cell lies in one bucket: there are no cuts."""
        self._width = width or next(w for w in _CELLS_US if self._fits(w))
        self.days = self._width == DAY_US
        self._base = span.start_us - span.start_us % self._width

    def _fits(self, width: int) -> bool:
        inside = [at // width for at in self._span.starts if at % width]
        return len(inside) == len(set(inside))

    @property
    def one(self) -> bool:
        return len(self._span.starts) == 1

    def tables(self, values: Values) -> str:
        """Two common table expressions, `bucket_starts` and `cells`."""
        count = -(-(self._span.end_us - self._base) // self._width)
        base, width = self._base, self._width
        return f"""bucket_starts AS MATERIALIZED (
            SELECT unnest(range({len(self._span.starts)})) AS bucket, unnest({values.bind(list(self._span.starts))}::BIGINT[]) AS began),
        cells AS MATERIALIZED (
            SELECT c.cell, coalesce(a.bucket, 0)::INTEGER AS bucket, b.began AS cut
            FROM (SELECT unnest(range({count})) AS cell) c
            ASOF LEFT JOIN bucket_starts a ON {base} + c.cell * {width} >= a.began
            LEFT JOIN (SELECT began, (began - {base}) // {width} AS cell FROM bucket_starts
                WHERE (began - {base}) % {width} > 0 AND began > {self._span.start_us}) b
                ON b.cell = c.cell)"""

    def join(self, at: str, name: str) -> str:
        """A join that finds the cell of the instant `at` (within the period, or before it)."""
        return f"JOIN cells {name} ON {name}.cell = {self.cell(at)}"

    def cell(self, at: str) -> str:
        """The number of the cell of the instant `at` (within the period, or before it)."""
        within = f"greatest({at}, {self._span.start_us})"
        return f"({within} - {self._base}) // {self._width}"

    @staticmethod
    def bucket(at: str, name: str) -> str:
        """The bucket of the instant whose cell was joined as `name`; of earlier ones, the first."""
        return f"({name}.bucket + CASE WHEN {at} >= {name}.cut THEN 1 ELSE 0 END)"


def column(metric: Definition, dimension: Dimension, span: Span) -> str:
    """SQL for the dimension's value of a row of the metric's relation: text, or a list of texts."""
    if dimension.of_instant:
        return of_instant(metric.at, dimension, span)
    if dimension.name in metric.dimensions:
        return metric.dimensions[dimension.name]
    return dimension.columns.get(metric.source, dimension.joined)


def is_many(metric: Definition, dimension: Dimension) -> bool:
    return metric.source in dimension.many


def of_instant(at: str, dimension: Dimension, span: Span) -> str:
    """The hour or the weekday of the column `at` in the zone of the span."""
    steps = list(offsets(span.start_us, span.end_us, span.zone))
    before = span.start_us - DAY_US - (span.start_us - DAY_US - _MONDAY_US) % _WEEK_US
    passed = f"({at} - {before} + {_offset(at, steps)})"
    if dimension.of_instant == "hour":
        return f"CAST({passed} // {HOUR_US} % 24 AS VARCHAR)"
    return f"CAST({passed} // {DAY_US} % 7 + 1 AS VARCHAR)"


def _offset(at: str, steps: list[tuple[int, int]]) -> str:
    """The offset that holds at an instant, by bisection: `steps` are (from when, offset)."""
    if len(steps) == 1:
        return str(steps[0][1])
    middle = len(steps) // 2
    low, high = _offset(at, steps[:middle]), _offset(at, steps[middle:])
    return f"CASE WHEN {at} < {steps[middle][0]} THEN {low} ELSE {high} END"


def conditions(
    metric: Definition,
    filters: tuple[tuple[Dimension, tuple[str, ...]], ...],
    span: Span,
    values: Values,
) -> str:
    """What the filters ask of a row: SQL that begins with AND, or nothing."""
    return "".join(
        f" AND {condition(metric, dimension, wanted, span, values)}"
        for dimension, wanted in filters
    )


def condition(
    metric: Definition,
    dimension: Dimension,
    wanted: tuple[str, ...],
    span: Span,
    values: Values,
) -> str:
    """SQL for "the dimension is one of these"; "" stands for none."""
    sql = column(metric, dimension, span)
    words = [word for word in wanted if word]
    parts = []
    if is_many(metric, dimension):
        if words:
            parts.append(f"coalesce(list_has_any({sql}, {values.bind(words)}::VARCHAR[]), false)")
        if "" in wanted:
            parts.append(f"coalesce(len({sql}), 0) = 0")
    else:
        if words:
            parts.append(f"{sql} IN ({', '.join(values.bind(word) for word in words)})")
        if "" in wanted:
            parts.append(f"{sql} IS NULL")
    return f"({' OR '.join(parts)})"


def relation(metric: Definition, span: Span, used: str) -> str:
    """FROM: the metric's relation, with the ticket beside it where `used` (SQL) needs a `t_…`."""
    base = metric.derived or metric.source
    base = base.replace("$start", str(span.start_us)).replace("$end", str(span.end_us))
    if not any(f"t_{name}" in used for name in JOINED):
        return f"{base} AS facts"
    names = ", ".join(f"{name} AS t_{name}" for name in JOINED)
    return f"""{base} AS facts
        LEFT JOIN (SELECT ticket AS t_ticket, {names} FROM tickets) ON t_ticket = ticket"""


def keys(checked: Checked, metric: Definition, span: Span) -> list[str]:
    """A column `k0`, `k1` for each dimension of the question; lists are taken apart."""
    made = []
    for place, dimension in enumerate(checked.by):
        sql = column(metric, dimension, span)
        if is_many(metric, dimension):
            sql = f"unnest(CASE WHEN len({sql}) > 0 THEN {sql} ELSE [NULL] END)"
        made.append(f"{sql} AS k{place}")
    return made


def key_names(checked: Checked) -> list[str]:
    return [f"k{place}" for place in range(len(checked.by))]

"""Answers a question from the fact tables, on a cursor that sees one state of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final, Protocol

from libs.runtime.errors import Poison
from services.reporting.domain.dimensions import Dimension
from services.reporting.domain.metrics import Definition
from services.reporting.report import levels, present, rows
from services.reporting.report.check import BUCKETS_MAX, CELLS_MAX, GROUPS_MAX, Checked, check
from services.reporting.report.figures import Figure, Found
from services.reporting.report.model import Cell, Report, ReportQuery, Row
from services.reporting.report.sql import Span, Values
from services.reporting.report.zones import DAY_US, bucket_starts, offsets, period_before

YEARS_MAX: Final = 100
"""By hour of day and by weekday: the clock changes of so many years are looked up."""

Keys = tuple[str | None, ...]
Figures = dict[tuple[int, Keys], dict[str, Figure]]


class Cursor(Protocol):
    """What of a DuckDB cursor is needed."""

    def execute(self, query: str, parameters: Any = None, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Known:
    """What the fact tables say of themselves. `latest_us`: of the newest fact that is not in the future."""

    stamp: int
    recorded_us: int | None
    first_us: int | None
    latest_us: int | None


_INSTANTS: Final = (
    ("activities", "time_us"),
    ("presences", "start_us"),
    ("verdicts", "started_us"),
    ("verdicts", "at_us"),
)


def look(cursor: Cursor, *, stamp: int, recorded_us: int | None, now_us: int | None) -> Known:
    """What the tables that the cursor sees hold. A date in the far future is no last fact."""
    bound = None if now_us is None else int(now_us)
    first: list[int] = []
    latest: list[int] = []
    for table, name in _INSTANTS:
        low, high = cursor.execute(f"SELECT min({name}), max({name}) FROM {table}").fetchone()
        if bound is not None and high is not None and high > bound:
            query = f"SELECT max({name}) FROM {table} WHERE {name} <= {bound}"
            (high,) = cursor.execute(query).fetchone()
        first += [low] if low is not None else []
        latest += [high] if high is not None else []
    return Known(stamp, recorded_us, min(first, default=None), max(latest, default=None))


def span_of(checked: Checked, known: Known) -> Span | None:
    """The period of a question and its buckets; None when there is nothing to say where it begins.

    Raises Poison (422): `too_many_buckets`, `too_long_a_period`, `reversed_range`.
    """
    query = checked.query
    start, end = query.start_us, query.end_us
    if end is None:
        latest = known.latest_us if known.latest_us is not None else known.first_us
        end = start if latest is None else latest + 1
    if start is None:
        start = known.first_us if known.first_us is not None else end
    if start is None or end is None:
        return None
    if start >= end:
        if query.start_us is None:
            start = end - 1
        else:
            end = start + 1
    starts = bucket_starts(start, end, checked.zone, query.granularity, BUCKETS_MAX)
    asked = (*checked.by, *(dimension for dimension, _ in checked.filters))
    if any(dimension.of_instant for dimension in asked):
        if end - start > YEARS_MAX * 366 * DAY_US:
            raise Poison(
                "too_long_a_period",
                f"by hour or weekday a period is at most {YEARS_MAX} years long: shorten it (from, to)",
            )
        offsets(start, end, checked.zone)
    return Span(start, end, tuple(starts), checked.zone)


def run(cursor: Cursor, query: ReportQuery, known: Known) -> Report:
    """The answer to `query`.

    Raises Poison (422) as `check` and `span_of` do, and `too_many_groups`, `too_many_cells`.
    """
    checked = check(query)
    span = span_of(checked, known)
    if span is None:
        made: tuple[Row, ...] = ()
        if query.granularity == "none" and not query.by:
            made = tuple(_rows(checked, Span(0, 1, (0,), checked.zone), [()], {}, {}))
        return Report(query, None, None, made, known.stamp, known.recorded_us)
    figures = figures_in(cursor, checked, span, known)
    previous: Figures = {}
    if query.compare:
        previous = figures_in(cursor, checked, span_before(checked, span), known)
    groups = _groups(checked, figures, previous)
    _check_size(checked, span, groups)
    made = tuple(_rows(checked, span, groups, figures, previous))
    return Report(query, span.start_us, span.end_us, made, known.stamp, known.recorded_us)


def span_before(checked: Checked, span: Span) -> Span:
    """The period before, in buckets of its own; the first is compared with the first, and so on."""
    start, end = period_before(span.start_us, span.end_us, span.zone)
    starts = bucket_starts(start, end, span.zone, checked.query.granularity, BUCKETS_MAX)
    return Span(start, end, tuple(starts), span.zone)


def figures_in(cursor: Cursor, checked: Checked, span: Span, known: Known) -> Figures:
    """Every figure that is made of any facts, by bucket and keys, then by metric."""
    figures: Figures = {}
    for found in _found(cursor, checked, span, known):
        figures.setdefault((found.bucket, found.keys), {})[found.metric.name] = found.figure
    return figures


def _found(cursor: Cursor, checked: Checked, span: Span, known: Known) -> Iterator[Found]:
    limit = CELLS_MAX + 1
    latest_us = known.latest_us if known.latest_us is not None else span.end_us
    for group in rows.together(checked.metrics):
        values = Values()
        sql = rows.statement(checked, group, span, values, limit)
        yield from rows.read(checked, group, _all(cursor, checked, sql, values))
    for metric in checked.metrics:
        values = Values()
        if metric.kind == "level":
            sql = levels.level(checked, metric, span, values, limit)
            answer = _all(cursor, checked, sql, values)
            yield from levels.read_level(checked, metric, span, answer)
        elif metric.kind == "standing":
            sql = levels.standing(checked, metric, span, values, limit, latest_us)
            yield from levels.read_standing(checked, metric, _all(cursor, checked, sql, values))
    if agents := [metric for metric in checked.metrics if metric.kind == "present"]:
        yield from _present(cursor, checked, agents, span, latest_us)


def _present(
    cursor: Cursor, checked: Checked, metrics: list[Definition], span: Span, latest_us: int
) -> Iterator[Found]:
    values = Values()
    sql = present.statement(checked, metrics, span, values, CELLS_MAX + 1, latest_us)
    yield from present.read(checked, metrics, _all(cursor, checked, sql, values))


def _all(cursor: Cursor, checked: Checked, sql: str, values: Values) -> list[tuple[Any, ...]]:
    answer: list[tuple[Any, ...]] = cursor.execute(sql, values.bound).fetchall()
    if len(answer) > CELLS_MAX:
        groups = {row[1 : 1 + len(checked.by)] for row in answer}
        raise _too_many(checked, len(groups), at_least=True)
    return answer


def _groups(checked: Checked, *answers: Figures) -> list[Keys]:
    """The groups of a report in order: those with facts, and all of a dimension that is complete."""
    seen = {keys for answer in answers for _, keys in answer}
    if len(seen) > GROUPS_MAX:
        raise _too_many(checked, len(seen))
    if any(dimension.complete for dimension in checked.by):
        parts: list[set[str | None]] = [
            {keys[place] for keys in seen}
            | (set(dimension.values) if dimension.complete else set())
            for place, dimension in enumerate(checked.by)
        ]
        seen |= set(product(*parts))
    if not checked.by:
        seen = {()}
    return sorted(
        seen, key=lambda keys: [_order(*pair) for pair in zip(checked.by, keys, strict=True)]
    )


def _order(dimension: Dimension, key: str | None) -> tuple[int, str]:
    """Known values in their order, then others by name, then none."""
    if key is None:
        return (len(dimension.values) + 1, "")
    if key in dimension.values:
        return (dimension.values.index(key), "")
    return (len(dimension.values), key)


def _too_many(checked: Checked, groups: int, *, at_least: bool = False) -> Poison:
    names = " and ".join(dimension.name for dimension in checked.by)
    more = "at least " if at_least else ""
    return Poison(
        "too_many_groups",
        f"{names or 'this'} has {more}{groups:,} groups in this period, {GROUPS_MAX:,} at most can be "
        "answered: filter, shorten the period or group by something coarser",
    )


def _check_size(checked: Checked, span: Span, groups: list[Keys]) -> None:
    cells = len(span.starts) * len(groups) * len(checked.cells)
    if len(groups) > GROUPS_MAX:
        raise _too_many(checked, len(groups))
    if cells > CELLS_MAX:
        raise Poison(
            "too_many_cells",
            f"{len(span.starts):,} buckets × {len(groups):,} groups × {len(checked.cells)} figures are "
            f"{cells:,} cells, {CELLS_MAX:,} at most can be answered: ask for a coarser granularity, "
            "a shorter period, fewer groups (filter) or fewer metrics",
        )


_NONE: Final = Figure()


def _rows(
    checked: Checked, span: Span, groups: list[Keys], now: Figures, before: Figures
) -> Iterator[Row]:
    bucketed = checked.query.granularity != "none"
    compare = checked.query.compare
    for place, start in enumerate(span.starts):
        for keys in groups:
            own: Mapping[str, Figure] = now.get((place, keys), {})
            old: Mapping[str, Figure] = before.get((place, keys), {})
            cells = []
            for metric, aggregate in checked.cells:
                figure = own.get(metric.name, _NONE)
                cell = Cell(metric.name, aggregate, figure.value(metric, aggregate), figure.facts)
                if compare:
                    value = old.get(metric.name, _NONE).value(metric, aggregate)
                    cell = replace(cell, previous=value)
                cells.append(cell)
            yield Row(start if bucketed else None, keys, tuple(cells))

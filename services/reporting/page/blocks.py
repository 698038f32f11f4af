"""What the pages are built of: figures over time, and figures by the values of a dimension."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.reporting.domain.metrics import METRICS
from services.reporting.page import charts
from services.reporting.page.asking import Answer, Ask, Keys
from services.reporting.page.behind import as_csv, tickets_behind
from services.reporting.page.card import About, Table, TableCard
from services.reporting.page.chart_card import ChartCard, Drawn
from services.reporting.page.charts import PALETTE, Measure, Series
from services.reporting.page.i18n import gettext as _
from services.reporting.page.live_table import Part, Row, bar, cell, head, linked, text
from services.reporting.page.say import (
    AGGREGATES,
    AT_END,
    PER,
    UNITS,
    aggregate_of,
    bucket,
    bucket_long,
    change,
    figure,
    is_share,
    key,
    title_of,
)
from services.reporting.page.view import View
from services.reporting.report.model import Aggregate, Cell

Kind = Literal["bars", "stack", "line", "steps"]
NamesOf = Callable[[], Mapping[str, str]]
SERIES_MAX: Final = 6
ROWS_MAX: Final = 100


def measure_of(metric: str) -> Measure:
    definition = METRICS[metric]
    if is_share(definition):
        return "share"
    return "seconds" if definition.unit == "seconds" else "number"


def measured_in(metric: str, view: View, answer: Answer) -> str:
    """What stands beside a title: the unit, per what, in which kind of time."""
    definition = METRICS[metric]
    granularity = answer.question(metric).granularity
    lasting = definition.unit == "seconds"
    # "times" beside a title would be taken for durations.
    parts = [] if lasting or definition.unit == "times" else [_(UNITS[definition.unit])]
    if granularity != "none":
        standing = definition.kind in ("level", "standing")
        parts.append(_((AT_END if standing else PER)[granularity]))
    if lasting:
        business = definition.business and view.time == "business"
        parts.append(_("business time") if business else _("calendar time"))
    return " · ".join(parts)


def linked_figure(
    answer: Answer, found: Cell, view: View, keys: Keys = (), bucket_us: int | None = None
) -> Part:
    """The figure as text, leading to the facts behind it."""
    shown = figure(found.metric, found.aggregate, found.value)
    href = tickets_behind(answer, found, view, keys, bucket_us)
    return linked(shown, href) if href else text(shown)


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart over time."""

    metric: str
    kind: Kind = "bars"
    aggregate: Aggregate = "p50"


def over_time(about: About, lines: Sequence[Line]) -> ChartCard:
    """Several metrics, or aggregates of one, as the time goes on."""
    metrics = tuple(dict.fromkeys(one.metric for one in lines))
    aggregates = tuple(dict.fromkeys(one.aggregate for one in lines))
    ask = Ask(metrics, aggregates=aggregates, in_buckets=True)
    several = len(metrics) > 1

    def draw(answers: Sequence[Answer], view: View) -> Drawn:
        answer = answers[0]
        rows: list[tuple[Series, list[Cell]]] = []
        for place, one in enumerate(lines):
            aggregate = aggregate_of(one.metric, one.aggregate)
            cells = [answer.cell(one.metric, aggregate, (), at) for at in answer.buckets]
            name = title_of(one.metric) if several else _(AGGREGATES[aggregate])
            if len(lines) == 1:
                name = title_of(one.metric)
            values = [one_cell.value for one_cell in cells]
            rows.append((Series(name, values, PALETTE[place], one.kind), cells))
        return _drawn(answer, view, rows, [()] * len(rows))

    return ChartCard(about, [ask], draw)


def parts_over_time(
    about: About,
    metric: str,
    by: str,
    *,
    kind: Kind = "stack",
    aggregate: Aggregate = "p50",
    names: NamesOf = dict,
) -> ChartCard:
    """One metric by the values of a dimension, the largest on their own, as the time goes on."""
    ask = Ask((metric,), by=(by,), aggregates=(aggregate,), in_buckets=True)
    of = aggregate_of(metric, aggregate)

    def draw(answers: Sequence[Answer], view: View) -> Drawn:
        answer = answers[0]
        known = names()
        by_key = {
            keys: [answer.cell(metric, of, keys, at) for at in answer.buckets]
            for keys in answer.keys
        }
        largest = sorted(by_key, key=lambda k: -sum(c.facts for c in by_key[k]))[:SERIES_MAX]
        rows = [
            (
                Series(
                    known.get(keys[0] or "") or key(by, keys[0]),
                    [c.value for c in by_key[keys]],
                    PALETTE[place],
                    kind,
                ),
                by_key[keys],
            )
            for place, keys in enumerate(largest)
        ]
        return _drawn(answer, view, rows, largest, more=len(by_key) - len(largest))

    return ChartCard(about, [ask], draw)


def _drawn(
    answer: Answer,
    view: View,
    rows: Sequence[tuple[Series, list[Cell]]],
    keys: Sequence[Keys],
    *,
    more: int = 0,
) -> Drawn:
    """The chart with its table (the newest first) and where each point leads."""
    if not rows:
        return Drawn({}, Table((), []), empty=True)
    metric = rows[0][1][0].metric
    granularity = answer.question(metric).granularity
    buckets = [at for at in answer.buckets if at is not None]
    names = [bucket_long(at, granularity) for at in buckets]
    options = charts.time_chart(
        [bucket(at, granularity) for at in buckets],
        [series for series, _cells in rows],
        measure=measure_of(metric),
        names=names,
    )
    lines: list[Row] = [
        {
            "id": str(at),
            "attrs": {},
            "cells": [
                head(text(names[place])),
                *(
                    cell("figure", linked_figure(answer, cells[place], view, of, at))
                    for (_series, cells), of in zip(rows, keys, strict=True)
                ),
            ],
        }
        for place, at in reversed(list(enumerate(buckets)))
    ]
    unit = measured_in(metric, view, answer)
    if more > 0:
        unit += " · " + _("the largest {n}").format(n=len(rows))
    return Drawn(
        options,
        Table((_("Period"), *(series.name for series, _cells in rows)), lines),
        unit,
        [
            [
                tickets_behind(answer, one, view, of, at)
                for one, at in zip(cells, buckets, strict=True)
            ]
            for (_series, cells), of in zip(rows, keys, strict=True)
        ],
        as_csv(answer.question(metric)),
        answer.empty or not any(one.value for _series, cells in rows for one in cells),
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a breakdown. `moved`: with its change against the period before, `bar`: drawn."""

    metric: str
    aggregate: Aggregate = "p50"
    moved: bool = False
    bar: bool = False


def breakdown(
    about: About,
    by: str,
    columns: Sequence[Column],
    *,
    first: str,
    unit: str = "",
    none: str = "",
    names: NamesOf = dict,
    hide_none: bool = False,
) -> TableCard:
    """A row per value of a dimension, sorted by the first column, the largest first."""
    metrics = tuple(dict.fromkeys(one.metric for one in columns))
    aggregates = tuple(dict.fromkeys(one.aggregate for one in columns))
    ask = Ask(metrics, (by,), aggregates, compare=any(one.moved for one in columns))
    main = columns[0].metric, aggregate_of(columns[0].metric, columns[0].aggregate)

    def draw(answers: Sequence[Answer], view: View) -> Table:
        answer, known = answers[0], names()
        order = sorted(answer.keys, key=lambda k: -(answer.cell(*main, k).value or 0))
        rows = []
        most = max((answer.cell(*main, keys).value or 0 for keys in order), default=0)
        for keys in order[:ROWS_MAX]:
            cells = [
                answer.cell(one.metric, aggregate_of(one.metric, one.aggregate), keys)
                for one in columns
            ]
            if not any(one.facts for one in cells) or (hide_none and keys[0] is None):
                continue
            named = known.get(keys[0] or "") or key(by, keys[0])
            rows.append(_line(keys, named, cells, columns, answer, view, most))
        titles = [_column_title(one, columns) for one in columns]
        return Table((first, *titles), rows)

    return TableCard(
        about, [ask], draw, unit=unit, none=none, csv=lambda a, _v: as_csv(a[0].reports[0].query)
    )


def _line(
    keys: Keys,
    name: str,
    cells: Sequence[Cell],
    columns: Sequence[Column],
    answer: Answer,
    view: View,
    most: float,
) -> Row:
    made = [head(text(name, free=True))]
    for found, column in zip(cells, columns, strict=True):
        parts = [linked_figure(answer, found, view, keys)]
        if column.bar and most:
            size = (found.value or 0) / (1 if is_share(METRICS[found.metric]) else most)
            parts.insert(0, bar(size, "", "plain"))
        if column.moved and (moved := change(found)):
            parts.append(text(f"{moved.sign} {moved.text}", f"change {moved.mood}"))
        made.append(cell("figure" + (" barred" if column.bar else ""), *parts))
    return {"id": str(keys), "attrs": {"data-key": keys[0] or ""}, "cells": made}


def _column_title(column: Column, columns: Sequence[Column]) -> str:
    title = title_of(column.metric)
    aggregate = aggregate_of(column.metric, column.aggregate)
    if aggregate in ("count", "share") or METRICS[column.metric].kind == "present":
        return title
    several = sum(1 for one in columns if one.metric == column.metric) > 1
    return f"{title}, {_(AGGREGATES[aggregate])}" if several or aggregate != "p50" else title

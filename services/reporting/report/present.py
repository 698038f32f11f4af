"""Metrics of the time that agents are present: time, load, utilization.

The tickets that an agent holds and the stretches of presence are put on one time line per agent, with the
beginnings of the buckets; between two marks nothing changes, so each stretch counts whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from services.reporting.domain.metrics import Definition
from services.reporting.domain.metrics.definition import AT_WORK
from services.reporting.report.check import Checked
from services.reporting.report.figures import Figure, Found
from services.reporting.report.sql import Buckets, Span, Values, conditions, key_names, keys

HELD = f"agent IS NOT NULL AND {AT_WORK}"
BUSY = "status IN ('new', 'open')"


def present_rows(
    checked: Checked, metric: Definition, span: Span, values: Values, latest_us: int
) -> str:
    """SQL: the stretches of presence inside the span: `agent`, keys, `began`, `ended`."""
    picked = "".join(f", {sql}" for sql in keys(checked, metric, span))
    until = min(span.end_us, max(latest_us, span.start_us))
    filters = conditions(metric, checked.filters, span, values)
    return f"""SELECT agent AS whose, greatest(start_us, {span.start_us}) AS began,
            least(coalesce(end_us, {until}), {span.end_us}) AS ended{picked}
        FROM presences AS facts
        WHERE {metric.when}{filters} AND start_us < {span.end_us}
            AND coalesce(end_us, {until}) > greatest(start_us, {span.start_us})"""


def held_rows(span: Span, latest_us: int) -> str:
    """SQL: the stretches in which an agent held a ticket at work, inside the span."""
    until = min(span.end_us, max(latest_us, span.start_us))
    return f"""SELECT ticket, ordinal, agent AS whose, {BUSY} AS busy,
            greatest(start_us, {span.start_us}) AS began,
            least(coalesce(end_us, {until}), {span.end_us}) AS ended
        FROM intervals
        WHERE {HELD} AND start_us < {span.end_us}
            AND coalesce(end_us, {until}) > greatest(start_us, {span.start_us})"""


def statement(
    checked: Checked,
    metrics: Sequence[Definition],
    span: Span,
    values: Values,
    limit: int,
    latest_us: int,
) -> str:
    """One row per bucket and group with time present: bucket, keys, each metric's value."""
    names = key_names(checked)
    listed = "".join(f", {name}" for name in names)
    buckets = Buckets(span)
    numbers = ", ".join(f"CASE WHEN present_us > 0 THEN {m.value} END" for m in metrics)
    return f"""WITH {buckets.tables(values)},
        present AS MATERIALIZED ({present_rows(checked, metrics[0], span, values, latest_us)}),
        lines AS MATERIALIZED (SELECT DISTINCT whose{listed} FROM present),
        held AS (SELECT * FROM ({held_rows(span, latest_us)}) JOIN lines USING (whose)),
        marks AS (
            SELECT whose{listed}, began AS moment, 0 AS held, 0 AS busy, 1 AS present FROM present
            UNION ALL SELECT whose{listed}, ended, 0, 0, -1 FROM present
            UNION ALL SELECT whose{listed}, began, 1, busy::INTEGER, 0 FROM held
            UNION ALL SELECT whose{listed}, ended, -1, -busy::INTEGER, 0 FROM held
            UNION ALL SELECT whose{listed}, b.began, 0, 0, 0 FROM lines, bucket_starts b),
        changes AS (
            SELECT whose{listed}, moment, sum(held) AS held, sum(busy) AS busy, sum(present) AS present
            FROM marks GROUP BY ALL),
        stretches AS (
            SELECT moment, lead(moment) OVER line - moment AS length{listed}, sum(held) OVER line AS held,
                sum(busy) OVER line AS busy, sum(present) OVER line AS present
            FROM changes WINDOW line AS (PARTITION BY whose{listed} ORDER BY moment)),
        summed AS (
            SELECT {buckets.bucket("moment", "c")} AS bucket{listed}, sum(length) AS present_us,
                sum(length * held) AS held_us,
                coalesce(sum(length) FILTER (WHERE busy > 0), 0) AS busy_us
            FROM stretches {buckets.join("moment", "c")}
            WHERE present > 0 AND length > 0 GROUP BY ALL)
        SELECT bucket{listed}, {numbers} FROM summed LIMIT {limit}"""


def read(
    checked: Checked, metrics: Sequence[Definition], rows: Iterable[tuple[Any, ...]]
) -> dict[tuple[str, int, tuple[str | None, ...]], Any]:
    """What `statement` answered: (name of the metric, bucket, keys) → value."""
    last = 1 + len(checked.by)
    return {
        (metric.name, row[0], tuple(row[1:last])): row[last + place]
        for row in rows
        for place, metric in enumerate(metrics)
    }


def facts_statement(
    checked: Checked, metric: Definition, span: Span, values: Values, latest_us: int
) -> str:
    """SQL: the stretches of tickets held that fall into time present: `ticket`, `ordinal`, bucket,
    keys, `began` and `ended` (the parts of several stretches of presence taken together)."""
    listed = "".join(f", {name}" for name in key_names(checked))
    return f"""SELECT ticket, ordinal, bucket{listed}, min(greatest(h.began, p.began, b.began)) AS began,
            sum(least(h.ended, p.ended, b.ended) - greatest(h.began, p.began, b.began)) AS length
        FROM ({held_rows(span, latest_us)}) h
        JOIN ({present_rows(checked, metric, span, values, latest_us)}) p
            ON p.whose = h.whose AND p.began < h.ended AND p.ended > h.began
        JOIN (SELECT unnest(range({len(span.starts)})) AS bucket,
                unnest({values.bind(list(span.starts))}::BIGINT[]) AS began,
                unnest({values.bind(list(span.ends))}::BIGINT[]) AS ended) b
            ON b.began < least(h.ended, p.ended) AND b.ended > greatest(h.began, p.began)
        GROUP BY ticket, ordinal, bucket{listed}"""


def count_statement(
    checked: Checked, metric: Definition, span: Span, values: Values, latest_us: int
) -> str:
    """How many of those there are: bucket, keys, count."""
    listed = "".join(f", {name}" for name in key_names(checked))
    inner = facts_statement(checked, metric, span, values, latest_us)
    return f"SELECT bucket{listed}, count(*) FROM ({inner}) GROUP BY ALL"


def found(
    metrics: Sequence[Definition],
    values: dict[tuple[str, int, tuple[str | None, ...]], Any],
    counts: Iterable[tuple[Any, ...]],
) -> Iterator[Found]:
    """Values and numbers of facts together."""
    facts = {(row[0], tuple(row[1:-1])): row[-1] for row in counts}
    for metric in metrics:
        for (name, bucket, group), value in values.items():
            if name == metric.name:
                figure = Figure(facts=facts.get((bucket, group), 0), ready=value)
                yield Found(metric, bucket, group, figure)

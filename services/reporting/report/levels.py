"""Metrics of what stands at the end of each bucket: how many, and how their values are spread.

Levels are counted without looking at each instant: what began before the end of a bucket counts one up,
what ended before it one down, and the sums of that, bucket after bucket, are the levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from services.reporting.domain.metrics import Definition
from services.reporting.report.check import Checked
from services.reporting.report.figures import Figure, Found
from services.reporting.report.rows import distribution, percents
from services.reporting.report.sql import (
    Buckets,
    Span,
    Values,
    conditions,
    key_names,
    keys,
    relation,
)


def holds_at(end_us: int | str) -> str:
    """SQL: the row holds at the end of a period, which is no part of it."""
    return f"start_us < {end_us} AND (end_us IS NULL OR end_us >= {end_us})"


def level(checked: Checked, metric: Definition, span: Span, values: Values, limit: int) -> str:
    """One row per bucket and group in which the level changes: bucket, keys, change."""
    names = key_names(checked)
    picked = keys(checked, metric, span)
    filters = conditions(metric, checked.filters, span, values)
    # What began late, or ended before the first level is taken, is in none.
    inner = f"""SELECT start_us, end_us{"".join(f", {sql}" for sql in picked)}
        FROM {relation(metric, span, " ".join((*picked, filters)))}
        WHERE ({metric.when or "true"}){filters} AND start_us < {span.end_us}
            AND (end_us IS NULL OR end_us >= {span.ends[0]})"""
    listed = "".join(f", {name}" for name in names)
    buckets = Buckets(span)
    if buckets.one:
        return f"""WITH picked AS ({inner}) SELECT 0 AS bucket{listed}, count(*)
            FROM picked GROUP BY ALL LIMIT {limit}"""
    if buckets.whole and (buckets.days or not names):
        # Few cells: rows are counted by cell first, and only the counts are joined with the buckets.
        return f"""WITH {buckets.tables(values)}, picked AS NOT MATERIALIZED ({inner})
            SELECT c.bucket{listed}, sum(n)::BIGINT FROM (
                SELECT {buckets.cell("start_us")} AS cell{listed}, count(*) AS n
                    FROM picked GROUP BY ALL
                UNION ALL
                SELECT {buckets.cell("end_us")} AS cell{listed}, -count(*) AS n
                    FROM picked WHERE end_us < {span.end_us} GROUP BY ALL)
            JOIN cells c USING (cell) GROUP BY ALL ORDER BY ALL LIMIT {limit}"""
    return f"""WITH {buckets.tables(values)}, picked AS ({inner})
        SELECT bucket{listed}, sum(n)::BIGINT FROM (
            SELECT {buckets.bucket("start_us", "c")} AS bucket{listed}, count(*) AS n
                FROM picked {buckets.join("start_us", "c")} GROUP BY ALL
            UNION ALL
            SELECT {buckets.bucket("end_us", "c")} AS bucket{listed}, -count(*) AS n
                FROM picked {buckets.join("end_us", "c")}
                WHERE end_us < {span.end_us} GROUP BY ALL)
        GROUP BY ALL ORDER BY ALL LIMIT {limit}"""


def read_level(
    checked: Checked, metric: Definition, span: Span, rows: Iterable[tuple[Any, ...]]
) -> Iterator[Found]:
    """What `level` answered, summed up: a figure for each bucket that has a level."""
    last = 1 + len(checked.by)
    ordered = sorted(rows, key=lambda row: ([(key is None, key) for key in row[1:last]], row[0]))
    for group, changes in groupby(ordered, key=lambda row: tuple(row[1:last])):
        by_bucket = {row[0]: int(row[last]) for row in changes}
        standing = 0
        for bucket in range(len(span.starts)):
            standing += by_bucket.get(bucket, 0)
            if standing:
                yield Found(metric, bucket, group, Figure(facts=standing))


def standing(
    checked: Checked, metric: Definition, span: Span, values: Values, limit: int, latest_us: int
) -> str:
    """One row per bucket and group with its distribution. A row counts in each bucket it outlasts."""
    names = key_names(checked)
    picked = keys(checked, metric, span)
    filters = conditions(metric, checked.filters, span, values)
    buckets = Buckets(span)
    listed = "".join(f", {name}" for name in names)
    ends = values.bind([min(end, max(latest_us, span.start_us)) for end in span.ends])
    last = len(span.starts)
    until = f"coalesce(end_us, {span.end_us})"
    numbers = ", ".join(distribution("x", "", percents(checked, metric)))
    return f"""WITH {buckets.tables(values)},
        bucket_ends AS MATERIALIZED (
            SELECT unnest(range({last})) AS bucket, unnest({ends}::BIGINT[]) AS end_us),
        picked AS (
            SELECT ticket, start_us, {until} AS until_us{"".join(f", {sql}" for sql in picked)}
            FROM {relation(metric, span, " ".join((*picked, filters)))}
            WHERE ({metric.when or "true"}){filters} AND start_us < {span.end_us}
                AND (end_us IS NULL OR end_us >= {span.ends[0]})),
        spread AS (
            SELECT ticket{listed}, unnest(range(first, last)) AS bucket FROM (
                SELECT ticket{listed}, {buckets.bucket("start_us", "a")} AS first,
                    CASE WHEN until_us >= {span.end_us} THEN {last}
                    ELSE {buckets.bucket("until_us", "b")} END AS last
                FROM picked {buckets.join("start_us", "a")}
                {buckets.join(f"least(until_us, {span.end_us - 1})", "b")}
                WHERE until_us >= {span.end_us} OR {_apart(buckets)}) WHERE first < last),
        valued AS (
            SELECT bucket{listed}, {metric.value} AS x
            FROM spread JOIN bucket_ends USING (bucket)
            LEFT JOIN (SELECT ticket, created_us AS t_created_us FROM tickets) USING (ticket))
        SELECT bucket{listed}, count(*), {numbers} FROM valued GROUP BY ALL LIMIT {limit}"""


def _apart(buckets: Buckets) -> str:
    """SQL: the beginning and the end are not in one cell. Most rows end in the bucket they began in, and
    stand at the end of none."""
    if not buckets.whole:
        return "true"
    return f"{buckets.cell('start_us')} < {buckets.cell('until_us')}"


def read_standing(
    checked: Checked, metric: Definition, rows: Iterable[tuple[Any, ...]]
) -> Iterator[Found]:
    """What `standing` answered."""
    last = 1 + len(checked.by)
    for row in rows:
        figure = Figure(facts=row[last])
        figure.take_distribution(row, last + 1, percents(checked, metric))
        yield Found(metric, row[0], tuple(row[1:last]), figure)

"""Metrics of the time that agents are present: time, load, utilization.

Each stretch of presence is laid over the stretches in which the agent held a ticket. A fact is one such
overlap, within one bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from services.reporting.domain.metrics import Definition
from services.reporting.domain.metrics.definition import AT_WORK
from services.reporting.report.check import Checked
from services.reporting.report.figures import Figure, Found
from services.reporting.report.sql import Span, Values, conditions, key_names, keys
from services.reporting.report.zones import DAY_US

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
        WHERE {HELD} AND start_us < {until}
            AND (end_us IS NULL OR (end_us > {span.start_us} AND end_us > start_us))"""


def statement(
    checked: Checked,
    metrics: Sequence[Definition],
    span: Span,
    values: Values,
    limit: int,
    latest_us: int,
) -> str:
    """One row per bucket and group with time present: bucket, keys, number of facts, then each
    metric's value."""
    listed = "".join(f", {name}" for name in key_names(checked))
    numbers = ", ".join(f"CASE WHEN present_us > 0 THEN {m.value} END" for m in metrics)
    busy = any("busy_us" in metric.value for metric in metrics)
    return f"""WITH {_bounds(span, values)},
        present AS ({present_rows(checked, metrics[0], span, values, latest_us)}),
        present_days AS (
            SELECT *, unnest(range({_day("began", span)}, {_day("ended - 1", span)} + 1)) AS day
            FROM present),
        pieces AS MATERIALIZED (
            SELECT row_number() OVER () AS piece, whose, day, b.bucket{listed},
                greatest(p.began, b.began) AS first,
                greatest(p.began, b.began, {span.start_us} + day * {DAY_US}) AS low,
                least(p.ended, b.ended, {span.start_us} + (day + 1) * {DAY_US}) AS high
            FROM present_days p JOIN bounds b
                ON b.began < least(p.ended, {span.start_us} + (day + 1) * {DAY_US})
                AND b.ended > greatest(p.began, {span.start_us} + day * {DAY_US})),
        held_whole AS MATERIALIZED (
            SELECT whose, busy, began, ended, {_day("began", span)} AS day,
                {_day("ended - 1", span)} AS last_day
            FROM ({held_rows(span, latest_us)})),
        held AS (
            SELECT * FROM held_whole WHERE day = last_day UNION ALL
            SELECT * REPLACE (unnest(range(day, last_day + 1)) AS day)
            FROM held_whole WHERE day < last_day),
        pairs AS {"MATERIALIZED" if busy else ""} (
            SELECT p.piece, p.bucket{listed.replace(" k", " p.k")}, h.busy,
                greatest(h.began, p.low) AS low, least(h.ended, p.high) AS high,
                greatest(h.began, p.first) >= p.low AS opens
            FROM held h JOIN pieces p USING (whose, day)
            WHERE h.began < p.high AND h.ended > p.low),
        times AS (
            SELECT bucket{listed}, sum(high - low) AS present_us FROM pieces GROUP BY ALL),
        carried AS (
            SELECT bucket{listed}, sum(high - low) AS held_us, count(*) FILTER (WHERE opens) AS facts
            FROM pairs GROUP BY ALL),
        {_busy(listed) if busy else f"worked AS (SELECT bucket{listed}, 0 AS busy_us FROM pieces WHERE false)"},
        summed AS (
            SELECT t.bucket{listed.replace(" k", " t.k")}, present_us, coalesce(held_us, 0) AS held_us,
                coalesce(busy_us, 0) AS busy_us, coalesce(facts, 0) AS facts
            FROM times t LEFT JOIN carried c ON {_same("c", checked)}
            LEFT JOIN worked w ON {_same("w", checked)})
        SELECT bucket{listed}, facts, {numbers} FROM summed LIMIT {limit}"""


def _bounds(span: Span, values: Values) -> str:
    starts, ends = values.bind(list(span.starts)), values.bind(list(span.ends))
    return f"""bounds AS MATERIALIZED (SELECT unnest(range({len(span.starts)})) AS bucket,
            unnest({starts}::BIGINT[]) AS began, unnest({ends}::BIGINT[]) AS ended)"""


def _day(at: str, span: Span) -> str:
    """In which stretch of 24 hours since the span's start an instant lies. Pieces no longer than that
    make the join of presence and tickets quick."""
    return f"(({at}) - {span.start_us}) // {DAY_US}"


def _busy(listed: str) -> str:
    """The time covered by at least one ticket that is new or open, in each piece of presence."""
    return f"""covered AS (
            SELECT bucket{listed}, low, high, max(high) OVER (
                PARTITION BY piece ORDER BY low ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS until FROM pairs WHERE busy),
        worked AS (
            SELECT bucket{listed},
                sum(greatest(high - greatest(low, coalesce(until, low)), 0)) AS busy_us
            FROM covered GROUP BY ALL)"""


def _same(other: str, checked: Checked) -> str:
    same = [f"{other}.{name} IS NOT DISTINCT FROM t.{name}" for name in key_names(checked)]
    return " AND ".join([f"{other}.bucket = t.bucket", *same])


def read(
    checked: Checked, metrics: Sequence[Definition], rows: Iterable[tuple[Any, ...]]
) -> Iterator[Found]:
    """What `statement` answered."""
    last = 1 + len(checked.by)
    for row in rows:
        for place, metric in enumerate(metrics, start=last + 1):
            figure = Figure(facts=row[last], ready=row[place])
            yield Found(metric, row[0], tuple(row[1:last]), figure)


def facts_statement(
    checked: Checked, metric: Definition, span: Span, values: Values, latest_us: int
) -> str:
    """SQL: the facts in the span, each a stretch in which an agent held a ticket while present: `ticket`,
    `ordinal`, keys, `began`, `length`."""
    listed = "".join(f", p.{name}" for name in key_names(checked))
    return f"""SELECT ticket, ordinal{listed}, greatest(h.began, p.began) AS began,
            least(h.ended, p.ended) - greatest(h.began, p.began) AS length
        FROM ({held_rows(span, latest_us)}) h
        JOIN ({present_rows(checked, metric, span, values, latest_us)}) p
            ON p.whose = h.whose AND p.began < h.ended AND p.ended > h.began"""

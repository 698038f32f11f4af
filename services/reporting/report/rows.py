"""Metrics that are made of the rows whose instant lies in the period: counts, distributions, shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from services.reporting.domain.metrics import Definition
from services.reporting.report.check import Checked
from services.reporting.report.figures import PERCENTS, Figure, Found
from services.reporting.report.sql import (
    Buckets,
    Span,
    Values,
    conditions,
    key_names,
    keys,
    relation,
)

KINDS: Final = ("count", "distribution", "share")


def together(metrics: Sequence[Definition]) -> list[list[Definition]]:
    """The metrics of these kinds, those that one scan can answer together in one list."""
    groups: dict[object, list[Definition]] = {}
    for metric in metrics:
        if metric.kind in KINDS:
            own = tuple(sorted(metric.dimensions))
            key = (metric.source, metric.derived, metric.at, own)
            groups.setdefault(key, []).append(metric)
    return list(groups.values())


def statement(
    checked: Checked, metrics: list[Definition], span: Span, values: Values, limit: int
) -> str:
    """One row per bucket and group that has facts: bucket, keys, then each metric's numbers."""
    first = metrics[0]
    names = key_names(checked)
    picked = [*keys(checked, first, span)]
    for place, metric in enumerate(metrics):
        picked.append(f"({metric.when_in(checked.query.time)}) AS w{place}")
        if metric.value:
            picked.append(f"({metric.value_in(checked.query.time)}) AS x{place}")
    where = " OR ".join(f"({metric.when_in(checked.query.time)})" for metric in metrics)
    filters = conditions(first, checked.filters, span, values)
    buckets = Buckets(span)
    bucket = "0" if buckets.one else buckets.bucket("moment", "c")
    tables = "" if buckets.one else buckets.tables(values) + ", "
    join = "" if buckets.one else buckets.join("moment", "c")
    inner = f"""SELECT {first.at} AS moment, {", ".join(picked)}
        FROM {relation(first, span, " ".join((*picked, filters)))}
        WHERE {first.at} >= {span.start_us} AND {first.at} < {span.end_us} AND ({where}){filters}"""
    numbers = [
        sql for place, metric in enumerate(metrics) for sql in _numbers(checked, metric, place)
    ]
    grouped = ", ".join(["1", *names])
    return f"""WITH {tables}picked AS ({inner})
        SELECT {", ".join([f"{bucket} AS bucket", *names, *numbers])}
        FROM picked {join} GROUP BY {grouped} LIMIT {limit}"""


def _numbers(checked: Checked, metric: Definition, place: int) -> Iterator[str]:
    only = f"FILTER (WHERE w{place})"
    yield f"count(*) {only}"
    if metric.kind == "share":
        yield f"count(*) FILTER (WHERE w{place} AND x{place})"
    if metric.kind == "distribution":
        yield from distribution(f"x{place}", only, percents(checked, metric))


def distribution(value: str, only: str, wanted: list[int]) -> Iterator[str]:
    """Sum, least, greatest, and the percentiles, which DuckDB's `quantile_disc` takes by nearest rank
    (exactly, because the shares are decimals)."""
    yield f"sum({value}) {only}"
    yield f"min({value}) {only}"
    yield f"max({value}) {only}"
    if wanted:
        shares = ", ".join(f"0.{percent:02d}" for percent in wanted)
        yield f"quantile_disc({value}, [{shares}]) {only}"


def percents(checked: Checked, metric: Definition) -> list[int]:
    """The percentiles that are asked of a metric."""
    return [PERCENTS[name] for own, name in checked.cells if own is metric and name in PERCENTS]


def read(
    checked: Checked, metrics: list[Definition], rows: Sequence[tuple[Any, ...]]
) -> Iterator[Found]:
    """What `statement` answered, metric by metric."""
    for row in rows:
        at = 1 + len(checked.by)
        bucket, group = row[0], tuple(row[1:at])
        for metric in metrics:
            figure = Figure(facts=row[at])
            at += 1
            if metric.kind == "share":
                figure.fulfilled = row[at]
                at += 1
            if metric.kind == "distribution":
                at = figure.take_distribution(row, at, percents(checked, metric))
            yield Found(metric, bucket, group, figure)


__all__ = ["KINDS", "read", "statement", "together"]

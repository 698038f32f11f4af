"""An answer as JSON, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from services.reporting.domain import instant_of, words
from services.reporting.domain.dimensions import DIMENSIONS, Dimension
from services.reporting.domain.metrics import METRICS, Definition, aggregates_of, defaults_of
from services.reporting.report.check import check, dimensions_of
from services.reporting.report.drill import Facts
from services.reporting.report.model import Aggregate, Report, ReportQuery

Json = dict[str, Any]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?\Z")


def defused(text: str) -> str:
    """The text with an apostrophe before it if a spreadsheet would take it for a formula
    (OWASP, CSV Injection). Numbers stay as they are."""
    if text.startswith(_FORMULA) and not _NUMBER.match(text):
        return f"'{text}"
    return text


def definition_json(metric: Definition) -> Json:
    """A metric as `/v1/metrics` gives it."""
    return {
        "name": metric.name,
        "title": metric.title,
        "unit": metric.unit,
        "kind": metric.kind,
        "formula": metric.formula,
        "events": metric.events,
        "time": ["calendar", "business"] if metric.business else [],
        "better": metric.better,
        "edges": metric.edges,
        "aggregates": aggregates_of(metric),
        "default_aggregates": defaults_of(metric),
        "dimensions": dimensions_of(metric),
    }


def dimension_json(dimension: Dimension) -> Json:
    """A dimension as `/v1/dimensions` gives it."""
    return {
        "name": dimension.name,
        "title": dimension.title,
        "about": dimension.about,
        "values": dimension.values,
        "several_per_ticket": bool(dimension.many - {"presences"}),
    }


def unit_of(metric: Definition, aggregate: Aggregate) -> str:
    """Of one figure: a count of a distribution or a share counts what it is made of."""
    if aggregate == "count" and metric.kind in ("distribution", "share", "standing"):
        return "clocks" if metric.source == "verdicts" else "facts"
    return metric.unit


def query_json(query: ReportQuery) -> Json:
    """The question as it was understood."""
    return {
        "metrics": query.metrics,
        "from": words(query.start_us),
        "to": words(query.end_us),
        "zone": query.zone,
        "granularity": query.granularity,
        "by": query.by,
        "filters": dict(query.filters),
        "aggregates": query.aggregates,
        "time": query.time,
        "compare": "previous" if query.compare else None,
        "as_recorded_at": words(query.as_recorded_us),
    }


def report_json(report: Report) -> Json:
    """`rows` in order; instants in UTC, `bucket_local` as the clock in the zone shows it."""
    query = report.query
    zone = ZoneInfo(query.zone)
    return {
        "query": query_json(query),
        "from": words(report.start_us),
        "to": words(report.end_us),
        "stamp": report.stamp,
        "recorded_time": words(report.recorded_us),
        "metrics": [
            {"name": m.name, "title": m.title, "unit": m.unit, "time": _time(m, query)}
            for m in (METRICS[name] for name in query.metrics)
        ],
        "rows": [
            {
                "bucket": words(row.bucket_us),
                "bucket_local": _local(row.bucket_us, zone),
                "keys": dict(zip(query.by, row.keys, strict=True)),
                "cells": [
                    {
                        "metric": cell.metric,
                        "aggregate": cell.aggregate,
                        "value": cell.value,
                        "facts": cell.facts,
                        **({"previous": cell.previous} if query.compare else {}),
                    }
                    for cell in row.cells
                ],
            }
            for row in report.rows
        ],
    }


def _time(metric: Definition, query: ReportQuery) -> str | None:
    if metric.unit != "seconds":
        return None
    return query.time if metric.business else "calendar"


def _local(bucket_us: int | None, zone: ZoneInfo) -> str | None:
    if bucket_us is None:
        return None
    return instant_of(bucket_us).astimezone(zone).isoformat()


def facts_json(facts: Facts) -> Json:
    return {
        "total": facts.total,
        "tickets": facts.tickets,
        "facts": [
            {
                "ticket_id": fact.ticket_id,
                "number": fact.number,
                "at": words(fact.at_us),
                "value": fact.value,
                "detail": fact.detail,
            }
            for fact in facts.facts
        ],
        "next": facts.next,
    }


def _columns(query: ReportQuery) -> list[tuple[str, Definition, Aggregate]]:
    """(name, metric, aggregate) of each figure of a row, such as `first_reply_time_p90`; a metric's only
    count or share bears its name alone."""
    cells = check(query).cells
    made = []
    for metric, aggregate in cells:
        alone = sum(other is metric for other, _ in cells) == 1
        plain = alone and aggregate in ("count", "share")
        made.append((metric.name if plain else f"{metric.name}_{aggregate}", metric, aggregate))
    return made


def _head(report: Report) -> list[str]:
    bucket = [] if report.query.granularity == "none" else ["bucket"]
    names: list[str] = []
    for name, _, _ in _columns(report.query):
        names += [name, f"{name}_previous"] if report.query.compare else [name]
    return [*bucket, *report.query.by, *names]


def report_csv(report: Report) -> str:
    """RFC 4180, in UTF-8: a line per row, a column per figure; no value is an empty cell. Times of buckets
    have the offset of the zone. Text that a spreadsheet would take for a formula is defused."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_head(report))
    for line in _lines(report):
        writer.writerow("" if value is None else value for value in line)
    return out.getvalue()


def _lines(report: Report) -> Iterator[list[Any]]:
    zone = ZoneInfo(report.query.zone)
    for row in report.rows:
        line: list[Any] = []
        if report.query.granularity != "none":
            line.append(_local(row.bucket_us, zone))
        line += [None if key is None else defused(key) for key in row.keys]
        for cell in row.cells:
            line += [cell.value, cell.previous] if report.query.compare else [cell.value]
        yield line


def report_parquet(report: Report) -> bytes:
    """A column per dimension and figure; what a figure is, and its unit, stands in its column's metadata,
    the question in the metadata of the file (`bitacora.query`)."""
    fields: list[pa.Field] = []
    columns: list[list[Any]] = []
    if report.query.granularity != "none":
        fields.append(pa.field("bucket", pa.timestamp("us", tz=report.query.zone)))
        columns.append([row.bucket_us for row in report.rows])
    for place, name in enumerate(report.query.by):
        about = {"title": DIMENSIONS[name].title}
        fields.append(pa.field(name, pa.string(), metadata=about))
        columns.append([row.keys[place] for row in report.rows])
    for place, (name, metric, aggregate) in enumerate(_columns(report.query)):
        kind = pa.int64() if _is_whole(metric, aggregate) else pa.float64()
        about = {
            "title": metric.title,
            "unit": unit_of(metric, aggregate),
            "metric": metric.name,
            "aggregate": aggregate,
            "time": _time(metric, report.query) or "",
        }
        cells = [row.cells[place] for row in report.rows]
        fields.append(pa.field(name, kind, metadata=about))
        columns.append([cell.value for cell in cells])
        if report.query.compare:
            fields.append(pa.field(f"{name}_previous", kind, metadata=about))
            columns.append([cell.previous for cell in cells])
    said = {
        "bitacora.query": orjson.dumps(query_json(report.query)),
        "bitacora.stamp": str(report.stamp),
    }
    schema = pa.schema(fields, metadata=said)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), out)
    return out.getvalue()


def _is_whole(metric: Definition, aggregate: Aggregate) -> bool:
    if aggregate in ("mean", "share"):
        return False
    return metric.kind != "present" or aggregate == "sum"

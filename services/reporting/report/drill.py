"""From a figure to the facts behind it: as many as its `Cell.facts` says, by the same SQL."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from libs.runtime.errors import Poison
from services.reporting.domain.metrics import Definition
from services.reporting.report import levels, present
from services.reporting.report.check import Checked, check
from services.reporting.report.engine import Cursor, Known, span_of
from services.reporting.report.model import Fact, ReportQuery
from services.reporting.report.sql import Span, Values, condition, conditions, relation

FACTS_MAX: Final = 1_000

_TIES: Final = {
    "tickets": "''",
    "activities": "lpad(CAST(sequence AS VARCHAR), 12, '0')",
    "intervals": "lpad(CAST(ordinal AS VARCHAR), 12, '0')",
    "verdicts": "metric || ':' || lpad(CAST(activation AS VARCHAR), 12, '0')",
}
"""Puts facts of one ticket and instant into an order."""

_DETAILS: Final[dict[str, dict[str, str]]] = {
    "tickets": {"status": "status", "group": "group_name", "agent": "agent"},
    "activities": {
        "sequence": "sequence",
        "kind": "kind",
        "group": "group_name",
        "agent": "agent",
        "actor": "actor",
        "detail": "detail",
    },
    "intervals": {"status": "status", "group": "group_name", "agent": "agent"},
    "verdicts": {
        "metric": "metric",
        "policy": "policy",
        "outcome": "outcome",
        "group": "group_name",
        "agent": "agent",
    },
}


@dataclass(frozen=True, slots=True)
class Facts:
    """`total` facts of `tickets` different tickets make up the figure; `facts` are a page of them, in the
    order of time; `next` is the cursor of the page after it."""

    total: int
    tickets: int
    facts: tuple[Fact, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Picked:
    """SQL of all facts of one figure: columns ticket, moment, tie, value, and the details. The common
    table expressions that it needs come first."""

    sql: str
    values: Values
    details: tuple[str, ...]


def facts_of(
    cursor: Cursor,
    query: ReportQuery,
    known: Known,
    *,
    bucket_us: int | None,
    keys: tuple[str | None, ...],
    limit: int,
    after: str | None = None,
) -> Facts:
    """The facts of one figure: `query` asks for one metric; `bucket_us` and `keys` are those of the row.

    Raises Poison (422): as `check`; `one_metric`, `no_such_bucket`, `keys_missing`, `bad_cursor`.
    """
    checked = check(replace(query, compare=False))
    if len(checked.metrics) != 1:
        raise Poison("one_metric", "name the one metric whose facts are wanted")
    if len(keys) != len(checked.by):
        raise Poison(
            "keys_missing",
            f"give one key for each dimension in by, in its order ({len(checked.by)}, "
            "an empty one for none)",
        )
    whole = span_of(checked, known)
    if whole is None:
        return Facts(0, 0, (), None)
    span = _bucket(checked, whole, bucket_us)
    metric = checked.metrics[0]
    latest_us = known.latest_us if known.latest_us is not None else span.end_us
    picked = _picked(checked, metric, span, keys, latest_us)
    total, tickets = cursor.execute(
        f"SELECT count(*), count(DISTINCT ticket) FROM ({picked.sql})", picked.values.bound
    ).fetchone()
    rows = _page(cursor, picked, limit, after)
    shown = rows[:limit]
    more = _cursor(shown[-1]) if len(rows) > limit else None
    return Facts(int(total), int(tickets), tuple(_fact(picked, row) for row in shown), more)


def _bucket(checked: Checked, whole: Span, bucket_us: int | None) -> Span:
    if checked.query.granularity == "none":
        return whole
    if bucket_us is None or bucket_us not in whole.starts:
        raise Poison(
            "no_such_bucket",
            "give the bucket as the report gives it, with the same from, to, zone and granularity",
        )
    end_us = whole.ends[whole.starts.index(bucket_us)]
    return Span(bucket_us, end_us, (bucket_us,), whole.zone)


def _picked(
    checked: Checked,
    metric: Definition,
    span: Span,
    keys: tuple[str | None, ...],
    latest_us: int,
) -> Picked:
    if metric.kind == "present":
        return _present(checked, metric, span, keys, latest_us)
    values = Values()
    where = conditions(metric, checked.filters, span, values)
    for dimension, key in zip(checked.by, keys, strict=True):
        where += f" AND {condition(metric, dimension, (key or '',), span, values)}"
    value = metric.value_in(checked.query.time) or "NULL"
    if metric.kind == "share":
        value = f"CAST(({value}) AS INTEGER)"
    if metric.kind in ("level", "standing"):
        inside = levels.holds_at(span.end_us)
        until = min(span.end_us, max(latest_us, span.start_us))
        value = value.replace("end_us", str(until))
    else:
        inside = f"{metric.at} >= {span.start_us} AND {metric.at} < {span.end_us}"
    details = _DETAILS[metric.source]
    listed = "".join(f", {sql} AS d_{name}" for name, sql in details.items())
    sql = f"""SELECT ticket, {metric.at} AS moment, {_TIES[metric.source]} AS tie,
            {value} AS value{listed}
        FROM {relation(metric, span, f"{value} {where}")}
        WHERE ({metric.when_in(checked.query.time)}) AND {inside}{where}"""
    return Picked(sql, values, tuple(details))


def _present(
    checked: Checked,
    metric: Definition,
    span: Span,
    keys: tuple[str | None, ...],
    latest_us: int,
) -> Picked:
    values = Values()
    inner = present.facts_statement(checked, metric, span, values, latest_us)
    wanted = "".join(
        f" AND f.k{place} {'IS NULL' if key is None else '= ' + values.bind(key)}"
        for place, key in enumerate(keys)
    )
    details = _DETAILS["intervals"]
    listed = "".join(f", i.{sql} AS d_{name}" for name, sql in details.items())
    sql = f"""SELECT f.ticket AS ticket, f.began AS moment,
            lpad(CAST(f.ordinal AS VARCHAR), 12, '0') || ':' || lpad(CAST(f.length AS VARCHAR), 20, '0')
                AS tie, f.length // 1000000 AS value{listed}
        FROM ({inner}) f JOIN intervals i ON i.ticket = f.ticket AND i.ordinal = f.ordinal
        WHERE true{wanted}"""
    return Picked(sql, values, tuple(details))


def _page(cursor: Cursor, picked: Picked, limit: int, after: str | None) -> list[tuple[Any, ...]]:
    """In the order of time, then of tickets' ids: their numbers are those of one copy of the tables, and
    the next page may be asked of another one. Ids are looked up only for what lies in reach of the page."""
    values = Values()
    values.bound.update(picked.values.bound)
    later = since = within = ""
    begin = "NULL"
    if after is not None:
        begin, ticket_id, tie = (values.bind(part) for part in _opened(after))
        later, since = f"WHERE moment > {begin}", f"moment >= {begin} AND"
        within = f"WHERE (moment, id, tie) > ({begin}, {ticket_id}, {tie})"
    reach = f"SELECT moment FROM picked {later} ORDER BY moment LIMIT {limit + 1}"
    details = "".join(f", d_{name}" for name in picked.details)
    rows: list[tuple[Any, ...]] = cursor.execute(
        f"""WITH picked AS NOT MATERIALIZED ({picked.sql}), near AS (
            SELECT * FROM picked
            WHERE {since} moment <= coalesce((SELECT max(moment) FROM ({reach})), {begin})),
        named AS (
            SELECT near.*, coalesce(t.id, '') AS id, t.number
            FROM near LEFT JOIN tickets t ON t.ticket = near.ticket)
        SELECT moment, id, tie, number, value{details} FROM named {within}
        ORDER BY moment, id, tie LIMIT {limit + 1}""",
        values.bound,
    ).fetchall()
    return rows


def _fact(picked: Picked, row: tuple[Any, ...]) -> Fact:
    said = dict(zip(picked.details, row[5:], strict=True))
    return Fact(
        ticket_id=row[1],
        number=row[3],
        at_us=row[0],
        value=row[4],
        detail={name: value for name, value in said.items() if value is not None},
    )


def _cursor(row: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(row[:3]))).decode().rstrip("=")


def _opened(cursor: str) -> tuple[int, str, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        moment, ticket_id, tie = orjson.loads(base64.urlsafe_b64decode(padded))
        if type(moment) is int and type(ticket_id) is str and type(tie) is str:
            return moment, ticket_id, tie
    except (ValueError, TypeError):
        pass
    raise Poison("bad_cursor", "the cursor is not one that this query gave")

"""Rows of the fold → columns for DuckDB: the ticket's number and dimensions repeated in every table,
and business time looked up for all instants of a column at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from services.reporting.domain.facts import (
    TICKET_COLUMNS,
    Activity,
    AgentFacts,
    Interval,
    TicketFacts,
)
from services.reporting.domain.facts.ticket import AGENT_WORKS, REQUESTER_WAITS, SECOND_US

Instants = NDArray[np.int64]

DIMENSIONS: Final = (
    "priority",
    "category",
    "subcategory",
    "channel",
    "language",
    "organization",
    "live",
)
"""Those of the ticket, which every table repeats."""


class OpenTime(Protocol):
    """Business time as a running total: between two instants lies the difference of theirs."""

    def totals(self, instants: Instants) -> Instants:
        """Open microseconds from some fixed instant up to each of these."""


def ticket_tables(
    schemas: Mapping[str, pa.Schema],
    made: Sequence[tuple[int, TicketFacts]],
    open_time: OpenTime | None,
) -> dict[str, pa.Table]:
    """The rows of these tickets (number, facts) as one Arrow table per fact table."""
    tickets = _columns(TICKET_COLUMNS, [facts.ticket for _, facts in made])
    tickets["ticket"] = [number for number, _ in made]
    shared = {
        name: pa.array(tickets[name], schemas["tickets"].field(name).type)
        for name in ("ticket", *DIMENSIONS)
    }
    parts = {
        "activities": _repeated(shared, [f.activities for _, f in made], _activities),
        "intervals": _repeated(shared, [f.intervals for _, f in made], _intervals),
        "verdicts": _repeated(shared, [f.verdicts for _, f in made], _verdicts),
    }
    counts = [len(facts.intervals) for _, facts in made]
    _business(tickets, parts["activities"], parts["intervals"], counts, open_time)
    tickets.update(shared)
    return {
        name: table_of(schemas[name], columns)
        for name, columns in (("tickets", tickets), *parts.items())
    }


def agent_tables(
    schemas: Mapping[str, pa.Schema], made: Sequence[tuple[str, AgentFacts]]
) -> dict[str, pa.Table]:
    """The rows of these agents (id, facts): `presences` and `agents`."""
    stretches = [
        (agent, ordinal, *stretch)
        for agent, facts in made
        for ordinal, stretch in enumerate(facts.stretches)
    ]
    rows = [(agent, *facts[1:]) for agent, facts in made]
    return {
        name: table_of(schemas[name], _columns(schemas[name].names, given))
        for name, given in (
            ("presences", [(*s[:4], list(s[4]), *s[5:]) for s in stretches]),
            ("agents", rows),
        )
    }


def table_of(schema: pa.Schema, columns: Mapping[str, Any]) -> pa.Table:
    """The columns in the order and with the types of the schema."""
    arrays = []
    for field in schema:
        given = columns[field.name]
        arrays.append(given if isinstance(given, pa.Array) else pa.array(given, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


Columns = dict[str, Any]


def _columns(names: Iterable[str], rows: Sequence[Sequence[Any]]) -> Columns:
    names = tuple(names)
    if not rows:
        return {name: [] for name in names}
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def _repeated(shared: Mapping[str, pa.Array], rows: Sequence[Sequence[Any]], make: Any) -> Columns:
    """Columns of all these rows together, with what each row's ticket says of itself."""
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    owners = pa.array(np.repeat(np.arange(len(rows)), counts))
    columns: Columns = make(list(chain.from_iterable(rows)), counts)
    for name, values in shared.items():
        columns[name] = values.take(owners)
    return columns


def _activities(rows: list[Any], _: Instants) -> Columns:
    return _columns(Activity._fields, rows)


def _intervals(rows: list[Any], counts: Instants) -> Columns:
    columns = _columns(Interval._fields, rows)
    ends = np.cumsum(counts)
    columns["ordinal"] = (np.arange(len(rows)) - np.repeat(ends - counts, counts)).astype(np.int32)
    start, end, lasts = _pair(columns["start_us"], columns["end_us"])
    columns["length_s"] = _seconds(end - start, lasts)
    return columns


_OF_VERDICTS: Final = (
    "metric",
    "activation",
    "policy",
    "policy_version",
    "calendar",
    "outcome",
    "started_us",
    "due_us",
    "at_us",
    "target_s",
    "elapsed_s",
)


def _verdicts(rows: list[Any], _: Instants) -> Columns:
    columns: Columns = {name: [getattr(row, name) for row in rows] for name in _OF_VERDICTS}
    holders = [row.holder for row in rows]
    return columns | _columns(("group_name", "agent", "tier"), holders)


# ---------------------------------------------------------------------------------- business time


def _business(
    tickets: Columns,
    activities: Columns,
    intervals: Columns,
    counts: list[int],
    open_time: OpenTime | None,
) -> None:
    made = business_columns(tickets, activities, intervals, counts, open_time)
    tickets.update(made["tickets"])
    activities.update(made["activities"])
    intervals.update(made["intervals"])


TICKET_BUSINESS: Final = (
    "first_reply_b",
    "first_resolution_b",
    "resolution_b",
    "requester_wait_b",
    "agent_work_b",
    "on_hold_b",
)


def business_columns(
    tickets: Mapping[str, Any],
    activities: Mapping[str, Any],
    intervals: Mapping[str, Any],
    counts: Sequence[int],
    open_time: OpenTime | None,
) -> dict[str, Columns]:
    """The `…_b` columns of the three tables. `counts`: how many intervals each ticket has, in order.
    Without a calendar they are empty."""
    if open_time is None:
        return {
            "tickets": {name: [None] * len(tickets["created_us"]) for name in TICKET_BUSINESS},
            "activities": {"value_b": [None] * len(activities["time_us"])},
            "intervals": {"length_b": [None] * len(intervals["start_us"])},
        }
    totals = open_time.totals
    created, _ = _numbers(tickets["created_us"])
    created_b = totals(created)
    columns: Columns = {}
    for name, end in (
        ("first_reply_b", "first_replied_us"),
        ("first_resolution_b", "first_solved_us"),
        ("resolution_b", "solved_us"),
    ):
        instants, missing = _numbers(tickets[end])
        columns[name] = _seconds(totals(instants) - created_b, missing)
    start, end_, lasts = _pair(intervals["start_us"], intervals["end_us"])
    open_us = np.where(lasts, 0, totals(end_) - totals(start))
    _, at_work = _numbers(tickets["solved_us"])
    edges = np.concatenate(([0], np.cumsum(np.asarray(counts, np.int64))))
    statuses = np.asarray(intervals["status"], object)
    for name, wanted in (
        ("requester_wait_b", REQUESTER_WAITS),
        ("agent_work_b", AGENT_WORKS),
        ("on_hold_b", ("on_hold",)),
    ):
        counted = np.where(np.isin(statuses.astype(str), wanted), open_us, 0)
        sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(counted)))
        columns[name] = _seconds(sums[edges[1:]] - sums[edges[:-1]], at_work)
    time, _ = _numbers(activities["time_us"])
    since, none = _numbers(activities["since_us"])
    return {
        "tickets": columns,
        "activities": {"value_b": _seconds(totals(time) - totals(since), none)},
        "intervals": {"length_b": _seconds(open_us, lasts)},
    }


_FILL_US: Final = 1_700_000_000 * SECOND_US


def _numbers(values: Any) -> tuple[Instants, NDArray[np.bool_]]:
    """The numbers, some instant of today's where there is none, and where that is."""
    array = (
        values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, pa.int64())
    )
    missing = np.asarray(array.is_null())
    return np.asarray(array.fill_null(_FILL_US), np.int64), missing


def _pair(start: Any, end: Any) -> tuple[Instants, Instants, NDArray[np.bool_]]:
    begins, _ = _numbers(start)
    ends, lasts = _numbers(end)
    return begins, np.where(lasts, begins, ends), lasts


def _seconds(us: Instants, missing: NDArray[np.bool_]) -> pa.Array:
    return pa.array(us // SECOND_US, pa.int64(), mask=missing)

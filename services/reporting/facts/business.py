"""Business time for whole columns: the calendar that the SLA service says, as a running total of its open
time, in which all instants of a column are looked up at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import ARROW
from sqlalchemy import Connection

from libs.events.registry import EVENTS, ContractError
from libs.events.sla import CalendarDefined
from libs.runtime.logs import get_logger
from libs.worktime.calendar import calendar_of
from libs.worktime.errors import InvalidDefinition
from libs.worktime.instants import FIRST_US, LAST_US, to_us
from libs.worktime.layout import open_spans
from libs.worktime.timeline import CalendarVersion, Timeline
from libs.worktime.zones import tzdata_version
from services.reporting.domain.facts import HistoryRow
from services.reporting.domain.facts.ticket import AGENT_WORKS, REQUESTER_WAITS, SECOND_US
from services.reporting.facts.columns import Instants, OpenTime
from services.reporting.facts.source import read_histories
from services.reporting.views.history import CALENDAR_PREFIX

log = get_logger(__name__)

YEAR_US: Final = 31_557_600 * SECOND_US
WINDOW: Final = (30 * YEAR_US, 80 * YEAR_US)
"""2000 to 2050: looked up in columns. What lies outside is reckoned one by one."""
NONE: Final = ""


@dataclass(frozen=True, slots=True)
class Business:
    """`name` says which calendar, which of its versions and which time zones; "" for none: columns of
    business time are empty."""

    name: str
    time: OpenTime | None


class RunningTotal:
    """The open time of a calendar through all its versions, each by the one in force then."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        spans = np.asarray(list(open_spans(timeline, *WINDOW)), np.int64).reshape(-1, 2)
        self._starts = np.ascontiguousarray(spans[:, 0])
        self._lengths = spans[:, 1] - spans[:, 0]
        self._before = np.concatenate((np.zeros(1, np.int64), np.cumsum(self._lengths)))
        self._far: dict[int, int] = {}

    def totals(self, instants: Instants) -> Instants:
        """Open microseconds from the window's start up to each; negative before it."""
        if not len(self._starts):
            made = np.zeros(len(instants), np.int64)
        else:
            number = np.searchsorted(self._starts, instants, side="right") - 1
            at = np.maximum(number, 0)
            within = np.minimum(instants - self._starts[at], self._lengths[at])
            made = np.where(number < 0, 0, self._before[at] + within)
        low, high = WINDOW
        outside = (instants < low) | (instants >= high)
        if outside.any():
            made[outside] = [self._reckoned(us) for us in instants[outside].tolist()]
        return made

    def _reckoned(self, us: int) -> int:
        known = self._far.get(us)
        if known is None:
            low, elapsed = WINDOW[0], self._timeline.elapsed_us
            at = min(max(us, FIRST_US), LAST_US)
            known = elapsed(low, at) if at >= low else -elapsed(at, low)
            if len(self._far) < 65_536:  # noqa: PLR2004 - a bound of memory
                self._far[us] = known
        return known


class Calendars:
    """The calendar that business time is counted by, kept until there is a new version of it."""

    def __init__(self, calendar: str) -> None:
        self._stream = CALENDAR_PREFIX + calendar
        self._calendar = calendar
        self._known: Business | None = None

    def of(self, connection: Connection, changed: Iterable[str] = ()) -> Business:
        """As that database knows it. `changed`: the streams that grew since the last call."""
        known = self._known
        if known is None or self._stream in changed:
            events = read_histories(connection, [self._stream]).get(self._stream, [])
            known = self._known = business_of(self._calendar, events)
        return known


def business_of(calendar: str, events: list[HistoryRow]) -> Business:
    """From the events of a calendar's stream. A version that cannot be read is left out, and logged."""
    versions = [made for event in events if (made := _version(calendar, event)) is not None]
    if not versions:
        return Business(NONE, None)
    name = f"{calendar} v{events[-1][0]} tzdata {tzdata_version()}"
    return Business(name, RunningTotal(Timeline(calendar, versions)))


def _version(calendar: str, event: HistoryRow) -> CalendarVersion | None:
    if event[1] != CalendarDefined.TYPE:
        return None
    try:
        made: CalendarDefined = EVENTS.decode(event[1], event[5].encode())
        definition = made.model_dump(mode="json", exclude={"effective_from"})
        begins = FIRST_US if made.effective_from is None else to_us(made.effective_from)
        return CalendarVersion(begins, calendar_of({**definition, "id": calendar}, made.version))
    except (ContractError, InvalidDefinition) as error:
        log.warning("calendar_unreadable", calendar=calendar, version=event[0], error=str(error))
        return None


# ------------------------------------------------------------------------- another calendar


def recount(cursor: duckdb.DuckDBPyConnection, business: Business) -> None:
    """Make every column of business time anew by this calendar, in the caller's transaction. The
    instants are in the tables, so no history is read."""
    time = business.time
    if time is None:
        for table, columns in _COLUMNS.items():
            _replace(cursor, table, dict.fromkeys(columns, "CAST(NULL AS BIGINT)"))
        return
    cursor.create_function(
        "open_between",
        _between(time),
        [duckdb.sqltype("BIGINT"), duckdb.sqltype("BIGINT")],
        duckdb.sqltype("BIGINT"),
        type=ARROW,
    )
    try:
        _replace(cursor, "intervals", {"length_b": _seconds("open_between(start_us, end_us)")})
        _replace(cursor, "activities", {"value_b": _seconds("open_between(since_us, time_us)")})
        _recount_tickets(cursor)
    finally:
        cursor.remove_function("open_between")


def _recount_tickets(cursor: duckdb.DuckDBPyConnection) -> None:
    sums = {
        "requester_wait_b": REQUESTER_WAITS,
        "agent_work_b": AGENT_WORKS,
        "on_hold_b": ("on_hold",),
    }
    given = ", ".join(
        f"coalesce(sum(us) FILTER (status IN ({_quoted(statuses)})), 0)::BIGINT AS {name}"
        for name, statuses in sums.items()
    )
    cursor.execute(
        f"CREATE TEMP TABLE spent AS SELECT ticket, {given} FROM ("  # noqa: S608 - our own names
        "SELECT ticket, status, open_between(start_us, end_us) AS us FROM intervals) GROUP BY ticket"
    )
    columns = {
        "first_reply_b": _seconds("open_between(created_us, first_replied_us)"),
        "first_resolution_b": _seconds("open_between(created_us, first_solved_us)"),
        "resolution_b": _seconds("open_between(created_us, solved_us)"),
    }
    columns |= {
        name: f"CASE WHEN solved_us IS NOT NULL THEN {_seconds(f'spent.{name}')} END"
        for name in sums
    }
    _replace(cursor, "tickets", columns, " JOIN spent USING (ticket)")
    cursor.execute("DROP TABLE spent")


_COLUMNS: Final = {
    "intervals": ("length_b",),
    "activities": ("value_b",),
    "tickets": (
        "first_reply_b",
        "first_resolution_b",
        "resolution_b",
        "requester_wait_b",
        "agent_work_b",
        "on_hold_b",
    ),
}


def _replace(
    cursor: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str], join: str = ""
) -> None:
    """The table written anew: for all its rows that is much less work than changing each."""
    made = ", ".join(f"{value} AS {name}" for name, value in columns.items())
    cursor.execute(
        f"CREATE TABLE recounted AS SELECT {table}.* REPLACE ({made}) FROM {table}{join}"  # noqa: S608 - our own names
    )
    cursor.execute(f"DROP TABLE {table}")
    cursor.execute(f"ALTER TABLE recounted RENAME TO {table}")


def _seconds(us: str) -> str:
    """Whole seconds, rounded down also below zero."""
    return f"(({us}) - ((({us}) % {SECOND_US}) + {SECOND_US}) % {SECOND_US}) // {SECOND_US}"


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _between(time: OpenTime) -> Callable[[pa.Array, pa.Array], pa.Array]:
    def between(start: pa.ChunkedArray, end: pa.ChunkedArray) -> pa.Array:
        missing = np.asarray(start.is_null()) | np.asarray(end.is_null())
        begins = np.asarray(start.fill_null(WINDOW[0]), np.int64)
        ends = np.asarray(end.fill_null(WINDOW[0]), np.int64)
        return pa.array(time.totals(ends) - time.totals(begins), pa.int64(), mask=missing)

    return between

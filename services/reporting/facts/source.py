"""Reading the histories: of some streams, or of all of them in pages that begin and end with a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import orjson
from sqlalchemy import Connection

from libs.runtime.database import Database
from services.reporting.domain.facts import HistoryRow
from services.reporting.views.history import (
    AGENT_PREFIX,
    CALENDAR_PREFIX,
    DECISION_PREFIX,
    NEEDS_PREFIX,
    NOTIFICATION_PREFIX,
    REFUSAL_PREFIX,
    RULES_STREAM,
    SLA_PREFIX,
)

PAGE_ROWS: Final = 40_000
IDS_MAX: Final = 4_000
"""Of streams that one statement asks for."""

_OTHERS: Final = tuple(
    sorted(
        (
            AGENT_PREFIX,
            CALENDAR_PREFIX,
            DECISION_PREFIX,
            NEEDS_PREFIX,
            NOTIFICATION_PREFIX,
            REFUSAL_PREFIX,
            SLA_PREFIX,
        )
    )
)
_COLUMNS: Final = "stream_id, sequence, type, time_us, recorded_us, actor, data"

Histories = dict[str, list[HistoryRow]]
"""Stream → its events, in order."""


def is_ticket(stream_id: str) -> bool:
    return stream_id != RULES_STREAM and not stream_id.startswith(_OTHERS)


def read_histories(
    connection: Connection, streams: Iterable[str], until_us: int | None = None
) -> Histories:
    """The events of these streams; with `until_us`, of those only that were recorded up to then."""
    wanted, found = list(streams), Histories()
    for start in range(0, len(wanted), IDS_MAX):
        _read_some(connection, wanted[start : start + IDS_MAX], until_us, found)
    return found


def _read_some(
    connection: Connection, streams: list[str], until_us: int | None, found: Histories
) -> None:
    if connection.dialect.name == "sqlite":
        ids, given = "(SELECT value FROM json_each(?))", (orjson.dumps(streams).decode(),)
        mark = "?"
    else:
        ids, given = "(SELECT unnest(%s::text[]))", (streams,)  # type: ignore[assignment]
        mark = "%s"
    parameters: tuple[Any, ...] = given
    cut = ""
    if until_us is not None:
        cut, parameters = f" AND recorded_us <= {mark}", (*given, until_us)
    query = (
        f"SELECT {_COLUMNS} FROM history WHERE stream_id IN {ids}{cut} ORDER BY stream_id, sequence"  # noqa: S608 - our own names
    )
    for row in _rows(connection, query, parameters):
        found.setdefault(row[0], []).append(row[1:])


def _rows(connection: Connection, query: str, parameters: Sequence[Any]) -> Iterable[Any]:
    """Plain tuples from the driver: SQLAlchemy's rows cost more than the query does."""
    driver: Any = connection.connection.driver_connection
    return driver.cursor().execute(query, tuple(parameters))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Source:
    """Where histories come from: `reading` opens a snapshot. Those of a database are each a new one;
    what changes while pages are read must then be read again."""

    reading: Callable[[], AbstractContextManager[Connection]]
    is_sqlite: bool


def source_of(database: Database) -> Source:
    return Source(database.reading, database.is_sqlite)


def fixed_source(connection: Connection) -> Source:
    """Every page from the one snapshot that this connection sees."""
    return Source(lambda: nullcontext(connection), connection.dialect.name == "sqlite")


def ticket_pages(source: Source) -> Iterator[Histories]:
    """The streams of all tickets."""
    for low, high in _between_others(source):
        yield from _pages(source, low, high, others=not source.is_sqlite)


def agent_pages(source: Source) -> Iterator[Histories]:
    if source.is_sqlite:
        yield from _pages(source, AGENT_PREFIX, _after(AGENT_PREFIX))
    else:
        yield from _pages(source, "", None, only=AGENT_PREFIX)


def _between_others(source: Source) -> list[tuple[str, str | None]]:
    """SQLite orders by bytes, so the other streams can be left out; a PostgreSQL may order as its
    language does, and filters."""
    if not source.is_sqlite:
        return [("", None)]
    edges: list[tuple[str, str | None]] = []
    low = ""
    for prefix in _OTHERS:
        edges.append((low, prefix))
        low = _after(prefix)
    return [*edges, (low, None)]


def _after(prefix: str) -> str:
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _pages(
    source: Source, low: str, high: str | None, *, others: bool = False, only: str = ""
) -> Iterator[Histories]:
    mark, size, last = "?" if source.is_sqlite else "%s", PAGE_ROWS, ""
    while True:
        where, parameters = (
            [f"stream_id > {mark}" if last else f"stream_id >= {mark}"],
            [last or low],
        )
        if high is not None:
            where.append(f"stream_id < {mark}")
            parameters.append(high)
        if others:
            where += [f"stream_id NOT LIKE '{prefix}%%'" for prefix in _OTHERS]
        if only:
            where.append(f"stream_id LIKE '{only}%%'")
        query = (
            f"SELECT {_COLUMNS} FROM history WHERE {' AND '.join(where)}"  # noqa: S608 - our own names
            f" ORDER BY stream_id, sequence LIMIT {size}"
        )
        with source.reading() as connection:
            rows = list(_rows(connection, query, parameters))
        whole = len(rows) < size
        page = {stream: [row[1:] for row in part] for stream, part in groupby(rows, itemgetter(0))}
        if not whole:
            cut = rows[-1][0]
            if len(page) == 1:  # one stream longer than a page
                size *= 2
                continue
            del page[cut]
        last = next(reversed(page), last)
        page.pop(RULES_STREAM, None)
        if page:
            yield page
        if whole:
            return

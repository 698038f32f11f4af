"""The desk as it was known at an instant of recorded time: the same tables, without what was recorded
later.

Tickets that were recorded first after the instant are left out; those that did not change since are
taken as they are; only those that were there and changed since are folded anew, from their history up
to the instant. What was folded is kept for the next question about the same instant.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb

from libs.runtime.database import Database
from services.reporting.domain.facts import facts_of_agent, facts_of_ticket
from services.reporting.facts.business import NONE, Business
from services.reporting.facts.columns import OpenTime, agent_tables, ticket_tables
from services.reporting.facts.copy import OF_AGENTS, OF_TICKETS, Copy, insert
from services.reporting.facts.source import read_histories
from services.reporting.facts.tables import TABLES
from services.reporting.views.history import AGENT_PREFIX, SLA_PREFIX

INSTANTS_KEPT: Final = 8
ROWS_KEPT: Final = 2_000_000
"""Of all instants together; the one asked for last is always kept."""
CHUNK: Final = 5_000
_CUT: Final = "cut_"
_UNKNOWN: Final = "?"


@dataclass(slots=True)
class _Instant:
    """`name` of the database in memory with what was folded for it."""

    us: int
    name: str
    users: int = 0
    rows: int = 0
    calendar: str = NONE
    stale_tickets: set[str] = field(default_factory=set)
    stale_agents: set[str] = field(default_factory=set)


class Recorded:
    """What one copy was at earlier instants. Thread-safe. Raises Transient."""

    def __init__(self, database: Database, copy: Copy) -> None:
        self._database = database
        self._copy = copy
        self._known: OrderedDict[int, _Instant] = OrderedDict()
        self._made = 0
        self._busy = threading.Lock()

    def changed(self, tickets: Iterable[str], agents: Iterable[str]) -> None:
        """These are about to change: a late event may belong before an instant that is kept. (Called
        before the change is committed: what is folded from now on knows it.)"""
        for known in list(self._known.values()):
            known.stale_tickets.update(tickets)
            known.stale_agents.update(agents)

    @contextmanager
    def reading(self, instant_us: int, business: Business) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor on one snapshot in which the tables show the desk as known then."""
        with self._copy.reading() as cursor:
            # One after the other: a snapshot never meets what was folded for a later one.
            with self._busy:
                cursor.execute("SELECT count(*) FROM meta").fetchone()
                known = self._known.get(instant_us) or self._add(instant_us)
                self._known.move_to_end(instant_us)
                self._complete(cursor, known, business)
                cursor.execute(f"USE {known.name}")
                cursor.execute(f"SELECT count(*) FROM {_CUT}tickets, {_CUT}agents").fetchone()  # noqa: S608 - our own names
                known.users += 1
            try:
                yield cursor
            finally:
                with self._busy:
                    known.users -= 1
                    self._forget_some()

    def _add(self, instant_us: int) -> _Instant:
        self._made += 1
        known = _Instant(instant_us, f"recorded_{self._made}")
        live = f'"{self._copy.name}".main'
        with self._copy.aside() as writer:
            writer.execute(f"ATTACH ':memory:' AS {known.name}")
            writer.execute(f"USE {known.name}")
            for name in (*OF_TICKETS, *OF_AGENTS):
                writer.execute(TABLES[name].replace(f"TABLE {name} ", f"TABLE {_CUT}{name} "))
                writer.execute(_view(name, live, instant_us))
            writer.execute(f"CREATE VIEW meta AS SELECT * FROM {live}.meta")  # noqa: S608 - our own names
        self._known[instant_us] = known
        return known

    def _complete(
        self, cursor: duckdb.DuckDBPyConnection, known: _Instant, business: Business
    ) -> None:
        """Fold what this snapshot needs and is not there yet, and anew what may have changed."""
        stale_tickets, known.stale_tickets = known.stale_tickets, set()
        stale_agents, known.stale_agents = known.stale_agents, set()
        try:
            with self._copy.aside() as writer:
                writer.execute(f"USE {known.name}")
                writer.begin()
                if known.calendar != business.name:
                    _drop_all(writer)
                    known.calendar = business.name
                _drop_stale(writer, list(stale_tickets), list(stale_agents))
                tickets = _missing(cursor, writer, known.us, "tickets", "id, ticket", "id")
                for start in range(0, len(tickets), CHUNK):
                    part = {row[0]: int(row[1]) for row in tickets[start : start + CHUNK]}
                    self._fold_tickets(writer, known.us, part, business.time)
                agents = _missing(cursor, writer, known.us, "agents", "agent", "agent")
                self._fold_agents(writer, known.us, [row[0] for row in agents])
                known.rows = _count(writer)
                writer.commit()
        except BaseException:
            known.calendar = _UNKNOWN  # nothing of it is trusted
            known.stale_tickets |= stale_tickets
            known.stale_agents |= stale_agents
            raise

    def _fold_tickets(
        self,
        writer: duckdb.DuckDBPyConnection,
        until_us: int,
        numbers: dict[str, int],
        open_time: OpenTime | None,
    ) -> None:
        streams = [*numbers, *(SLA_PREFIX + ticket_id for ticket_id in numbers)]
        with self._database.reading() as connection:
            histories = read_histories(connection, streams, until_us)
        made = []
        for ticket_id, number in numbers.items():
            events = histories.get(ticket_id)
            clocks = histories.get(SLA_PREFIX + ticket_id, ())
            facts = facts_of_ticket(ticket_id, events, clocks) if events else None
            if facts is not None:
                made.append((number, facts))
        if made:
            insert(writer, ticket_tables(self._copy.schemas, made, open_time), _CUT)

    def _fold_agents(
        self, writer: duckdb.DuckDBPyConnection, until_us: int, agents: Sequence[str]
    ) -> None:
        with self._database.reading() as connection:
            histories = read_histories(
                connection, [AGENT_PREFIX + agent for agent in agents], until_us
            )
        made = [
            (stream.removeprefix(AGENT_PREFIX), facts_of_agent(events))
            for stream, events in histories.items()
        ]
        if made:
            insert(writer, agent_tables(self._copy.schemas, made), _CUT)

    def _forget_some(self) -> None:
        """Those asked for longest ago, while there are too many and nobody reads them."""
        for us, known in list(self._known.items())[:-1]:
            rows = sum(one.rows for one in self._known.values())
            if len(self._known) <= INSTANTS_KEPT and rows <= ROWS_KEPT:
                return
            if not known.users:
                del self._known[us]
                with self._copy.aside() as writer:
                    writer.execute(f"DETACH {known.name}")


def _view(name: str, live: str, instant_us: int) -> str:
    key = "ticket" if name in OF_TICKETS else "agent"
    owners = "tickets" if name in OF_TICKETS else "agents"
    same = f"last_recorded_us <= {instant_us}"
    if name != owners:
        same = f"{key} IN (SELECT {key} FROM {live}.{owners} WHERE {same})"  # noqa: S608 - our own names
    return (
        f"CREATE VIEW {name} AS SELECT * FROM {live}.{name} WHERE {same}"  # noqa: S608 - our own names
        f" UNION ALL SELECT * FROM {_CUT}{name}"
    )


def _drop_all(writer: duckdb.DuckDBPyConnection) -> None:
    for name in OF_TICKETS:
        writer.execute(f"DELETE FROM {_CUT}{name}")  # noqa: S608 - our own names


def _drop_stale(writer: duckdb.DuckDBPyConnection, tickets: list[str], agents: list[str]) -> None:
    if tickets:
        query = f"SELECT ticket FROM {_CUT}tickets WHERE id IN (SELECT unnest(?::VARCHAR[]))"  # noqa: S608 - our own names
        numbers = [row[0] for row in writer.execute(query, (tickets,)).fetchall()]
        _delete(writer, OF_TICKETS, "ticket", "BIGINT", numbers)
    _delete(writer, OF_AGENTS, "agent", "VARCHAR", agents)


def _delete(
    writer: duckdb.DuckDBPyConnection,
    tables: Sequence[str],
    key: str,
    kind: str,
    values: Sequence[object],
) -> None:
    for name in tables if values else ():
        writer.execute(
            f"DELETE FROM {_CUT}{name} WHERE {key} IN (SELECT unnest(?::{kind}[]))",  # noqa: S608 - our own names
            (list(values),),
        )


def _missing(
    cursor: duckdb.DuckDBPyConnection,
    writer: duckdb.DuckDBPyConnection,
    instant_us: int,
    table: str,
    columns: str,
    key: str,
) -> list[tuple[Any, ...]]:
    """Those that were there at the instant, changed since, and are not folded yet."""
    rows = cursor.execute(
        f"SELECT {columns} FROM {table} WHERE first_recorded_us <= ? AND last_recorded_us > ?",  # noqa: S608 - our own names
        (instant_us, instant_us),
    ).fetchall()
    folded = {row[0] for row in writer.execute(f"SELECT {key} FROM {_CUT}{table}").fetchall()}  # noqa: S608 - our own names
    return [row for row in rows if row[0] not in folded]


def _count(writer: duckdb.DuckDBPyConnection) -> int:
    counts = " + ".join(f"(SELECT count(*) FROM {_CUT}{name})" for name in OF_TICKETS)  # noqa: S608 - our own names
    row = writer.execute(f"SELECT {counts}").fetchone()
    return int(row[0]) if row else 0

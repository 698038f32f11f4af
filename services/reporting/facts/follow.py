"""Filling a copy: everything at first, then the streams that grew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import duckdb
from sqlalchemy import Connection, func, select

from libs.events.topics import TICKETS_EVENTS
from libs.runtime.database import Database
from services.reporting.domain.facts import AgentFacts, facts_of_agent, facts_of_ticket
from services.reporting.facts.business import NONE, Calendars, recount
from services.reporting.facts.columns import OpenTime, agent_tables, ticket_tables
from services.reporting.facts.copy import (
    Copy,
    delete_agents,
    delete_tickets,
    insert,
    numbers_of,
    read_meta,
    write_meta,
)
from services.reporting.facts.source import (
    Histories,
    Source,
    agent_pages,
    is_ticket,
    read_histories,
    ticket_pages,
)
from services.reporting.facts.tables import VERSION
from services.reporting.views import POSITIONS
from services.reporting.views.changes import Head, changed_since, read_head
from services.reporting.views.history import AGENT_PREFIX, SLA_PREFIX

Progress = Callable[[int, int], None]
"""Called with (events of tickets read, about how many there are)."""

LATEST: Final = (
    "SELECT greatest((SELECT max(last_recorded_us) FROM tickets),"
    " (SELECT max(last_recorded_us) FROM agents))"
)
"""When the latest event in the tables was recorded."""

STREAMS_MAX: Final = 20_000
"""That one refresh takes in, about."""


def load(
    source: Source,
    copy: Copy,
    *,
    head: Head,
    calendars: Calendars,
    stamp: int,
    progress: Progress | None = None,
) -> None:
    """Fill an empty copy with what the source holds. It is whole, and may be opened, once this
    returns; what changed since `head` is for `follow`. Raises Transient."""
    with source.reading() as connection:
        total = _ticket_events(connection)
        business = calendars.of(connection)
    done = 0
    for page in ticket_pages(source):
        done += sum(map(len, page.values()))
        with source.reading() as connection:
            clocks = read_histories(connection, [SLA_PREFIX + ticket_id for ticket_id in page])
        with copy.writing() as cursor:
            insert_tickets(copy, cursor, page, clocks, business.time)
        if progress is not None:
            progress(done, max(total, done))
    for page in agent_pages(source):
        with copy.writing() as cursor:
            insert(cursor, agent_tables(copy.schemas, _agents(page)))
    with copy.writing() as cursor:
        latest = cursor.execute(LATEST).fetchone()
        values: dict[str, object] = {
            "version": VERSION,
            "store": head.store,
            "revision": head.revision,
        }
        values |= {"stamp": stamp, "calendar": business.name}
        if latest and latest[0] is not None:
            values["recorded_us"] = latest[0]
        write_meta(cursor, values)


def _ticket_events(connection: Connection) -> int:
    c = POSITIONS.c
    query = select(func.sum(c.events)).where(c.topic == TICKETS_EVENTS)
    return int(connection.execute(query).scalar() or 0)


def follow(
    database: Database,
    copy: Copy,
    *,
    calendars: Calendars,
    changing: Callable[[Iterable[str], Iterable[str]], None] | None = None,
) -> tuple[int, frozenset[str]] | None:
    """Take in what changed since the copy's revision, `STREAMS_MAX` streams or so at a time, in one
    transaction of the copy. Returns the revision reached and the streams; None when there was nothing.
    `changing` is told of the tickets and the agents before that transaction.

    Raises FellBehind when the database no longer knows what changed, and Transient.
    """
    meta = copy.meta()
    store, revision = meta["store"], int(meta["revision"])
    with database.reading() as connection:
        head = read_head(connection)
        if not head.follows(store, revision):
            raise FellBehind(head)
        found = changed_since(connection, revision, STREAMS_MAX)
        until, streams = found or (revision, frozenset())
        business = calendars.of(connection, streams)
        recounts = business.name != meta.get("calendar", NONE)
        if found is None and not recounts:
            return None
        tickets = {
            stream.removeprefix(SLA_PREFIX)
            for stream in streams
            if is_ticket(stream) or stream.startswith(SLA_PREFIX)
        }
        clocks = [SLA_PREFIX + ticket_id for ticket_id in tickets]
        agents = [stream for stream in streams if stream.startswith(AGENT_PREFIX)]
        histories = read_histories(connection, [*tickets, *clocks, *agents])
    if changing is not None:
        changing(tickets, [stream.removeprefix(AGENT_PREFIX) for stream in agents])
    with copy.writing() as cursor:
        if recounts:
            recount(cursor, business)
        put_tickets(copy, cursor, sorted(tickets), histories, business.time)
        put_agents(copy, cursor, agents, histories)
        note(cursor, until, business.name, histories)
    return until, streams


class FellBehind(Exception):
    def __init__(self, head: Head) -> None:
        super().__init__("the copy must be made anew")
        self.head = head


def put_tickets(
    copy: Copy,
    cursor: duckdb.DuckDBPyConnection,
    tickets: Sequence[str],
    histories: Histories,
    open_time: OpenTime | None,
) -> None:
    """Take these tickets out and put them in anew, as their histories tell them."""
    if not tickets:
        return
    numbers = numbers_of(cursor, tickets)
    delete_tickets(cursor, list(numbers.values()))
    insert_tickets(
        copy,
        cursor,
        {t: histories[t] for t in tickets if t in histories},
        histories,
        open_time,
        numbers,
    )


def insert_tickets(
    copy: Copy,
    cursor: duckdb.DuckDBPyConnection,
    tickets: Histories,
    clocks: Histories,
    open_time: OpenTime | None,
    numbers: dict[str, int] | None = None,
) -> None:
    """`numbers`: of those tickets that had one before; the others get the next ones."""
    made = []
    for ticket_id, events in tickets.items():
        facts = facts_of_ticket(ticket_id, events, clocks.get(SLA_PREFIX + ticket_id, ()))
        if facts is None:
            continue
        number = numbers.get(ticket_id) if numbers else None
        if number is None:
            copy.last_ticket = number = copy.last_ticket + 1
        made.append((number, facts))
    if made:
        insert(cursor, ticket_tables(copy.schemas, made, open_time))


def put_agents(
    copy: Copy, cursor: duckdb.DuckDBPyConnection, streams: Iterable[str], histories: Histories
) -> None:
    made = _agents({stream: histories[stream] for stream in streams if stream in histories})
    if made:
        delete_agents(cursor, [agent_id for agent_id, _ in made])
        insert(cursor, agent_tables(copy.schemas, made))


def _agents(histories: Histories) -> list[tuple[str, AgentFacts]]:
    return [
        (stream.removeprefix(AGENT_PREFIX), facts_of_agent(events))
        for stream, events in histories.items()
    ]


def note(
    cursor: duckdb.DuckDBPyConnection, revision: int, calendar: str, histories: Histories
) -> None:
    """What the copy says of itself after a change: part of the change's transaction."""
    meta = read_meta(cursor)
    recorded = [event[3] for events in histories.values() for event in events]
    if known := meta.get("recorded_us"):
        recorded.append(int(known))
    values: dict[str, object] = {"revision": revision, "stamp": int(meta["stamp"]) + 1}
    values["calendar"] = calendar
    if recorded:
        values["recorded_us"] = max(recorded)
    write_meta(cursor, values)

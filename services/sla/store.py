"""The tables of the SLA service and everything that writes to them, inside a caller's transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

from libs.runtime.database import upsert
from libs.worktime.calendar import calendar_of
from libs.worktime.instants import FIRST_US
from libs.worktime.timeline import CalendarVersion
from libs.worktime.zones import tzdata_version
from services.sla.defaults import CALENDARS, POLICIES
from services.sla.domain.book import Book
from services.sla.domain.definitions import check_targets, policy_set_of
from services.sla.domain.state import Clock
from services.sla.domain.ticket import TicketClocks
from services.sla.timers.table import Armed, save_timers, timers

METADATA: Final = MetaData()
"""Only for the definitions below; a store is given a copy, see `metadata`."""

tickets = Table(
    "tickets",
    METADATA,
    Column("ticket_id", String(200), primary_key=True),
    Column("live", Boolean, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
"""One row per ticket: `TicketClocks` as a JSON array, the latest clock of each metric in it."""

past_clocks = Table(
    "past_clocks",
    METADATA,
    Column("ticket_id", String(200), primary_key=True),
    Column("metric", String(40), primary_key=True),
    Column("activation", Integer, primary_key=True, autoincrement=False),
    Column("state", LargeBinary, nullable=False),
)
"""Reply clocks that ended, as they were when the next activation took their place: `Clock` as a JSON
array. Rows are added, never changed."""

policies = Table(
    "policies",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("effective_from_us", BigInteger, nullable=False),
    Column("document", JSON, nullable=False),
)

calendars = Table(
    "calendars",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("effective_from_us", BigInteger, nullable=False),
    Column("document", JSON, nullable=False),
)
"""Versions are added, never changed: past verdicts refer to them."""

reckoned = Table(
    "reckoned",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("basis", String(200), nullable=False),
)
"""One row: by which calendars and time zones every running clock has reckoned, see `basis_of`."""

# Put together once: a timer that fires waits for little else than such work.
_REVISION: Final = select(
    select(func.count()).select_from(policies).scalar_subquery(),
    select(func.count()).select_from(calendars).scalar_subquery(),
)
_KNOWN: Final = (
    select(tickets.c.ticket_id, tickets.c.state)
    .where(tickets.c.ticket_id.in_(bindparam("ids", expanding=True)))
    .order_by(tickets.c.ticket_id)
)
_TICKETS: Final = _KNOWN.with_for_update()
_FREE_TICKETS: Final = _KNOWN.with_for_update(skip_locked=True)

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(TicketClocks).decode
_DECODE_CLOCK = msgspec.json.Decoder(Clock).decode


def metadata() -> MetaData:
    """The tables of this service, for one store to add its own to."""
    own = MetaData()
    for table in (*METADATA.sorted_tables, timers):
        table.to_metadata(own)
    return own


class Books:
    """The book of all versions, read again only when a version was added. Thread-safe.

    `tzdata` names the release of the time zone database; None: the one that is in use."""

    def __init__(self, tzdata: str | None = None) -> None:
        self._lock = threading.Lock()
        self._revision = (0, 0)
        self._book = Book(tzdata=tzdata_version() if tzdata is None else tzdata)

    def read(self, connection: Connection) -> Book:
        """The book as this transaction sees it."""
        made, put = connection.execute(_REVISION).one()
        revision = (int(made), int(put))
        with self._lock:
            if revision != self._revision:
                self._book, self._revision = read_book(connection, self._book), revision
            return self._book


def seed(connection: Connection) -> None:
    """Version 1 of the calendars and policies, unless there is one. Safe to repeat, and safe for two
    processes that start at once. Holds the lock of the definitions from then on."""
    lock_definitions(connection)
    for document in CALENDARS:
        row = {
            "name": document["id"],
            "version": 1,
            "effective_from_us": FIRST_US,
            "document": document,
        }
        connection.execute(_insert(connection, calendars).values(row).on_conflict_do_nothing())
    row = {"version": 1, "effective_from_us": FIRST_US, "document": list(POLICIES)}
    connection.execute(_insert(connection, policies).values(row).on_conflict_do_nothing())


def read_book(connection: Connection, known: Book) -> Book:
    """The book from the tables; calendars that `known` holds are kept, with what they have reckoned."""
    versions: dict[str, list[CalendarVersion]] = {}
    for name, number, effective_us, document in connection.execute(
        select(
            calendars.c.name,
            calendars.c.version,
            calendars.c.effective_from_us,
            calendars.c.document,
        ).order_by(calendars.c.name, calendars.c.version)
    ):
        older = known.calendars.get(name, ())
        entry = (
            older[number - 1]
            if number <= len(older)
            else CalendarVersion(effective_us, calendar_of(document, number))
        )
        versions.setdefault(name, []).append(entry)
    sets = [
        policy_set_of(document, version=number, effective_from_us=effective_us, calendars=None)
        for number, effective_us, document in connection.execute(
            select(policies.c.version, policies.c.effective_from_us, policies.c.document).order_by(
                policies.c.version
            )
        )
    ]
    calendars_of = {name: tuple(entries) for name, entries in versions.items()}
    return Book(tuple(sets), calendars_of, known.tzdata)


def lock_definitions(connection: Connection) -> None:
    """Let nobody else add a version until this transaction ends (SQLite lets nobody write anyway).
    To be called before the book is read that the change builds on."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE policies, calendars IN SHARE ROW EXCLUSIVE MODE"))


class Put(NamedTuple):
    """The version that now counts, and whether it was made by this."""

    version: int
    made: bool


def put_policies(
    connection: Connection,
    book: Book,
    document: Sequence[Mapping[str, Any]],
    effective_from_us: int,
) -> Put:
    """A new version of the whole list, unless the newest says the same and is in force by then. Raises
    InvalidDefinition, also when a target could hardly be reached in a version of its calendar that is
    in force then or later."""
    newest = {name: entries[-1].calendar for name, entries in book.calendars.items()}
    version = len(book.policy_sets) + 1
    made = policy_set_of(
        document, version=version, effective_from_us=effective_from_us, calendars=newest
    )
    for line in book.timelines.values():
        coming = [entry.calendar for entry in line.coming(effective_from_us)]
        check_targets(made.policies, coming)
    p = policies.c
    query = select(p.document, p.effective_from_us).where(p.version == version - 1)
    if _is_so(connection, query, list(document), effective_from_us):
        return Put(version - 1, made=False)
    row = {"version": version, "effective_from_us": effective_from_us, "document": list(document)}
    connection.execute(insert(policies), row)
    return Put(version, made=True)


def put_calendar(
    connection: Connection, book: Book, document: Mapping[str, Any], effective_from_us: int
) -> Put:
    """A new version of one calendar, unless the newest says the same and is in force by then. Raises
    InvalidDefinition, also when a target of the policies that are in force then, or are to follow, could
    hardly be reached in it. Clocks that older policies started go on all the same; one that cannot
    become due any more is due at LAST_US."""
    name = str(document["id"])
    version = len(book.calendars.get(name, ())) + 1
    made = calendar_of(document, version)
    for policy_set in book.policies_from(effective_from_us):
        check_targets(policy_set.policies, [made])
    c = calendars.c
    query = select(c.document, c.effective_from_us).where(c.name == name, c.version == version - 1)
    if _is_so(connection, query, dict(document), effective_from_us):
        return Put(version - 1, made=False)
    row = {
        "name": name,
        "version": version,
        "effective_from_us": effective_from_us,
        "document": dict(document),
    }
    connection.execute(insert(calendars), row)
    return Put(version, made=True)


def change_calendar(
    connection: Connection,
    book: Book,
    name: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    effective_from_us: int,
) -> Put:
    """The same change to the version that is in force at an instant, and to each that is to follow it:
    new versions, of which those that follow keep their own instants. Returns the first that was made,
    else the one in force. Raises InvalidDefinition, and LookupError for an unknown calendar."""
    c = calendars.c
    puts: list[Put] = []
    for start_us, calendar in book.timelines[name].coming(effective_from_us):
        query = select(c.document).where(c.name == name, c.version == calendar.version)
        document = connection.execute(query).scalar_one()
        changed = change(document)
        if changed == document and not any(put.made for put in puts):
            puts.append(Put(calendar.version, made=False))
            continue
        # A new version takes the place of all that were to follow it, so these are put again.
        at_us = max(start_us, effective_from_us)
        puts.append(put_calendar(connection, book, changed, at_us))
        if puts[-1].made:
            entry = CalendarVersion(at_us, calendar_of(changed, puts[-1].version))
            versions = {**book.calendars, name: (*book.calendars[name], entry)}
            book = Book(book.policy_sets, versions, book.tzdata)
    return next((put for put in puts if put.made), puts[0])


def newest_calendar(connection: Connection, name: str) -> dict[str, Any] | None:
    """The document of the newest version of this calendar."""
    c = calendars.c
    query = select(c.document).where(c.name == name).order_by(c.version.desc()).limit(1)
    document: dict[str, Any] | None = connection.scalar(query)
    return document


def _is_so(connection: Connection, newest: Any, document: Any, effective_from_us: int) -> bool:
    row = connection.execute(newest).one_or_none()
    return row is not None and row[0] == document and row[1] <= effective_from_us


def load(
    connection: Connection, ticket_ids: Iterable[str], *, skip_locked: bool = False
) -> dict[str, TicketClocks]:
    """The tickets that are known, locked until the transaction ends (SQLite locks the database).
    `skip_locked`: leave those out that another process is working on."""
    query = _FREE_TICKETS if skip_locked else _TICKETS
    rows = connection.execute(query, {"ids": sorted(ticket_ids)})
    return {row[0]: _DECODE(row[1]) for row in rows}


def decode(state: bytes) -> TicketClocks:
    """A ticket from its row."""
    return _DECODE(state)


def save(
    connection: Connection,
    before: Mapping[str, TicketClocks],
    after: Mapping[str, TicketClocks],
) -> list[Armed]:
    """Write the tickets that changed, and the timers of those that are live. Returns the timers that
    were set."""
    changed = {key: ticket for key, ticket in after.items() if ticket is not before.get(key)}
    rows = [
        {"ticket_id": key, "live": ticket.live, "state": _ENCODE(ticket)}
        for key, ticket in changed.items()
    ]
    upsert(connection, tickets, rows)
    return save_timers(connection, before, changed)


def keep_past(connection: Connection, past: Iterable[tuple[str, Clock]]) -> None:
    """Keep clocks whose place the next activation has taken."""
    rows = [
        {
            "ticket_id": ticket_id,
            "metric": clock.metric,
            "activation": clock.activation,
            "state": _ENCODE(clock),
        }
        for ticket_id, clock in past
    ]
    upsert(connection, past_clocks, rows)


def past_of(connection: Connection, ticket_id: str) -> list[Clock]:
    """The ended activations of this ticket's reply clocks, in the order of metric and activation."""
    p = past_clocks.c
    query = select(p.state).where(p.ticket_id == ticket_id).order_by(p.metric, p.activation)
    return [_DECODE_CLOCK(state) for state in connection.scalars(query)]


def basis_of(book: Book) -> str:
    """What running clocks reckon by: the release of the time zones and the number of calendar versions."""
    return f"{book.tzdata}/{sum(len(versions) for versions in book.calendars.values())}"


def read_basis(connection: Connection) -> str | None:
    """The basis by which every running clock has reckoned; None before the first time."""
    basis: str | None = connection.scalar(select(reckoned.c.basis))
    return basis


def write_basis(connection: Connection, basis: str) -> None:
    upsert(connection, reckoned, [{"id": 1, "basis": basis}])


def live_ids(connection: Connection, after: str, limit: int) -> list[str]:
    """Ids of live tickets whose clocks have something to state, in order."""
    query = (
        select(timers.c.ticket_id)
        .where(timers.c.ticket_id > after)
        .group_by(timers.c.ticket_id)
        .order_by(timers.c.ticket_id)
        .limit(limit)
    )
    return list(connection.scalars(query))


def _insert(connection: Connection, table: Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)

"""The tables of the SLA service and everything that writes to them, inside a caller's transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

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
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from libs.runtime.database import upsert
from services.sla.defaults import CALENDARS, POLICIES
from services.sla.domain.calendar import Calendar, calendar_of
from services.sla.domain.instants import FIRST_US
from services.sla.domain.policy import (
    Book,
    CalendarVersion,
    PolicySet,
    check_reachable,
    policy_set_of,
)
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
"""One row per ticket: `TicketClocks` as a JSON array, all its clocks in it."""

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

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(TicketClocks).decode


def metadata() -> MetaData:
    """The tables of this service, for one store to add its own to."""
    own = MetaData()
    for table in (*METADATA.sorted_tables, timers):
        table.to_metadata(own)
    return own


class Books:
    """The book of all versions, read again only when a version was added. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revision = (0, 0)
        self._book = Book()

    def read(self, connection: Connection) -> Book:
        """The book as this transaction sees it."""
        revision = (
            connection.scalar(select(func.count()).select_from(policies)) or 0,
            connection.scalar(select(func.count()).select_from(calendars)) or 0,
        )
        with self._lock:
            if revision != self._revision:
                self._book, self._revision = read_book(connection, self._book), revision
            return self._book


def seed(connection: Connection) -> None:
    """Version 1 of the calendars and policies, unless there is one. Safe to repeat, and safe for two
    processes that start at once."""
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
    newest = {name: entries[-1].calendar for name, entries in versions.items()}
    sets = [
        policy_set_of(document, version=number, effective_from_us=effective_us, calendars=newest)
        for number, effective_us, document in connection.execute(
            select(policies.c.version, policies.c.effective_from_us, policies.c.document).order_by(
                policies.c.version
            )
        )
    ]
    return Book(tuple(sets), {name: tuple(entries) for name, entries in versions.items()})


def put_policies(
    connection: Connection,
    book: Book,
    document: Sequence[Mapping[str, Any]],
    effective_from_us: int,
) -> PolicySet:
    """A new version of the whole list. Raises InvalidDefinition."""
    newest = {name: entries[-1].calendar for name, entries in book.calendars.items()}
    version = len(book.policy_sets) + 1
    made = policy_set_of(
        document, version=version, effective_from_us=effective_from_us, calendars=newest
    )
    row = {"version": version, "effective_from_us": effective_from_us, "document": list(document)}
    connection.execute(insert(policies), row)
    return made


def put_calendar(
    connection: Connection, book: Book, document: Mapping[str, Any], effective_from_us: int
) -> Calendar:
    """A new version of one calendar. Raises InvalidDefinition, also when a target of the newest
    policies could hardly be reached in it."""
    name = str(document["id"])
    made = calendar_of(document, len(book.calendars.get(name, ())) + 1)
    newest = book.policy_sets[-1].policies if book.policy_sets else ()
    for policy in newest:
        for per_priority in policy.targets.values():
            for target in per_priority.values():
                if target.calendar == name:
                    check_reachable(f"policy {policy.id!r}", target.target_us, made)
    row = {
        "name": name,
        "version": made.version,
        "effective_from_us": effective_from_us,
        "document": dict(document),
    }
    connection.execute(insert(calendars), row)
    return made


def load(
    connection: Connection, ticket_ids: Iterable[str], *, skip_locked: bool = False
) -> dict[str, TicketClocks]:
    """The tickets that are known, locked until the transaction ends (SQLite locks the database).
    `skip_locked`: leave those out that another process is working on."""
    query = (
        select(tickets.c.ticket_id, tickets.c.state)
        .where(tickets.c.ticket_id.in_(sorted(ticket_ids)))
        .order_by(tickets.c.ticket_id)
        .with_for_update(skip_locked=skip_locked)
    )
    return {row[0]: decode(row[1]) for row in connection.execute(query)}


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


def _insert(connection: Connection, table: Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)

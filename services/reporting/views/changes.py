"""Which streams grew, in the order in which that became visible: what copies of the histories follow.

It is no read model: a rebuild neither compares nor copies it, it begins a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, select, text

from libs.events import EventEnvelope
from services.reporting.views.sql import METADATA, Save

KEPT_REVISIONS: Final = 20_000
"""A copy that fell further behind loads everything anew. One batch of a consumer is one revision."""
PRUNED_EVERY: Final = 256

CHANGES = Table(
    "changes",
    METADATA,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("stream_id", String, primary_key=True),
    sqlite_with_rowid=False,
)
"""The streams (of tickets, clocks, agents, calendars) that a revision made longer."""

CHANGES_HEAD = Table(
    "changes_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("store", String, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("oldest", BigInteger, nullable=False),
)
"""One row: the latest revision, and the oldest one whose streams `changes` still holds. `store` is
drawn once: another value says that these are the tables of another database."""

_save = Save(CHANGES, keep=True)
_NEXT: Final = text(
    "UPDATE changes_head SET revision = revision + 1 WHERE id = 1 RETURNING revision"
)
_FIRST: Final = text(
    "INSERT INTO changes_head (id, store, revision, oldest) VALUES (1, :store, 0, 1)"
    " ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class Head:
    store: str
    revision: int
    oldest: int

    def follows(self, store: str, revision: int) -> bool:
        """Do the changes that are kept bring a copy at that revision up to date?"""
        return store == self.store and self.oldest - 1 <= revision <= self.revision


class ChangesView:
    """Applied last in a transaction: the row of the head is locked until the commit, so revisions
    become visible in their order, however many processes write."""

    def apply(self, connection: Connection, envelopes: Sequence[EventEnvelope]) -> None:
        streams = sorted({e.stream_id for e in envelopes})
        if not streams:
            return
        revision = _next(connection)
        _save(connection, [(revision, stream_id) for stream_id in streams])
        if revision % PRUNED_EVERY == 0:
            forget(connection, revision - KEPT_REVISIONS)


def ensure_head(connection: Connection) -> Head:
    """The head, made when it is not there yet."""
    connection.execute(_FIRST, {"store": uuid4().hex})
    return read_head(connection)


def read_head(connection: Connection) -> Head:
    """The head; of tables to which nothing was ever written, one that no copy follows."""
    c = CHANGES_HEAD.c
    row = connection.execute(select(c.store, c.revision, c.oldest).where(c.id == 1)).first()
    return Head("", 0, 1) if row is None else Head(*row)


def forget(connection: Connection, until: int) -> None:
    """Drop the revisions up to `until`, that one included."""
    if until <= 0:
        return
    connection.execute(CHANGES.delete().where(CHANGES.c.revision <= until))
    head = CHANGES_HEAD.update().where(CHANGES_HEAD.c.oldest <= until)
    connection.execute(head.values(oldest=until + 1))


def forget_all(connection: Connection) -> None:
    """Everything may be different from now on: every copy loads anew."""
    forget(connection, _next(connection))


def changed_since(
    connection: Connection, revision: int, most: int
) -> tuple[int, frozenset[str]] | None:
    """Up to which revision, and the streams that grew since the given one: whole revisions, and about
    `most` streams. None when there is nothing new."""
    c = CHANGES.c
    query = select(c.revision, c.stream_id).where(c.revision > revision).order_by(c.revision)
    rows = connection.execute(query.limit(most + 1)).all()
    if not rows:
        return None
    until = int(rows[-1][0])
    if len(rows) <= most:
        return until, frozenset(row[1] for row in rows)
    if rows[0][0] == until:  # one revision is larger than that
        whole = connection.execute(select(c.stream_id).where(c.revision == until))
        return until, frozenset(row[0] for row in whole)
    return until - 1, frozenset(row[1] for row in rows if row[0] < until)


def _next(connection: Connection) -> int:
    revision = connection.execute(_NEXT).scalar()
    if revision is None:
        ensure_head(connection)
        revision = connection.execute(_NEXT).scalar_one()
    return int(revision)

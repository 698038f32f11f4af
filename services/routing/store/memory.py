"""The floor in memory, kept in step with the database.

Every transaction that changes anything takes routing's lock first, so that they happen one after the
other, whichever process they run in. Each writes one row to `routing_log`: its revision (1, 2, 3 …)
and a token of its own; the rows that it changed carry that revision. So a process knows at the
beginning of its next transaction whether its floor is

- current: the last revision is the one that it wrote itself,
- behind: others have written since; what changed after its own revision is read,
- wrong: its own transaction was never committed, or the clock has been set back; everything is read
  again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    text,
)

from libs.runtime.clock import Clock
from services.routing.domain.capped import Longest, capped
from services.routing.domain.floor import Floor
from services.routing.domain.rules import RoutingRules, VersionedRules
from services.routing.store.rules import current_rules
from services.routing.views.tables import Tables

LOCK_KEY: Final = 0x726F7574
LOG_KEPT: Final = 10_000
PRUNE_EVERY: Final = 1_000
SET_BACK: Final = timedelta(seconds=1)
"""A clock that goes back by less is put right by nobody's hand; what falls due then was due almost."""


class Memory:
    """Used by one thread at a time: the one that writes."""

    def __init__(
        self,
        metadata: MetaData,
        tables: Tables,
        defaults: RoutingRules,
        clock: Clock,
        longest: Longest,
    ) -> None:
        self._tables = tables
        self._defaults = defaults
        self._clock = clock
        self._longest = longest
        self._capped = False
        self._log = Table(
            "routing_log",
            metadata,
            Column("revision", BigInteger, primary_key=True, autoincrement=False),
            Column("token", String(36), nullable=False),
            Column("rules_version", BigInteger, nullable=False),
        )
        self._floor: Floor | None = None
        self._revision = 0
        self._token = ""
        self._latest: datetime | None = None

    def current(self, connection: Connection) -> tuple[Floor, int]:
        """The floor as the last committed transaction left it, and the revision of the one that has
        begun. Takes routing's lock."""
        lock(connection)
        log = self._log.c
        last = connection.execute(
            select(log.revision, log.token).order_by(log.revision.desc()).limit(1)
        ).first()
        revision, token = (last[0], last[1]) if last else (0, "")
        floor = self._floor
        self._floor = None  # until the caller has finished: a half-changed floor is never kept
        if (
            self._clock_set_back()
            or floor is None
            or not self._follows(connection, revision, token)
        ):
            floor = self.load(connection)
            self._capped = self._cap(connection, floor, revision + 1)
        elif revision > self._revision:
            floor = self._catch_up(connection, floor)
        self._revision, self._token = revision, token
        return floor, revision + 1

    def keep(self, connection: Connection, floor: Floor, *, changed: bool) -> None:
        """The transaction is about to be committed, and the floor is as it leaves it."""
        if changed:
            self._revision += 1
            self._token = str(uuid4())
            connection.execute(
                insert(self._log),
                [
                    {
                        "revision": self._revision,
                        "token": self._token,
                        "rules_version": floor.rules.version,
                    }
                ],
            )
            if self._revision % PRUNE_EVERY == 0:
                old = self._log.c.revision <= self._revision - LOG_KEPT
                connection.execute(delete(self._log).where(old))
        # What was capped is in the database only if the transaction is committed: read it again.
        self._floor = None if self._capped and not changed else floor
        self._capped = False

    def load(self, connection: Connection) -> Floor:
        """The whole floor, read anew; for readers too (as of their snapshot)."""
        now = self._clock.now()
        floor = Floor(current_rules(connection, self._defaults))
        for agent in self._tables.agents_since(connection, 0):
            floor.put_agent(agent, now)
        for work in self._tables.tickets.on_the_floor(connection):
            floor.put_work(work, now)
        self._mark(connection, floor, 0)
        return floor

    def _cap(self, connection: Connection, floor: Floor, revision: int) -> bool:
        """Put right the deadlines that a clock set back has left far ahead. True if there were any."""
        now, offers = self._clock.now(), floor.rules.rules.offers
        found = []
        for work in self._tables.tickets.on_the_floor(connection):
            sooner = capped(work, offers, self._longest, now)
            if sooner != work:
                found.append(sooner)
        if found:
            self._tables.tickets.save(connection, found, revision)
        for work in found:
            floor.put_work(work, now)
        return bool(found)

    def _clock_set_back(self) -> bool:
        """True when the floor has seen a later time: shifts that it saw begin or end have not."""
        now = self._clock.now()
        back = self._latest is not None and now < self._latest - SET_BACK
        self._latest = now if back or self._latest is None else max(self._latest, now)
        return back

    def _follows(self, connection: Connection, revision: int, token: str) -> bool:
        """True when what this process did last was committed."""
        if revision == self._revision:
            return token == self._token
        if revision < self._revision:
            return False
        if self._revision == 0:
            return True
        log = self._log.c
        query = select(log.token).where(log.revision == self._revision)
        return connection.scalar(query) == self._token

    def _catch_up(self, connection: Connection, floor: Floor) -> Floor:
        rules: VersionedRules = current_rules(connection, self._defaults)
        if rules.version != floor.rules.version:
            return self.load(connection)
        now = self._clock.now()
        for agent in self._tables.agents_since(connection, self._revision):
            floor.put_agent(agent, now)
        for work in self._tables.tickets.changed_since(connection, self._revision):
            floor.put_work(work, now)
        self._mark(connection, floor, self._revision)
        return floor

    def _mark(self, connection: Connection, floor: Floor, since: int) -> None:
        for agent, last_given_us in self._tables.given_since(connection, since).items():
            place = floor.columns.places.get(agent)
            if place is not None:
                floor.columns.last_given[place] = last_given_us / 1_000_000


def lock(connection: Connection) -> None:
    """On PostgreSQL, the lock that every transaction of routing takes before it reads. On SQLite a
    write transaction has the file's write lock from its beginning (BEGIN IMMEDIATE)."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})

"""The versions of what a hand-over requires: who changed it, when, and from which event on.

Order. A new version is written under the append lock, by which every decision is made too (SQLite's
write lock, a table lock on PostgreSQL), and a decision that needs the requirements reads the newest
version after it has that lock. So there is one order of versions and decisions, however many intake
processes there are: whatever is decided after the change was answered is decided by it, and the
events behind `after_position` are those that were decided by this version or a later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    func,
    insert,
    select,
)

from libs.events import CommandEnvelope, format_time
from libs.runtime.errors import Rejected
from libs.runtime.eventstore import EventStore
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.intake.domain import Requirements, asks_for_requirements, requirements_of

VERSIONS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Version:
    """One version. `requirements` is the document, `changed_at` RFC 3339 in UTC."""

    version: int = 0
    changed_at: str | None = None
    changed_by: str | None = None
    after_position: int = 0
    requirements: Sequence[dict[str, Any]] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"requirements": list(self.requirements)}


class RequirementsBook:
    """The table `hand_over_requirements`: rows are added, never changed."""

    def __init__(self, metadata: MetaData, store: ServiceStore, events: EventStore) -> None:
        self._store = store
        self._events = events
        self.current = Requirements()
        """As the decisions of the present transaction see it; belongs to the writer thread."""
        self.rows = Table(
            "hand_over_requirements",
            metadata,
            Column("version", Integer, primary_key=True, autoincrement=False),
            Column("changed_at", String(40), nullable=False),
            Column("changed_by", String(250), nullable=False),
            Column("after_position", BigInteger, nullable=False),
            Column("document", JSON, nullable=False),
        )

    def before_deciding(self, connection: Connection, commands: Sequence[CommandEnvelope]) -> None:
        """Make `current` what holds now. Only a batch in which somebody may hand a ticket over
        pays for it: with the look-up of one number, and a row when that number has changed."""
        if not any(map(asks_for_requirements, commands)):
            return
        newest = connection.scalar(select(func.max(self.rows.c.version))) or 0
        if newest != self.current.version:
            found = self._newest(connection)
            self.current = requirements_of(found.version, found.requirements)

    async def read(self) -> Version:
        """What holds now."""
        return await self._store.read(self._newest)

    async def versions(self) -> list[Version]:
        """All versions, the newest first, at most the last 1,000."""
        query = select(self.rows).order_by(self.rows.c.version.desc()).limit(VERSIONS_MAX)
        return await self._store.read(lambda c: [_version(row) for row in c.execute(query)])

    async def change(
        self, document: Sequence[dict[str, Any]], actor: str, expected: int | None
    ) -> Version:
        """A new version of the whole list; the one there is when it says the same.

        Raises Rejected (412, `stale_version`) when `expected` is not the newest version.
        """

        def write(connection: Connection, _: Outgoing) -> Version:
            self._events.lock(connection)
            newest = self._newest(connection)
            if expected is not None and expected != newest.version:
                raise Rejected(
                    "stale_version",
                    f"The requirements are at version {newest.version}, not {expected}. "
                    "Read them again and change them anew.",
                    status=412,
                    current_version=newest.version,
                )
            if list(newest.requirements) == list(document):
                return newest
            row = {
                "version": newest.version + 1,
                "changed_at": format_time(self._store.clock.now()),
                "changed_by": actor,
                "after_position": self._events.last_position(),
                "document": list(document),
            }
            connection.execute(insert(self.rows), row)
            return self._newest(connection)

        return await self._store.write(write)

    def _newest(self, connection: Connection) -> Version:
        query = select(self.rows).order_by(self.rows.c.version.desc()).limit(1)
        row = connection.execute(query).one_or_none()
        return Version() if row is None else _version(row)


def _version(row: Row[Any]) -> Version:
    return Version(
        row.version, row.changed_at, row.changed_by, row.after_position, tuple(row.document)
    )

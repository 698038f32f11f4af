"""Saved reports: questions that people keep under a name. They follow from no event, so a rebuild
leaves them as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import BigInteger, Column, Connection, String, Table, Text, select, text

from libs.runtime.errors import Rejected
from services.reporting.domain import words
from services.reporting.views.sql import METADATA

SAVED_REPORTS = Table(
    "saved_reports",
    METADATA,
    Column("name", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("question", Text, nullable=False),
    Column("saved_us", BigInteger, nullable=False),
    Column("saved_by", String, nullable=False),
)
"""`question`: JSON, as it was asked. `version` counts from 1."""

LIST_MAX: Final = 1_000
_T = SAVED_REPORTS.c


@dataclass(frozen=True, slots=True)
class Saved:
    name: str
    version: int
    question: dict[str, Any]
    saved_us: int
    saved_by: str

    def json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "question": self.question,
            "saved_at": words(self.saved_us),
            "saved_by": self.saved_by,
        }


def list_saved(connection: Connection) -> list[Saved]:
    """By name."""
    query = select(SAVED_REPORTS).order_by(_T.name).limit(LIST_MAX)
    return [_saved(row) for row in connection.execute(query)]


def get_saved(connection: Connection, name: str) -> Saved:
    """Raises Rejected (404, `unknown_report`)."""
    row = connection.execute(select(SAVED_REPORTS).where(_T.name == name)).first()
    if row is None:
        raise Rejected("unknown_report", f"no report is saved as {name[:100]!r}", status=404)
    return _saved(row)


def put_saved(
    connection: Connection,
    name: str,
    question: dict[str, Any],
    *,
    expected: int | None,
    now_us: int,
    actor: str,
) -> tuple[Saved, bool]:
    """The saved report, and whether it is new; the version there is when it says the same.

    Raises Rejected: 412 `stale_version` when `expected` is not the version there is, 409
    `too_many_reports`.
    """
    _lock(connection)
    row = connection.execute(select(SAVED_REPORTS).where(_T.name == name)).first()
    if row is None:
        _check_version(name, expected, 0)
        count = len(connection.execute(select(_T.name).limit(LIST_MAX)).all())
        if count >= LIST_MAX:
            raise Rejected("too_many_reports", f"{LIST_MAX:,} reports are saved: delete some first")
        made = Saved(name, 1, question, now_us, actor)
        connection.execute(SAVED_REPORTS.insert().values(_values(made)))
        return made, True
    known = _saved(row)
    _check_version(name, expected, known.version)
    if known.question == question:
        return known, False
    made = Saved(name, known.version + 1, question, now_us, actor)
    connection.execute(SAVED_REPORTS.update().where(_T.name == name).values(_values(made)))
    return made, False


def delete_saved(connection: Connection, name: str, *, expected: int | None) -> None:
    """Raises Rejected: 404 `unknown_report`, 412 `stale_version`."""
    _lock(connection)
    _check_version(name, expected, get_saved(connection, name).version)
    connection.execute(SAVED_REPORTS.delete().where(_T.name == name))


def _lock(connection: Connection) -> None:
    """One writer at a time, so that none overwrites what it has not seen. SQLite has but one."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {SAVED_REPORTS.name} IN SHARE ROW EXCLUSIVE MODE"))


def _check_version(name: str, expected: int | None, version: int) -> None:
    if expected is not None and expected != version:
        there = f"is at version {version}" if version else "does not exist"
        raise Rejected(
            "stale_version",
            f"the report {name[:100]!r} {there}, not at {expected}: read it again and change it anew",
            status=412,
            current_version=version,
        )


def _values(saved: Saved) -> dict[str, Any]:
    return {
        "name": saved.name,
        "version": saved.version,
        "question": orjson.dumps(saved.question).decode(),
        "saved_us": saved.saved_us,
        "saved_by": saved.saved_by,
    }


def _saved(row: Any) -> Saved:
    return Saved(row.name, row.version, orjson.loads(row.question), row.saved_us, row.saved_by)

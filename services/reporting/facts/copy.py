"""One DuckDB database with the fact tables: made, checked, written to and read.

A file is whole only when its `meta` says so; a half-made one is never taken for a whole one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from libs.runtime.errors import Transient
from libs.runtime.logs import get_logger
from services.reporting.facts.tables import TABLES, VERSION

log = get_logger(__name__)

MEMORY: Final = ":memory:"
LOG_BYTES_MAX: Final = 32_000_000
OF_TICKETS: Final = ("tickets", "activities", "intervals", "verdicts")
OF_AGENTS: Final = ("presences", "agents")
_WHOLE: Final = frozenset(("version", "store", "revision", "stamp"))
_DISK: Final = (
    "No space left",
    "File too large",
    "Could not write",
    "Disk quota",
    "Permission denied",
    "Read-only file system",
    "Too many open files",
    "Input/output error",
)
_DAMAGED: Final = ("Corrupt database file", "Could not read")
"""What DuckDB says of a block that is not what was written."""
_LOCKED: Final = ("Could not set lock", "lock on file", "being used by another process")


class Unusable(Exception):
    """The file holds no fact tables that this version can go on with."""


class Copy:
    """Thread-safe for many readers and one writer. Raises Transient (`facts_file_busy`,
    `facts_disk`, `facts_damaged`) and Unusable."""

    def __init__(self, file: Path | None, connection: duckdb.DuckDBPyConnection) -> None:
        self.file = file
        self._connection = connection
        self._readers = 0
        self._closing = False
        self._guard = threading.Lock()
        self.damaged = False
        """A block of the file was read that is not what was written: it must be made anew."""
        self.schemas = {name: _schema(connection, name) for name in TABLES}
        query = "SELECT coalesce(max(ticket), 0), current_database() FROM tickets"
        row = connection.execute(query).fetchone()
        self.last_ticket, self.name = (int(row[0]), str(row[1])) if row else (0, "")

    @classmethod
    def create(cls, file: Path | None, *, memory_mb: int) -> Copy:
        """A new, empty one; whatever the file was before is gone."""
        if file is not None:
            remove(file)
            file.parent.mkdir(parents=True, exist_ok=True)
        connection = _connect(file, memory_mb)
        try:
            for statement in TABLES.values():
                connection.execute(statement)
            return cls(file, connection)
        except duckdb.Error as error:
            connection.close()
            raise Transient("facts_disk", str(error)[:300]) from error

    @classmethod
    def open(cls, file: Path, *, memory_mb: int) -> Copy:
        """The one that the file holds. Raises Unusable when it holds none that is whole."""
        if not file.exists():
            raise Unusable("there is no file")
        connection = _connect(file, memory_mb)
        try:
            meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
            if not meta.keys() >= _WHOLE:
                raise Unusable("it was not finished")
            if meta["version"] != str(VERSION):
                raise Unusable(f"it is of version {meta['version']}, this is version {VERSION}")
            return cls(file, connection)
        except duckdb.Error as error:
            connection.close()
            raise Unusable(str(error)[:300]) from error
        except Unusable:
            connection.close()
            raise

    def meta(self) -> dict[str, str]:
        with self.reading() as cursor:
            return read_meta(cursor)

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor on one snapshot, from its first query on, until the end of the block."""
        with self._guard:
            if self._closing:
                raise Transient("facts_replaced", "the fact tables were just replaced; ask again")
            self._readers += 1
            cursor = self._connection.cursor()
        try:
            cursor.begin()
            yield cursor
        except duckdb.Error as error:
            failure = self._failed(error)
            if self.damaged or not self.healthy:
                raise failure from error
            raise
        finally:
            with suppress(duckdb.Error):
                cursor.rollback()
            cursor.close()
            self._left()

    def _failed(self, error: duckdb.Error) -> Transient:
        self.damaged |= any(mark in str(error) for mark in _DAMAGED)
        if not self.damaged:
            return Transient("facts_disk", str(error)[:300])
        return Transient(
            "facts_damaged",
            f"the file of the fact tables is damaged and is being made anew; ask again ({error})"[
                :300
            ],
        )

    @contextmanager
    def aside(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for what is attached beside these tables."""
        cursor = self._connection.cursor()
        try:
            yield cursor
        except duckdb.Error as error:
            raise Transient("facts_memory", str(error)[:300]) from error
        finally:
            cursor.close()

    @property
    def healthy(self) -> bool:
        """False when the disk failed in a way after which DuckDB answers nothing any more."""
        try:
            self._connection.cursor().execute("SELECT 1").fetchone()
        except duckdb.Error:
            return False
        return True

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction: all of the block or nothing of it."""
        cursor = self._connection.cursor()
        try:
            cursor.begin()
            yield cursor
            cursor.commit()
        except duckdb.Error as error:
            with suppress(duckdb.Error):
                cursor.rollback()
            raise self._failed(error) from error
        except BaseException:
            with suppress(duckdb.Error):
                cursor.rollback()
            raise
        finally:
            cursor.close()

    def tidy(self) -> None:
        """Bring a long log into the file, so that it neither fills the disk nor slows the next opening
        down. When a reader is in the way, the next call does it."""
        if self.file is None:
            return
        with suppress(OSError, duckdb.Error):
            if Path(f"{self.file}.wal").stat().st_size > LOG_BYTES_MAX:
                with self._connection.cursor() as cursor:
                    cursor.execute("CHECKPOINT")

    def _left(self) -> None:
        with self._guard:
            self._readers -= 1
            last = self._closing and not self._readers
        if last:
            self._end()

    def close(self) -> None:
        """Now, or when the last reader has ended."""
        with self._guard:
            self._closing = True
            last = not self._readers
        if last:
            self._end()

    def _end(self) -> None:
        with suppress(duckdb.Error):  # its file may be gone already
            self._connection.close()


def _schema(connection: duckdb.DuckDBPyConnection, table: str) -> pa.Schema:
    return connection.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema  # noqa: S608 - constants


def read_meta(cursor: duckdb.DuckDBPyConnection) -> dict[str, str]:
    return dict(cursor.execute("SELECT name, value FROM meta").fetchall())


def write_meta(cursor: duckdb.DuckDBPyConnection, values: Mapping[str, object]) -> None:
    """Not by INSERT OR REPLACE: after one, DuckDB 2.0 takes the transaction for one that still goes on,
    and never brings its log into the file."""
    rows = ", ".join("(?, ?)" for _ in values)
    given = [str(part) for pair in values.items() for part in pair]
    cursor.execute("DELETE FROM meta WHERE name IN (SELECT unnest(?::VARCHAR[]))", (list(values),))
    cursor.execute(f"INSERT INTO meta VALUES {rows}", given)  # noqa: S608 - marks only


def insert(
    cursor: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table], prefix: str = ""
) -> None:
    for name, rows in tables.items():
        if rows.num_rows:
            cursor.register("given", rows)
            cursor.execute(f"INSERT INTO {prefix}{name} SELECT * FROM given")  # noqa: S608 - constants
            cursor.unregister("given")


def numbers_of(cursor: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, int]:
    """Ticket id → its number here, of those that are known."""
    query = "SELECT id, ticket FROM tickets WHERE id IN (SELECT unnest(?::VARCHAR[]))"
    return dict(cursor.execute(query, (list(ids),)).fetchall())


def delete_tickets(cursor: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> None:
    if numbers:
        for name in OF_TICKETS:
            cursor.execute(
                f"DELETE FROM {name} WHERE ticket IN (SELECT unnest(?::BIGINT[]))",  # noqa: S608 - constants
                (list(numbers),),
            )


def delete_agents(cursor: duckdb.DuckDBPyConnection, agents: Sequence[str]) -> None:
    if agents:
        for name in OF_AGENTS:
            cursor.execute(
                f"DELETE FROM {name} WHERE agent IN (SELECT unnest(?::VARCHAR[]))",  # noqa: S608 - constants
                (list(agents),),
            )


def remove(file: Path) -> None:
    for suffix in ("", ".wal"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


def _connect(file: Path | None, memory_mb: int) -> duckdb.DuckDBPyConnection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_mb}MB",
        "autoinstall_known_extensions": False,
    }
    try:
        return duckdb.connect(MEMORY if file is None else str(file), config=settings)
    except duckdb.IOException as error:
        words = str(error)
        if any(mark in words for mark in _LOCKED):
            raise Transient(
                "facts_file_busy",
                f"another process has the fact tables {file} open; give each reporting process a"
                " file of its own (BITACORA_REPORTING_FACTS_FILE)",
            ) from error
        if any(mark in words for mark in _DISK):
            raise Transient("facts_disk", words[:300]) from error
        raise Unusable(words[:300]) from error
    except duckdb.Error as error:
        raise Unusable(str(error)[:300]) from error

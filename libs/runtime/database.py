"""One database per service: SQLite (one file, no server) or PostgreSQL, behind SQLAlchemy Core.

Everything that a service writes in one step (state, applied sequences, offsets, outbox) goes through
one transaction of this class.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import psycopg
from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    MetaData,
    Table,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects import postgresql as postgres_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import QueuePool

from libs.runtime.errors import Transient

SQLITE_BUSY_TIMEOUT_S = 30
CHECKPOINT_S = 0.25
CHECKPOINT_PAGES = 32_000
"""Of 4 KB: the log of a database that is written to without a pause grows to 128 MB."""
PASSING_CACHE_KB = 128_000
_DRIVER_ERRORS = (sqlite3.OperationalError, psycopg.OperationalError, psycopg.InterfaceError)


class Database:
    """`url` is `sqlite:///FILE` or `postgresql://…`. Thread-safe.

    SQLite runs in WAL mode with synchronous=FULL: a commit is on the disk when it returns. A write
    transaction takes SQLite's write lock at once (BEGIN IMMEDIATE), so it never fails half-way for
    having read first. With `lasting` False an SQLite file is one that a crash may spoil: for what is
    made anew then.
    """

    def __init__(self, url: str, *, pool_size: int = 5, lasting: bool = True) -> None:
        self.url: URL = _dialect_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine: Engine = _engine(self.url, pool_size)
        self._checkpoints = _Checkpoints(self.url) if self.is_sqlite and lasting else None
        if self.is_sqlite:
            _prepare_sqlite(self.engine, _LASTING if lasting else _PASSING)

    def create(self, metadata: MetaData) -> None:
        """Create the tables that are not there yet."""
        with self.transaction() as connection:
            if not self.is_sqlite:
                # Two processes that start at once must not create the same table twice.
                connection.execute(text("SELECT pg_advisory_xact_lock(4711)"))
            metadata.create_all(connection)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One write transaction: committed at the end, rolled back on any error.

        Raises Transient when the database cannot be reached, is locked, or its disk is full.
        """
        with self._translated(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.execution_options(bitacora_write=True)
            with connection.begin():
                yield connection
        if self._checkpoints is not None:
            self._checkpoints.wrote()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent read: one snapshot for all its queries. Raises Transient as above."""
        with self._translated(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    def close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close()
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            raise Transient("database_unavailable", str(error.orig)[:300]) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise Transient("database_unavailable", str(error.orig)[:300]) from error
            raise
        except _DRIVER_ERRORS as error:
            # The event store's recorder works on the driver's own cursor.
            raise Transient("database_unavailable", str(error)[:300]) from error


class _Checkpoints:
    """Copies what was committed from SQLite's log into the database file, in a thread of its own.

    SQLite does that in a commit, whenever the log has a thousand pages: a commit in a few dozen then
    waits for as many pages to be written all over the file. Here commits go on meanwhile; only when
    they never pause, and the log has grown to CHECKPOINT_PAGES, does one of them finish the work, so
    that the log begins anew.
    """

    def __init__(self, url: URL) -> None:
        self._file = url.database or ""
        self._wrote = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def wrote(self) -> None:
        """There was a commit."""
        self._wrote.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._wrote.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        connection = sqlite3.connect(self._file, isolation_level=None)
        try:
            while self._wrote.wait() and not self._over.wait(CHECKPOINT_S):
                self._wrote.clear()
                if self._over.is_set():  # `close` came in between, and its word was just cleared
                    return
                # A database that is locked or gone: the next commit says so, or tries itself.
                with suppress(sqlite3.Error):
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            connection.close()


def _dialect_url(url: str) -> URL:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise ValueError(f"a database URL must begin with sqlite: or postgresql:, not {url[:20]!r}")
    return parsed


def _engine(url: URL, pool_size: int) -> Engine:
    if url.get_backend_name() == "sqlite":
        return create_engine(
            url,
            poolclass=QueuePool,
            pool_size=pool_size,
            hide_parameters=True,  # personal data stays out of errors' texts
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S, "check_same_thread": False},
        )
    return create_engine(url, pool_size=pool_size, pool_pre_ping=True, hide_parameters=True)


_LASTING = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    f"wal_autocheckpoint={CHECKPOINT_PAGES}",
)
_PASSING = ("journal_mode=MEMORY", "synchronous=OFF", f"cache_size=-{PASSING_CACHE_KB}")


def _prepare_sqlite(engine: Engine, pragmas: Sequence[str]) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's own BEGIN below, not the driver's
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("bitacora_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def insert_new(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert one row. False, and nothing changes, when its primary key is there already. A
    transaction of somebody else that has inserted it is waited for."""
    module: Any = sqlite_dialect if connection.dialect.name == "sqlite" else postgres_dialect
    keys = list(table.primary_key)
    statement = module.insert(table).on_conflict_do_nothing(index_elements=keys).returning(*keys)
    return connection.execute(statement, row).first() is not None


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; where the primary key is there already, set every other given column."""
    if not rows:
        return
    statement = _upsert_statement(table, tuple(rows[0]), connection.dialect.name)
    connection.execute(statement, rows)


@lru_cache(maxsize=256)
def _upsert_statement(table: Table, columns: tuple[str, ...], dialect: str) -> Executable:
    module: Any = sqlite_dialect if dialect == "sqlite" else postgres_dialect
    statement: Any = module.insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in columns if name not in keys}
    if not changed:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    else:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    return cast("Executable", statement)

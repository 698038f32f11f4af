"""The second set of tables that a rebuild fills, and the switch of their contents.

SQLite: a file beside the live one (`….rebuild`). PostgreSQL: a schema `bitacora_rebuild` in the same
database. Both are made new for every rebuild and removed after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, text
from sqlalchemy.engine import URL

from libs.runtime.clock import Clock
from libs.runtime.consume import ConsumerTables, Record, Report, StreamApplier, lock_partitions
from libs.runtime.database import Database
from libs.runtime.outbox import Outgoing
from services.reporting.handlers import TOPICS, ReportingHandler
from services.reporting.views import POSITIONS, REJECTIONS, VIEWS, fresh_metadata
from services.reporting.views.changes import forget_all

SCHEMA: Final = "bitacora_rebuild"
GROUP: Final = "reporting"
_SUFFIXES: Final = ("", "-wal", "-shm")


class Shadow:
    """Read models under construction, filled by the same code as the live ones."""

    def __init__(self, live: Database, clock: Clock) -> None:
        self._live = live
        self._clock = clock
        self._file = Path(f"{live.url.database}.rebuild")
        self.remove()
        if not live.is_sqlite:
            with live.transaction() as connection:
                connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        self.database = Database(_address(self._url()), lasting=False)
        metadata = fresh_metadata()
        tables = ConsumerTables(metadata)
        self.database.create(metadata)
        self.streams = tables.streams
        handler = ReportingHandler(changes=False)
        self._applier = StreamApplier(f"{GROUP}-rebuild", handler, tables, clock)

    def _url(self) -> URL:
        if self._live.is_sqlite:
            return self._live.url.set(database=str(self._file))
        # Appended: the last setting of one option is the one that counts.
        options = f"{_options(self._live.url)} -csearch_path={SCHEMA}".strip()
        return self._live.url.update_query_dict({"options": options})

    def apply(self, records: Sequence[Record]) -> Report:
        """One batch in one transaction. Parked messages stay in the shadow's own table."""
        with self.database.transaction() as connection:
            # What parking says is dropped: the live consumer has said it.
            outgoing = Outgoing("/bitacora/reporting", self._clock)
            return self._applier.apply(connection, outgoing, records)

    def close(self) -> None:
        self.database.close()
        self.remove()

    def remove(self) -> None:
        if self._live.is_sqlite:
            for suffix in _SUFFIXES:
                Path(f"{self._file}{suffix}").unlink(missing_ok=True)
            return
        with self._live.transaction() as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))

    @contextmanager
    def live_held(self, places: Sequence[tuple[str, int]]) -> Iterator[Connection]:
        """A write transaction on the live database during which its consumer applies nothing.

        Readers go on, and the shadow can still be written until `show` is called.
        """
        with self._live.engine.connect() as connection:
            if self._live.is_sqlite:
                connection.execution_options(bitacora_write=True)
            with connection.begin():
                lock_partitions(connection, GROUP, places)
                yield connection
            connection.invalidate()  # with a file attached it must not go back to the pool

    def show(self, connection: Connection) -> None:
        """Make the shadow's tables visible there, under `bitacora_rebuild`."""
        if self._live.is_sqlite:
            driver: Any = connection.connection.driver_connection
            driver.execute(f"ATTACH DATABASE ? AS {SCHEMA}", (str(self._file),))

    def live_is_ahead(self, connection: Connection) -> int:
        """How many streams the live tables know further than the shadow (which would be lost)."""
        topics = ", ".join(f"'{topic}'" for topic in TOPICS)
        query = (
            f"SELECT count(*) FROM consumer_streams l LEFT JOIN {SCHEMA}.consumer_streams r"  # noqa: S608 - constants
            " ON r.topic = l.topic AND r.stream_id = l.stream_id"
            f" WHERE l.topic IN ({topics}) AND l.sequence > coalesce(r.sequence, 0)"
        )
        return int(connection.execute(text(query)).scalar_one())

    def switch(self, connection: Connection) -> None:
        """Put the shadow's contents into the live tables, within the caller's transaction.

        Refusals that their topic has forgotten stay.
        """
        for table in VIEWS:
            if table is REJECTIONS:
                _copy(connection, table, missing_only=True)
            elif table is POSITIONS:
                _replace(connection, table, "topic <> 'tickets.rejections'")
                _copy(connection, table, missing_only=True)
            else:
                _replace(connection, table, "1 = 1")
        topics = ", ".join(f"'{topic}'" for topic in TOPICS if topic != "tickets.rejections")
        _replace(connection, self.streams, f"topic IN ({topics})")
        _copy(connection, self.streams, missing_only=True)
        forget_all(connection)


def _replace(connection: Connection, table: Table, where: str) -> None:
    connection.execute(text(f"DELETE FROM {table.name} WHERE {where}"))  # noqa: S608 - constants
    _copy(connection, table, where=where)


def _copy(
    connection: Connection,
    table: Table,
    *,
    where: str = "1 = 1",
    missing_only: bool = False,
) -> None:
    columns = ", ".join(column.name for column in table.c)
    ending = " ON CONFLICT DO NOTHING" if missing_only else ""
    connection.execute(
        text(
            f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {SCHEMA}.{table.name}"  # noqa: S608 - constants
            f" WHERE {where}{ending}",
        ),
    )


def _options(url: URL) -> str:
    value = url.query.get("options", "")
    return value if isinstance(value, str) else " ".join(value)


def _address(url: URL) -> str:
    return url.render_as_string(hide_password=False)

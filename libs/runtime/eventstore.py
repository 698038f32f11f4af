"""The event store: append-only streams of tickets over the recorders of the `eventsourcing` library.

A stored event is (stream id, sequence, type, frame), unique on (stream id, sequence); its position in
the whole log is the recorder's notification id. Events are appended on the service's own
transaction, so that they commit together with the command log and the outbox.

Never set `POSTGRES_ENABLE_DB_FUNCTIONS`: it appends without the table lock, and then a relay that
tails the log can pass over an event whose transaction commits late.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore
from psycopg.rows import dict_row
from psycopg.types.composite import register_composite
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.engine import URL

from libs.events import EventEnvelope, Ticket, fold
from libs.runtime.database import Database
from libs.runtime.mapper import StoredFrame, envelope_of

EVENTS_TABLE = "stored_events"
IN_CHUNK = 500


class EventStore:
    """The ticket streams in one database. Thread-safe; `append` belongs in a write transaction."""

    def __init__(self, database: Database, *, source: str) -> None:
        if os.environ.get("POSTGRES_ENABLE_DB_FUNCTIONS"):
            raise RuntimeError(
                "unset POSTGRES_ENABLE_DB_FUNCTIONS: it appends without the table lock, "
                "and a tailing reader can then miss events"
            )
        self.database = database
        self.source = source
        self._position = "rowid" if database.is_sqlite else "notification_id"
        self._recorder: ApplicationRecorder
        if database.is_sqlite:
            self._recorder = SQLiteApplicationRecorder(
                SQLiteDatastore(str(database.url.database), originator_id_type="text")
            )
        else:
            self._recorder = PostgresApplicationRecorder(_postgres(database.url))

    def create_tables(self) -> None:
        self._recorder.create_table()  # type: ignore[attr-defined]

    def lock(self, connection: Connection) -> None:
        """Serialize appending transactions, so that positions commit in order.

        On SQLite the transaction holds the write lock already.
        """
        if not self.database.is_sqlite:
            connection.execute(text(f"LOCK TABLE {EVENTS_TABLE} IN EXCLUSIVE MODE"))

    def append(self, connection: Connection, frames: Sequence[StoredFrame]) -> list[int]:
        """Append in order; returns the positions.

        Raises IntegrityError of the database when a (stream id, sequence) is taken.
        """
        if not frames:
            return []
        events = [
            StoredEvent(f.stream_id, f.sequence, f.type, f.meta + b"\n" + f.data) for f in frames
        ]
        raw: Any = connection.connection.dbapi_connection
        if isinstance(self._recorder, SQLiteApplicationRecorder):
            with SQLiteCursor(raw.cursor()) as cursor:
                return list(self._recorder._insert_events(SQLiteCursor(cursor), events) or ())  # noqa: SLF001
        recorder: Any = self._recorder
        for info in recorder.datastore.psycopg_type_adapters.values():
            if not raw.adapters.types.get(info.oid):
                register_composite(info, raw)
        with raw.cursor(row_factory=dict_row) as cursor:
            recorder._insert_stored_events(cursor, events)  # noqa: SLF001 - on our transaction
            return list(recorder._fetch_ids_after_insert_events(cursor, events) or ())  # noqa: SLF001

    def sequences(self, connection: Connection, stream_ids: Iterable[str]) -> dict[str, int]:
        """The last sequence of each of these streams that exists."""
        found: dict[str, int] = {}
        query = text(
            f"SELECT originator_id, MAX(originator_version) FROM {EVENTS_TABLE} "  # noqa: S608
            "WHERE originator_id IN :ids GROUP BY originator_id"
        ).bindparams(bindparam("ids", expanding=True))
        for chunk in _chunks(stream_ids):
            found.update({row[0]: row[1] for row in connection.execute(query, {"ids": chunk})})
        return found

    def streams(
        self, connection: Connection, stream_ids: Iterable[str]
    ) -> dict[str, list[EventEnvelope]]:
        """All events of each of these streams that exists, in order. Positions are not filled in."""
        found: dict[str, list[EventEnvelope]] = {}
        query = text(
            "SELECT originator_id, originator_version, topic, state "  # noqa: S608
            f"FROM {EVENTS_TABLE} WHERE originator_id IN :ids "
            "ORDER BY originator_id, originator_version"
        ).bindparams(bindparam("ids", expanding=True))
        for chunk in _chunks(stream_ids):
            for row in connection.execute(query, {"ids": chunk}):
                envelope = self._envelope(row[0], row[1], row[2], bytes(row[3]), 0)
                found.setdefault(row[0], []).append(envelope)
        return found

    def history(self, stream_id: str) -> list[EventEnvelope]:
        """All events of one stream, in order; empty when there is none. Positions filled in."""
        query = text(
            f"SELECT originator_version, topic, state, {self._position} "  # noqa: S608
            f"FROM {EVENTS_TABLE} WHERE originator_id = :id ORDER BY originator_version"
        )
        with self.database.reading() as connection:
            return [
                self._envelope(stream_id, row[0], row[1], bytes(row[2]), row[3])
                for row in connection.execute(query, {"id": stream_id})
            ]

    def tickets(self, stream_ids: Iterable[str]) -> dict[str, Ticket]:
        """The present state of each of these tickets that exists."""
        with self.database.reading() as connection:
            streams = self.streams(connection, stream_ids)
        folded = {stream_id: fold(events) for stream_id, events in streams.items()}
        return {stream_id: state for stream_id, state in folded.items() if state is not None}

    def read_log(self, after: int, limit: int) -> list[EventEnvelope]:
        """Events of all streams, in order of position, beginning behind `after`. Raises Transient."""
        return [
            self._envelope(row[1], row[2], row[3], bytes(row[4]), row[0])
            for row in self._notifications(after, limit)
        ]

    def read_frames(self, after: int, limit: int) -> list[tuple[int, str, int, str, bytes, bytes]]:
        """As `read_log`, not decoded: (position, stream id, sequence, type, meta, data)."""
        return [
            (row[0], row[1], row[2], row[3], *_split(bytes(row[4])))
            for row in self._notifications(after, limit)
        ]

    def last_position(self) -> int:
        """The position of the newest event, 0 when there is none. Raises Transient."""
        query = text(f"SELECT MAX({self._position}) FROM {EVENTS_TABLE}")  # noqa: S608
        with self.database.reading() as connection:
            return connection.execute(query).scalar() or 0

    def _notifications(self, after: int, limit: int) -> Sequence[Any]:
        """The recorder's notification log, read through our own pool: the recorder's waits and tries
        again for up to a minute while the database is away, and then raises errors of its own."""
        query = text(
            f"SELECT {self._position}, originator_id, originator_version, topic, state "  # noqa: S608
            f"FROM {EVENTS_TABLE} WHERE {self._position} > :after "
            f"ORDER BY {self._position} LIMIT :limit"
        )
        with self.database.reading() as connection:
            return connection.execute(query, {"after": after, "limit": limit}).all()

    def close(self) -> None:
        self._recorder.datastore.close()  # type: ignore[attr-defined]

    def _envelope(
        self, stream_id: str, sequence: int, type_name: str, state: bytes, position: int
    ) -> EventEnvelope:
        meta, data = _split(state)
        return envelope_of(
            source=self.source,
            type_name=type_name,
            stream_id=stream_id,
            sequence=sequence,
            position=position,
            meta=meta,
            data=data,
        )


def _split(state: bytes) -> tuple[bytes, bytes]:
    meta, _, data = state.partition(b"\n")
    return meta, data


def _chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    everything = list(ids)
    for start in range(0, len(everything), IN_CHUNK):
        yield everything[start : start + IN_CHUNK]


def _postgres(url: URL) -> PostgresDatastore:
    host = url.host or str(url.query.get("host", ""))
    return PostgresDatastore(
        dbname=str(url.database),
        host=host,
        port=url.port or 5432,
        user=url.username or "postgres",
        password=url.password or "",
        pool_size=1,
        max_overflow=4,
        originator_id_type="text",
        enable_db_functions=False,
    )

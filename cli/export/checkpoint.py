"""Where an export stands: a small database beside the files, changed in one transaction per step.

It holds what the next run needs and the manifest does not tell: the last sequence of every stream,
the folded tickets, and the events that wait for one that is missing.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

from pydantic import TypeAdapter
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
)

from cli.export.layout import (
    PROGRESS,
    Manifest,
    Part,
    Place,
    Selection,
    TicketsFile,
    TopicCount,
    parts_in,
)
from cli.export.streams import Key
from cli.output import CommandError, UsageError
from libs.events import EventEnvelope, Ticket, decode_event, encode_event, fold
from libs.events.topics import TICKETS_EVENTS
from libs.runtime.database import Database, upsert

PER_QUERY: Final = 500
SPOOL: Final = "spool"

METADATA: Final = MetaData()
META: Final = Table(
    "meta", METADATA, Column("name", String, primary_key=True), Column("value", String)
)
TOPICS: Final = Table(
    "topics",
    METADATA,
    Column("topic", String, primary_key=True),
    *(Column(field.name, Integer, nullable=False) for field in fields(TopicCount)),
)
PLACES: Final = Table(
    "places",
    METADATA,
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", Integer, nullable=False),
    Column("marker", String, nullable=False),
)
STREAMS: Final = Table(
    "streams",
    METADATA,
    Column("topic", String, primary_key=True),
    Column("stream_id", String, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("ticket", LargeBinary),
    sqlite_with_rowid=False,
)
WAITING: Final = Table(
    "waiting",
    METADATA,
    Column("topic", String, primary_key=True),
    Column("stream_id", String, primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("headers", String, nullable=False),
    Column("value", LargeBinary, nullable=False),
)
PARTS: Final = Table(
    "parts",
    METADATA,
    *(
        Column(field.name, Integer if field.type == "int" else String, primary_key=not at)
        for at, field in enumerate(fields(Part))
    ),
)

_TICKET: Final = TypeAdapter(Ticket)


@dataclass(slots=True)
class Step:
    """What one transaction changes. `streams`: (topic, stream) → last sequence, ticket or None."""

    counts: Mapping[str, TopicCount]
    places: Sequence[Place]
    streams: Mapping[Key, tuple[int, Ticket | None]]
    early: Mapping[Key, Mapping[int, EventEnvelope]]
    parts: Sequence[Part]


class Checkpoint:
    """Opens or begins the export in `folder`, for one process at a time.

    Raises UsageError when the export that is there holds something else, CommandError when another
    process is at work on it, when a file of it is gone, or when it cannot be gone on with.
    """

    def __init__(self, folder: Path, selection: Selection) -> None:
        self.folder = folder
        home = folder / PROGRESS
        home.mkdir(parents=True, exist_ok=True)
        self._lock = hold(home / "lock", folder)
        self._database = Database(f"sqlite:///{home / 'progress.sqlite3'}", pool_size=1)
        try:
            self._database.create(METADATA)
            self._begin(selection)
            self._tidy()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._database.close()
        self._lock.close()

    # -- what is there ------------------------------------------------------------------------

    def manifest(self) -> Manifest:
        """What the export holds, without the time of its making."""
        with self._database.reading() as connection:
            tickets = _meta(connection, "tickets")
            return Manifest(
                Selection.parse(_meta(connection, "selection") or {}),
                topics=self._counts(connection),
                places=[Place(**row) for row in _rows(connection, PLACES)],
                files=[Part(**row) for row in _rows(connection, PARTS)],
                tickets=tickets and TicketsFile(**tickets),
            )

    def next_part(self) -> int:
        """The number that the parts of the next step bear."""
        with self._database.reading() as connection:
            return int(_meta(connection, "steps") or 0) + 1

    def known(self, keys: Sequence[Key]) -> dict[Key, tuple[int, Ticket | None]]:
        """The last sequence of these streams, and their tickets; without those never seen."""
        found: dict[Key, tuple[int, Ticket | None]] = {}
        by_topic: dict[str, list[str]] = {}
        for topic, stream_id in keys:
            by_topic.setdefault(topic, []).append(stream_id)
        columns = STREAMS.c.stream_id, STREAMS.c.sequence, STREAMS.c.ticket
        with self._database.reading() as connection:
            for topic, ids in by_topic.items():
                for at in range(0, len(ids), PER_QUERY):
                    wanted = STREAMS.c.stream_id.in_(ids[at : at + PER_QUERY])
                    query = select(*columns).where(STREAMS.c.topic == topic, wanted)
                    for stream_id, sequence, ticket in connection.execute(query):
                        state = _TICKET.validate_json(ticket) if ticket is not None else None
                        found[topic, stream_id] = (sequence, state)
        return found

    def waiting(self) -> Iterator[tuple[str, EventEnvelope]]:
        """(topic, event) of all that lie behind a missing one."""
        with self._database.reading() as connection:
            for row in _rows(connection, WAITING):
                headers = [(name, value.encode()) for name, value in json.loads(row["headers"])]
                envelope = decode_event(row["value"], headers)
                if isinstance(envelope, EventEnvelope):  # as it was when it was put there
                    yield row["topic"], envelope

    def tickets(self) -> Iterator[Ticket]:
        """Every ticket, by id."""
        query = (
            select(STREAMS.c.ticket)
            .where(STREAMS.c.topic == TICKETS_EVENTS, STREAMS.c.ticket.is_not(None))
            .order_by(STREAMS.c.stream_id)
            .execution_options(yield_per=PER_QUERY)
        )
        with self._database.reading() as connection:
            for (ticket,) in connection.execute(query):
                yield _TICKET.validate_json(ticket)

    # -- changing it --------------------------------------------------------------------------

    def commit(self, step: Step) -> None:
        """Make a step part of the export: its files must lie in their places already."""
        streams = [
            {
                "topic": topic,
                "stream_id": stream_id,
                "sequence": sequence,
                "ticket": None if ticket is None else _TICKET.dump_json(ticket),
            }
            for (topic, stream_id), (sequence, ticket) in step.streams.items()
        ]
        with self._database.transaction() as connection:
            counts = [{"topic": name, **asdict(count)} for name, count in step.counts.items()]
            upsert(connection, TOPICS, counts)
            upsert(connection, PLACES, [asdict(place) for place in step.places])
            upsert(connection, STREAMS, streams)
            upsert(connection, PARTS, [asdict(part) for part in step.parts])
            connection.execute(delete(WAITING))
            if rows := [_waiting(key[0], e) for key, es in step.early.items() for e in es.values()]:
                connection.execute(insert(WAITING), rows)
            _set_meta(connection, "steps", int(_meta(connection, "steps") or 0) + 1)

    def commit_tickets(self, file: TicketsFile) -> None:
        with self._database.transaction() as connection:
            _set_meta(connection, "tickets", asdict(file))

    # -- opening ------------------------------------------------------------------------------

    def _begin(self, selection: Selection) -> None:
        with self._database.transaction() as connection:
            found = _meta(connection, "selection")
            if found is None:
                if any(True for _ in parts_in(self.folder)):
                    raise CommandError(
                        f"{self.folder} holds files of an export whose {PROGRESS} is gone: "
                        "nobody knows where to go on; export into another directory"
                    )
                _set_meta(connection, "selection", selection.as_json())
                _set_meta(connection, "fold", _fold_rules())
                return
            if Selection.parse(found) != selection:
                raise UsageError(
                    f"the export in {self.folder} holds {_said(found)}; go on with the same, "
                    "or name another directory with --to"
                )
            if _meta(connection, "fold") != _fold_rules():
                raise CommandError(
                    f"the tickets in {self.folder} were folded by the rules of another version: "
                    "export into another directory"
                )

    def _tidy(self) -> None:
        """Remove what an interrupted run left, and look whether all that was finished is there."""
        shutil.rmtree(self.folder / PROGRESS / SPOOL, ignore_errors=True)
        with self._database.reading() as connection:
            known = {row["path"]: row["bytes"] for row in _rows(connection, PARTS)}
        for path in parts_in(self.folder):
            if path not in known:
                (self.folder / path).unlink()
        for path, size in known.items():
            file = self.folder / path
            if not file.exists() or file.stat().st_size != size:
                raise CommandError(
                    f"{file} is gone or was changed, so this export cannot be gone on with: "
                    "put it back, or export into another directory"
                )

    def _counts(self, connection: Connection) -> dict[str, TopicCount]:
        return {row.pop("topic"): TopicCount(**row) for row in _rows(connection, TOPICS)}


def _rows(connection: Connection, table: Table) -> list[dict[str, Any]]:
    query = select(table).order_by(*table.primary_key)
    return [dict(row) for row in connection.execute(query).mappings()]


def _meta(connection: Connection, name: str) -> Any:
    text = connection.execute(select(META.c.value).where(META.c.name == name)).scalar()
    return None if text is None else json.loads(text)


def _set_meta(connection: Connection, name: str, value: Any) -> None:
    upsert(connection, META, [{"name": name, "value": json.dumps(value)}])


def _waiting(topic: str, envelope: EventEnvelope) -> dict[str, Any]:
    _, value, headers = encode_event(envelope)
    return {
        "topic": topic,
        "stream_id": envelope.stream_id,
        "sequence": envelope.sequence,
        "headers": json.dumps([(name, text.decode()) for name, text in headers]),
        "value": value,
    }


def _said(selection: Mapping[str, Any]) -> str:
    days = [selection["first_day"] or "the first day", selection["last_day"] or "the last day"]
    return f"{', '.join(selection['topics'])} from {days[0]} to {days[1]}"


@cache
def _fold_rules() -> str:
    """Another text when tickets may be folded otherwise than before."""
    return sha256(Path(fold.__code__.co_filename).read_bytes()).hexdigest()


def hold(path: Path, folder: Path) -> IO[str]:
    """The lock of an export, until it is closed. Raises CommandError when another process has it."""
    file = path.open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise CommandError(
            f"another export is at work in {folder}: wait until it is done"
        ) from None
    return file

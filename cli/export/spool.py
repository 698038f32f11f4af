"""From events in the order of a topic to one file per topic and day, in bounded memory.

An import may bring the events of years at once, so thousands of days can be open together. Rows are
collected up to a limit, then put aside in one Arrow file as a batch per topic and day; at the end of
a step each day's batches become its part.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cli.export.checkpoint import SPOOL
from cli.export.columns import EVENT_SCHEMA, TICKET_SCHEMA, batch_of, event_row, ticket_row
from cli.export.layout import (
    PROGRESS,
    TICKETS,
    Part,
    TicketsFile,
    part_path,
    publish,
    publish_all,
    sha256_of,
)
from cli.export.streams import Content
from libs.events import EventEnvelope, Ticket

BUFFER_ROWS: Final = 50_000
BUFFER_BYTES: Final = 32 * 1024 * 1024
GROUP_ROWS: Final = 120_000
GROUP_BYTES: Final = 64 * 1024 * 1024
TICKETS_PER_GROUP: Final = 20_000

Day = tuple[str, str]
"""(topic, day)."""


@dataclass(slots=True)
class _Share:
    """What a step holds of one topic and day."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    count: int = 0
    positions: tuple[int, int] | None = None
    content: Content = field(default_factory=Content)


class Spool:
    """One step's events. `finish` makes the parts; `close` throws everything aside away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = folder / PROGRESS / SPOOL
        self._home.mkdir(parents=True, exist_ok=True)
        self._file = self._home / "batches.arrow"
        self._writer: Any = None
        self._written = 0
        self._shares: dict[Day, _Share] = {}
        self._rows = 0
        self._bytes = 0

    def add(self, topic: str, envelope: EventEnvelope) -> None:
        """Raises UnicodeDecodeError when the event's data is not text, OSError when a disk is full."""
        row = event_row(envelope)
        share = self._shares.setdefault((topic, envelope.time.date().isoformat()), _Share())
        share.rows.append(row)
        share.count += 1
        low, high = share.positions or (envelope.position, envelope.position)
        share.positions = min(low, envelope.position), max(high, envelope.position)
        share.content.add(envelope.id, envelope.hash)
        self._rows += 1
        self._bytes += len(envelope.data)
        if self._rows >= BUFFER_ROWS or self._bytes >= BUFFER_BYTES:
            self._put_aside()

    def finish(self, number: int) -> list[Part]:
        """Every day's file, whole and in its place, under this number. Raises OSError."""
        self._put_aside()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if not self._shares:
            return []
        made: dict[Path, Part] = {}
        with pa.memory_map(str(self._file)) as source, pa.ipc.open_file(source) as reader:
            for day, share in sorted(self._shares.items()):
                new = self._home / f"{len(made):06d}.parquet"
                batches = map(reader.get_batch, share.batches)
                write_parquet(new, EVENT_SCHEMA, batches)
                made[new] = _part(part_path(*day, number), day, share, new)
        publish_all({new: self._folder / part.path for new, part in made.items()})
        return list(made.values())

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def _put_aside(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            self._writer = pa.ipc.new_file(str(self._file), EVENT_SCHEMA)
        for share in self._shares.values():
            if share.rows:
                self._writer.write_batch(batch_of(EVENT_SCHEMA, share.rows))
                share.batches.append(self._written)
                share.rows = []
                self._written += 1
        self._rows = self._bytes = 0


def _part(path: str, day: Day, share: _Share, file: Path) -> Part:
    first, last = share.positions or (0, 0)
    return Part(
        path=path,
        topic=day[0],
        day=day[1],
        rows=share.count,
        first_position=first,
        last_position=last,
        bytes=file.stat().st_size,
        sha256=sha256_of(file),
        content=str(share.content),
    )


def write_tickets(folder: Path, tickets: Iterable[Ticket]) -> TicketsFile:
    """Replace the file of the tickets in one step. Raises OSError."""
    rows = events = 0

    def batches() -> Iterator[Any]:
        nonlocal rows, events
        group: list[tuple[Any, ...]] = []
        for ticket in tickets:
            group.append(ticket_row(ticket))
            rows, events = rows + 1, events + ticket.sequence
            if len(group) == TICKETS_PER_GROUP:
                yield batch_of(TICKET_SCHEMA, group)
                group = []
        yield batch_of(TICKET_SCHEMA, group)

    new = folder / PROGRESS / f"{TICKETS}.new"
    write_parquet(new, TICKET_SCHEMA, batches())
    made = TicketsFile(rows, events, new.stat().st_size, sha256_of(new))
    publish(new, folder / TICKETS)
    return made


def write_parquet(path: Path, schema: Any, batches: Iterable[Any]) -> None:
    """A whole file; row groups of bounded size. Raises OSError."""
    group: list[Any] = []
    rows = size = 0
    with pq.ParquetWriter(str(path), schema, compression="zstd") as writer:
        for batch in batches:
            group.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= GROUP_ROWS or size >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(group, schema))
                group, rows, size = [], 0, 0
        if group:
            writer.write_table(pa.Table.from_batches(group, schema))

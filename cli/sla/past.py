"""The history that a what-if replays: ticket events from Kafka, or from a file."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Final, cast
from uuid import UUID

from aiokafka.errors import KafkaError

from cli.desk import envelope_of
from cli.output import CommandError, NotRunning, UsageError
from libs.events import EventEnvelope, InvalidData, Malformed, decode_event
from libs.events.topics import TICKETS_EVENTS
from libs.runtime.clock import Clock, parse_clock
from libs.runtime.runstate import read_run
from libs.runtime.settings import settings_of
from libs.runtime.topiclog import open_topics

GZIP_MAGIC: Final = b"\x1f\x8b"
BATCH: Final = 1_000
Tick = Callable[[int, int | None], None]


async def from_kafka(
    data_dir: Path, unreadable: Callable[[str], None], tick: Tick
) -> AsyncIterator[list[EventEnvelope]]:
    """Every event of `tickets.events` up to now, in batches. Messages that cannot be read are told to
    `unreadable` and left out. Raises NotRunning."""
    state = read_run(data_dir)
    bootstrap = (
        state.bootstrap
        if state is not None
        else settings_of("sla", data_dir=data_dir).kafka_bootstrap_servers
    )
    try:
        async for batch in _records(bootstrap, unreadable, tick):
            yield batch
    except (KafkaError, OSError) as error:
        raise NotRunning(
            f"Kafka at {bootstrap} cannot be read ({error}): start the system with `bitacora up`,"
            " set BITACORA_KAFKA_BOOTSTRAP_SERVERS, or give the history with --events"
        ) from None


async def _records(
    bootstrap: str, unreadable: Callable[[str], None], tick: Tick
) -> AsyncIterator[list[EventEnvelope]]:
    async with open_topics(bootstrap, [TICKETS_EVENTS]) as topics:
        total, done = await topics.count(), 0
        async for records in topics.read():
            batch = []
            for record in records:
                envelope = decode_event(record.value, record.headers)
                if isinstance(envelope, Malformed):
                    unreadable(f"{record.topic}/{record.partition}@{record.offset}: {envelope}")
                else:
                    batch.append(envelope)
            done += len(records)
            yield batch
            tick(done, max(total, done))


def from_file(path: Path, tick: Tick) -> Iterator[list[EventEnvelope]]:
    """The events in a file of JSON lines, plain or gzip, in batches.

    A line is one event, with `ticket_id`, `sequence`, `type`, `time`, `actor` and `data`, or the history
    of one ticket as `GET /v1/tickets/{id}/history` gives it: `{"id": …, "events": […]}`. Raises
    UsageError, which names the line.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as raw:
            for batch in _batches(path, raw):
                yield batch
                tick(raw.tell(), size)
    except (OSError, EOFError) as error:
        raise UsageError(f"{path}: {error}") from None


def first_year(path: Path) -> int | None:
    """The year of the first event in such a file; None when it has none. Raises as `from_file`."""
    for batch in from_file(path, lambda _done, _total: None):
        for envelope in batch:
            return envelope.time.year
    return None


def clock_of(data_dir: Path) -> Clock:
    """The clock of the system that runs on this directory, else the one that the settings name."""
    state = read_run(data_dir)
    if state is not None:
        return parse_clock(state.clock)
    return settings_of("sla", data_dir=data_dir).make_clock()


def _batches(path: Path, raw: BufferedReader) -> Iterator[list[EventEnvelope]]:
    zipped = raw.peek(2)[:2] == GZIP_MAGIC
    lines = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if zipped else raw
    batch: list[EventEnvelope] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            batch += _events_in(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, InvalidData) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise UsageError(f"{path}: line {number}: {what[:300]}") from None
        if len(batch) >= BATCH:
            yield batch
            batch = []
    yield batch


def _events_in(found: Any) -> list[EventEnvelope]:
    if "events" in found:
        ticket_id, events = found["id"], found["events"]
    else:
        ticket_id, events = found["ticket_id"], [found]
    envelopes = []
    for event in events:
        envelope = envelope_of(
            str(UUID(ticket_id)), {"recorded_time": event["time"], "actor": "system", **event}
        )
        _ = envelope.event
        envelopes.append(envelope)
    return envelopes


def is_new(last: int, envelope: EventEnvelope) -> bool:
    """Whether the event is the next of a stream of which `last` was applied; False: it came before.
    Raises CommandError at a gap: a verdict on half a history would be wrong."""
    if envelope.sequence > last + 1:
        raise CommandError(
            f"ticket {envelope.stream_id}: event {envelope.sequence} comes after event {last};"
            " the history must have every event of a ticket, in order"
        )
    return envelope.sequence == last + 1  # delivery is at least once

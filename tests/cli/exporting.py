"""What the tests of exports share: topics with a small desk on them, and exports to look into."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from cli.export import EXPORTED
from cli.export.layout import EVENTS, TICKETS, Selection
from cli.export.run import Report, export
from cli.export.verify import Verdict, verify_files, verify_topics
from libs.events import EventEnvelope, encode_event
from libs.events.topics import TOPICS
from libs.runtime.kafka import ensure_topics, producer
from services.reporting.handlers import topic_of
from tests.backends.shared import Kafka, in_thread
from tests.reporting.streams import Desk, interleaved

ALL: Final = Selection(EXPORTED)
QUIET_S: Final = 0.3

Raw = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""(key, value, headers)."""


def desk_events(seed: int = 5, tickets: int = 40) -> list[EventEnvelope]:
    """Lawful events of every topic, mixed as they would come."""
    return list(interleaved(Desk(seed).streams(tickets, events=8), random.Random(seed)))


def publish(kafka: Kafka, events: Sequence[EventEnvelope]) -> None:
    """Each event on its topic; the topics are made if they are not there."""

    async def send() -> None:
        await ensure_topics(kafka.bootstrap, TOPICS)
        sender = producer(kafka.bootstrap, embedded=kafka.embedded)
        await sender.start()
        try:
            for event in events:
                key, value, headers = encode_event(event)
                await sender.send(topic_of(event), value, key=key, headers=headers)
            await sender.flush()
        finally:
            await sender.stop()

    in_thread(send())


def publish_raw(kafka: Kafka, topic: str, messages: Sequence[Raw]) -> None:
    """What anybody might send."""

    async def send() -> None:
        sender = producer(kafka.bootstrap, embedded=kafka.embedded)
        await sender.start()
        try:
            for key, value, headers in messages:
                await sender.send_and_wait(topic, value, key=key, headers=list(headers))
        finally:
            await sender.stop()

    in_thread(send())


def silent(done: int, total: int | None = None) -> None:
    """Shows no progress."""


def run(kafka: Kafka, folder: Path, selection: Selection = ALL, **options: Any) -> Report:
    options = {"progress": silent, "quiet_s": QUIET_S, **options}
    report: Report = in_thread(export(kafka.bootstrap, folder, selection, **options))
    return report


def verified(folder: Path, kafka: Kafka | None = None) -> Verdict:
    verdict = verify_files(folder, silent)
    if kafka is not None:
        in_thread(
            verify_topics(folder, kafka.bootstrap, verdict, silent, quiet_s=QUIET_S),
        )
    return verdict


def rows_of(path: Path) -> list[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        rows: list[dict[str, Any]] = file.read().to_pylist()
    return rows


def event_rows(folder: Path) -> list[dict[str, Any]]:
    """Every row of every part; topic and day are taken from its path."""
    rows = []
    for path in sorted((folder / EVENTS).rglob("*.parquet")):
        topic, day = (part.partition("=")[2] for part in path.parts[-3:-1])
        rows += [{**row, "topic": topic, "day": day} for row in rows_of(path)]
    return rows


def ticket_rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows_of(folder / TICKETS)}

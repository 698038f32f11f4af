"""Ours: `python -m bench.fold_ours PLAN.json` prints one JSON object.

State as the services keep theirs: `StreamApplier` with a handler of a few lines on SQLite; every poll's
changes, sequences and offsets are one durable transaction (synchronous=FULL), the offsets are
committed to Kafka afterwards. Every event is validated against its contract.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table, select

from bench.harness import now_s
from libs.events import EventEnvelope, ticket
from libs.runtime.clock import RealClock
from libs.runtime.consume import ConsumerTables, StreamApplier
from libs.runtime.database import Database
from libs.runtime.outbox import Outgoing
from services.reporting.views.sql import Save

POLL: Final = 2_000
COMMIT_S: Final = 0.5

FOLDS: Final = Table(
    "folds",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("status", String, nullable=False),
)


class FoldHandler:
    """How many events each ticket has, and its last status."""

    def __init__(self) -> None:
        self._save = Save(FOLDS)

    def apply(
        self, connection: Connection, envelopes: Sequence[EventEnvelope], _outgoing: Outgoing
    ) -> None:
        ids = list({e.stream_id for e in envelopes})
        query = select(FOLDS).where(FOLDS.c.id.in_(ids))
        found = {row[0]: (row[1], row[2]) for row in connection.execute(query)}
        for envelope in envelopes:
            count, status = found.get(envelope.stream_id, (0, "new"))
            if type(envelope.event) is ticket.StatusChanged:
                status = envelope.event.status.value
            found[envelope.stream_id] = count + 1, status
        self._save(connection, [(own, count, status) for own, (count, status) in found.items()])


async def fold(plan: dict[str, Any]) -> dict[str, Any]:
    database = Database(f"sqlite:///{plan['directory']}/ours.sqlite3")
    metadata = MetaData()
    FOLDS.to_metadata(metadata)
    tables = ConsumerTables(metadata)
    database.create(metadata)
    clock = RealClock()
    applier = StreamApplier(plan["group"], FoldHandler(), tables, clock)
    gc.set_threshold(50_000, 20, 50)  # as services do (libs/runtime/service.py)
    consumer = AIOKafkaConsumer(
        plan["topic"],
        bootstrap_servers=plan["bootstrap"],
        group_id=plan["group"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    first_s = committed_s = 0.0
    done = 0
    try:
        while done < plan["events"]:
            polled = await consumer.getmany(timeout_ms=200, max_records=POLL)
            records = [record for found in polled.values() for record in found]
            if not records:
                continue
            first_s = first_s or now_s()
            with database.transaction() as connection:
                report = applier.apply(connection, Outgoing("/bench", clock), records)
            done += report.applied
            if now_s() - committed_s > COMMIT_S:
                await consumer.commit()
                committed_s = now_s()
        await consumer.commit()
        seconds = now_s() - first_s
    finally:
        await consumer.stop()
    with database.reading() as connection:
        rows = sorted(tuple(row) for row in connection.execute(select(FOLDS)))
    database.close()
    text = "".join(f"{own} {count} {status}\n" for own, count, status in rows)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"seconds": seconds, "events": sum(row[1] for row in rows), "digest": digest}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(fold(json.loads(Path(sys.argv[1]).read_text("utf-8"))))))

"""Makes the read models anew from the topics, compares, and switches if asked.

The comparison is exact while the live service runs: it is made against one snapshot of the live
tables, and the second set is fed up to exactly the sequence that each stream has in that snapshot.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select

from libs.runtime.clock import RealClock, monotonic_s
from libs.runtime.consume import Record
from libs.runtime.database import Database
from libs.runtime.errors import Rejected
from libs.runtime.onlyone import only_one
from libs.runtime.topiclog import TopicLog, open_topics
from services.reporting.compare import TableDifference, compare_tables
from services.reporting.facts.facts import CALENDAR
from services.reporting.facts.rebuilding import compare_facts
from services.reporting.handlers import TOPICS
from services.reporting.shadow import Shadow

BATCH: Final = 10_000
"""Records that are applied in one transaction; about 40 MB of them."""
COLLECT_AFTER: Final = 200_000
"""New objects, before the garbage collector looks at the youngest ones."""

Progress = Callable[[int, int], None]
"""Called with (records read, about how many there are)."""


@dataclass(slots=True)
class RebuildReport:
    """`ok`: every row and every figure of the live tables is as the topics say.

    `events` were applied to reach the live state; `behind` more lie on the topics, which the live
    service has not applied yet; `parked` could not be applied here; `applied_s` is how long it took to
    read and apply the events, before the comparison; `facts` compares the fact tables that follow from
    both, by `questions` put to both too (`facts_s`: how long that took); `held_s` is how long the live
    consumer waited during the switch.
    """

    events: int = 0
    behind: int = 0
    parked: int = 0
    applied_s: float = 0.0
    seconds: float = 0.0
    events_per_second: float = 0.0
    tables: list[TableDifference] = field(default_factory=list)
    facts: list[TableDifference] = field(default_factory=list)
    questions: int = 0
    facts_s: float = 0.0
    figures: list[str] = field(default_factory=list)
    replaced: bool = False
    held_s: float = 0.0

    @property
    def ok(self) -> bool:
        tables = (*self.tables, *self.facts)
        return not self.figures and all(table.equal for table in tables)


_RUNNING: Final = Rejected(
    "rebuild_running", "another rebuild of these tables is on its way; wait until it is done"
)


async def rebuild(
    database_url: str,
    bootstrap: str,
    *,
    replace: bool = False,
    progress: Progress | None = None,
    calendar: str = CALENDAR,
) -> RebuildReport:
    """Rebuild reporting's tables beside the live ones, compare, and with `replace` switch.

    Blocks the event loop while it writes: for a process of its own. An interrupted rebuild leaves
    the live tables as they were; the next one begins anew. Raises Transient when the database is
    away, KafkaError when the broker is, Rejected: `topics_incomplete` when the live tables know
    events that the topics have lost, so that a switch would lose them; `rebuild_running` when another
    process is at it, because there is one place beside the live tables.
    """
    live = Database(database_url)
    report, began_s = RebuildReport(), monotonic_s()
    try:
        async with (
            only_one(live, "rebuild", refusal=_RUNNING),
            open_topics(bootstrap, TOPICS) as log,
        ):
            with _few_collections(), closing(Shadow(live, RealClock())) as shadow:
                await _compare(live, shadow, log, report, progress, calendar)
                report.seconds = round(monotonic_s() - began_s, 3)
                report.events_per_second = round(report.events / max(report.seconds, 0.001))
                if replace:
                    await _switch(shadow, log, report)
    finally:
        live.close()
    return report


async def _compare(
    live: Database,
    shadow: Shadow,
    log: TopicLog,
    report: RebuildReport,
    progress: Progress | None,
    calendar: str,
) -> None:
    with live.reading() as snapshot:
        reached = _reached(snapshot, shadow)
        total, done, began_s = await log.count(), 0, monotonic_s()
        held: dict[tuple[str, int], int] = {}
        async for records in _large(log.read()):
            fitting = [r for r in records if _fits(r, reached, held, report)]
            if fitting:
                # In a thread: the client fetches what comes next meanwhile.
                result = await asyncio.to_thread(shadow.apply, fitting)
                report.events += result.applied + result.redriven
                report.parked += result.parked
                report.applied_s = round(monotonic_s() - began_s, 3)
            done += len(records)
            if progress is not None:
                progress(done, max(total, done))
        with shadow.database.reading() as rebuilt:
            report.tables = compare_tables(snapshot, rebuilt)
            began_s = monotonic_s()
            report.facts, report.questions, report.figures = await asyncio.to_thread(
                compare_facts,
                snapshot,
                rebuilt,
                calendar=calendar,
                directory=Path(str(live.url.database)).parent if live.is_sqlite else None,
            )
            report.facts_s = round(monotonic_s() - began_s, 3)
    for (topic, partition), offset in held.items():
        log.back_to(topic, partition, offset)


async def _large(polls: AsyncIterator[list[Any]]) -> AsyncIterator[list[Any]]:
    """The records of several polls at a time: a ticket's row is then loaded and saved less often, and
    nobody waits for a commit here."""
    gathered: list[Any] = []
    async for records in polls:
        gathered += records
        if len(gathered) >= BATCH:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


@contextmanager
def _few_collections() -> Iterator[None]:
    """Events are many small objects without cycles: looking for some takes a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _reached(snapshot: Connection, shadow: Shadow) -> dict[tuple[str, str], int]:
    s = shadow.streams.c
    rows = snapshot.execute(select(s.topic, s.stream_id, s.sequence).where(s.topic.in_(TOPICS)))
    return {(row[0], row[1]): row[2] for row in rows}


def _fits(
    record: Record,
    reached: dict[tuple[str, str], int],
    held: dict[tuple[str, int], int],
    report: RebuildReport,
) -> bool:
    """Has the live service applied this event? If not, remember from where to read again."""
    place = _place(record.headers)
    if place is None:
        return True  # undecodable: parked there, parked here
    stream_id, sequence = place
    if sequence <= reached.get((record.topic, stream_id), 0):
        return True
    report.behind += 1
    held.setdefault((record.topic, record.partition), record.offset)
    return False


def _place(headers: Sequence[tuple[Any, Any]]) -> tuple[str, int] | None:
    stream_id = sequence = None
    for name, value in headers:
        if name == "ce_subject":
            stream_id = value
        elif name == "ce_sequence":
            sequence = value
    try:
        return bytes(stream_id or b"").decode(), int(bytes(sequence or b""))
    except (TypeError, ValueError):
        return None


async def _switch(shadow: Shadow, log: TopicLog, report: RebuildReport) -> None:
    """Catch up to the end of the topics, then, with the live consumer held, over the last events;
    then switch. The live consumer finds what it reads afterwards already applied."""
    async for records in log.read():
        report.parked += shadow.apply(records).parked
    held_at_s = monotonic_s()
    with shadow.live_held(log.places) as connection:
        async for records in log.read(quiet_s=0.2):
            report.parked += shadow.apply(records).parked
        shadow.show(connection)
        ahead = shadow.live_is_ahead(connection)
        if ahead:
            raise Rejected(
                "topics_incomplete",
                f"the live tables hold later events of {ahead} streams than the topics do; wait "
                "until the relays have published everything again (`bitacora verify`), then retry",
            )
        shadow.switch(connection)
    report.held_s = round(monotonic_s() - held_at_s, 3)
    report.replaced = True

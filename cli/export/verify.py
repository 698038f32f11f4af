"""Is an export whole, unchanged, and exactly the stream? From its files, and from the topics."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cli.export.facts import FactsManifest, facts_in
from cli.export.layout import MANIFEST, Manifest, Part, Place, parts_in, sha256_of
from cli.export.run import marker_of
from cli.export.spool import Day
from cli.export.streams import Content, Streams, what_is_wrong
from cli.output import Ticker
from libs.events import EventEnvelope, decode_event
from libs.events.topics import TICKETS_EVENTS
from libs.runtime.topiclog import QUIET_S, read_topics

BUCKETS: Final = 64
READ_ROWS: Final = 50_000
PROBLEMS_MAX: Final = 20


@dataclass(slots=True)
class Verdict:
    """`notes` are no problems: what could not be compared, and why."""

    files: int = 0
    events: int = 0
    tickets: int = 0
    facts: int = 0
    compared: int | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def wrong(self, problem: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)


class Ids:
    """Whether any id comes twice, in eight bytes per id."""

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(BUCKETS)]

    def add(self, id_: str) -> None:
        number = int.from_bytes(blake2b(id_.encode(), digest_size=8).digest())
        self._buckets[number % BUCKETS].append(number)

    def doubled(self) -> int:
        return sum(len(bucket) - len(set(bucket)) for bucket in self._buckets)


AGAIN: Final = (
    "; remove it if it is there and run `bitacora export facts` again, which writes it anew"
)


def verify_files(folder: Path, progress: Ticker) -> Verdict:
    """Check every file against the manifests, and that every event is there once.

    Raises what `Manifest.read` raises (but not when there are only facts), and OSError.
    """
    verdict, facts = Verdict(), FactsManifest.read(folder)
    if facts is not None:
        _check_facts(folder, facts, verdict)
        if not (folder / MANIFEST).exists():
            return verdict
    manifest, ids = Manifest.read(folder), Ids()
    total = sum(part.rows for part in manifest.files)
    for part in manifest.files:
        _check_part(folder, part, verdict, ids)
        progress(verdict.events, total)
    if doubled := ids.doubled():
        verdict.wrong(f"{doubled} events are there more than once")
    for path in set(parts_in(folder)) - {part.path for part in manifest.files}:
        verdict.wrong(f"{path} is not in the manifest: an export was interrupted; run it again")
    _check_counts(manifest, verdict)
    _check_tickets(folder, manifest, verdict)
    return verdict


def _check_part(folder: Path, part: Part, verdict: Verdict, ids: Ids) -> None:
    path = folder / part.path
    if _changed(path, part.bytes, part.sha256, part.path, verdict):
        return
    content, rows, first, last = Content(), 0, None, None
    day = date.fromisoformat(part.day)
    for batch in _batches(path, ["ce_id", "ce_hash", "ce_time", "ce_position"]):
        found_ids, hashes, times, positions = batch.columns
        for id_, hash_ in zip(found_ids.to_pylist(), hashes.to_pylist(), strict=True):
            content.add(id_, hash_)
            ids.add(id_)
        if batch.num_rows:
            if not pc.all(pc.equal(pc.cast(times, pa.date32()), pa.scalar(day))).as_py():
                verdict.wrong(f"{part.path} holds events of another day")
            low, high = pc.min_max(positions).as_py().values()
            first = low if first is None else min(first, low)
            last = high if last is None else max(last, high)
        rows += batch.num_rows
    verdict.files += 1
    verdict.events += rows
    said = (part.rows, part.first_position, part.last_position, part.content)
    if (rows, first, last, str(content)) != said:
        verdict.wrong(f"{part.path} does not hold what the manifest says")


def _check_facts(folder: Path, manifest: FactsManifest, verdict: Verdict) -> None:
    for part in manifest.files:
        path = folder / part.path
        if _changed(path, part.bytes, part.sha256, part.path, verdict, AGAIN):
            continue
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
        verdict.files += 1
        verdict.facts += rows
        if rows != part.rows:
            verdict.wrong(f"{part.path} does not hold what the manifest says")
    for name in set(facts_in(folder)) - {part.path for part in manifest.files}:
        verdict.wrong(f"{name} is not in the manifest: an export was interrupted; run it again")


def _changed(
    path: Path, size: int, sha256: str, name: str, verdict: Verdict, remedy: str = ""
) -> bool:
    if not path.exists():
        verdict.wrong(f"{name} is missing{remedy}")
    elif path.stat().st_size != size or sha256_of(path) != sha256:
        verdict.wrong(f"{name} was changed or damaged: its checksum differs{remedy}")
    else:
        return False
    return True


def _batches(path: Path, columns: list[str]) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=READ_ROWS, columns=columns)


def _check_counts(manifest: Manifest, verdict: Verdict) -> None:
    for topic, count in manifest.topics.items():
        rows = sum(part.rows for part in manifest.files if part.topic == topic)
        if rows != count.exported or count.events != count.exported + count.outside:
            verdict.wrong(f"{topic}: {rows:,} events in files, {count.exported:,} were exported")
        if count.waiting:
            verdict.wrong(
                f"{topic}: {count.waiting:,} events are held back because earlier ones of their "
                "stream are missing on the topic; `bitacora verify` says more"
            )


def _check_tickets(folder: Path, manifest: Manifest, verdict: Verdict) -> None:
    tickets = manifest.tickets
    if TICKETS_EVENTS not in manifest.selection.topics:
        return
    if tickets is None:
        verdict.wrong("the tickets were never written: run the export again")
        return
    path = folder / tickets.path
    if _changed(path, tickets.bytes, tickets.sha256, tickets.path, verdict):
        return
    events = 0
    for batch in _batches(path, ["sequence"]):
        verdict.tickets += batch.num_rows
        events += pc.sum(batch.column(0)).as_py() or 0
    if (verdict.tickets, events) != (tickets.rows, tickets.events):
        verdict.wrong(f"{tickets.path} does not hold what the manifest says")
    if events != manifest.topics[TICKETS_EVENTS].events:
        verdict.wrong(f"{tickets.path} is not of the last event: run the export again")


# -- against the topics --------------------------------------------------------------------------


async def verify_topics(
    folder: Path, bootstrap: str, verdict: Verdict, progress: Ticker, *, quiet_s: float = QUIET_S
) -> None:
    """Read the topics again, as far as they were exported, and compare event by event.

    Adds to `verdict`. Raises KafkaError, and what `Manifest.read` raises.
    """
    manifest = Manifest.read(folder)
    again = _Again(manifest)
    async for records in read_topics(bootstrap, manifest.selection.topics, quiet_s=quiet_s):
        again.take(records)
        progress(again.records)
    verdict.compared = again.compare(verdict)


class _Again:
    """The topics as the export must have seen them. Memory: one number per stream."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._places = {(place.topic, place.partition): place for place in manifest.places}
        self._streams = Streams()
        self._days: dict[Day, Content] = {}
        self._events: dict[str, int] = dict.fromkeys(manifest.selection.topics, 0)
        self._begins: dict[tuple[str, int], int] = {}
        self._seen: set[tuple[str, int]] = set()
        self.records = 0

    def take(self, records: list[Any]) -> None:
        for record in records:
            at = (record.topic, record.partition)
            self._begins.setdefault(at, record.offset)
            place = self._places.get(at)
            if place is None or record.offset >= place.next_offset:
                continue  # it came after the export
            self.records += 1
            if record.offset == place.next_offset - 1 and marker_of(record) == place.marker:
                self._seen.add(at)
            envelope = decode_event(record.value, record.headers)
            if isinstance(envelope, EventEnvelope) and not what_is_wrong(envelope):
                for event in self._streams.take(record.topic, envelope):
                    self._add(record.topic, event)

    def _add(self, topic: str, envelope: EventEnvelope) -> None:
        self._events[topic] += 1
        day = envelope.time.date()
        if self._manifest.selection.holds(day):
            content = self._days.setdefault((topic, day.isoformat()), Content())
            content.add(envelope.id, envelope.hash)

    def compare(self, verdict: Verdict) -> int:
        """How many events were compared."""
        files: dict[Day, Content] = {}
        for part in self._manifest.files:
            content = files.setdefault((part.topic, part.day), Content())
            content.merge(Content.parse(part.content))
        compared = 0
        for topic in self._manifest.selection.topics:
            if why := self._not_the_same_log(topic):
                verdict.notes.append(f"{topic} was not compared: {why}")
                continue
            compared += self._events[topic]
            for day in sorted(d for d in files.keys() | self._days.keys() if d[0] == topic):
                if str(files.get(day, Content())) != str(self._days.get(day, Content())):
                    verdict.wrong(f"{topic}: the events of {day[1]} differ from those on the topic")
        return compared

    def _not_the_same_log(self, topic: str) -> str:
        places = [place for place in self._manifest.places if place.topic == topic]
        if any(self._begins.get(_at(place), 0) > 0 for place in places):
            return "its oldest events are no longer kept there"
        if any(_at(place) not in self._seen for place in places):
            return "it was made anew, or cut, since the export; export again, then compare"
        return ""


def _at(place: Place) -> tuple[str, int]:
    return place.topic, place.partition

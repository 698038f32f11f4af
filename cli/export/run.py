"""One run of an export: from where the last one stopped to the present end of the topics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from cli.export.checkpoint import Checkpoint, Step
from cli.export.layout import Manifest, Place, Selection, TopicCount, sha256_of
from cli.export.spool import Spool, write_tickets
from cli.export.streams import Key, Streams, what_is_wrong
from cli.output import Ticker
from libs.events import EventEnvelope, Malformed, Ticket, decode_event, format_time
from libs.events.fold import evolve
from libs.events.topics import TICKETS_EVENTS
from libs.runtime.clock import RealClock
from libs.runtime.topiclog import QUIET_S, TopicLog, open_topics

STEP_RECORDS: Final = 200_000
STEP_STREAMS: Final = 50_000
EXAMPLES_MAX: Final = 5


@dataclass(slots=True)
class Report:
    """What a run did; `manifest` is what the export holds now. `problems` name a few."""

    manifest: Manifest
    new_events: int = 0
    new_files: int = 0
    records: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        return sum(count.waiting for count in self.manifest.topics.values())


async def export(
    bootstrap: str,
    folder: Path,
    selection: Selection,
    *,
    progress: Ticker,
    quiet_s: float = QUIET_S,
    step_records: int = STEP_RECORDS,
) -> Report:
    """Bring the export in `folder` up to the present end of the topics.

    Raises KafkaError, OSError when the disk is full or the folder cannot be written to, Transient
    likewise for the progress database, and what `Checkpoint` raises. Whatever it raises, and whenever
    it is killed: finished files stay, no half file is left, and the next run goes on.
    """
    checkpoint = Checkpoint(folder, selection)
    try:
        run = _Run(checkpoint, step_records)
        async with open_topics(bootstrap, selection.topics) as log:
            await run.read(log, progress, quiet_s)
        return run.report()
    finally:
        checkpoint.close()


class Resume:
    """Puts a log where the last run stopped, and notices when that is not the same log any more.

    The last record that was read is read again and compared: a topic that was made anew, or is
    shorter now, is read from its beginning (what was exported is known by its sequence).
    """

    def __init__(self, log: TopicLog, places: Iterable[Place]) -> None:
        self._log = log
        known = {(place.topic, place.partition): place for place in places}
        self._open = {at: known[at] for at in log.places if at in known}
        for (topic, partition), place in self._open.items():
            log.back_to(topic, partition, place.next_offset - 1)

    def new(self, records: Sequence[Any]) -> list[Any]:
        """Those of the records that come after what was read before."""
        if not self._open:
            return list(records)
        result, renewed = [], set()
        for record in records:
            at = (record.topic, record.partition)
            place = self._open.pop(at, None)
            if place is not None and record.offset == place.next_offset - 1:
                if marker_of(record) != place.marker:
                    self._log.back_to(*at, 0)
                    renewed.add(at)
            elif at not in renewed:
                result.append(record)
        return result

    def unseen(self) -> bool:
        """Whether partitions were shorter than before; if so, they are to be read from 0 now."""
        left, self._open = self._open, {}
        for topic, partition in left:
            self._log.back_to(topic, partition, 0)
        return bool(left)


def marker_of(record: Any) -> str:
    """Knows a record again at the same offset, and no other."""
    content = b"%d\0%b\0%b" % (record.timestamp, record.key or b"", record.value or b"")
    return blake2b(content, digest_size=12).hexdigest()


class _Run:
    def __init__(self, checkpoint: Checkpoint, step_records: int) -> None:
        self._checkpoint = checkpoint
        self._step_records = step_records
        before = checkpoint.manifest()
        self._selection = before.selection
        self._places = before.places
        self._before = before
        self._counts = {
            topic: replace(before.topics.get(topic, TopicCount()))
            for topic in self._selection.topics
        }
        self._streams = Streams()
        self._tickets: dict[str, Ticket] = {}
        self._touched: set[Key] = set()
        self._last: dict[tuple[str, int], Any] = {}
        self._step_size = 0
        self._spool = Spool(checkpoint.folder)
        self._problems: list[str] = []
        self._records = 0
        for topic, envelope in checkpoint.waiting():
            key = (topic, envelope.stream_id)
            self._streams.early.setdefault(key, {})[envelope.sequence] = envelope

    # -- reading ------------------------------------------------------------------------------

    async def read(self, log: TopicLog, progress: Ticker, quiet_s: float) -> None:
        """Everything new on the log, in steps. Leaves nothing aside, whatever happens."""
        resume = Resume(log, self._places)
        total = await log.count()
        try:
            again = True
            while again:
                async for records in log.read(quiet_s=quiet_s):
                    self._take(resume.new(records))
                    progress(self._records, max(total, self._records))
                    if self._step_size >= self._step_records or len(self._touched) >= STEP_STREAMS:
                        self._commit()
                again = resume.unseen()
            self._commit()
        finally:
            self._spool.close()

    def _take(self, records: Sequence[Any]) -> None:
        decoded = [(record, decode_event(record.value, record.headers)) for record in records]
        self._load({(r.topic, e.stream_id) for r, e in decoded if isinstance(e, EventEnvelope)})
        for record, envelope in decoded:
            self._records += 1
            self._step_size += 1
            self._last[record.topic, record.partition] = record
            wrong = what_is_wrong(envelope)
            if wrong or isinstance(envelope, Malformed):
                self._counts[record.topic].malformed += 1
                self._problem(f"{record.topic}/{record.partition} offset {record.offset}: {wrong}")
                continue
            for event in self._streams.take(record.topic, envelope):
                self._add(record.topic, event)

    def _load(self, keys: set[Key]) -> None:
        unknown = [key for key in keys if key not in self._streams.last]
        for key, (sequence, ticket) in self._checkpoint.known(unknown).items():
            self._streams.last[key] = sequence
            if ticket is not None:
                self._tickets[key[1]] = ticket

    def _add(self, topic: str, envelope: EventEnvelope) -> None:
        count = self._counts[topic]
        count.events += 1
        self._touched.add((topic, envelope.stream_id))
        if topic == TICKETS_EVENTS:
            before = self._tickets.get(envelope.stream_id)
            self._tickets[envelope.stream_id] = evolve(before, envelope)
        if self._selection.holds(envelope.time.date()):
            count.exported += 1
            self._spool.add(topic, envelope)
        else:
            count.outside += 1

    def _problem(self, text: str) -> None:
        if len(self._problems) < EXAMPLES_MAX:
            self._problems.append(text)

    # -- committing ---------------------------------------------------------------------------

    def _commit(self) -> None:
        if not self._last:
            return
        streams, waiting = self._streams, self._streams.waiting()
        for topic, count in self._counts.items():
            count.duplicates += streams.duplicates[topic]
            count.waiting = waiting[topic]
        parts = self._spool.finish(self._checkpoint.next_part())
        touched = {key: (streams.last[key], self._ticket(key)) for key in self._touched}
        places = [Place(*at, r.offset + 1, marker_of(r)) for at, r in self._last.items()]
        self._checkpoint.commit(Step(self._counts, places, touched, streams.early, parts))
        self._write_manifest()
        self._spool.close()
        self._spool = Spool(self._checkpoint.folder)
        early = streams.early
        self._streams = Streams()
        self._streams.early = early
        self._tickets, self._touched, self._last, self._step_size = {}, set(), {}, 0

    def _ticket(self, key: Key) -> Ticket | None:
        return self._tickets.get(key[1]) if key[0] == TICKETS_EVENTS else None

    # -- the end ------------------------------------------------------------------------------

    def report(self) -> Report:
        """The tickets and the manifest, written; and what there is to say."""
        folder = self._checkpoint.folder
        before, now = self._before, self._checkpoint.manifest()
        if TICKETS_EVENTS in self._selection.topics and not _is_current(folder, now):
            self._checkpoint.commit_tickets(write_tickets(folder, self._checkpoint.tickets()))
        now = self._write_manifest()
        return Report(
            now,
            _events(now) - _events(before),
            len(now.files) - len(before.files),
            self._records,
            self._problems + self._missing(),
        )

    def _write_manifest(self) -> Manifest:
        manifest = self._checkpoint.manifest()
        manifest.exported_at = format_time(RealClock().now())
        manifest.write(self._checkpoint.folder)
        return manifest

    def _missing(self) -> list[str]:
        found = []
        for (topic, stream_id), events in list(self._streams.early.items())[:EXAMPLES_MAX]:
            found.append(f"{topic}: {stream_id} lacks the events before {min(events)}")
        return found


def _events(manifest: Manifest) -> int:
    return sum(count.events for count in manifest.topics.values())


def _is_current(folder: Path, manifest: Manifest) -> bool:
    tickets, count = manifest.tickets, manifest.topics.get(TICKETS_EVENTS, TopicCount())
    if tickets is None or tickets.events != count.events:
        return False
    path = folder / tickets.path
    return path.exists() and sha256_of(path) == tickets.sha256

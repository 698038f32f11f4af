"""The invariants that `bitacora verify` checks, each with the figures that it rests on.

::

    I1   every acknowledged intake is in the store
    I2   store = topic, as sets of events
    I3   sequences are contiguous per stream, in the store and on the topic
    I4   the live read model = the same model rebuilt from zero
    I5   one effect per cause: one ticket, one assignment, one breach
    I6, I7   see `cli.invariants_desk`
    I8   every hash chain verifies
    I11  the intake ledger balances, and agrees with the store
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, text

from libs.events import EventEnvelope, Malformed, decode_event
from libs.events.registry import InvalidData
from libs.events.ticket import Assigned, MessageAdded, TicketCreated, Unassigned
from libs.events.verify import StreamVerifier
from libs.runtime.database import Database
from libs.runtime.eventstore import EventStore
from libs.runtime.mapper import envelope_of

CHUNK = 5_000
SHOWN = 5

Tick = Callable[[int], None]


@dataclass(slots=True)
class Check:
    """`ok` None: it could not be checked, and `detail` says why."""

    name: str
    title: str
    ok: bool | None
    figures: dict[str, int | str] = field(default_factory=dict)
    detail: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def state(self) -> Literal["ok", "failed", "not checked"]:
        return "not checked" if self.ok is None else "ok" if self.ok else "failed"


@dataclass(slots=True)
class Log:
    """What a store holds for one topic: the number of events and the hash of each."""

    hashes: dict[str, str] = field(default_factory=dict)
    """event id → hash"""
    later: set[str] = field(default_factory=set)
    """Ids of those that came while the checking was already under way."""
    broken: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    streams: int = 0


@dataclass(slots=True)
class Effects:
    """Counts of what must happen once per cause."""

    references: Counter[tuple[str, str]] = field(default_factory=Counter)
    numbers: Counter[int] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    taken_over: list[str] = field(default_factory=list)
    """Event ids of assignments by routing of tickets that somebody else had."""
    holders: dict[str, str] = field(default_factory=dict)
    """Ticket → its agent, as of the last event."""
    created: int = 0
    requester_messages: int = 0


# -- reading the stores ----------------------------------------------------------------------------


def stored_events(events: EventStore) -> Iterator[EventEnvelope]:
    """Every event of an event store, in order of position."""
    position = 0
    while batch := events.read_frames(position, CHUNK):
        for at, stream_id, sequence, type_name, meta, data in batch:
            yield _envelope(events.source, type_name, stream_id, sequence, at, meta, data)
        position = batch[-1][0]


def outbox_events(database: Database, source: str) -> Iterator[tuple[str, EventEnvelope]]:
    """(topic, event) for every event that a service said on streams of its own."""
    position = 0
    query = text(
        "SELECT position, topic, stream_id, sequence, type, meta, data FROM outbox "
        "WHERE position > :after AND stream_id IS NOT NULL ORDER BY position LIMIT :limit"
    )
    while True:
        with database.reading() as connection:
            rows = connection.execute(query, {"after": position, "limit": CHUNK}).all()
        if not rows:
            return
        for row in rows:
            place = (row.type, row.stream_id, row.sequence, row.position)
            yield row.topic, _envelope(source, *place, bytes(row.meta), bytes(row.data))
        position = rows[-1].position


def _envelope(
    source: str,
    type_name: str,
    stream_id: str,
    sequence: int,
    position: int,
    meta: bytes,
    data: bytes,
) -> EventEnvelope:
    """The stored event; where its frame was damaged beyond reading, one whose hash cannot fit."""
    try:
        return envelope_of(
            source=source,
            type_name=type_name,
            stream_id=stream_id,
            sequence=sequence,
            position=position,
            meta=meta,
            data=data,
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        no_time = datetime.min.replace(tzinfo=UTC)
        return EventEnvelope(
            source=source,
            type=type_name,
            stream_id=stream_id,
            sequence=sequence,
            position=position,
            time=no_time,
            recorded_time=no_time,
            actor="",
            correlation_id="",
            causation_id="",
            previous_hash="",
            hash="unreadable",
            data=data,
        )


def event_of(envelope: EventEnvelope) -> Any:
    """The decoded event; None when it was damaged (its hash tells that, too)."""
    try:
        return envelope.event
    except InvalidData:
        return None


class LogReader:
    """Gathers a `Log` per topic from events in order, verifying every chain on the way."""

    def __init__(self) -> None:
        self.logs: dict[str, Log] = {}
        self._verifiers: dict[tuple[str, str], StreamVerifier] = {}

    def take(self, topic: str, envelope: EventEnvelope, *, later: bool = False) -> None:
        log = self.logs.setdefault(topic, Log())
        if later:
            log.later.add(envelope.id)
        key = (topic, envelope.stream_id)
        verifier = self._verifiers.get(key)
        if verifier is None:
            verifier = self._verifiers[key] = StreamVerifier(envelope.stream_id)
            log.streams += 1
        for problem in verifier.check(envelope):
            if not problem.broken:
                continue
            place = f"{problem.stream_id}:{problem.sequence} {problem.code}: {problem.detail}"
            (log.gaps if problem.code in ("gap", "out_of_order") else log.broken).append(place)
        log.hashes[envelope.id] = envelope.hash


def note_effects(effects: Effects, envelope: EventEnvelope) -> None:
    """Count what `envelope`, a ticket event, says was done."""
    event = event_of(envelope)
    if isinstance(event, TicketCreated):
        effects.created += 1
        effects.numbers[event.number] += 1
        if event.imported_from and event.external_ref:
            effects.references[event.imported_from, event.external_ref] += 1
    elif isinstance(event, Assigned) and event.decision_id:
        effects.decisions[event.decision_id] += 1
        if effects.holders.get(envelope.stream_id, event.agent) != event.agent:
            effects.taken_over.append(envelope.id)
    elif isinstance(event, MessageAdded) and event.author == "requester":
        effects.requester_messages += 1
    if isinstance(event, TicketCreated | Assigned | Unassigned):
        holder = None if isinstance(event, Unassigned) else event.agent
        if holder is None:
            effects.holders.pop(envelope.stream_id, None)
        else:
            effects.holders[envelope.stream_id] = holder


# -- the checks ------------------------------------------------------------------------------------


def check_acknowledged(connection: Connection) -> Check:
    """I1: the command log and the store tell the same."""
    check = Check("I1", "every acknowledged command is in the store", ok=True)
    # One statement each, so that both sides are of one instant while the desk works on.
    commands, events, stored = connection.execute(
        text(
            "SELECT COUNT(*), COALESCE(SUM(events), 0), (SELECT COUNT(*) FROM stored_events) "
            "FROM command_log WHERE status = 'accepted'"
        )
    ).one()
    check.figures = {
        "acknowledged commands": int(commands),
        "their events": int(events),
        "events in the store": int(stored),
    }
    if int(events) != int(stored):
        check.problems.append("the number of events differs from what was acknowledged")
    rows = connection.execute(
        text(
            "SELECT l.ticket_id, MAX(l.sequence) AS said, "
            "(SELECT MAX(originator_version) FROM stored_events s "
            "WHERE s.originator_id = l.ticket_id) AS kept "
            "FROM command_log l WHERE l.status = 'accepted' GROUP BY l.ticket_id"
        )
    )
    for ticket_id, said, kept in rows:
        if said > (kept or 0):
            check.problems.append(f"{ticket_id}: {said} was acknowledged, {kept or 0} is stored")
    return _settled(check)


def check_topics(stored: dict[str, Log], published: dict[str, Log]) -> Check:
    """I2: the events of the stores and of the topics are the same, to the hash.

    The topics are read before the stores: what is `later` need not be on them yet.
    """
    check = Check("I2", "store = topic", ok=True)
    for topic, log in sorted(stored.items()):
        on_topic = published.get(topic, Log()).hashes
        missing = log.hashes.keys() - log.later - on_topic.keys()
        foreign = on_topic.keys() - log.hashes.keys()
        other = [i for i in log.hashes.keys() & on_topic.keys() if log.hashes[i] != on_topic[i]]
        check.figures[topic] = len(log.hashes)
        for what, ids in (
            ("missing on", missing),
            ("foreign on", foreign),
            ("another content on", other),
        ):
            if ids:
                some = ", ".join(sorted(ids)[:3])
                check.problems.append(f"{len(ids)} {what} {topic}, e.g. {some}")
    return _settled(check)


def check_sequences(stored: dict[str, Log], published: dict[str, Log] | None) -> Check:
    """I3: 1, 2, 3 … per stream."""
    check = Check("I3", "contiguous sequences per stream", ok=True)
    check.figures["streams"] = sum(log.streams for log in stored.values())
    for where, logs in (("store", stored), ("topic", published or {})):
        for topic, log in logs.items():
            check.problems += [f"{where} {topic} {gap}" for gap in log.gaps[:SHOWN]]
    return _settled(check)


def check_effects(effects: Effects, breaches: Counter[str]) -> Check:
    """I5: one effect per cause."""
    check = Check("I5", "one effect per cause", ok=True)
    check.figures = {
        "tickets": effects.created,
        "imported references": len(effects.references),
        "routing decisions carried out": len(effects.decisions),
        "breaches": len(breaches),
    }
    counters: tuple[tuple[str, Counter[Any]], ...] = (
        ("tickets for one imported reference", effects.references),
        ("tickets with one number", effects.numbers),
        ("assignments for one decision", effects.decisions),
        ("breaches of one clock", breaches),
    )
    for what, counter in counters:
        twice = [key for key, count in counter.items() if count > 1]
        check.problems += [f"{counter[key]} {what}: {key}" for key in twice[:SHOWN]]
    check.problems += [
        f"routing gave a ticket away that somebody else had: {event}"
        for event in effects.taken_over[:SHOWN]
    ]
    return _settled(check)


def check_chains(stored: dict[str, Log]) -> Check:
    """I8: every event's hash follows from its content and the one before."""
    check = Check("I8", "hash chains verify", ok=True)
    check.figures["events"] = sum(len(log.hashes) for log in stored.values())
    for topic, log in stored.items():
        check.figures[f"broken in {topic}"] = len(log.broken)
        check.problems += [f"{topic} {place}" for place in log.broken[:SHOWN]]
    return _settled(check)


def read_ledger(connection: Connection) -> dict[str, int]:
    """The intake ledger's totals, of one instant.

    Quarantined are the messages that lie parked at intake; everything else is counted as received
    in the transaction that decides it.
    """
    names = ("received", "ticketed", "appended", "rejected")
    columns = ", ".join(f"COALESCE(SUM({name}), 0)" for name in names)
    query = f"SELECT {columns}, (SELECT COUNT(*) FROM parked) FROM intake_ledger"  # noqa: S608
    row = [int(number) for number in connection.execute(text(query)).one()]
    counts = dict(zip((*names, "quarantined"), row, strict=True))
    counts["received"] += counts["quarantined"]
    return counts


def check_ledger(before: dict[str, int], after: dict[str, int], effects: Effects) -> Check:
    """I11: received = ticketed + appended + quarantined + rejected, and the store agrees.

    `before` and `after` the store was read: the same when nothing came in meanwhile.
    """
    check = Check("I11", "the intake ledger balances", ok=True)
    check.figures = {**after}
    for counts in (before, after):
        if counts["received"] != sum(counts.values()) - counts["received"]:
            check.problems.append("received differs from what became of it")
    for name, what, stored in (
        ("ticketed", "tickets", effects.created),
        ("appended", "requester messages", effects.requester_messages),
    ):
        if not before[name] <= stored <= after[name]:
            check.problems.append(
                f"{after[name]} were counted as {name}, {stored} {what} are stored"
            )
    return _settled(check)


class TopicReader:
    """Takes the records of topics as a consumer does: each event once, in the order of its stream.

    An event that comes before one that is missing waits for it (after a topic was lost and written
    again, that is usual); what still waits at the end is a gap.
    """

    def __init__(self) -> None:
        self._reader = LogReader()
        self._heads: dict[tuple[str, str], int] = {}
        self._waiting: dict[tuple[str, str], dict[int, EventEnvelope]] = {}
        self.foreign: Counter[str] = Counter()
        """Per topic the messages that are no events of ours."""
        self.repeated = 0

    def take(self, records: Iterable[Any]) -> None:
        for record in records:
            envelope = decode_event(record.value, record.headers)
            if isinstance(envelope, Malformed):
                self.foreign[record.topic] += 1
            else:
                self._take(record.topic, envelope)

    def _take(self, topic: str, envelope: EventEnvelope) -> None:
        stream = (topic, envelope.stream_id)
        head = self._heads.get(stream, 0)
        log = self._reader.logs.get(topic)
        if envelope.sequence <= head and log and log.hashes.get(envelope.id) == envelope.hash:
            self.repeated += 1
            return
        if envelope.sequence > head + 1:
            self._waiting.setdefault(stream, {})[envelope.sequence] = envelope
            return
        self._reader.take(topic, envelope)
        head = max(head, envelope.sequence)
        waiting = self._waiting.get(stream, {})
        while head + 1 in waiting:
            head += 1
            self._reader.take(topic, waiting.pop(head))
        self._heads[stream] = head

    def logs(self) -> dict[str, Log]:
        """What the topics hold, after the last record; with a gap for each event still waiting."""
        for (topic, _), waiting in self._waiting.items():
            for _, envelope in sorted(waiting.items()):
                self._reader.take(topic, envelope)
            waiting.clear()
        return self._reader.logs


def _settled(check: Check) -> Check:
    check.ok = not check.problems
    return check

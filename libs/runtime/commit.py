"""Group commit: concurrent commands are decided together and stored in one transaction.

While one batch is being written the next one gathers, so that many small requests share one commit.
Within a batch commands are decided in order, each on the state that the ones before it left.

What makes a command count once: its row in `command_log`, keyed by `command_id`, is written in the
transaction that appends its events. A command that comes again gets the first answer; the same id
with another content is refused.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
)

from libs.events import CommandEnvelope, Event, EventEnvelope, Ticket, evolve
from libs.events.chain import GENESIS
from libs.events.commands import CreateTicket
from libs.events.ticket import TicketCreated
from libs.runtime.commandlog import (
    Outcome,
    again,
    fingerprint_of,
    log_row,
    refused,
    say_rejection,
)
from libs.runtime.database import upsert
from libs.runtime.errors import Poison, Rejected, Transient
from libs.runtime.eventstore import EventStore
from libs.runtime.logs import get_logger
from libs.runtime.mapper import StoredFrame, record_event
from libs.runtime.outbox import Outgoing, links
from libs.runtime.store import ServiceStore

log = get_logger(__name__)

Decide = Callable[[CommandEnvelope, Ticket | None, datetime, int], tuple[Event, ...]]
"""(command, state, now, next ticket number) -> events; raises the refusal class given."""

NUMBERS = "ticket_number"
CACHED_TICKETS_MAX = 20_000
EVENT_BYTES_MAX = 900_000
"""Kafka takes messages of about 1 MB; one that it refuses would stop the relay for good."""
BATCH_COMMANDS_MAX = 2_000
WAITING_COMMANDS_MAX = 10_000


class EventTooLarge(Rejected):
    """A command asks for an event that no topic would take."""

    def __init__(self, size: int) -> None:
        super().__init__(
            "event_too_large",
            f"this would be an event of {size:,} bytes; at most {EVENT_BYTES_MAX:,} are possible: "
            "send less text, or several messages",
            status=413,
        )


@dataclass(slots=True)
class _Head:
    """The end of one ticket's stream."""

    state: Ticket | None
    sequence: int
    hash: str


@dataclass(slots=True)
class _Batch:
    heads: dict[str, _Head]
    known: dict[str, Any]
    next_number: int
    frames: list[StoredFrame] = field(default_factory=list)
    envelopes: list[EventEnvelope] = field(default_factory=list)
    log_rows: list[dict[str, Any]] = field(default_factory=list)
    number_rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Job:
    envelopes: Sequence[CommandEnvelope]
    publish_rejections: bool
    done: asyncio.Future[list[Outcome]]


class CommitTables:
    """`command_log`, `ticket_numbers` and `counters`."""

    def __init__(self, metadata: MetaData) -> None:
        self.command_log = Table(
            "command_log",
            metadata,
            Column("command_id", String(250), primary_key=True),
            Column("fingerprint", LargeBinary, nullable=False),
            Column("ticket_id", String(250), nullable=False),
            Column("status", String(10), nullable=False),
            Column("sequence", BigInteger, nullable=False),
            Column("events", Integer, nullable=False),
            Column("number", BigInteger),
            Column("refusal", Text),
        )
        self.ticket_numbers = Table(
            "ticket_numbers",
            metadata,
            Column("number", BigInteger, primary_key=True, autoincrement=False),
            Column("ticket_id", String(250), nullable=False),
        )
        self.counters = Table(
            "counters",
            metadata,
            Column("name", String(100), primary_key=True),
            Column("value", BigInteger, nullable=False),
        )


class GroupCommit:
    """Decides and stores commands; see the module's text.

    `decide` is the domain's pure function; `refusals` the exception classes by which it says no.
    `on_recorded(connection, events)` and `on_outcomes(connection, [(command, outcome)])` run in the
    same transaction, for bookkeeping that must agree with the store. `before_deciding(connection,
    commands)` runs in it too, once it holds the append lock: what it reads is what every earlier
    decision left, and nobody changes it before these decisions are stored.
    """

    def __init__(
        self,
        store: ServiceStore,
        events: EventStore,
        tables: CommitTables,
        *,
        decide: Decide,
        refusals: tuple[type[Exception], ...],
        before_deciding: Callable[[Connection, Sequence[CommandEnvelope]], None] | None = None,
        on_recorded: Callable[[Connection, Sequence[EventEnvelope]], None] | None = None,
        on_outcomes: Callable[[Connection, Sequence[tuple[CommandEnvelope, Outcome]]], None]
        | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self.store = store
        self.events = events
        self.tables = tables
        self._decide = decide
        self._before_deciding = before_deciding
        self._refusals: tuple[type[Exception], ...] = (*refusals, EventTooLarge)
        self._on_recorded = on_recorded
        self._on_outcomes = on_outcomes
        self._on_batch = on_batch
        self._cache: OrderedDict[str, _Head] = OrderedDict()
        self._jobs: list[_Job] = []
        self._waiting = 0
        self._worker: asyncio.Task[None] | None = None

    async def submit(
        self, envelope: CommandEnvelope, *, publish_rejections: bool = False
    ) -> Outcome:
        """The answer to one command, given after its commit. Raises Transient."""
        return (await self.submit_many([envelope], publish_rejections=publish_rejections))[0]

    async def submit_many(
        self, envelopes: Sequence[CommandEnvelope], *, publish_rejections: bool = False
    ) -> list[Outcome]:
        """The answers in the same order. The commands share one transaction with each other (and
        with others that arrive meanwhile). Raises Transient when nothing could be stored, and at
        once when too many commands are waiting.

        With `publish_rejections` a refusal is also said on `tickets.rejections`.
        """
        if not envelopes:
            return []
        # The Kafka consumer (it alone publishes refusals) hands over one poll and waits by itself.
        if self._waiting >= WAITING_COMMANDS_MAX and not publish_rejections:
            raise Transient("too_busy", "too many requests are waiting; try again in a second")
        self._waiting += len(envelopes)
        job = _Job(envelopes, publish_rejections, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await job.done

    async def _work(self) -> None:
        while self._jobs:
            jobs = self._take()
            try:
                answers = await self.store.write(lambda c, out, j=jobs: self._commit(c, out, j))  # type: ignore[misc]
            except BaseException as error:
                self._cache.clear()
                for job in jobs:
                    if not job.done.done():
                        job.done.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            for job, outcomes in zip(jobs, answers, strict=True):
                if not job.done.done():
                    job.done.set_result(outcomes)

    def _take(self) -> list[_Job]:
        size, count = 0, 0
        for job in self._jobs:
            size += len(job.envelopes)
            if count and size > BATCH_COMMANDS_MAX:
                break
            count += 1
        jobs, self._jobs = self._jobs[:count], self._jobs[count:]
        self._waiting -= sum(len(job.envelopes) for job in jobs)
        return jobs

    def _commit(
        self, connection: Connection, outgoing: Outgoing, jobs: Sequence[_Job]
    ) -> list[list[Outcome]]:
        commands = [envelope for job in jobs for envelope in job.envelopes]
        self.events.lock(connection)
        if self._before_deciding:
            self._before_deciding(connection, commands)
        batch = self._load(connection, commands)
        first_number = batch.next_number
        pairs: list[tuple[CommandEnvelope, Outcome]] = []
        answers: list[list[Outcome]] = []
        for job in jobs:
            outcomes = []
            for envelope in job.envelopes:
                outcome = self._one(batch, envelope)
                outcomes.append(outcome)
                pairs.append((envelope, outcome))
                if outcome.status == "rejected" and job.publish_rejections:
                    say_rejection(outgoing, envelope, outcome)
            answers.append(outcomes)
        self._save(connection, batch, numbers_taken=batch.next_number > first_number)
        outgoing.appended = len(batch.frames)
        if self._on_recorded and batch.envelopes:
            self._on_recorded(connection, batch.envelopes)
        if self._on_outcomes:
            self._on_outcomes(connection, pairs)
        self._remember(batch)
        if self._on_batch:
            self._on_batch(len(commands))
        return answers

    # -- reading ------------------------------------------------------------------------------

    def _load(self, connection: Connection, commands: Sequence[CommandEnvelope]) -> _Batch:
        ids = {c.ticket_id for c in commands}
        cached = {i: self._cache[i] for i in ids if i in self._cache}
        if not self.events.database.is_sqlite and cached:
            # Another intake process may have gone on with a ticket that is cached here.
            actual = self.events.sequences(connection, cached)
            cached = {i: h for i, h in cached.items() if actual.get(i, 0) == h.sequence}
        streams = self.events.streams(connection, ids - cached.keys())
        heads = dict(cached)
        for ticket_id in ids - cached.keys():
            heads[ticket_id] = _head(streams.get(ticket_id, ()))
        next_number = 0
        if any(isinstance(c.command, CreateTicket) for c in commands):
            t = self.tables.counters
            query = select(t.c.value).where(t.c.name == NUMBERS)
            next_number = (connection.execute(query).scalar() or 0) + 1
        return _Batch(heads, self._known(connection, commands), next_number)

    def _known(self, connection: Connection, commands: Sequence[CommandEnvelope]) -> dict[str, Any]:
        t = self.tables.command_log
        ids = list({c.command_id for c in commands})
        known: dict[str, Any] = {}
        for start in range(0, len(ids), 500):
            query = select(t).where(t.c.command_id.in_(ids[start : start + 500]))
            known.update({row.command_id: row._asdict() for row in connection.execute(query)})
        return known

    # -- deciding -----------------------------------------------------------------------------

    def _one(self, batch: _Batch, envelope: CommandEnvelope) -> Outcome:
        fingerprint = fingerprint_of(envelope)
        known = batch.known.get(envelope.command_id)
        if known is not None:
            return again(known, envelope, fingerprint)
        head = batch.heads.get(envelope.ticket_id)
        if head is None:
            head = batch.heads[envelope.ticket_id] = _Head(None, 0, GENESIS)
        now = self.store.clock.now()
        try:
            events = self._decide(envelope, head.state, now, batch.next_number)
            outcome = self._record(batch, envelope, head, events, now)
        except Poison as bad:
            no = Rejected(bad.code, bad.detail, status=bad.status)
            outcome = refused(envelope, no, head.sequence)
        except self._refusals as refusal:
            outcome = refused(envelope, refusal, head.sequence)  # type: ignore[arg-type]
        except Exception as error:
            log.exception("decide_failed", command=envelope.type, command_id=envelope.command_id)
            return Outcome(
                envelope.command_id,
                envelope.ticket_id,
                "failed",
                code="internal_error",
                detail=f"deciding this command failed: {type(error).__name__}",
                http_status=500,
            )
        row = log_row(envelope, outcome, fingerprint)
        batch.known[envelope.command_id] = row
        batch.log_rows.append(row)
        return outcome

    def _record(
        self,
        batch: _Batch,
        envelope: CommandEnvelope,
        head: _Head,
        events: Sequence[Event],
        now: datetime,
    ) -> Outcome:
        correlation, causation, traceparent = links(envelope)
        number: int | None = None
        state, sequence, previous = head.state, head.sequence, head.hash
        frames: list[StoredFrame] = []
        envelopes: list[EventEnvelope] = []
        for event in events:
            sequence += 1
            frame = record_event(
                event,
                stream_id=envelope.ticket_id,
                sequence=sequence,
                time=envelope.time or now,
                recorded_time=now,
                actor=envelope.actor,
                correlation_id=correlation,
                causation_id=causation,
                traceparent=traceparent,
                previous_hash=previous,
            )
            if len(frame.data) > EVENT_BYTES_MAX:
                raise EventTooLarge(len(frame.data))
            recorded = EventEnvelope(
                self.events.source,
                event.TYPE,
                envelope.ticket_id,
                sequence,
                0,
                envelope.time or now,
                now,
                envelope.actor,
                correlation,
                causation,
                previous,
                frame.hash,
                frame.data,
                traceparent,
                event,
            )
            state, previous = evolve(state, recorded), frame.hash
            frames.append(frame)
            envelopes.append(recorded)
            if isinstance(event, TicketCreated):
                number = event.number
        batch.frames += frames
        batch.envelopes += envelopes
        if number is not None:
            batch.next_number = max(batch.next_number, number + 1)
            batch.number_rows.append({"number": number, "ticket_id": envelope.ticket_id})
        # A new head, never a changed one: the cached one must stay true if the commit fails.
        batch.heads[envelope.ticket_id] = _Head(state, sequence, previous)
        return Outcome(
            envelope.command_id,
            envelope.ticket_id,
            "accepted",
            sequence=sequence,
            events=len(frames),
            number=number,
        )

    # -- writing ------------------------------------------------------------------------------

    def _save(self, connection: Connection, batch: _Batch, *, numbers_taken: bool) -> None:
        positions = self.events.append(connection, batch.frames)
        for envelope, position in zip(batch.envelopes, positions, strict=True):
            envelope.position = position
        if batch.log_rows:
            connection.execute(insert(self.tables.command_log), batch.log_rows)
        if batch.number_rows:
            connection.execute(insert(self.tables.ticket_numbers), batch.number_rows)
        if numbers_taken:
            row = {"name": NUMBERS, "value": batch.next_number - 1}
            upsert(connection, self.tables.counters, [row])

    def _remember(self, batch: _Batch) -> None:
        for ticket_id, head in batch.heads.items():
            if head.sequence:
                self._cache[ticket_id] = head
                self._cache.move_to_end(ticket_id)
        while len(self._cache) > CACHED_TICKETS_MAX:
            self._cache.popitem(last=False)


def _head(events: Sequence[EventEnvelope]) -> _Head:
    state: Ticket | None = None
    for event in events:
        state = evolve(state, event)
    return _Head(state, events[-1].sequence, events[-1].hash) if events else _Head(None, 0, GENESIS)


__all__ = ["CommitTables", "GroupCommit", "Outcome"]

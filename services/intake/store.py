"""Load, decide, append: the one way by which a command reaches a ticket, and the books kept of it.

`Desk` decides commands on the event store. `Books` are small tables written in the transaction that
appends the events, so that they always agree with the store: the intake ledger, and which tickets
wait to be closed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    select,
    text,
    true,
    update,
)

from libs.events import CommandEnvelope, Event, EventEnvelope, Status, Ticket
from libs.events.commands import AddMessage, CreateTicket, LinkTicket, MergeTicket
from libs.events.ticket import (
    ImportedTicketActivated,
    MessageAdded,
    StatusChanged,
    TicketCreated,
)
from libs.runtime import parking
from libs.runtime.clock import monotonic_s
from libs.runtime.commit import CommitTables, Decide, GroupCommit, Outcome
from libs.runtime.database import upsert
from libs.runtime.errors import Transient
from libs.runtime.eventstore import EventStore
from libs.runtime.logs import get_logger
from libs.runtime.metrics import Metrics
from libs.runtime.store import ServiceStore
from services.intake.domain import (
    DecisionContext,
    DomainSettings,
    Refused,
    decide,
    follow_up,
    refuse_other,
)
from services.intake.requirements import RequirementsBook

log = get_logger(__name__)

COLUMNS: Final = ("received", "ticketed", "appended", "rejected", "duplicates")
ACCOUNTED: Final = ("ticketed", "appended", "quarantined", "rejected")
UNKNOWN_CHANNEL: Final = "unknown"
"""Where requests are counted that are too broken to say by which channel they came."""

_COUNT: Final = text(
    f"INSERT INTO intake_ledger (channel, {', '.join(COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES (:channel, {', '.join(':' + name for name in COLUMNS)}) "
    "ON CONFLICT (channel) DO UPDATE SET "
    + ", ".join(f"{name} = intake_ledger.{name} + excluded.{name}" for name in COLUMNS)
)


class Books:
    """The tables `intake_ledger` and `solved_tickets`. Its hooks run in the writer thread."""

    def __init__(self, metadata: MetaData, metrics: Metrics) -> None:
        self._metrics = metrics
        self.ledger = Table(
            "intake_ledger",
            metadata,
            Column("channel", String(50), primary_key=True),
            *(Column(name, BigInteger, nullable=False) for name in COLUMNS),
        )
        self.solved = Table(
            "solved_tickets",
            metadata,
            Column("ticket_id", String(250), primary_key=True),
            Column("solved_at", String(40), nullable=False),
            Column("live", Boolean, nullable=False),
            Index("solved_tickets_due", "live", "solved_at"),
        )

    # -- hooks of the group commit --------------------------------------------------------------

    def on_recorded(self, connection: Connection, envelopes: Sequence[EventEnvelope]) -> None:
        """Count what came in, and keep track of solved tickets."""
        counts: dict[str, Counter[str]] = {}
        solved: dict[str, dict[str, Any] | None] = {}
        activated: list[dict[str, Any]] = []
        for envelope in envelopes:
            event = envelope.event
            if isinstance(event, TicketCreated):
                counts.setdefault(event.channel, Counter())["ticketed"] += 1
            elif isinstance(event, MessageAdded) and event.author == "requester":
                counts.setdefault(event.channel, Counter())["appended"] += 1
            if isinstance(event, TicketCreated | StatusChanged):
                self._note_solved(solved, envelope, event)
            elif isinstance(event, ImportedTicketActivated):
                activated.append({"b_ticket": envelope.stream_id})
        self._count(connection, counts)
        self._save_solved(connection, solved)
        if activated:
            t = self.solved
            connection.execute(
                update(t).where(t.c.ticket_id == bindparam("b_ticket")).values(live=true()),
                activated,
            )

    @staticmethod
    def _note_solved(
        solved: dict[str, dict[str, Any] | None],
        envelope: EventEnvelope,
        event: TicketCreated | StatusChanged,
    ) -> None:
        if event.status is Status.SOLVED:
            if isinstance(event, StatusChanged) and event.previous is Status.SOLVED:
                return  # another sub-status: it was solved before
            solved[envelope.stream_id] = {
                "ticket_id": envelope.stream_id,
                "solved_at": _sortable(envelope.time),
                "live": not envelope.actor.startswith("import:"),
            }
        elif isinstance(event, StatusChanged):
            solved[envelope.stream_id] = None

    def _save_solved(
        self, connection: Connection, solved: dict[str, dict[str, Any] | None]
    ) -> None:
        upsert(connection, self.solved, [row for row in solved.values() if row])
        self.forget(connection, [ticket_id for ticket_id, row in solved.items() if row is None])

    def on_outcomes(
        self, connection: Connection, pairs: Sequence[tuple[CommandEnvelope, Outcome]]
    ) -> None:
        """Count what was refused or came twice. What was accepted is counted by its events; a
        message that needs a follow-up is counted by that."""
        counts: dict[str, Counter[str]] = {}
        outcomes: Counter[tuple[str, str]] = Counter()
        for envelope, outcome in pairs:
            outcomes[envelope.type, outcome.status] += 1
            if outcome.status == "accepted" or outcome.code == "closed_needs_follow_up":
                continue
            command = envelope.command
            if isinstance(command, AddMessage) and command.author != "requester":
                continue
            if isinstance(command, CreateTicket | AddMessage):
                again = outcome.status == "duplicate" or outcome.extra.get("repeated", False)
                column = "duplicates" if again else "rejected"
                channel = command.channel or UNKNOWN_CHANNEL
                counts.setdefault(channel, Counter())[column] += 1
        self._count(connection, counts)
        for (type_name, status), number in outcomes.items():
            self._metrics.commands.labels(type_name, status).inc(number)

    # -- the ledger -----------------------------------------------------------------------------

    def count_malformed(self, connection: Connection, number: int) -> None:
        """Requests that were no commands at all."""
        self._count(connection, {UNKNOWN_CHANNEL: Counter(rejected=number)})

    def _count(self, connection: Connection, counts: dict[str, Counter[str]]) -> None:
        rows = [
            {
                "channel": str(channel),
                **{name: counter[name] for name in COLUMNS},
                "received": counter.total() - counter["duplicates"],
            }
            for channel, counter in counts.items()
        ]
        if rows:
            connection.execute(_COUNT, rows)

    def ledger_by_channel(self, connection: Connection) -> dict[str, dict[str, int]]:
        """Channel → the counts. Quarantined are the commands that lie parked now."""
        channels: dict[str, dict[str, int]] = {
            row.channel: {name: getattr(row, name) for name in COLUMNS} | {"quarantined": 0}
            for row in connection.execute(select(self.ledger).order_by(self.ledger.c.channel))
        }
        parked = sum(parking.count_parked(connection).values())
        if parked:
            broken = channels.setdefault(
                UNKNOWN_CHANNEL, dict.fromkeys((*COLUMNS, "quarantined"), 0)
            )
            broken["received"] += parked
            broken["quarantined"] += parked
        return channels

    @staticmethod
    def unaccounted(counts: Mapping[str, int]) -> int:
        """How much of what was received has become nothing that is counted: 0, or something is wrong."""
        return counts["received"] - sum(counts[name] for name in ACCOUNTED)

    @staticmethod
    def count_tickets(connection: Connection, tables: CommitTables) -> int:
        """The tickets in the store. Reads all of their numbers."""
        count = select(func.count()).select_from(tables.ticket_numbers)
        return connection.execute(count).scalar_one()

    def read_ledger(self, connection: Connection, tables: CommitTables) -> dict[str, Any]:
        """The counts by channel and in total. `balanced`: everything received is accounted for, and as
        many tickets are counted as there are."""
        channels = self.ledger_by_channel(connection)
        total = {
            name: sum(counts[name] for counts in channels.values())
            for name in (*COLUMNS, "quarantined")
        }
        tickets = self.count_tickets(connection, tables)
        return {
            "channels": channels,
            "total": total,
            "tickets": tickets,
            "balanced": self.unaccounted(total) == 0 and total["ticketed"] == tickets,
        }

    # -- closing --------------------------------------------------------------------------------

    def due(self, connection: Connection, before: datetime, limit: int) -> list[str]:
        """Live tickets solved at or before that instant, the longest solved first."""
        t = self.solved
        query = (
            select(t.c.ticket_id)
            .where(t.c.live == true(), t.c.solved_at <= _sortable(before))
            .order_by(t.c.solved_at)
            .limit(limit)
        )
        return [row[0] for row in connection.execute(query)]

    def forget(self, connection: Connection, ticket_ids: Sequence[str]) -> None:
        """These do not wait to be closed."""
        if ticket_ids:
            t = self.solved
            connection.execute(
                delete(t).where(t.c.ticket_id == bindparam("b_ticket")),
                [{"b_ticket": ticket_id} for ticket_id in ticket_ids],
            )

    def not_live(self, connection: Connection, ticket_ids: Sequence[str]) -> None:
        """These are imported history: they wait until they are handed to the desk."""
        if ticket_ids:
            t = self.solved
            connection.execute(update(t).where(t.c.ticket_id.in_(ticket_ids)).values(live=False))


def _sortable(instant: datetime) -> str:
    """RFC 3339 in UTC, always with microseconds, so that it sorts as text."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def make_decide(
    settings: DomainSettings, events: EventStore, requirements: RequirementsBook
) -> Decide:
    """The domain's `decide` as the group commit calls it, with the other ticket looked up where
    a command names one, and with the requirements that hold now."""

    def decide_one(
        envelope: CommandEnvelope, ticket: Ticket | None, now: datetime, next_number: int
    ) -> tuple[Event, ...]:
        command = envelope.command
        if isinstance(command, MergeTicket | LinkTicket) and ticket is not None:
            other = command.into if isinstance(command, MergeTicket) else command.other
            if other != ticket.id:
                refuse_other(command, events.tickets([other]).get(other))
        context = DecisionContext(now, next_number, settings, requirements.current)
        return decide(envelope, ticket, context)

    return decide_one


class Desk(GroupCommit):
    """The one way to a ticket, whatever edge a command comes from.

    `on_batch` is told how many commands a commit carried, `took` in how many seconds a call of
    `submit_many` was answered. Beyond the group commit it opens the follow-up that a message on a closed ticket needs, and
    lets one merge be decided at a time, so that two tickets are never merged into each other.
    """

    def __init__(
        self,
        store: ServiceStore,
        events: EventStore,
        tables: CommitTables,
        books: Books,
        requirements: RequirementsBook,
        *,
        settings: DomainSettings,
        on_batch: Callable[[int], None],
        took: Callable[[float], None],
    ) -> None:
        super().__init__(
            store,
            events,
            tables,
            decide=make_decide(settings, events, requirements),
            refusals=(Refused,),
            before_deciding=requirements.before_deciding,
            on_recorded=books.on_recorded,
            on_outcomes=books.on_outcomes,
            on_batch=on_batch,
        )
        self._took = took
        self.books = books
        self.requirements = requirements
        self._merging = asyncio.Lock()
        self._malformed = 0
        self._counting = asyncio.Lock()
        self._noting: asyncio.Task[None] | None = None

    async def submit_many(
        self, envelopes: Sequence[CommandEnvelope], *, publish_rejections: bool = False
    ) -> list[Outcome]:
        """As the group commit's. A message that became a follow-up is answered as accepted, with
        the new ticket's id, number and sequence, and `follow_up_of` in `extra`."""
        began_s = monotonic_s()
        outcomes = await self._submit(envelopes, publish_rejections)
        self._took(monotonic_s() - began_s)
        return outcomes

    async def _submit(
        self, envelopes: Sequence[CommandEnvelope], publish_rejections: bool
    ) -> list[Outcome]:
        if not any(isinstance(envelope.command, MergeTicket) for envelope in envelopes):
            return await self._submit_plain(envelopes, publish_rejections)
        outcomes: list[Outcome] = []
        async with self._merging:
            for group in _merges_apart(envelopes):
                outcomes += await self._submit_plain(group, publish_rejections)
        return outcomes

    async def _submit_plain(
        self, envelopes: Sequence[CommandEnvelope], publish_rejections: bool
    ) -> list[Outcome]:
        outcomes = await super().submit_many(envelopes, publish_rejections=publish_rejections)
        for place, outcome in enumerate(outcomes):
            if outcome.code == "closed_needs_follow_up":
                outcomes[place] = await self._follow_up(envelopes[place], outcome)
        return outcomes

    async def _follow_up(self, envelope: CommandEnvelope, refused: Outcome) -> Outcome:
        closed = await self.ticket(envelope.ticket_id)
        if closed is None:
            return refused
        opened, linked = follow_up(envelope, closed)
        first, second = await super().submit_many([opened, linked])
        if first.status not in {"accepted", "duplicate"}:
            return replace(first, command_id=envelope.command_id)
        return replace(
            first,
            command_id=envelope.command_id,
            events=first.events + second.events,
            extra={"follow_up_of": closed.id},
        )

    async def ticket(self, ticket_id: str) -> Ticket | None:
        """The present state of a ticket, or None when there is none."""
        found = await asyncio.to_thread(self.events.tickets, [ticket_id])
        return found.get(ticket_id)

    async def tickets(self, ticket_ids: Sequence[str]) -> list[Ticket]:
        """The present states of those of these tickets that exist, in the order asked for."""
        found = await asyncio.to_thread(self.events.tickets, ticket_ids)
        return [found[ticket_id] for ticket_id in ticket_ids if ticket_id in found]

    async def history(self, ticket_id: str) -> list[EventEnvelope]:
        """All events of a ticket, in order."""
        return await asyncio.to_thread(self.events.history, ticket_id)

    async def find_number(self, number: int) -> str | None:
        """The id of the ticket with this number."""
        t = self.tables.ticket_numbers
        query = select(t.c.ticket_id).where(t.c.number == number)
        return await self.store.read(lambda connection: connection.execute(query).scalar())

    async def ledger(self) -> dict[str, Any]:
        """The intake ledger, with everything counted so far. Raises Transient."""
        await self._write_malformed()
        return await self.store.read(lambda c: self.books.read_ledger(c, self.tables))

    def note_malformed(self, number: int = 1) -> None:
        """Count requests that were no commands; written soon, many at once."""
        self._malformed += number
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._note())

    async def _note(self) -> None:
        try:
            await self._write_malformed()
        except Transient as error:
            # The count is kept, and written with the next one.
            log.warning("ledger_not_written", waiting=self._malformed, error=error.detail)

    async def _write_malformed(self) -> None:
        async with self._counting:
            while self._malformed:
                number, self._malformed = self._malformed, 0
                try:
                    await self.store.write(lambda c, _, n=number: self.books.count_malformed(c, n))  # type: ignore[misc]
                except BaseException:
                    self._malformed += number
                    raise


def _merges_apart(envelopes: Sequence[CommandEnvelope]) -> list[list[CommandEnvelope]]:
    """The commands in order, each merge in a group of its own."""
    groups: list[list[CommandEnvelope]] = [[]]
    for envelope in envelopes:
        if isinstance(envelope.command, MergeTicket):
            groups += [[envelope], []]
        else:
            groups[-1].append(envelope)
    return [group for group in groups if group]

"""A routing desk with a small intake beside it: what routing asks for is decided and comes back.

The topics are lists: nothing is delivered until a test says so, so that every order can be tried.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import MetaData, delete, select

from libs.events import (
    EVENTS,
    CommandEnvelope,
    Event,
    EventEnvelope,
    Malformed,
    Status,
    Ticket,
    decode_command,
    evolve,
)
from libs.events.chain import GENESIS
from libs.events.commands import AssignTicket, EscalateTicket, UnassignTicket
from libs.events.rejection import CommandRejected
from libs.events.routing import TicketRouted
from libs.events.ticket import (
    Assigned,
    Escalated,
    Requester,
    StatusChanged,
    TicketCreated,
    Unassigned,
)
from libs.events.topics import ROUTING_DECISIONS, TICKETS_COMMANDS
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.mapper import envelope_of, record_event, unpack_headers
from libs.runtime.store import ServiceStore
from services.routing.domain import Agent, AgentCommand, Work
from services.routing.domain.agent_commands import RegisterAgent, SetPresence
from services.routing.domain.rules import RoutingRules
from services.routing.handlers import RoutingHandler
from services.routing.store import Desk, Timing
from services.routing.store.offers import Answer
from services.routing.views.tables import Offer

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
SETTLED = (Status.SOLVED, Status.CLOSED)


def tid(number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"ticket {number}"))


def agent_of(asked: CommandEnvelope) -> str | None:
    assert isinstance(asked.command, AssignTicket)
    return asked.command.agent


T1, T2, T3, T4 = (tid(n) for n in range(1, 5))


def envelope(
    stream_id: str,
    sequence: int,
    event: Event,
    time: datetime,
    *,
    source: str = "/bitacora/intake",
    actor: str = "system",
    cause: str = "",
) -> EventEnvelope:
    frame = record_event(
        event,
        stream_id=stream_id,
        sequence=sequence,
        time=time,
        recorded_time=time,
        actor=actor,
        correlation_id="",
        causation_id=cause,
        traceparent=None,
        previous_hash=GENESIS,
    )
    return envelope_of(
        source=source,
        type_name=frame.type,
        stream_id=stream_id,
        sequence=sequence,
        position=sequence,
        meta=frame.meta,
        data=frame.data,
    )


def created(number: int = 1, **values: Any) -> TicketCreated:
    given = {"channel": "email", "subject": "help", "requester": Requester(id="r1"), **values}
    return TicketCreated(number=number, **given)


@dataclass
class Intake:
    """Decides `AssignTicket` and `UnassignTicket` as intake does; holds the truth about tickets."""

    clock: ManualClock
    tickets: dict[str, Ticket] = field(default_factory=dict)
    events: list[EventEnvelope] = field(default_factory=list)
    rejections: list[EventEnvelope] = field(default_factory=list)

    def record(
        self, ticket_id: str, *events: Event, actor: str = "system", cause: str = ""
    ) -> None:
        for event in events:
            state = self.tickets.get(ticket_id)
            sequence = state.sequence + 1 if state else 1
            now = self.clock.now()
            made = envelope(ticket_id, sequence, event, now, actor=actor, cause=cause)
            self.tickets[ticket_id] = evolve(state, made)
            self.events.append(made)

    def decide(self, asked: CommandEnvelope) -> None:
        ticket, command = self.tickets[asked.ticket_id], asked.command
        if isinstance(command, AssignTicket):
            if (command.group, command.agent) == (ticket.group, ticket.agent):
                return
            if ticket.status in SETTLED:
                self._reject(asked, "not_assignable")
            elif command.if_unassigned and ticket.agent is not None:
                self._reject(asked, "already_assigned")
            elif command.if_group not in {None, ticket.group or ""}:
                self._reject(asked, "group_changed")
            else:
                self.assign(ticket.id, command.agent, command.group, command.decision_id)
        elif isinstance(command, UnassignTicket):
            if command.if_agent not in {None, ticket.agent}:
                self._reject(asked, "not_held_by")
            elif ticket.agent is not None:
                fact = Unassigned(previous_agent=ticket.agent)
                self.record(ticket.id, fact, actor=asked.actor, cause=asked.command_id)
        elif isinstance(command, EscalateTicket) and ticket.tier < 3:
            tier = command.tier or ticket.tier + 1
            if tier <= ticket.tier:
                return
            raised = Escalated(tier=tier, previous_tier=ticket.tier, cause=command.cause)
            self.record(ticket.id, raised, actor=asked.actor)

    def assign(
        self,
        ticket_id: str,
        agent: str | None,
        group: str | None = None,
        decision: str | None = None,
    ) -> None:
        ticket = self.tickets[ticket_id]
        self.record(ticket_id, Assigned(group=group, agent=agent, decision_id=decision))
        if ticket.status is Status.NEW and agent is not None:
            self.status(ticket_id, Status.OPEN)

    def status(self, ticket_id: str, status: Status) -> None:
        self.record(
            ticket_id, StatusChanged(status=status, previous=self.tickets[ticket_id].status)
        )

    def _reject(self, asked: CommandEnvelope, code: str) -> None:
        rejected = CommandRejected(
            command_id=asked.command_id,
            command_type=asked.type,
            ticket_id=asked.ticket_id,
            code=code,
            detail=code,
        )
        self.rejections.append(envelope(asked.command_id, 1, rejected, self.clock.now()))

    def held(self) -> dict[str, int]:
        loads: dict[str, int] = defaultdict(int)
        for ticket in self.tickets.values():
            if ticket.agent and ticket.status in (Status.NEW, Status.OPEN) and ticket.live:
                loads[ticket.agent] += 1
        return loads


class House:
    """`turn` lets another routing process on the same database do the work from then on."""

    def __init__(
        self,
        url: str,
        *,
        rules: RoutingRules | None = None,
        timing: Timing | None = None,
        processes: int = 1,
    ) -> None:
        self.clock = ManualClock(START)
        self.processes = [
            self._process(url, rules or RoutingRules(), timing) for _ in range(processes)
        ]
        self.turn(0)
        self.tables = self.desk.tables
        self.store.create_tables()
        with self.store.database.transaction() as connection:
            for table in self.store.metadata.sorted_tables:
                connection.execute(delete(table))
        self.intake = Intake(self.clock)
        self._read = 0
        self.asked: list[CommandEnvelope] = []
        self.facts: list[Event] = []

    @property
    def decisions(self) -> list[TicketRouted]:
        """The decision records that were read with `commands`."""
        return [fact for fact in self.facts if isinstance(fact, TicketRouted)]

    def _process(
        self, url: str, rules: RoutingRules, timing: Timing | None
    ) -> tuple[ServiceStore, Desk]:
        metadata = MetaData()
        database = Database(url)
        store = ServiceStore(database, metadata, source="/bitacora/routing", clock=self.clock)
        return store, Desk(metadata, rules, self.clock, timing)

    def turn(self, process: int) -> None:
        self.store, self.desk = self.processes[process]
        self.handler = RoutingHandler(self.desk)

    def close(self) -> None:
        for store, _ in self.processes:
            store.close()

    # -- agents

    def change(self, agent_id: str, command: AgentCommand, actor: str = "system") -> Agent:
        agent, _ = self.store.write_now(self.desk.change_agent(agent_id, command, actor))
        return agent

    def agent(self, agent_id: str, capacity: int = 1, **values: Any) -> None:
        """A new agent, online."""
        self.change(agent_id, RegisterAgent(agent_id, capacity, **values))
        self.change(agent_id, SetPresence("online"))

    def put_rules(self, rules: RoutingRules) -> None:
        self.store.write_now(self.desk.put_rules(rules, "agent:lead", None, None))

    # -- offers

    def offers(self, agent_id: str) -> list[Offer]:
        """The open offers to this agent."""
        with self.store.database.reading() as connection:
            found = self.tables.offers_to(connection, agent_id)
        return [offer for offer in found if offer.state == "open"]

    def reply(self, offer: Offer, answer: Answer, agent_id: str | None = None) -> Offer:
        change = self.desk.answer_offer(offer.id, agent_id or offer.agent, answer)
        answered, _ = self.store.write_now(change)
        return answered

    def told(self) -> list[tuple[str, str]]:
        """(agent, kind) of every notification, in order."""
        with self.store.database.reading() as connection:
            rows = self.desk.notifications.rows.c
            query = select(rows.agent, rows.kind).order_by(rows.created_us, rows.kind, rows.agent)
            return [(row[0], row[1]) for row in connection.execute(query)]

    # -- tickets

    def ticket(self, ticket_id: str, **values: Any) -> None:
        """A new ticket, and routing hears of it a second after the one before."""
        self.clock.advance(1)
        self.intake.record(ticket_id, created(len(self.intake.tickets) + 1, **values))
        self.deliver()

    def deliver(self, *, events: int | None = None, rejections: int | None = None) -> bool:
        """The next events and rejections reach routing, in one poll (None: all). False when there
        were none."""
        batch = _take(self.intake.events, events) + _take(self.intake.rejections, rejections)
        if batch:
            self.apply(*batch)
        return bool(batch)

    def apply(self, *envelopes: EventEnvelope) -> None:
        self.store.write_now(lambda c, out: self.handler.apply(c, envelopes, out))

    def sweep(self) -> int:
        answer, _ = self.store.write_now(self.desk.sweep)
        return answer

    def commands(self) -> list[CommandEnvelope]:
        """What routing asked for since the last call."""
        rows = self.store.outbox.rows
        query = select(rows).where(rows.c.position > self._read).order_by(rows.c.position)
        found: list[CommandEnvelope] = []
        with self.store.database.reading() as connection:
            for row in connection.execute(query):
                self._read = row.position
                if row.topic == TICKETS_COMMANDS:
                    command = decode_command_lenient(row.data, unpack_headers(row.meta))
                    found.append(command)
                elif row.topic == ROUTING_DECISIONS:
                    self.facts.append(EVENTS.decode(row.type, row.data))
        self.asked += found
        return found

    def answer(self) -> None:
        """Intake decides everything asked so far, and routing hears of it, until all is quiet."""
        while (commands := self.commands()) or self.intake.events or self.intake.rejections:
            for command in commands:
                self.intake.decide(command)
            self.deliver()

    # -- looking

    def work(self, ticket_id: str) -> Work:
        with self.store.database.reading() as connection:
            return self.tables.tickets.get(connection, [ticket_id])[ticket_id]

    def works(self) -> list[Work]:
        with self.store.database.reading() as connection:
            return list(self.tables.tickets.get(connection, self.intake.tickets).values())

    def agents(self) -> list[Agent]:
        """All of them, those who left included."""
        with self.store.database.reading() as connection:
            return self.tables.agents_since(connection, 0)

    def all_offers(self) -> list[Offer]:
        with self.store.database.reading() as connection:
            rows = self.tables.offers
            return [Offer(*row) for row in connection.execute(select(rows).order_by(rows.c.id))]

    def loads(self) -> dict[str, int]:
        with self.store.database.reading() as connection:
            return self.desk.loads(connection)[0]

    def holder(self, ticket_id: str) -> str | None:
        return self.intake.tickets[ticket_id].agent


def decode_command_lenient(data: bytes, headers: Any) -> CommandEnvelope:
    command = decode_command(data, headers)
    assert not isinstance(command, Malformed), command
    return command


def _take(topic: list[EventEnvelope], count: int | None) -> list[EventEnvelope]:
    taken = topic[:count]
    del topic[: len(taken)]
    return taken

"""What changes routing's state: ticket events, refusals, changes of agents, and the sweep.

Each is one transaction: the state, the reservations, the decision records and the commands are
written together, or not at all.

Who guarantees that no ticket and no unit of capacity is given away twice: on SQLite the write lock
that BEGIN IMMEDIATE takes before anything is read; on PostgreSQL a transaction-scoped advisory lock
that every one of these transactions takes first (`_lock`), so that any number of routing processes
take turns. Whatever is read after it is the last committed state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid5

from sqlalchemy import Connection, text

from libs.events import CommandEnvelope, EventEnvelope, ticket
from libs.events.commands import UnassignTicket
from libs.events.rejection import CommandRejected
from libs.events.topics import AGENTS_EVENTS
from libs.runtime.clock import Clock
from libs.runtime.errors import Rejected
from libs.runtime.outbox import Outgoing
from services.routing.domain import Agent, AgentCommand, NeedsRules, Roster, Work, needs_of
from services.routing.domain import agent as agents_
from services.routing.domain import work as works_
from services.routing.store.dispatch import ACTOR, NAMESPACE, Cause, Dispatch
from services.routing.views import Tables

LOCK_KEY: Final = 0x726F7574
SWEEP_MAX: Final = 500
BACKOFF_DOUBLINGS_MAX: Final = 6

TRIGGERS: Final[dict[type, str]] = {
    ticket.TicketCreated: "ticket_created",
    ticket.Assigned: "ticket_in_group",
    ticket.Unassigned: "ticket_unassigned",
    ticket.StatusChanged: "status_changed",
    ticket.PriorityChanged: "priority_changed",
    ticket.CategoryChanged: "category_changed",
    ticket.Escalated: "ticket_escalated",
    ticket.ImportedTicketActivated: "ticket_activated",
    CommandRejected: "assignment_refused",
}
"""What a decision record says about the event that made routing look at a ticket."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Real seconds; an accelerated clock gets as many more of its own.

    `answer_s`: how long intake may take to answer a command before it is asked again (doubled each
    time, up to 64-fold). `retry_s`: how long a refused ticket stays out of the queue unless an event
    of it arrives first (doubled likewise). `look_back`: waiting tickets that one sweep looks at.
    """

    answer_s: float = 60.0
    retry_s: float = 1.0
    look_back: int = 100


class Desk:
    """Thread-safe as far as its transactions are: the roster that it caches is only ever replaced,
    and checked against the database under the lock before it is used."""

    def __init__(
        self, tables: Tables, rules: NeedsRules, clock: Clock, timing: Timing | None = None
    ) -> None:
        self.tables = tables
        self.rules = rules
        self.timing = timing or Timing()
        self._clock = clock
        self._roster = Roster((), rules)

    # ------------------------------------------------------------------------- consumed events

    def apply(
        self, connection: Connection, envelopes: Sequence[EventEnvelope], outgoing: Outgoing
    ) -> None:
        """Fold the events into the tickets, and assign what can be assigned now.

        Tickets that are not live (imported history) only have their rows kept.
        """
        _lock(connection)
        before = self.tables.works(connection, _touched(envelopes))
        after = dict(before)
        last: dict[str, EventEnvelope] = {}
        for envelope in envelopes:
            work = self._fold(after, envelope)
            if work is not None:
                after[work.id] = work
                last[work.id] = envelope
        self.tables.save_works(connection, (after[i] for i in last), self.rules)
        tickets: dict[str, tuple[Work, Cause]] = {}
        freed: dict[str, Cause] = {}
        for ticket_id, envelope in last.items():
            work = after[ticket_id]
            if not work.live:
                continue
            if work.waiting:
                tickets[ticket_id] = (work, _cause(envelope))
            for agent_id in _units(before.get(ticket_id)) - _units(work):
                freed.setdefault(agent_id, Cause("agent_freed", envelope.id, envelope))
        if tickets or freed:
            self._dispatch(connection, outgoing, self.roster(connection)).run(tickets, freed)

    def _fold(self, works: dict[str, Work], envelope: EventEnvelope) -> Work | None:
        event = envelope.event
        if isinstance(event, CommandRejected):
            work = works.get(event.ticket_id)
            if work is None:
                return None
            retry_at = self._later(self.timing.retry_s, work.refusals)
            return works_.refuse(work, event.command_id, retry_at)
        return works_.evolve(works.get(envelope.stream_id), envelope)

    # ---------------------------------------------------------------------------------- agents

    def change_agent(
        self, agent_id: str, command: AgentCommand, actor: str, if_sequence: int | None = None
    ) -> Callable[[Connection, Outgoing], Agent]:
        """The transaction that carries out the command and gives the agent what waits for it.

        `if_sequence`: only if this is the agent's version. It answers with the agent as it is
        afterwards. Raises Rejected (the codes of `services.routing.domain.agent`).
        """

        def change(connection: Connection, outgoing: Outgoing) -> Agent:
            _lock(connection)
            roster = self.roster(connection)
            before = self.tables.agent(connection, agent_id)
            try:
                events = agents_.decide(agent_id, command, before, if_sequence)
            except agents_.Refused as refused:
                raise Rejected(
                    refused.code, refused.detail, status=refused.status, **refused.extra
                ) from refused
            agent, now = before or Agent(agent_id), self._clock.now()
            for event in events:
                agent = agents_.evolve(agent, event, now)
                outgoing.event(AGENTS_EVENTS, f"agent:{agent_id}", event, time=now, actor=actor)
            if not events:
                return agent
            revision = self.tables.revision(connection) + 1
            self.tables.save_agent(connection, agent, revision)
            # Not cached: this transaction may still be rolled back.
            changed = roster.updated([agent], revision)
            self._after_change(connection, outgoing, agent, roster, changed)
            return agent

        return change

    def _after_change(
        self,
        connection: Connection,
        outgoing: Outgoing,
        agent: Agent,
        before: Roster,
        after: Roster,
    ) -> None:
        cause = Cause("agent_changed", f"agent:{agent.id}:{agent.sequence}")
        if agent.retired:
            self._take_back(connection, outgoing, agent, cause)
        if before.known_skills != after.known_skills:
            # A skill came into the house or left it: what tickets need of everybody has changed.
            opened = dict.fromkeys(after.agents, cause)
        elif agent.presence == "online":
            opened = {agent.id: cause}
        else:
            return
        self._dispatch(connection, outgoing, after).run({}, opened)

    def _take_back(
        self, connection: Connection, outgoing: Outgoing, agent: Agent, cause: Cause
    ) -> None:
        """Ask intake to take the tickets of an agent who left: they come back as unassigned."""
        for work in self.tables.held_by(connection, agent.id):
            outgoing.command(
                CommandEnvelope(
                    command_id=str(uuid5(NAMESPACE, f"take_back:{work.id}:{cause.id}")),
                    ticket_id=work.id,
                    command=UnassignTicket(reason="the agent has left"),
                    actor=ACTOR,
                    causation_id=cause.id,
                )
            )

    # ----------------------------------------------------------------------------------- sweep

    def sweep(self, connection: Connection, outgoing: Outgoing) -> int:
        """The safety net: asks again where intake did not answer, lets refused tickets back into
        the queue, and looks once more at those at its head (in case the reasons why they wait
        have changed). Returns the number of assignments asked for."""
        _lock(connection)
        now = self._clock.now()
        roster = self.roster(connection)
        cause = Cause("sweep", f"sweep:{now.isoformat()}")
        unanswered: list[Work] = []
        back: list[Work] = []
        freed: dict[str, Cause] = {}
        for work in self.tables.overdue(connection, now, SWEEP_MAX):
            asked = work.reservation
            if asked is None:
                continue
            if work.eligible and roster.able(asked.agent, needs_of(work, self.rules)):
                unanswered.append(work)
            else:
                back.append(works_.release(work))
                freed[asked.agent] = cause
        back += [works_.retry(work) for work in self.tables.retries(connection, now, SWEEP_MAX)]
        self.tables.save_works(connection, back, self.rules)
        dispatch = self._dispatch(connection, outgoing, roster)
        for work in unanswered:
            asks = work.reservation.asks if work.reservation else 0
            dispatch.ask_again(work, self._later(self.timing.answer_s, asks))
        waiting = {w.id: w for w in self.tables.queue(connection, self.timing.look_back)}
        waiting |= {work.id: work for work in back if work.waiting}
        asked_for = dispatch.run({i: (work, cause) for i, work in waiting.items()}, freed)
        return asked_for + len(unanswered)

    def adopt_rules(self, connection: Connection, _: Outgoing) -> int:
        """Derive anew what the waiting tickets need: the rules may have changed since the last
        start. Returns the number of tickets that need something else now."""
        _lock(connection)
        changed = self.tables.outdated(connection, self.rules)
        self.tables.save_works(connection, changed, self.rules)
        return len(changed)

    # --------------------------------------------------------------------------------- helpers

    def roster(self, connection: Connection, *, keep: bool = True) -> Roster:
        """The agents as they are for this connection. `keep` False for a reader, whose snapshot may
        be older than what is cached."""
        cached = self._roster
        revision = self.tables.revision(connection)
        if revision == cached.revision:
            return cached
        since = cached.revision if revision > cached.revision else 0
        base = cached if since else Roster((), self.rules)
        roster = base.updated(self.tables.agents_since(connection, since), revision)
        if keep:
            self._roster = roster
        return roster

    def _dispatch(self, connection: Connection, outgoing: Outgoing, roster: Roster) -> Dispatch:
        deadline = self._later(self.timing.answer_s, 0)
        return Dispatch(self.tables, connection, outgoing, roster, deadline)

    def _later(self, seconds: float, doublings: int) -> datetime:
        wait = seconds * 2 ** min(doublings, BACKOFF_DOUBLINGS_MAX) * self._clock.rate
        return self._clock.now() + timedelta(seconds=wait)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})


def _touched(envelopes: Sequence[EventEnvelope]) -> set[str]:
    ids: set[str] = set()
    for envelope in envelopes:
        event = envelope.event
        if isinstance(event, CommandRejected):
            ids.add(event.ticket_id)
        elif works_.concerns(event):
            ids.add(envelope.stream_id)
    return ids


def _units(work: Work | None) -> set[str]:
    """The agents of whose capacity this ticket uses a unit."""
    if work is None:
        return set()
    reserved = work.reservation.agent if work.reservation else None
    return {agent for agent in (work.holder, reserved) if agent is not None}


def _cause(envelope: EventEnvelope) -> Cause:
    trigger = TRIGGERS.get(type(envelope.event), "ticket_changed")
    return Cause(trigger, envelope.id, envelope)

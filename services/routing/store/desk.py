"""What changes routing's state: ticket events, refusals, clocks, agents, rules, answers to offers, and
time.

Each is one transaction: the state, the reservations, the decision records, the commands and what
agents are to be told are written together, or not at all.

Who guarantees that no ticket and no unit of capacity is given away twice: on SQLite the write lock
that BEGIN IMMEDIATE takes before anything is read; on PostgreSQL a transaction-scoped advisory lock
that every one of these transactions takes first, so that any number of routing processes take turns
(`services.routing.store.memory`). Whatever is read after it is the last committed state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import Connection, MetaData

from libs.events import AgentCommandEnvelope, EventEnvelope
from libs.events.topics import AGENTS_EVENTS
from libs.runtime.clock import Clock
from libs.runtime.errors import Rejected
from libs.runtime.outbox import Outgoing
from services.routing.domain import agent as agents_
from services.routing.domain import work as works_
from services.routing.domain.agent import Agent
from services.routing.domain.agent_commands import AgentCommand, SetPresence
from services.routing.domain.capped import Longest
from services.routing.domain.floor import Floor
from services.routing.domain.rules import RoutingRules, VersionedRules
from services.routing.domain.work import Asked, Work
from services.routing.notify import Notifications
from services.routing.store import offers as offers_
from services.routing.store.hearing import ask_again, hear
from services.routing.store.memory import Memory
from services.routing.store.rules import current_rules, declare_rules, put_rules
from services.routing.store.step import ACTOR, Cause, Step
from services.routing.store.waits import tell_wait_reasons
from services.routing.views.tables import Offer, Tables

T = TypeVar("T")

BACKOFF_DOUBLINGS_MAX: Final = 6


@dataclass(frozen=True, slots=True)
class Timing:
    """Real seconds; an accelerated clock gets as many more of its own.

    `answer_s`: how long intake may take to answer a command before it is asked again (doubled each
    time, up to 64-fold). `retry_s`: how long a refused ticket stays out of the queue unless an event
    of it arrives first (doubled likewise).
    """

    answer_s: float = 60.0
    retry_s: float = 1.0


class Desk:
    """Thread-safe as far as its transactions are: all run in the one thread that writes."""

    def __init__(
        self,
        metadata: MetaData,
        defaults: RoutingRules,
        clock: Clock,
        timing: Timing | None = None,
        notifications: Notifications | None = None,
    ) -> None:
        self.tables = Tables(metadata)
        self.timing = timing or Timing()
        self.defaults = defaults
        self.clock = clock
        declare_rules(metadata)
        most = 2**BACKOFF_DOUBLINGS_MAX * clock.rate
        answer, retry = self.timing.answer_s * most, self.timing.retry_s * most
        longest = Longest(timedelta(seconds=answer), timedelta(seconds=retry))
        self._memory = Memory(metadata, self.tables, defaults, clock, longest)
        self.notifications = notifications or Notifications(metadata, clock)
        self._next_due: datetime | None = None
        self._news = True
        self._floor_seen: Floor | None = None

    # ------------------------------------------------------------------------- consumed events

    def apply(
        self, connection: Connection, envelopes: Sequence[EventEnvelope], outgoing: Outgoing
    ) -> None:
        """Fold the events into the tickets, and assign what can be assigned now.

        Tickets that are not live (imported history) only have their rows kept.
        """
        with self._step(connection, outgoing, Cause("sweep", "events")) as step:
            hear(step, envelopes, lambda refusals: self._later(self.timing.retry_s, refusals))

    # ---------------------------------------------------------------------------------- agents

    def change_agent(
        self,
        agent_id: str,
        command: AgentCommand,
        actor: str,
        if_sequence: int | None = None,
        asked_by: AgentCommandEnvelope | None = None,
    ) -> Callable[[Connection, Outgoing], Agent]:
        """The transaction that carries out the command and gives the agent what waits for it.

        It answers with the agent as it is afterwards. Raises Rejected (the codes of
        `services.routing.domain.agent`). `asked_by`: the message that asked for it, if one did.
        """

        def change(connection: Connection, outgoing: Outgoing) -> Agent:
            cause = Cause("agent_changed", f"agent:{agent_id}")
            with self._step(connection, outgoing, cause) as step:
                return self._change(step, agent_id, command, actor, if_sequence, asked_by)

        return change

    def _change(
        self,
        step: Step,
        agent_id: str,
        command: AgentCommand,
        actor: str,
        if_sequence: int | None = None,
        asked_by: AgentCommandEnvelope | None = None,
    ) -> Agent:
        before = self.tables.agent(step.connection, agent_id)
        try:
            events = agents_.decide(agent_id, command, before, if_sequence)
        except agents_.Refused as refused:
            raise Rejected(
                refused.code, refused.detail, status=refused.status, **refused.extra
            ) from refused
        agent = before or Agent(agent_id)
        for event in events:
            agent = agents_.evolve(agent, event, step.now)
            stream = f"agent:{agent_id}"
            step.outgoing.event(
                AGENTS_EVENTS, stream, event, time=step.now, actor=actor, cause=asked_by
            )
        if not events:
            return agent
        self.tables.save_agent(step.connection, agent, step.revision)
        step.floor.put_agent(agent, step.now)
        step.changed = True
        cause = Cause("agent_changed", f"agent:{agent.id}:{agent.sequence}", asked_by)
        step.freed[agent.id] = cause
        if agent.presence == "online":
            step.set_misses(agent.id, 0)
        step.withdraw_offers(agent.id, cause)
        if agent.retired:
            for work in step.held_by(agent.id):
                step.take_back(work, "retired", cause)
        return agent

    # ----------------------------------------------------------------------------------- rules

    def put_rules(
        self, rules: RoutingRules, actor: str, note: str | None, expected: int | None
    ) -> Callable[[Connection, Outgoing], VersionedRules]:
        """The transaction that puts a new rule set in force: what every waiting ticket needs is
        derived anew. Raises Rejected (see `services.routing.store.rules`)."""

        def change(connection: Connection, outgoing: Outgoing) -> VersionedRules:
            with self._step(connection, outgoing, Cause("rules_changed", "rules")) as step:
                now = step.now
                made = put_rules(connection, outgoing, rules, actor, note, expected, now=now)
                if made.version != step.floor.rules.version:
                    step.save()
                    step.use_floor(self._memory.load(connection))
                    step.other = Cause("rules_changed", f"rules:{made.version}")
                    step.withdraw_offers(None, step.other)
            return made

        return change

    # ---------------------------------------------------------------------------------- offers

    def answer_offer(
        self,
        offer_id: str,
        agent_id: str,
        answer: offers_.Answer,
        reason: str | None = None,
        asked_by: AgentCommandEnvelope | None = None,
    ) -> Callable[[Connection, Outgoing], Offer]:
        """The transaction that takes an agent's answer. Raises Rejected (see `offers`). `asked_by`:
        the message that asked for it, if one did."""

        def change(connection: Connection, outgoing: Outgoing) -> Offer:
            cause = Cause("offer_answered", f"offer:{offer_id}")
            with self._step(connection, outgoing, cause) as step:
                return offers_.answer(step, offer_id, agent_id, answer, reason, asked_by)

        return change

    # ----------------------------------------------------------------------------------- sweep

    def sweep(self, connection: Connection, outgoing: Outgoing) -> int:
        """What time brings: shifts begin and end, offers run out, needs are relaxed, absences grow
        too long, intake has not answered. Returns the number of tickets given out."""
        with self._step(connection, outgoing, Cause("sweep", f"sweep:{self.clock.now()}")) as step:
            pass
        if self._news:
            tell_wait_reasons(step)
            self._news = False
        return step.given

    @property
    def next_due(self) -> datetime | None:
        """When the next sweep has something to do; None: no need before something happens."""
        return self._next_due

    def _time_passes(self, step: Step) -> None:
        due = step.floor.advance(step.now)
        self._news = self._news or due.moved
        if not due.tickets and not due.away:
            return
        step.load(due.tickets)
        for ticket_id in sorted(due.tickets):
            work = step.works.get(ticket_id)
            if work is None:
                continue
            if work.retry_at is not None and work.retry_at <= step.now:
                step.put(works_.retry(work))
                step.causes.setdefault(work.id, step.other)
            elif work.reservation is not None and work.reservation.until <= step.now:
                self._unanswered(step, work)
            self._not_done(step, ticket_id)
        for agent_id in sorted(due.away):
            agent = step.floor.columns.get(agent_id)
            reason = step.floor.overdue_away(agent, step.now) if agent else None
            if agent is not None and reason is not None:
                cause = Cause("agent_away", f"agent:{agent.id}:{agent.sequence}:{reason}")
                for work in step.held_by(agent.id):
                    step.take_back(work, reason, cause)

    def _unanswered(self, step: Step, work: Work) -> None:
        """The agent has not answered the offer, or intake the command.

        Intake is asked for the same agent again, even when the agent has gone meanwhile or the
        ticket is somebody's: the first command may still be carried out, and the unit belongs to it
        until intake has spoken. The answer to the later command of one ticket comes after that to
        the earlier one; what it then should not have given is taken back.
        """
        asked = work.reservation
        agent = step.floor.columns.get(asked.agent) if asked else None
        if asked is None or agent is None:
            return
        if asked.kind == "offer":
            offers_.time_out(step, work, asked)
            if self._missed_too_often(step, agent):
                away = SetPresence("away", reason="missed_offers")
                self._change(step, agent.id, away, ACTOR)
                step.telling.tell(
                    "presence_lowered", agent.id, asked.decision_id, reason="missed_offers"
                )
            return
        if work.agent == asked.agent:  # asked for what was so already: intake says nothing to that
            step.put(works_.release(work))
            return
        until = self._later(self.timing.answer_s, asked.asks)
        if work.taking_back is not None:
            # Its end tells what became of this; of what is asked for after it, it would not.
            step.put(works_.reserve(work, replace(asked, until=until)))
            return
        cause = Cause("assignment_unanswered", f"{asked.command_id}:unanswered")
        step.ask_again(work, agent, asked, cause, until)

    def _not_done(self, step: Step, ticket_id: str) -> None:
        """Intake was asked to take the ticket back or to escalate it, and nothing has come of it."""
        for name in ("taking_back", "escalating"):
            work = step.works[ticket_id]
            asked: Asked | None = getattr(work, name)
            if asked is not None and asked.until <= step.now:
                cause = Cause("assignment_unanswered", f"{asked.command_id}:unanswered")
                until = self._later(self.timing.answer_s, asked.asks)
                ask_again(step, work, asked, cause, until)

    def _missed_too_often(self, step: Step, agent: Agent) -> bool:
        limit = step.floor.rules.rules.offers.misses_to_away
        return agent.presence == "online" and 0 < limit <= step.misses(agent.id)

    # --------------------------------------------------------------------------------- reading

    def looking(self, query: Callable[[Connection, Floor, datetime], T]) -> Callable[..., T]:
        """A transaction for whoever asks why: what time has brought is done first, so that the
        answer is true of this instant."""

        def look(connection: Connection, outgoing: Outgoing) -> T:
            with self._step(connection, outgoing, Cause("sweep", "question")) as step:
                pass
            return query(connection, step.floor, step.now)

        return look

    def loads(self, connection: Connection) -> tuple[dict[str, int], dict[str, int]]:
        """(Agent id → units in use, agent id → units only reserved), as of this connection."""
        weights = current_rules(connection, self.defaults).rules.weights
        return self.tables.tickets.loads(connection, weights)

    # --------------------------------------------------------------------------------- helpers

    @contextmanager
    def _step(self, connection: Connection, outgoing: Outgoing, other: Cause) -> Iterator[Step]:
        """One transaction on the floor: what time has brought, then what the caller does, then what
        follows from both."""
        floor, revision = self._memory.current(connection)
        if floor is not self._floor_seen:
            # Read anew: what was told last may have been rolled back with the rest.
            self._news, self._floor_seen = True, floor
        # Ids of commands derive from causes: what has no message of its own is told apart by this.
        other = replace(other, id=f"{other.id}:{revision}")
        step = Step(
            connection,
            outgoing,
            self.tables,
            floor,
            revision,
            self.clock.now(),
            self._later(self.timing.answer_s, 0),
            other,
        )
        self._time_passes(step)
        try:
            yield step
        except Rejected:
            if not step.changed:
                # Nothing was touched: the floor is still what the database says.
                self._memory.keep(connection, floor, changed=False)
            raise
        step.settle()
        step.save()
        self.notifications.enqueue(step.connection, step.telling.notifications)
        self._memory.keep(step.connection, step.floor, changed=step.changed)
        self._next_due = step.floor.next_due()
        self._news = self._news or step.changed

    def _later(self, seconds: float, doublings: int) -> datetime:
        wait = seconds * 2 ** min(doublings, BACKOFF_DOUBLINGS_MAX) * self.clock.rate
        return self.clock.now() + timedelta(seconds=wait)

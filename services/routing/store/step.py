"""One transaction on the floor: tickets and agents change, work is given out, all of it is saved.

Everything that follows from the same change is collected here and written at the end, so that a
transaction touches each row once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection

from libs.events import Command, CommandEnvelope, Event
from libs.events.commands import AssignTicket, EscalateTicket, UnassignTicket
from libs.events.routing import (
    HandOverLimitReached,
    OfferEnded,
    TicketRouted,
    TicketTakenBack,
)
from libs.events.topics import ROUTING_DECISIONS
from libs.runtime.outbox import Message, Outgoing, links
from services.routing.domain import work as works_
from services.routing.domain.agent import Agent
from services.routing.domain.floor import Decision, Floor, Match
from services.routing.domain.floor.kinds import Kind
from services.routing.domain.instants import micros
from services.routing.domain.work import Asked, Reservation, Work
from services.routing.store.telling import Telling
from services.routing.views.tables import Mark, Offer, Tables

ACTOR: Final = works_.ROUTER
NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:bitacora:routing")
TIER_MAX: Final = 3

Back = Literal[
    "out_of_office", "offline", "retired", "unavailable", "escalated", "needs_changed", "sla"
]
LONG_AWAY: Final = frozenset({"out_of_office", "offline", "retired"})
Ended = Literal["accepted", "declined", "timed_out", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why tickets are looked at now. `id` names the message or the occasion: the ids of commands
    derive from it, so that the same cause asks for the same thing only once."""

    trigger: str
    id: str
    envelope: Message | None = None


class Step:
    """`causes` says why a ticket is looked at, `freed` why an agent got room; `other` stands for
    whatever has no cause of its own. `answer_by` is when intake should have answered."""

    def __init__(
        self,
        connection: Connection,
        outgoing: Outgoing,
        tables: Tables,
        floor: Floor,
        revision: int,
        now: datetime,
        answer_by: datetime,
        other: Cause,
    ) -> None:
        self.connection = connection
        self.floor = floor
        self.now = now
        self.other = other
        self.revision = revision
        self.works: dict[str, Work] = {}
        self.causes: dict[str, Cause] = {}
        self.freed: dict[str, Cause] = {}
        self.telling = Telling(floor, now)
        self.changed = False
        self.given = 0
        """Assignments asked for, and offers made."""
        self.outgoing = outgoing
        self.tables = tables
        self._answer_by = answer_by
        self._unsaved: dict[str, Work] = {}
        self._offers: dict[str, Offer] = {}
        self._given: dict[str, int] = {}
        self._misses: dict[str, int] = {}

    def use_floor(self, floor: Floor) -> None:
        """Go on with another floor: the rules are others now."""
        self.floor = floor
        self.telling.floor = floor
        self.changed = True

    # ------------------------------------------------------------------------------- tickets

    def load(self, ids: Iterable[str]) -> None:
        """Read the tickets that are not here yet."""
        missing = [ticket_id for ticket_id in ids if ticket_id not in self.works]
        if missing:
            self.works |= self.tables.tickets.get(self.connection, missing)

    def held_by(self, agent_id: str) -> list[Work]:
        found = self.tables.tickets.held_by(self.connection, agent_id)
        for work in found:
            self.works.setdefault(work.id, work)
        return [self.works[w.id] for w in found if self.works[w.id].holder == agent_id]

    def put(self, work: Work) -> None:
        """The ticket is like this now. History that is not live never comes onto the floor."""
        self.works[work.id] = work
        self._unsaved[work.id] = work
        if work.live:
            self.floor.put_work(work, self.now)
            self.changed = True

    # ------------------------------------------------------------------------------ giving out

    def settle(self) -> None:
        """Give out what can be given out, and put the "nobody" on record for the tickets that have
        a cause and wait all the same."""
        matches = self.floor.settle(self.now)
        self.load(match.ticket.id for match in matches)
        for match in matches:
            self._give(match)
        for ticket_id, cause in self.causes.items():
            self._nobody(ticket_id, cause)

    def ask(
        self, work: Work, agent: Agent, group: str | None, cause: Cause, **reservation: Any
    ) -> Reservation:
        """Ask intake to assign the ticket, and keep the agent's capacity for it."""
        self.given += 1
        command_id = str(uuid5(NAMESPACE, f"assign:{work.id}:{cause.id}"))
        decision_id = reservation.pop("decision_id", None) or _decision_id(command_id)
        command = AssignTicket(
            group=group,
            agent=agent.id,
            if_unassigned=True,
            if_group=work.group or "",
            decision_id=decision_id,
        )
        self._command(command_id, work.id, command, cause)
        kept = Reservation(
            agent=agent.id,
            group=group,
            command_id=command_id,
            decision_id=decision_id,
            until=reservation.pop("until", self._answer_by),
            **reservation,
        )
        self.put(works_.reserve(work, kept))
        return kept

    def ask_again(
        self, work: Work, agent: Agent, asked: Reservation, cause: Cause, until: datetime
    ) -> None:
        """Intake has not answered: the same request under a new id."""
        decision = self.floor.decide_for(self.floor.kind_of(work), self.now)
        kept = self.ask(work, agent, asked.group, cause, until=until, asks=asked.asks + 1)
        self._record(decision, work, cause, kept)

    def _give(self, match: Match) -> None:
        work = self.works[match.ticket.id]
        agent = self.floor.columns.agents[self.floor.columns.places[match.agent]]
        cause = self.causes.get(work.id) or self.freed.get(agent.id) or self._any_cause()
        group = _group_for(work, match.kind, agent)
        self._given[agent.id] = micros(self.now)
        if match.kind.queue.mode == "offer":
            self._offer(work, agent, group, cause, match)
            return
        kept = self.ask(work, agent, group, cause)
        self._record(match.decision, work, cause, kept, batch=match.batch)

    def _offer(
        self, work: Work, agent: Agent, group: str | None, cause: Cause, match: Match
    ) -> None:
        self.given += 1
        offers = self.floor.rules.rules.offers
        command_id = str(uuid5(NAMESPACE, f"offer:{work.id}:{cause.id}:{micros(self.now)}"))
        kept = Reservation(
            agent=agent.id,
            group=group,
            command_id=command_id,
            decision_id=_decision_id(command_id),
            until=self.now + timedelta(seconds=offers.timeout_s),
            kind="offer",
        )
        self.put(works_.reserve(work, kept))
        self._offers[kept.decision_id] = Offer(
            kept.decision_id, work.id, work.number, agent.id, micros(self.now), micros(kept.until)
        )
        self._record(match.decision, work, cause, kept, batch=match.batch)
        self.telling.tell("offered", agent.id, kept.decision_id, work, until=kept.until)

    def _nobody(self, ticket_id: str, cause: Cause) -> None:
        decision = self.floor.explain(ticket_id, self.now)
        work = self.works[ticket_id]
        if decision is None or decision.reasons == work.reasons:
            return
        key = f"nobody:{work.id}:{cause.id}:{decision.reasons}"
        self._record(decision, work, cause, None, decision_id=str(uuid5(NAMESPACE, key)))
        self.put(works_.remember(work, decision.reasons))

    def _any_cause(self) -> Cause:
        return next(iter(self.freed.values()), None) or next(iter(self.causes.values()), self.other)

    # ------------------------------------------------------------------------------ taking back

    def take_back(self, work: Work, reason: Back, cause: Cause) -> None:
        """Ask intake to take the ticket from its agent, unless it was asked already.

        A ticket that was taken back `TAKE_BACKS_MAX` times within an hour stays with whoever has it
        next, unless that agent is away for long: routing cannot place it, and its leads are told.
        """
        agent = work.agent
        if agent is None or (work.taking_back is not None and work.taking_back.agent == agent):
            return
        lately = len(works_.taken_back_lately(work, self.now))
        if lately >= works_.TAKE_BACKS_MAX and reason not in LONG_AWAY:
            if lately == works_.TAKE_BACKS_MAX:
                self.put(works_.count_take_back(work, self.now))
                why = f"taken back {lately} times within an hour"
                for lead in self.telling.leads(work):
                    self.telling.tell("hand_over_limit", lead, cause.id, work, reason=why)
            return
        work = works_.count_take_back(work, self.now)
        command_id = self.ask_back(work, agent, reason, cause, self._answer_by)
        fact = TicketTakenBack.model_construct(
            ticket_id=work.id, agent=agent, reason=reason, command_id=command_id
        )
        self._say(work, fact, cause)
        self.telling.tell("taken_back", agent, command_id, work, reason=reason)

    def ask_back(
        self, work: Work, agent: str, reason: str, cause: Cause, until: datetime, asks: int = 1
    ) -> str:
        """Ask intake to take the ticket from this agent, and again at `until`: the command's id."""
        command_id = str(
            uuid5(NAMESPACE, f"take_back:{work.id}:{work.sequence}:{agent}:{cause.id}")
        )
        command = UnassignTicket(reason=f"{reason}: routed anew", if_agent=agent)
        self._command(command_id, work.id, command, cause)
        self.put(works_.take_back(work, Asked(command_id, until, reason, agent, asks)))
        return command_id

    def escalate_for_hand_overs(self, work: Work, cause: Cause) -> None:
        """The ticket was handed over too often: a higher tier is to have it, and its leads know."""
        command_id = None
        work = works_.told_limit(work)
        self.put(work)
        if work.tier < TIER_MAX:
            reason = f"handed over {work.hand_overs} times"
            command_id = self.ask_tier(work, reason, cause, self._answer_by)
        leads = self.telling.leads(work)
        fact = HandOverLimitReached.model_construct(
            ticket_id=work.id,
            hand_overs=work.hand_overs,
            limit=self.floor.rules.rules.hand_over_limit,
            leads=leads,
            command_id=command_id,
        )
        self._say(work, fact, cause)
        for lead in leads:
            self.telling.tell("hand_over_limit", lead, cause.id, work, count=work.hand_overs)

    def ask_tier(
        self, work: Work, reason: str, cause: Cause, until: datetime, asks: int = 1
    ) -> str:
        """Ask intake for the next tier, and again at `until`: the command's id. The tier is named,
        so that the ticket rises once however often intake is asked."""
        command_id = str(uuid5(NAMESPACE, f"bounce:{work.id}:{work.hand_overs}:{cause.id}"))
        command = EscalateTicket(tier=work.tier + 1, cause="hand_over_limit", reason=reason)
        self._command(command_id, work.id, command, cause)
        self.put(works_.escalate(work, Asked(command_id, until, reason, asks=asks)))
        return command_id

    # ---------------------------------------------------------------------------------- offers

    def end_offer(
        self, work: Work, outcome: Ended, cause: Cause, reason: str | None = None
    ) -> None:
        """Put on record what became of the ticket's offer. The ticket itself is put by the caller."""
        asked = work.reservation
        if asked is None or asked.kind != "offer":
            return
        fact = OfferEnded.model_construct(
            decision_id=asked.decision_id,
            ticket_id=work.id,
            agent=asked.agent,
            outcome=outcome,
            reason=reason,
        )
        self._say(work, fact, cause)
        known = self.offer(asked.decision_id)
        if known is not None:
            self._offers[known.id] = replace(known, state=outcome)

    def offer(self, offer_id: str) -> Offer | None:
        """The offer as this transaction leaves it."""
        return self._offers.get(offer_id) or self.tables.offer(self.connection, offer_id)

    def accept(self, work: Work, agent: Agent, asked: Reservation, cause: Cause) -> None:
        """The agent takes what was offered: intake is asked to assign it."""
        group = _group_for(work, self.floor.kind_of(work), agent)
        self.ask(work, agent, group, cause, decision_id=asked.decision_id)

    def withdraw_offers(self, agent: str | None, cause: Cause) -> None:
        """End the open offers that cannot stand any more: to this agent, or, with None, to anybody.

        An offer stands while its agent is on duty and serves such tickets.
        """
        for offer in self.tables.open_offers(self.connection, agent):
            self.load([offer.ticket_id])
            work = self.works.get(offer.ticket_id)
            asked = work.reservation if work else None
            if work is None or asked is None or asked.decision_id != offer.id:
                continue
            columns = self.floor.columns
            place = columns.places.get(offer.agent)
            serving = self.floor.kinds.serving(self.floor.kind_of(work))
            if place is not None and columns.duty[place] == 0 and serving.fits(place):
                continue
            self.end_offer(work, "withdrawn", cause)
            self.put(works_.release(work))
            self.causes[work.id] = cause

    def misses(self, agent: str) -> int:
        if agent not in self._misses:
            mark = self.tables.marks_of(self.connection, [agent]).get(agent, Mark())
            self._misses[agent] = mark.misses
        return self._misses[agent]

    def set_misses(self, agent: str, count: int) -> None:
        if self.misses(agent) != count:
            self._misses[agent] = count

    # ---------------------------------------------------------------------------------- the end

    def save(self) -> None:
        """Write everything that changed."""
        if self._unsaved:
            self.tables.tickets.save(self.connection, self._unsaved.values(), self.revision)
        if self._offers:
            self.tables.save_offers(self.connection, list(self._offers.values()))
        agents = sorted({*self._given, *self._misses})
        if agents:
            before = self.tables.marks_of(self.connection, agents)
            marks = {}
            for agent in agents:
                mark = before.get(agent, Mark())
                given = self._given.get(agent)
                marks[agent] = Mark(
                    mark.last_given_us if given is None else given,
                    self._misses.get(agent, mark.misses),
                )
            self.tables.save_marks(self.connection, marks, self.revision)

    # --------------------------------------------------------------------------------- helpers

    def _command(self, command_id: str, ticket_id: str, command: Command, cause: Cause) -> None:
        correlation_id, causation_id, traceparent = links(cause.envelope)
        self.outgoing.command(
            CommandEnvelope(
                command_id=command_id,
                ticket_id=ticket_id,
                command=command,
                actor=ACTOR,
                correlation_id=correlation_id,
                causation_id=causation_id or cause.id,
                traceparent=traceparent,
            )
        )

    def _say(self, work: Work, fact: Event, cause: Cause) -> None:
        stream = f"decision:{work.id}"
        self.outgoing.event(
            ROUTING_DECISIONS, stream, fact, time=self.now, actor=ACTOR, cause=cause.envelope
        )

    def _record(
        self,
        decision: Decision,
        work: Work,
        cause: Cause,
        kept: Reservation | None,
        *,
        batch: int = 1,
        decision_id: str = "",
    ) -> None:
        kind = decision.kind
        offered = kept is not None and kept.kind == "offer"
        fact = TicketRouted.model_construct(
            decision_id=kept.decision_id if kept else decision_id,
            ticket_id=work.id,
            outcome=("offered" if offered else "assigned") if kept else "nobody",
            agent=kept.agent if kept else None,
            group=kept.group if kept else None,
            command_id=kept.command_id if kept and not offered else None,
            trigger=cause.trigger,
            candidates=decision.candidates,
            rejected=decision.rejected,
            required_skills=tuple(skill.name for skill in kind.asked),
            rule_version=str(self.floor.rules.version),
            queue=kind.queue.name,
            needs=kind.needs.public(),
            needs_key=kind.key,
            strategy=kind.strategy,
            batch=batch,
            offer_until=kept.until if kept and offered else None,
        )
        self._say(work, fact, cause)


def _decision_id(command_id: str) -> str:
    return str(uuid5(NAMESPACE, f"decision:{command_id}"))


def _group_for(work: Work, kind: Kind, agent: Agent) -> str | None:
    """The group in which the agent gets the ticket: the ticket's own; else one that was asked for
    and that the agent is in; else the agent's first."""
    if work.group:
        return work.group
    asked = (group for group in kind.needs.groups if group in agent.groups)
    return next(asked, None) or next(iter(agent.groups), None)

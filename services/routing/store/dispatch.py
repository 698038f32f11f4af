"""The assignment work of one transaction.

It relies on what the transaction before left behind: *no ticket waits while somebody who could take
it has room*. So only tickets that just came into the queue, and agents who just got room (or became
able to do more), can make a match, and only the queues of the needs that they touch are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection

from libs.events import CommandEnvelope, EventEnvelope
from libs.events.commands import AssignTicket
from libs.events.routing import TicketRouted
from libs.events.topics import ROUTING_DECISIONS
from libs.runtime.outbox import Outgoing, links
from services.routing.domain import (
    Decision,
    Needs,
    Reservation,
    Roster,
    Work,
    choose,
    has_room,
    needs_of,
)
from services.routing.domain.work import remember, reserve
from services.routing.views import Tables

ACTOR: Final = "service:routing"
NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:bitacora:routing")
PAGE: Final = 100
"""Waiting tickets of equal needs that are read at once."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why tickets are looked at now. `id` names the message or the occasion: the ids of commands
    derive from it, so that the same cause asks for the same thing only once."""

    trigger: str
    id: str
    envelope: EventEnvelope | None = None


NO_CAUSE: Final = Cause("sweep", "sweep")


class Dispatch:
    """Matches within one transaction; `loads` is kept up to date as it goes.

    `deadline` is when an assignment that intake does not answer will be asked for again.
    """

    def __init__(
        self,
        tables: Tables,
        connection: Connection,
        outgoing: Outgoing,
        roster: Roster,
        deadline: datetime,
    ) -> None:
        self._tables = tables
        self._connection = connection
        self._outgoing = outgoing
        self._roster = roster
        self._deadline = deadline
        self.loads = tables.loads(connection)
        self._changed: dict[str, Work] = {}

    def run(self, tickets: Mapping[str, tuple[Work, Cause]], agents: Mapping[str, Cause]) -> int:
        """Give work to whoever has room for it, by the order of the queue.

        `tickets` came into the queue (their rows must be saved), `agents` got room. Returns the
        number of assignments asked for. Those of `tickets` that nobody takes get a decision record
        that says so, if its reasons differ from the last one's.
        """
        keys = {needs_of(work, self._roster.rules).key for work, _ in tickets.values()}
        keys |= self._keys_for(agents)
        asked = self._match(keys, tickets, agents)
        self._record_nobody(tickets)
        self._tables.save_works(self._connection, self._changed.values(), self._roster.rules)
        return asked

    def ask_again(self, work: Work, deadline: datetime) -> None:
        """Intake has not answered: the same request (agent and group) under a new command id. If
        the first one is decided after all, intake finds the second one already so."""
        asked = work.reservation
        if asked is None:
            return
        cause = Cause("assignment_unanswered", f"{asked.command_id}:unanswered")
        agent = self._roster.agents[asked.agent]
        decision = choose(needs_of(work, self._roster.rules), self._roster, self.loads)
        self._ask(replace(decision, agent=agent), work, cause, deadline, before=asked)
        self._tables.save_works(self._connection, self._changed.values(), self._roster.rules)
        self._changed.clear()

    def _keys_for(self, agents: Mapping[str, Cause]) -> set[str]:
        free = [agent_id for agent_id in agents if self._has_room(agent_id)]
        if not free:
            return set()
        return {
            key
            for key in self._tables.waiting_keys(self._connection)
            if any(self._roster.able(agent_id, Needs.of_key(key)) for agent_id in free)
        }

    def _has_room(self, agent_id: str) -> bool:
        agent = self._roster.agents.get(agent_id)
        return agent is not None and self.loads.get(agent_id, 0) < agent.capacity

    def _match(
        self,
        keys: set[str],
        tickets: Mapping[str, tuple[Work, Cause]],
        agents: Mapping[str, Cause],
    ) -> int:
        heads: list[tuple[tuple[int, datetime, str], str, Work]] = []
        queues = {key: self._queue(key) for key in keys if self._room_for(key)}
        for key, queue in queues.items():
            first = next(queue, None)
            if first is not None:
                heads.append((place(first), key, first))
        heapify(heads)
        asked = 0
        # A ticket that moves up because of somebody else's room is put down to that.
        other = next(iter(agents.values()), None) or next(
            (c for _, c in tickets.values()), NO_CAUSE
        )
        while heads:
            _, key, work = heappop(heads)
            decision = choose(Needs.of_key(key), self._roster, self.loads)
            if decision.agent is None:
                continue  # nobody is left for this kind of ticket: its queue is done
            own = tickets.get(work.id)
            cause = own[1] if own else agents.get(decision.agent.id, other)
            self._ask(decision, work, cause, self._deadline)
            self.loads[decision.agent.id] = self.loads.get(decision.agent.id, 0) + 1
            asked += 1
            following = next(queues[key], None)
            if following is not None:
                heappush(heads, (place(following), key, following))
        return asked

    def _room_for(self, key: str) -> bool:
        return has_room(Needs.of_key(key), self._roster, self.loads)

    def _queue(self, key: str) -> Iterator[Work]:
        last: Work | None = None
        while True:
            page = self._tables.queue_of(self._connection, key, after=last, limit=PAGE)
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1]

    def _ask(
        self,
        decision: Decision,
        work: Work,
        cause: Cause,
        deadline: datetime,
        *,
        before: Reservation | None = None,
    ) -> None:
        agent = decision.agent
        if agent is None:
            return
        command_id = str(uuid5(NAMESPACE, f"assign:{work.id}:{cause.id}"))
        decision_id = str(uuid5(NAMESPACE, f"decision:{command_id}"))
        group = work.group or (before.group if before else next(iter(agent.groups), None))
        asks = before.asks + 1 if before else 1
        self._record(decision, work, cause, decision_id, group=group, command_id=command_id)
        correlation_id, causation_id, traceparent = links(cause.envelope)
        self._outgoing.command(
            CommandEnvelope(
                command_id=command_id,
                ticket_id=work.id,
                command=AssignTicket(
                    group=group, agent=agent.id, if_unassigned=True, decision_id=decision_id
                ),
                actor=ACTOR,
                correlation_id=correlation_id,
                causation_id=causation_id or cause.id,
                traceparent=traceparent,
            )
        )
        self._changed[work.id] = reserve(
            work, Reservation(agent.id, group, command_id, decision_id, deadline, asks)
        )

    def _record_nobody(self, tickets: Mapping[str, tuple[Work, Cause]]) -> None:
        decisions: dict[Needs, Decision] = {}
        for work, cause in tickets.values():
            if work.id in self._changed:
                continue
            needs = needs_of(work, self._roster.rules)
            if needs not in decisions:
                decisions[needs] = choose(needs, self._roster, self.loads)
            decision = decisions[needs]
            if decision.agent is None and decision.reasons != work.reasons:
                key = f"nobody:{work.id}:{cause.id}:{decision.reasons}"
                self._record(decision, work, cause, str(uuid5(NAMESPACE, key)))
                self._changed[work.id] = remember(work, decision.reasons)

    def _record(
        self,
        decision: Decision,
        work: Work,
        cause: Cause,
        decision_id: str,
        *,
        group: str | None = None,
        command_id: str | None = None,
    ) -> None:
        record = TicketRouted(
            decision_id=decision_id,
            ticket_id=work.id,
            outcome="assigned" if decision.agent else "nobody",
            agent=decision.agent.id if decision.agent else None,
            group=group,
            command_id=command_id,
            trigger=cause.trigger,
            candidates=decision.candidates,
            rejected=decision.rejected,
            required_skills=decision.required_skills,
            rule_version=decision.rule_version,
        )
        stream = f"decision:{work.id}"
        self._outgoing.event(ROUTING_DECISIONS, stream, record, actor=ACTOR, cause=cause.envelope)


def place(work: Work) -> tuple[int, datetime, str]:
    """The place in the queue. The ticket must be eligible."""
    if work.eligible_since is None:
        raise ValueError(f"ticket {work.id} does not wait")
    return (work.rank, work.eligible_since, work.id)

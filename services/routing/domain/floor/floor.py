"""The floor: who works, what waits, what is held; settled after each change, and as time passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Final, Literal

import numpy as np

from libs.events.base import Channel
from services.routing.domain import duty, reasons
from services.routing.domain.agent import Agent
from services.routing.domain.floor.columns import Columns
from services.routing.domain.floor.explain import Decision, Explainer
from services.routing.domain.floor.kinds import SECOND_US, Kind, Kinds
from services.routing.domain.floor.lines import Waiting
from services.routing.domain.floor.matching import Match, Session
from services.routing.domain.instants import instant, micros
from services.routing.domain.needs import needs_of
from services.routing.domain.rules import QueueRule, VersionedRules
from services.routing.domain.work import Work

LAST: Final = 2**60
"""An urgency after all others (the year 38,500)."""

Absence = Literal["retired", "out_of_office", "offline"]

Use = tuple[str, int, Channel]
"""An agent, the units and the channel of a ticket that the agent holds or is to get."""


@dataclass(slots=True)
class Due:
    """What has fallen due and needs more than the floor: tickets whose reservation was not answered
    in time or that may be offered again after a refusal, and agents who are away for too long.
    `moved`: time alone has changed who is on duty or what is asked for."""

    tickets: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)
    moved: bool = False


class Floor:
    """Not thread-safe. Every change is one of `put_agent`, `put_work` and `advance`; `settle` then
    gives out what can be given out, and counts it as given.

    The promise after `settle`: no ticket waits while somebody who could be given it has room.
    """

    def __init__(self, rules: VersionedRules) -> None:
        self.rules = rules
        self.columns = Columns()
        self.kinds = Kinds(rules.rules, self.columns)
        self.explainer = Explainer(self.columns, self.kinds)
        self.waiting: dict[str, Waiting] = {}
        self._uses: dict[str, tuple[Use, ...]] = {}
        self._timers: list[tuple[int, str, str]] = []
        self._duty_due: dict[str, int] = {}
        """Agent → when the clock alone will next change the agent's duty."""
        self._needs_due: dict[str, int] = {}
        """Ticket → when to look again at what it asks for, and of whom. The timers of a ticket that
        waits no more stay: they serve again when it comes back."""
        self._touched: set[Kind] = set()
        self._freed: set[int] = set()
        self._all = False
        self._strangers: dict[str, dict[Use, int]] = {}
        """What is held by agents whom routing does not know (yet): they may register later."""

    # ---------------------------------------------------------------------------------- changes

    def put_agent(self, agent: Agent, now: datetime) -> None:
        """Take in a new or changed agent."""
        place, changed = self.columns.put(agent, self._duty(agent, now))
        for use, count in self._strangers.pop(agent.id, {}).items():
            for _ in range(count):
                self._use(use, 1)
        if changed:
            self.kinds.refresh(place)
        self._all = True
        self._watch(agent, now)

    def put_work(self, work: Work, now: datetime) -> None:
        """Take in a new or changed ticket."""
        self._count(work)
        if work.reservation is not None:
            self._at(work.reservation.until, "answer", work.id)
        for asked in (work.taking_back, work.escalating):
            if asked is not None:
                self._at(asked.until, "answer", work.id)
        if work.retry_at is not None:
            self._at(work.retry_at, "retry", work.id)
        self._line_up(work, micros(now))

    def advance(self, now: datetime) -> Due:
        """Let time pass until `now`: shifts begin and end, needs are relaxed, absences grow long."""
        due = Due()
        now_us = micros(now)
        while self._timers and self._timers[0][0] <= now_us:
            at_us, what, subject = heappop(self._timers)
            if what in {"answer", "retry"}:
                due.tickets.add(subject)
            elif what == "away":
                due.away.add(subject)
            elif what == "duty":
                if self._duty_due.get(subject) == at_us:
                    due.moved = True
                    del self._duty_due[subject]
                    self._look_at_duty(subject, now)
            elif self._needs_due.get(subject) == at_us:
                del self._needs_due[subject]
                if (ticket := self.waiting.get(subject)) is not None:
                    due.moved = True
                    self._place(ticket, now_us)
        return due

    def next_due(self) -> datetime | None:
        """When `advance` will next have something to do."""
        return instant(self._timers[0][0]) if self._timers else None

    def settle(self, now: datetime) -> list[Match]:
        """Give out what can be given out. What is given counts as used from then on; the caller puts
        the ticket as it is afterwards (`put_work`)."""
        self._forget_kinds()
        now_us = micros(now)
        matches: list[Match] = []
        while kinds := self._kinds_to_look_at():
            session = self._session(now_us)
            for batch in session.batches(kinds):
                pairs = session.match(batch)
                for ticket, place in pairs:
                    matches.append(self._give(ticket, place, session, now_us, len(pairs)))
            session.restore()
        return matches

    # -------------------------------------------------------------------------------- questions

    def explain(self, ticket_id: str, now: datetime) -> Decision | None:
        """Why this ticket waits, as of now; None when it does not."""
        ticket = self.waiting.get(ticket_id)
        if ticket is None:
            return None
        now_us = micros(now)
        session = self._session(now_us)
        return self.explainer.decision(ticket.kind, session, now_us / SECOND_US, ticket, None)

    def explain_line(self, kind: Kind, now: datetime) -> Decision:
        """Why the first ticket of this line waits, as of now."""
        first = kind.line.first()
        now_us = micros(now)
        return self.explainer.decision(kind, self._session(now_us), now_us / SECOND_US, first, None)

    def decide_for(self, kind: Kind, now: datetime) -> Decision:
        """Why tickets of this kind wait, as of now."""
        now_us = micros(now)
        return self.explainer.decision(kind, self._session(now_us), now_us / SECOND_US, None, None)

    def kind_of(self, work: Work) -> Kind:
        """What kind of ticket this is, as one that has just begun to wait."""
        return self.kinds.get(*needs_of(work, self.rules.rules))

    def lines(self) -> list[Kind]:
        """The kinds of which at least one ticket waits."""
        return list(self.kinds.waiting)

    def in_order(self) -> list[Waiting]:
        """All tickets that wait, in the order of service (specialists' work aside)."""
        return sorted(
            self.waiting.values(), key=lambda t: (-t.kind.queue.precedence, t.urgency, t.id)
        )

    def keeps(self, kind: Kind, place: int, now: datetime) -> bool:
        """True when the agent at this place is kept from such tickets for specialists' work."""
        places = np.array([place])
        return len(self._session(micros(now)).kept(kind, places)) > 0

    def overdue_away(self, agent: Agent, now: datetime) -> Absence | None:
        """The reason why this agent's tickets are to be taken back now; None when they are not."""
        if agent.retired:
            return "retired"
        since = duty.away_since(agent, now)
        out = duty.off_duty(agent, now) == "out_of_office"
        reason: Absence = "out_of_office" if out else "offline"
        grace = self._grace_s(reason)
        if since is None or grace is None or since + timedelta(seconds=grace) > now:
            return None
        return reason

    # ---------------------------------------------------------------------------------- agents

    def _duty(self, agent: Agent, now: datetime) -> int:
        reason = duty.off_duty(agent, now)
        return 0 if reason is None else reasons.BITS[reason]

    def _watch(self, agent: Agent, now: datetime) -> None:
        """Come back to this agent when the clock alone changes something."""
        change = duty.next_change(agent, now)
        if change is None or agent.retired:
            self._duty_due.pop(agent.id, None)
        elif self._duty_due.get(agent.id) != micros(change):
            self._duty_due[agent.id] = micros(change)
            self._at(change, "duty", agent.id)
        since, reason = duty.away_since(agent, now), duty.off_duty(agent, now)
        if since is not None and reason is not None:
            grace = self._grace_s(reason)
            if grace is not None:
                self._at(max(now, since + timedelta(seconds=grace)), "away", agent.id)

    def _grace_s(self, reason: str) -> int | None:
        take_back = self.rules.rules.take_back
        if reason == "out_of_office":
            return take_back.out_of_office_s
        return take_back.offline_s if reason == "offline" else None

    def _look_at_duty(self, agent_id: str, now: datetime) -> None:
        agent = self.columns.get(agent_id)
        if agent is None or agent.retired:
            return
        if self.columns.set_duty(self.columns.places[agent_id], self._duty(agent, now)):
            self._all = True
        self._watch(agent, now)

    # --------------------------------------------------------------------------------- tickets

    def _count(self, work: Work) -> None:
        """Keep the loads: a ticket held, and a reservation for somebody else than its holder."""
        units = self.rules.rules.weights.get(work.channel, 1)
        agents = dict.fromkeys(
            agent
            for agent in (work.holder, work.reservation.agent if work.reservation else None)
            if agent is not None
        )
        after: tuple[Use, ...] = tuple((agent, units, work.channel) for agent in agents)
        before = self._uses.get(work.id, ())
        if before == after:
            return
        for use in before:
            self._use(use, -1)
        for use in after:
            self._use(use, 1)
        if after:
            self._uses[work.id] = after
        else:
            del self._uses[work.id]

    def _use(self, use: Use, sign: int) -> None:
        agent, units, channel = use
        place = self.columns.places.get(agent)
        if place is None:
            held = self._strangers.setdefault(agent, {})
            held[use] = held.get(use, 0) + sign
            return
        self.columns.use(place, units, channel, sign)
        if sign < 0 or self.columns.channel_full(place, channel):
            # Whose channel is full is not kept any more for work of that channel.
            self._freed.add(place)

    def _line_up(self, work: Work, now_us: int) -> None:
        before = self.waiting.pop(work.id, None)
        if before is not None:
            self._leave(before)
        if not work.waiting or work.eligible_since is None:
            return
        queue, needs = needs_of(work, self.rules.rules)
        base = self.kinds.get(queue, needs)
        eligible_us = micros(work.eligible_since)
        ticket = Waiting(
            id=work.id,
            number=work.number,
            base=base,
            kind=base,
            urgency=urgency(work, queue),
            eligible_us=eligible_us,
            waiting_us=micros(work.waiting_since or work.eligible_since),
            preferred=work.preferred if self.rules.rules.affinity else None,
            declined={a: micros(t) for a, t in work.declined.items()} or None,
        )
        self.waiting[work.id] = ticket
        self.kinds.stand(ticket)
        self._touched.add(base)
        self._place(ticket, now_us)

    def _place(self, ticket: Waiting, now_us: int) -> None:
        """Let the ticket become what it is after so much waiting."""
        kind, change_us = self.kinds.at(ticket.base, max(0, now_us - ticket.waiting_us))
        if kind is not ticket.kind:
            self._leave(ticket)
            ticket.kind = kind
            self.kinds.stand(ticket)
        self._touched.add(kind)
        changes = [until for until in (ticket.declined or {}).values() if until > now_us]
        if change_us is not None:
            changes.append(ticket.waiting_us + change_us)
        if not changes:
            return
        at_us = min(changes)
        # A timer that comes earlier looks again, and sets the next one.
        if at_us < self._needs_due.get(ticket.id, LAST):
            self._needs_due[ticket.id] = at_us
            heappush(self._timers, (at_us, "needs", ticket.id))

    def _leave(self, ticket: Waiting) -> None:
        """Out of its line. Those who were kept for such work may be free for other work."""
        given_back = self.kinds.leave(ticket)
        if given_back and self.rules.rules.keep_specialists and ticket.kind.lowest() > 1:
            self._all = True

    def _give(
        self, ticket: Waiting, place: int, session: Session, now_us: int, batch: int
    ) -> Match:
        agent = self.columns.agents[place]
        now_s = now_us / SECOND_US
        decision = self.explainer.decision(ticket.kind, session, now_s, ticket, agent.id)
        del self.waiting[ticket.id]
        self._leave(ticket)
        needs = ticket.kind.needs
        use = (agent.id, needs.units, needs.channel)
        self._use(use, 1)
        self._uses[ticket.id] = (*self._uses.get(ticket.id, ()), use)
        self.columns.last_given[place] = now_s
        return Match(ticket, agent.id, ticket.kind, batch, decision)

    # --------------------------------------------------------------------------------- helpers

    def _forget_kinds(self) -> None:
        """Let go of the kinds that no ticket waits as, when they have become many."""
        if not self.kinds.many:
            return
        used = {kind for ticket in self.waiting.values() for kind in (ticket.base, ticket.kind)}
        self.kinds.keep(used)
        self.explainer.keep(used)
        self._touched &= used

    def _kinds_to_look_at(self) -> list[Kind]:
        if self._all:
            kinds = self.lines()
        else:
            looked_at = dict.fromkeys(self._touched)
            for place in self._freed:
                if self.columns.duty[place] == 0:
                    looked_at |= dict.fromkeys(self.kinds.served_by(place))
            kinds = [kind for kind in looked_at if len(kind.line)]
        self._touched.clear()
        self._freed.clear()
        self._all = False
        return kinds

    def _session(self, now_us: int) -> Session:
        keep = self.rules.rules.keep_specialists
        return Session(self.columns, self.kinds, now_us, keep_specialists=keep)

    def _at(self, when: datetime, what: str, subject: str) -> None:
        heappush(self._timers, (micros(when), what, subject))


def urgency(work: Work, queue: QueueRule) -> int:
    """The instant (microseconds) by which tickets of a queue are ordered: the smaller goes first.

    By priority: when the ticket could first be given, later by one ageing for each step of priority
    below the highest; so a ticket overtakes those one step above it that came an ageing later, and
    none starves. By SLA: when it is due; one without a due time counts as due an ageing after it
    could first be given. The ticket must be eligible.
    """
    if work.eligible_since is None:
        raise ValueError(f"ticket {work.id} does not wait")
    since = micros(work.eligible_since)
    if queue.order == "sla":
        if work.due is not None:
            return micros(work.due)
        return LAST + since if queue.ageing_s is None else since + queue.ageing_s * SECOND_US
    if queue.ageing_s is None:
        return work.rank * LAST + since
    return since + work.rank * queue.ageing_s * SECOND_US

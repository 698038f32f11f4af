"""Lets a simulated day happen: one event after the other, and the floor settles after each instant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

from libs.events.base import Status
from services.routing.domain import duty
from services.routing.domain import work as works
from services.routing.domain.agent import Agent
from services.routing.domain.floor import Floor, Match
from services.routing.domain.simulation.plan import Arrival, Outcome, Plan, Staff, Story
from services.routing.domain.simulation.policies import POLICIES, Policy
from services.routing.domain.work import Reservation, Work

Tick = Callable[[int, int], None]
"""Told how many tickets have been given to somebody for the first time, of how many."""

TOLD_EVERY: Final = 50


def simulate(
    plan: Plan, policy: Policy = "floor", tick: Tick = lambda _done, _all: None
) -> Outcome:
    """The day as it would be with this plan."""
    return _Day(plan, POLICIES[policy](plan.rules), tick).run()


class _Day:
    def __init__(self, plan: Plan, floor: Floor, tick: Tick) -> None:
        self.plan = plan
        self.floor = floor
        self.now = plan.start
        self.last = plan.end + plan.tail
        self.stories: dict[str, Story] = {}
        self.staff: dict[str, Staff] = {}
        self._tick = tick
        self._numbers = count()
        self._events: list[tuple[datetime, int, Callable[..., None], tuple[Any, ...]]] = []
        self._works: dict[str, Work] = {}
        self._left: dict[str, timedelta] = {}
        """Ticket → the handling time that is still to come."""
        self._since: dict[str, datetime] = {}
        """Ticket → since when its agent has been at it."""
        self._held: defaultdict[str, set[str]] = defaultdict(set)
        self._versions: defaultdict[str, list[tuple[datetime, Agent]]] = defaultdict(list)
        self._arrivals = [a for a in plan.arrivals if plan.start <= a.at < plan.end]
        self._unserved = len(self._arrivals)

    def run(self) -> Outcome:
        for agent in self.plan.agents:
            self._agent(agent)
        for when, changed in self.plan.changes:
            self._at(when, self._agent, changed)
        for arrival in self._arrivals:
            self._at(arrival.at, self._arrive, arrival)
        self._settle()
        while (at := self._next()) is not None and at <= self.last:
            if self._unserved == 0 and at > self.plan.end:
                break
            self.now = at
            self._time_passes()
            while self._events and self._events[0][0] <= at:
                _, _, what, subject = heappop(self._events)
                what(*subject)
            self._settle()
        return self._outcome()

    # ----------------------------------------------------------------------------------- events

    def _at(self, when: datetime, what: Callable[..., None], *subject: Any) -> None:
        heappush(self._events, (when, next(self._numbers), what, subject))

    def _next(self) -> datetime | None:
        due = self.floor.next_due()
        moments = [due] if due is not None else []
        if self._events:
            moments.append(self._events[0][0])
        return max(self.now, min(moments)) if moments else None

    def _arrive(self, arrival: Arrival) -> None:
        # Whatever it was in reality: here it comes new, and nobody has it.
        work = replace(
            arrival.work,
            sequence=1,
            status=Status.NEW,
            agent=None,
            live=True,
            eligible_since=arrival.at,
            waiting_since=arrival.at,
        )
        queue = self.plan.rules.rules.queue_for(work).name
        self.stories[work.id] = Story(work.id, queue, work.priority, arrival.at)
        self._left[work.id] = timedelta(seconds=arrival.handle_s)
        self._put(work)

    def _agent(self, agent: Agent) -> None:
        self._versions[agent.id].append((self.now, agent))
        self.staff.setdefault(agent.id, Staff(agent.id))
        self.floor.put_agent(agent, self.now)
        if agent.retired:
            self._take_back(agent.id)

    def _done(self, ticket_id: str, since: datetime) -> None:
        if self._since.get(ticket_id) != since:
            return  # it was taken from that agent
        work = self._works[ticket_id]
        self._release(work)
        self.stories[ticket_id].done = self.now
        self._put(replace(work, status=Status.SOLVED, eligible_since=None))
        del self._works[ticket_id]

    def _time_passes(self) -> None:
        due = self.floor.advance(self.now)
        for ticket_id in sorted(due.tickets):
            work = self._works.get(ticket_id)
            asked = work.reservation if work else None
            if work is not None and asked is not None and asked.until <= self.now:
                self._decline(work, asked.agent)
        for agent_id in sorted(due.away):
            agent = self.floor.columns.get(agent_id)
            if agent is not None and self.floor.overdue_away(agent, self.now) is not None:
                self._take_back(agent_id)

    # ---------------------------------------------------------------------------------- giving

    def _settle(self) -> None:
        matches = self.floor.settle(self.now)
        for match in matches:
            self._give(match)

    def _give(self, match: Match) -> None:
        work, story = self._works[match.ticket.id], self.stories[match.ticket.id]
        if match.kind.queue.mode == "assignment":
            self._accept(work, match.agent)
            return
        offers = self.plan.rules.rules.offers
        answer = self.plan.answers(work.id, match.agent, story.offers)
        story.offers += 1
        until = self.now + timedelta(seconds=offers.timeout_s)
        answered = self.now + timedelta(seconds=answer.after_s)
        if answer.said == "accepted" and answered == self.now:
            self._accept(work, match.agent)
            return
        offer_id = f"{work.id}:{story.offers}"
        asked = Reservation(match.agent, None, offer_id, offer_id, until, kind="offer")
        self._put(works.reserve(work, asked))
        if answer.said != "missed" and answered < until:
            self._at(answered, self._answered, work.id, offer_id, answer.said == "accepted")

    def _answered(self, ticket_id: str, offer_id: str, accepted: bool) -> None:
        work = self._works.get(ticket_id)
        asked = work.reservation if work else None
        if work is None or asked is None or asked.decision_id != offer_id:
            return
        if accepted:
            self._accept(works.release(work), asked.agent)
        else:
            self._decline(work, asked.agent)

    def _decline(self, work: Work, agent: str) -> None:
        pause = timedelta(seconds=self.plan.rules.rules.offers.decline_pause_s)
        self._put(works.decline(work, agent, self.now + pause, self.now))

    def _accept(self, work: Work, agent: str) -> None:
        story = self.stories[work.id]
        if story.given is None:
            story.given = self.now
            self._unserved -= 1
            if self._unserved % TOLD_EVERY == 0:
                self._tick(len(self._arrivals) - self._unserved, len(self._arrivals))
        story.agent = agent
        if self.now < self.plan.end:
            self.staff[agent].given += 1
        self._held[agent].add(work.id)
        self._since[work.id] = self.now
        self._put(replace(work, agent=agent, status=Status.OPEN))
        self._at(self.now + self._left[work.id], self._done, work.id, self.now)

    def _take_back(self, agent_id: str) -> None:
        """The agent is gone for too long: what is left to do is for somebody else."""
        for ticket_id in sorted(self._held[agent_id]):
            work = self._works[ticket_id]
            self._release(work)
            self.stories[ticket_id].hand_overs += 1
            self._put(replace(work, agent=None, waiting_since=self.now))

    def _release(self, work: Work) -> None:
        """The agent is no longer at it: count the time that it took."""
        agent = work.agent or ""
        since = self._since.pop(work.id)
        self._left[work.id] -= self.now - since
        self._held[agent].discard(work.id)
        self._count_busy(work, agent, since, self.now)

    def _put(self, work: Work) -> None:
        self._works[work.id] = work
        self.floor.put_work(work, self.now)

    # ----------------------------------------------------------------------------------- staff

    def _count_busy(self, work: Work, agent: str, since: datetime, until: datetime) -> None:
        units = self.plan.rules.rules.weights.get(work.channel, 1)
        seconds = (min(until, self.plan.end) - since).total_seconds()
        self.staff[agent].busy_s += units * max(0.0, seconds)

    def _outcome(self) -> Outcome:
        self.now = max(self.now, self.plan.end)
        for ticket_id, since in self._since.items():
            work = self._works[ticket_id]
            self._count_busy(work, work.agent or "", since, self.now)
        for agent_id, versions in self._versions.items():
            staff = self.staff[agent_id]
            ends = [at for at, _ in versions[1:]] + [self.plan.end]
            for (since, agent), until in zip(versions, ends, strict=True):
                seconds = _on_duty_s(agent, since, min(until, self.plan.end))
                staff.on_duty_s += seconds
                staff.capacity_s += seconds * agent.capacity
        every = sorted(self.staff.values(), key=lambda staff: staff.id)
        return Outcome(self.plan, tuple(self.stories.values()), tuple(every), self.now)


def _on_duty_s(agent: Agent, since: datetime, until: datetime) -> float:
    """For how many seconds of this time the agent is on duty."""
    return sum(
        (end - start).total_seconds()
        for start, end in _pieces(agent, since, until)
        if not agent.retired and duty.off_duty(agent, start) is None
    )


def _pieces(agent: Agent, since: datetime, until: datetime) -> Iterable[tuple[datetime, datetime]]:
    while since < until:
        end = min(duty.next_change(agent, since) or until, until)
        yield since, end
        since = end

"""The floor, said again as slowly and plainly as possible: what the fast one is judged by.

It keeps nothing: every answer is worked out from the agents, the tickets and the instant, by looking
at everybody and everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.routing.domain import Agent, Work, duty
from services.routing.domain.floor.floor import urgency
from services.routing.domain.needs import IMPORTANCE, Needs, needs_of
from services.routing.domain.rules import QueueRule, RoutingRules

Asked = tuple[QueueRule, Needs]
Order = tuple[int, int, int, str]


@dataclass(frozen=True)
class Naive:
    rules: RoutingRules
    agents: tuple[Agent, ...]
    works: tuple[Work, ...]
    now: datetime

    # -- tickets

    @property
    def waiting(self) -> list[Work]:
        return [work for work in self.works if work.waiting]

    def units(self, work: Work) -> int:
        return self.rules.weights.get(work.channel, 1)

    def asked(self, work: Work) -> Asked:
        """What the ticket asks for after having waited so long."""
        queue, needs = needs_of(work, self.rules)
        assert work.waiting_since is not None
        waited_s = max(0, (self.now - work.waiting_since) // timedelta(seconds=1))
        if queue.optional_timeout_s is not None:
            for _ in range(waited_s // queue.optional_timeout_s):
                optional = [IMPORTANCE[s.importance] for s in needs.skills if s.importance]
                kept = (s for s in needs.skills if IMPORTANCE[s.importance] != min(optional))
                needs = replace(needs, skills=tuple(kept)) if optional else needs
        overflow = queue.overflow
        if overflow and overflow.after_s is not None and waited_s >= overflow.after_s:
            needs = self._widened(queue, needs)
        return queue, needs

    def served_as(self, asked: Asked) -> Needs:
        """The overflow group serves too while nobody on duty in the queue's own is able to."""
        queue, needs = asked
        return needs if self.able(needs) else self._widened(queue, needs)

    def _widened(self, queue: QueueRule, needs: Needs) -> Needs:
        if queue.overflow is None or needs.groups != (queue.group,):
            return needs
        more = tuple(g for g in queue.overflow.groups if g not in needs.groups)
        return replace(needs, groups=needs.groups + more)

    # -- agents

    @property
    def present(self) -> list[Agent]:
        return [agent for agent in self.agents if not agent.retired]

    def load(self, agent: Agent) -> int:
        return sum(self.units(work) for work in self.works if agent.id in users(work))

    def on_channel(self, agent: Agent, channel: str) -> int:
        return sum(agent.id in users(w) and w.channel == channel for w in self.works)

    def lacks_fit(self, agent: Agent, needs: Needs) -> set[str]:
        known = {skill for a in self.present for skill in a.skills}
        asked = [s for s in needs.skills if s.name in known or self.rules.unknown_skills_required]
        spoken = {tag.replace("_", "-").split("-")[0].lower() for tag in agent.languages}
        found = {
            "not_in_group": bool(needs.groups) and not set(needs.groups) & set(agent.groups),
            "tier": needs.tier not in agent.tiers,
            "channel": bool(agent.channels) and needs.channel not in agent.channels,
            "language": bool(needs.language and spoken) and needs.language not in spoken,
            "skill": any(agent.skills.get(s.name, 0) < s.level for s in asked),
        }
        return {word for word, holds in found.items() if holds}

    def lacks_room(self, agent: Agent, needs: Needs) -> set[str]:
        limit = agent.channel_limits.get(needs.channel)
        found = {
            "no_capacity": agent.capacity - self.load(agent) < needs.units,
            "channel_full": limit is not None and self.on_channel(agent, needs.channel) >= limit,
        }
        return {word for word, holds in found.items() if holds}

    def able(self, needs: Needs) -> list[Agent]:
        return [
            agent
            for agent in self.present
            if duty.off_duty(agent, self.now) is None and not self.lacks_fit(agent, needs)
        ]

    def lowest(self, needs: Needs) -> int:
        """The highest tier of the plainest agent who is able to do such work."""
        return min((max(agent.tiers) for agent in self.able(needs)), default=needs.tier)

    def kept(self, agent: Agent, needs: Needs) -> bool:
        """Work waits that this agent can be given, now or when holding less, and that nobody plainer
        can do, while others can do this."""
        if not self.rules.keep_specialists or max(agent.tiers) <= self.lowest(needs):
            return False
        others = [self.asked(work)[1] for work in self.waiting if not self.declined(agent, work)]
        return any(
            1 < max(agent.tiers) <= self.lowest(other)
            and not self.lacks_fit(agent, other)
            and agent.capacity >= other.units
            and "channel_full" not in self.lacks_room(agent, other)
            for other in others
        )

    def declined(self, agent: Agent, work: Work) -> bool:
        return work.declined.get(agent.id, self.now) > self.now

    def reasons(self, agent: Agent, work: Work) -> set[str]:
        """Why this agent is not given this ticket now; empty: could be."""
        asked = self.asked(work)
        needs = self.served_as(asked)
        off = duty.off_duty(agent, self.now)
        found = self.lacks_fit(agent, needs) | ({off} if off else set())
        if not found:
            found = self.lacks_room(agent, needs)
        if not found and self.kept(agent, asked[1]):
            found = {"kept_for_specialists"}
        if not found and self.declined(agent, work):
            found = {"declined"}
        return found

    def counts(self, work: Work) -> dict[str, int]:
        """Reason → how many agents, as a decision record tells it."""
        if not self.present:
            return {"no_agents": 0}
        return dict(Counter(r for agent in self.present for r in self.reasons(agent, work)))

    # -- order

    def order(self, work: Work) -> Order:
        """What goes first: specialists' work, then queues by precedence, then by urgency."""
        queue, needs = self.asked(work)
        lowest = -self.lowest(needs) if self.rules.keep_specialists else 0
        return (lowest, -queue.precedence, urgency(work, queue), work.id)

    def unserved(self) -> list[tuple[str, str]]:
        """Who waits although somebody could be given it: the promise is that there are none."""
        return [(w.id, a.id) for w in self.waiting for a in self.present if not self.reasons(a, w)]

    def robbed(self, given: Iterable[Work]) -> list[tuple[str, str]]:
        """Who waits because an agent was given a later one of the same rank. `given`: what was
        given out when the others were left waiting, as it is now."""
        found = []
        later = [(self._order_when_waiting(work), work) for work in given]
        for work in self.waiting:
            mine = self.order(work)
            gone = {w.id for order, w in later if order[:2] == mine[:2] and order > mine}
            rest = tuple(w for w in self.works if w.id not in gone)
            without = replace(self, works=rest)
            for agent in self.present:
                has = any(w.id in gone and agent.id in users(w) for w in self.works)
                if has and not without.reasons(agent, work):
                    found.append((work.id, agent.id))
        return found

    def _order_when_waiting(self, work: Work) -> Order:
        return self.order(replace(work, reservation=None, agent=None))


def users(work: Work) -> set[str]:
    """The agents whose capacity the ticket uses."""
    reserved = work.reservation.agent if work.reservation else None
    return {agent for agent in (work.holder, reserved) if agent is not None}

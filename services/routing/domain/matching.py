"""Who can take a ticket, who is the best, and why the others are not.

Reason codes, in the order in which they are told::

    offline  away                     the agent's presence
    not_in_group                      the ticket was put in a group that the agent is not in
    tier  channel  language  skill    the agent does not serve this tier, channel, language, skill
    no_capacity                       able to take it, but full (looked at only for those)
    no_agents                         there is no agent at all
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from libs.events.routing import Candidate, RejectedCount
from services.routing.domain.agent import Agent
from services.routing.domain.needs import Needs, NeedsRules, primary_language

NO_CAPACITY: Final = "no_capacity"
NO_AGENTS: Final = "no_agents"
CANDIDATES_MAX: Final = 20
"""How many agents a decision record lists by name; all are counted by reason."""

Loads = Mapping[str, int]
"""Agent id → units in use: tickets held plus reservations."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everybody looked at for one kind of needs, loads aside.

    `able` can take such a ticket when they have room. `refused` lists up to CANDIDATES_MAX of the
    others, those with the fewest reasons first; `counts` counts all of them by reason.
    """

    needs: Needs
    required_skills: tuple[str, ...]
    able: tuple[Agent, ...]
    refused: tuple[tuple[str, tuple[str, ...]], ...]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Decision:
    """`agent` None means nobody. `reasons` is the set of reasons as text, in a fixed order: a
    "nobody" is worth a new record only when it changes."""

    agent: Agent | None
    candidates: tuple[Candidate, ...]
    rejected: tuple[RejectedCount, ...]
    required_skills: tuple[str, ...]
    rule_version: str

    @property
    def reasons(self) -> str:
        return ",".join(count.reason for count in self.rejected)


class Roster:
    """The agents who have not left, as they are at one revision. Read-only; remembers assessments,
    so that a queue of equal tickets costs one look at the agents."""

    def __init__(self, agents: Iterable[Agent], rules: NeedsRules, revision: int = 0) -> None:
        self.agents: Mapping[str, Agent] = {a.id: a for a in agents if not a.retired}
        self.rules = rules
        self.revision = revision
        self.known_skills = frozenset(name for a in self.agents.values() for name in a.skills)
        self._assessments: dict[Needs, Assessment] = {}

    def updated(self, agents: Iterable[Agent], revision: int) -> Roster:
        """A roster in which these agents stand as given (those who left are gone)."""
        merged = {**self.agents, **{agent.id: agent for agent in agents}}
        return Roster(merged.values(), self.rules, revision)

    def required_skills(self, needs: Needs) -> tuple[str, ...]:
        """The skills that are really asked for (see `NeedsRules.unknown_skills_required`)."""
        if self.rules.unknown_skills_required:
            return needs.skills
        return tuple(skill for skill in needs.skills if skill in self.known_skills)

    def able(self, agent_id: str, needs: Needs) -> bool:
        """True when this agent could take such a ticket, given room."""
        agent = self.agents.get(agent_id)
        return agent is not None and not unfit(agent, needs, self.required_skills(needs))

    def assess(self, needs: Needs) -> Assessment:
        found = self._assessments.get(needs)
        if found is None:
            found = self._assessments[needs] = self._assess(needs)
        return found

    def _assess(self, needs: Needs) -> Assessment:
        skills = self.required_skills(needs)
        able: list[Agent] = []
        refused: list[tuple[str, tuple[str, ...]]] = []
        counts: Counter[str] = Counter()
        for agent in self.agents.values():
            reasons = unfit(agent, needs, skills)
            if reasons:
                refused.append((agent.id, reasons))
                counts.update(reasons)
            else:
                able.append(agent)
        best = nsmallest(CANDIDATES_MAX, refused, key=lambda item: (len(item[1]), item[0]))
        return Assessment(needs, skills, tuple(able), tuple(best), counts)


def unfit(agent: Agent, needs: Needs, skills: tuple[str, ...]) -> tuple[str, ...]:
    """Why this agent cannot take such a ticket, room aside; empty when it can."""
    reasons: list[str] = []
    if agent.presence != "online":
        reasons.append(agent.presence)
    if needs.group is not None and needs.group not in agent.groups:
        reasons.append("not_in_group")
    if needs.tier not in agent.tiers:
        reasons.append("tier")
    if agent.channels and needs.channel not in agent.channels:
        reasons.append("channel")
    if needs.language and agent.languages and not _speaks(agent, needs.language):
        reasons.append("language")
    if any(skill not in agent.skills for skill in skills):
        reasons.append("skill")
    return tuple(reasons)


def choose(needs: Needs, roster: Roster, loads: Loads) -> Decision:
    """The agent with the most spare capacity among those who can take such a ticket.

    Ties: the higher sum of levels in the required skills, then the smaller load, then the smaller
    id. Nobody over or at capacity is ever chosen.
    """
    seen = roster.assess(needs)
    free = [agent for agent in seen.able if loads.get(agent.id, 0) < agent.capacity]

    def order(agent: Agent) -> tuple[int, int, int, str]:
        load = loads.get(agent.id, 0)
        level = sum(agent.skills[skill] for skill in seen.required_skills)
        return (load - agent.capacity, -level, load, agent.id)

    best = nsmallest(CANDIDATES_MAX, free, key=order)
    candidates = [Candidate(agent=a.id, score=float(a.capacity - loads.get(a.id, 0))) for a in best]
    counts = dict(seen.counts)
    full = len(seen.able) - len(free)
    if full:
        counts[NO_CAPACITY] = full
    if len(candidates) < CANDIDATES_MAX:
        candidates += _unavailable(seen, loads, CANDIDATES_MAX - len(candidates))
    if not roster.agents:
        counts[NO_AGENTS] = 0
    return Decision(
        agent=best[0] if best else None,
        candidates=tuple(candidates),
        rejected=tuple(RejectedCount(reason=r, agents=n) for r, n in sorted(counts.items())),
        required_skills=seen.required_skills,
        rule_version=roster.rules.version,
    )


def has_room(needs: Needs, roster: Roster, loads: Loads) -> bool:
    """True when somebody could take such a ticket now."""
    return any(loads.get(a.id, 0) < a.capacity for a in roster.assess(needs).able)


def _unavailable(seen: Assessment, loads: Loads, limit: int) -> list[Candidate]:
    spares = ((a.capacity - loads.get(a.id, 0), a.id) for a in seen.able)
    full = nsmallest(limit, ((-spare, agent_id) for spare, agent_id in spares if spare <= 0))
    rejected = [
        Candidate(agent=agent_id, score=float(-lack), rejected=(NO_CAPACITY,))
        for lack, agent_id in full
    ]
    rejected += [Candidate(agent=agent_id, rejected=reasons) for agent_id, reasons in seen.refused]
    return rejected[:limit]


def _speaks(agent: Agent, language: str) -> bool:
    return any(primary_language(tag) == language for tag in agent.languages)

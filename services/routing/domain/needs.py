"""What a ticket needs of an agent, derived from the ticket by the rule set."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final, Literal
from uuid import NAMESPACE_URL, uuid5

from libs.events.base import Channel
from libs.events.routing import SkillNeed, TicketNeeds
from services.routing.domain.rules import QueueRule, RoutingRules, primary_language
from services.routing.domain.work import Work

NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:bitacora:routing:needs")

IMPORTANCE: Final = {"low": 1, "medium": 2, "high": 3, None: 4}
"""In this order skills are dropped when nobody is found in time; those without are never dropped."""


Importance = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class AskedSkill:
    """A skill at a minimum level. `importance` None: required."""

    name: str
    level: int = 1
    importance: Importance | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """Tickets with equal needs can be taken by the same agents, and wait in the same line.

    `language` is the primary subtag in lower case (`es-MX` → `es`). `groups`: only their members;
    empty: no matter which. `units`: of capacity that such a ticket uses.
    """

    queue: str = "default"
    skills: tuple[AskedSkill, ...] = ()
    language: str | None = None
    tier: int = 1
    channel: Channel = Channel.API
    groups: tuple[str, ...] = ()
    units: int = 1

    @property
    def key(self) -> str:
        """A UUID: the same for the same needs, in every process and for ever."""
        return str(uuid5(NAMESPACE, self.document))

    @property
    def document(self) -> str:
        """The needs as text, which `Needs.of` reads back."""
        skills = [[skill.name, skill.level, skill.importance] for skill in self.skills]
        return json.dumps(
            [self.queue, skills, self.language, self.tier, self.channel, self.groups, self.units],
            separators=(",", ":"),
            ensure_ascii=False,
        )

    @staticmethod
    def of(document: str) -> Needs:
        """The needs that `document` tells."""
        queue, skills, language, tier, channel, groups, units = json.loads(document)
        asked = tuple(AskedSkill(*skill) for skill in skills)
        return Needs(queue, asked, language, tier, Channel(channel), tuple(groups), units)

    def relaxed(self) -> Needs | None:
        """These needs without the optional skills of the least importance; None when all that is
        still asked for is required."""
        least = min((IMPORTANCE[skill.importance] for skill in self.skills), default=4)
        if least == IMPORTANCE[None]:
            return None
        kept = tuple(skill for skill in self.skills if IMPORTANCE[skill.importance] > least)
        return replace(self, skills=kept)

    def public(self) -> TicketNeeds:
        """The needs as decision records tell them."""
        return TicketNeeds.model_construct(
            skills=tuple(
                SkillNeed.model_construct(name=s.name, level=s.level, importance=s.importance)
                for s in self.skills
            ),
            language=self.language,
            tier=self.tier,
            channel=self.channel,
            groups=self.groups,
            units=self.units,
        )


def needs_of(work: Work, rules: RoutingRules) -> tuple[QueueRule, Needs]:
    """The queue that this ticket waits in, and what it needs when it has just begun to wait."""
    queue = rules.queue_for(work)
    asked: dict[str, AskedSkill] = {}
    if work.category and rules.category_is_skill:
        _ask(asked, AskedSkill(work.category))
    for rule in rules.skills:
        if rule.when.matches(work):
            for skill in rule.skills:
                _ask(asked, AskedSkill(skill.name, skill.level, skill.importance))
    for skill in queue.skills:
        _ask(asked, AskedSkill(skill.name, skill.level, skill.importance))
    group = work.group or queue.group
    return queue, Needs(
        queue=queue.name,
        skills=tuple(asked[name] for name in sorted(asked)),
        language=primary_language(work.language) if rules.language_required else None,
        tier=max(work.tier, queue.tier or 1),
        channel=work.channel,
        groups=(group,) if group else (),
        units=rules.weights.get(work.channel, 1),
    )


def _ask(asked: dict[str, AskedSkill], skill: AskedSkill) -> None:
    """The higher level counts, and required outweighs optional."""
    other = asked.get(skill.name)
    if other is None:
        asked[skill.name] = skill
        return
    importance = max(skill.importance, other.importance, key=IMPORTANCE.__getitem__)
    asked[skill.name] = AskedSkill(skill.name, max(skill.level, other.level), importance)

"""What a ticket needs of an agent, derived from the ticket by a small, versioned set of rules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from libs.events.base import Channel
from services.routing.domain.work import Work


@dataclass(frozen=True, slots=True)
class NeedsRules:
    """`version` is recorded with every decision; change it together with any other field.

    `category_is_skill`: a ticket's category is a skill of the same name that its agent must have.
    `unknown_skills_required`: also when no agent in the house has that skill (the ticket then waits
    until somebody has); otherwise such a skill is not asked for.
    `language_required`: an agent who lists languages must list the ticket's.
    """

    version: str = "1"
    category_is_skill: bool = True
    unknown_skills_required: bool = False
    language_required: bool = True


@dataclass(frozen=True, slots=True)
class Needs:
    """Tickets with equal needs can be taken by the same agents.

    `language` is the primary subtag in lower case (`es-MX` → `es`). `group`: only its members.
    """

    skills: tuple[str, ...] = ()
    language: str | None = None
    tier: int = 1
    channel: Channel = Channel.API
    group: str | None = None

    @property
    def key(self) -> str:
        """The needs as text: equal for equal needs, and `Needs.of_key` reads it back."""
        return json.dumps(
            [self.skills, self.language, self.tier, self.channel, self.group],
            separators=(",", ":"),
            ensure_ascii=False,
        )

    @staticmethod
    def of_key(key: str) -> Needs:
        """The needs that `key` tells. Raises ValueError for a text that is no key."""
        return _parse(key)


@lru_cache(maxsize=10_000)
def _parse(key: str) -> Needs:
    skills, language, tier, channel, group = json.loads(key)
    return Needs(tuple(skills), language, tier, Channel(channel), group)


def needs_of(work: Work, rules: NeedsRules) -> Needs:
    """What this ticket needs, by these rules."""
    skills = (work.category,) if work.category and rules.category_is_skill else ()
    language = primary_language(work.language) if rules.language_required else None
    return Needs(skills, language, work.tier, work.channel, work.group)


def primary_language(tag: str | None) -> str | None:
    """`es-MX` → `es`."""
    return tag.replace("_", "-").split("-")[0].lower() if tag else None

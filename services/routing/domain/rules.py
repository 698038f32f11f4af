"""The rule set by which tickets are routed: one document, versioned as a whole.

It says what a ticket needs (skills by condition), in which queue it waits (the first that matches),
and how agents are treated. Agents themselves are no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from libs.events.base import Channel, Tier, Word
from libs.events.routing import SkillNeed
from services.routing.domain.conditions import Condition, Part, TicketFacts, Words, primary_language

__all__ = [
    "DEFAULT_QUEUE",
    "Condition",
    "Offers",
    "Overflow",
    "QueueRule",
    "RoutingRules",
    "SkillRule",
    "Strategy",
    "TakeBack",
    "TicketFacts",
    "VersionedRules",
    "primary_language",
]

Strategy = Literal["most_spare", "lowest_share", "longest_idle", "least_flexible"]

DAY_S: Final = 86_400
SECONDS_MAX: Final = 366 * DAY_S
UNITS_MAX: Final = 1_000
QUEUES_MAX: Final = 500
SKILL_RULES_MAX: Final = 2_000

Flag = Annotated[bool, Field(strict=True)]
Seconds = Annotated[int, Field(strict=True, ge=0, le=SECONDS_MAX)]
AtLeastOneSecond = Annotated[int, Field(strict=True, ge=1, le=SECONDS_MAX)]
Units = Annotated[int, Field(strict=True, ge=1, le=UNITS_MAX)]
Times = Annotated[int, Field(strict=True, ge=0, le=1_000)]

_NEED_FIELDS: Final = frozenset(SkillNeed.model_fields)


def _strict_need(value: Any) -> Any:
    """A skill as a document may write it. As a part of events it ignores unknown fields, so that
    newer producers may add some; a document's typing errors must not pass in silence."""
    if isinstance(value, dict):
        unknown = [str(name) for name in value if name not in _NEED_FIELDS]
        if unknown:
            raise ValueError(
                f"a skill has no field {unknown[0]!r}; it has name, level and importance"
            )
        if isinstance(value.get("level", 1), bool | str | float):
            raise ValueError("the level must be a whole number from 1 to 10")  # noqa: TRY004
    return value


Skills = Annotated[
    tuple[Annotated[SkillNeed, BeforeValidator(_strict_need)], ...], Field(max_length=100)
]


class SkillRule(Part):
    """Tickets that match need these skills. All rules that match add up, and the queue's own
    skills with them: of one skill the highest level counts, and required outweighs optional."""

    when: Condition
    skills: Annotated[Skills, Field(min_length=1)]


class Overflow(Part):
    """Agents of these groups may take the queue's tickets too: while nobody on duty in the queue's
    own group has what is needed, and with `after_s` also once a ticket has waited that long."""

    groups: Annotated[Words, Field(min_length=1)]
    after_s: Seconds | None = None


class QueueRule(Part):
    """A queue: the tickets that match `when` and that no queue before it has taken.

    `group`: agents must be in it, unless the ticket has a group of its own. `tier`: the least that
    a ticket counts as here. `order` "priority": by priority, then by who could first be given, and a
    ticket that has waited `ageing_s` longer goes before one of the next higher priority (None:
    never); "sla": breached, then nearest due, and one without a due time counts as due `ageing_s`
    after it could first be given (None: it goes last). `precedence`: among queues, the higher goes
    first. `optional_timeout_s`: after each such wait the optional skills of the least importance
    still asked for are dropped (None: they are only ever a preference that is kept waiting for).
    """

    name: Word
    when: Condition = Condition()
    group: Word | None = None
    skills: Skills = ()
    tier: Annotated[Tier, Field(strict=True)] | None = None
    order: Literal["priority", "sla"] = "priority"
    ageing_s: AtLeastOneSecond | None = DAY_S
    precedence: Annotated[int, Field(strict=True, ge=-1_000, le=1_000)] = 0
    mode: Literal["assignment", "offer"] = "assignment"
    optional_timeout_s: AtLeastOneSecond | None = None
    overflow: Overflow | None = None
    strategy: Strategy | None = None


class Offers(Part):
    """Tickets of queues in mode "offer": how long an agent has to accept, for how long one who
    declined is not offered the same ticket again, and how many offers in a row an agent may let time
    out before being set away (0: any number)."""

    timeout_s: AtLeastOneSecond = 30
    decline_pause_s: AtLeastOneSecond = 300
    misses_to_away: Times = 2


class TakeBack(Part):
    """How long an agent may be out of office, or offline, before the tickets are taken back and
    routed anew. None: never."""

    out_of_office_s: Seconds | None = 900
    offline_s: Seconds | None = None


class RoutingRules(Part):
    """The whole document.

    `weights`: units of capacity that a ticket of a channel uses, 1 when absent. `category_is_skill`:
    a ticket's category is a skill of the same name that its agent must have.
    `unknown_skills_required`: such a skill is asked for also while no agent in the house has it (the
    ticket then waits). `language_required`: an agent who lists languages must list the ticket's.
    `hand_over_limit`: that many hand-overs escalate a ticket (0: none does). `keep_specialists`:
    while work that only they can do waits, they are kept for it. `affinity`: a reopened ticket
    returns to the agent who solved it.
    """

    weights: dict[Channel, Units] = Field(default_factory=dict)
    strategy: Strategy = "most_spare"
    category_is_skill: Flag = True
    unknown_skills_required: Flag = False
    language_required: Flag = True
    skills: Annotated[tuple[SkillRule, ...], Field(max_length=SKILL_RULES_MAX)] = ()
    queues: Annotated[tuple[QueueRule, ...], Field(max_length=QUEUES_MAX)] = ()
    hand_over_limit: Times = 3
    keep_specialists: Flag = True
    affinity: Flag = True
    offers: Offers = Offers()
    take_back: TakeBack = TakeBack()

    def queue_for(self, ticket: TicketFacts) -> QueueRule:
        """The first queue that matches, DEFAULT_QUEUE when none does."""
        for queue in self.queues:
            if queue.when.matches(ticket):
                return queue
        return DEFAULT_QUEUE


DEFAULT_QUEUE: Final = QueueRule(name="default")


@dataclass(frozen=True)
class VersionedRules:
    """`version` 0: the built-in defaults, made from the settings; nobody has put any rules yet."""

    version: int
    rules: RoutingRules

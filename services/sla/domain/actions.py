"""What a policy has done when a clock warns or breaches: pure, from a fact to deeds.

Each warning and each breach of an activation is stated once, and each of its actions is done once: the
same deed always has the same name. No deed activates a clock, so the deeds of a ticket are at
most (warnings + 1) x actions for each activation, whatever they lead to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

from libs.events import Priority

ActionKind = Literal["notify", "raise_priority", "escalate", "reroute"]
ACTIONS: Final[tuple[ActionKind, ...]] = get_args(ActionKind)
Trigger = Literal["warning", "breach"]

PRIORITIES: Final = tuple(str(priority) for priority in Priority)
"""From the lowest to the highest."""
HIGHEST_TIER: Final = 3
LEADS: Final = "leads"


class Action(NamedTuple):
    """`whom`: assignee, group, leads, `agent:<id>` or `group:<name>`, for notify. `at`: only at this
    warning, in per cent; None: at each."""

    do: ActionKind
    whom: tuple[str, ...] = ()
    at: int | None = None


class Deed(NamedTuple):
    """An action on one ticket, with what it comes to there."""

    do: ActionKind
    trigger: Trigger
    fraction: int
    whom: tuple[str, ...] = ()
    priority: str | None = None
    tier: int | None = None

    def name(self, ticket_id: str, metric: str, activation: int) -> str:
        """The same for the same cause, however often it is stated."""
        return f"{self.do}:{ticket_id}:{metric}:{activation}:{self.trigger}:{self.fraction}"


def deed_of(
    action: Action, trigger: Trigger, fraction: int, fields: Mapping[str, str], *, ended: bool
) -> Deed | None:
    """What this action comes to for a ticket with these fields; None when there is nothing to do: the
    priority or the tier is the highest, no agent holds the ticket, or (`ended`) it is solved."""
    match action.do:
        case "notify":
            return Deed("notify", trigger, fraction, whom=_people(action.whom, fields))
        case _ if ended:
            return None
        case "raise_priority":
            above = PRIORITIES.index(fields["priority"]) + 1
            if above == len(PRIORITIES):
                return None
            return Deed("raise_priority", trigger, fraction, priority=PRIORITIES[above])
        case "escalate":
            tier = int(fields["tier"]) + 1
            return Deed("escalate", trigger, fraction, tier=tier) if tier <= HIGHEST_TIER else None
        case "reroute":
            # A ticket that no agent holds is being routed already.
            return Deed("reroute", trigger, fraction) if "agent" in fields else None


def _people(whom: tuple[str, ...], fields: Mapping[str, str]) -> tuple[str, ...]:
    """By name, each once. An assignee or a group that there is not gives way to the next wider circle,
    so that somebody is always told."""
    people: list[str] = []
    for one in whom:
        if one == "assignee" and "agent" in fields:
            people.append(f"agent:{fields['agent']}")
        elif one in {"assignee", "group"}:
            people.append(f"group:{fields['group']}" if "group" in fields else LEADS)
        else:
            people.append(one)
    return tuple(dict.fromkeys(people))

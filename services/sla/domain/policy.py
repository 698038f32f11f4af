"""Policies: which targets a ticket has, and in which calendar each is counted.

Policies are tried in order and the first that matches counts, for all its metrics. The whole ordered
list is one version, in force from a stated instant. A clock keeps the version it was started (or last
retargeted) with, so an edit never rewrites a verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from libs.events.sla import Metric
from services.sla.domain.actions import Action

CUSTOM: Final = "custom_fields."
"""A condition on the custom field X is written `custom_fields.X`."""

CONDITION_FIELDS: Final = (
    "priority",
    "channel",
    "category",
    "subcategory",
    "tags",
    "requester",
    "organization",
    "language",
    "tier",
    "group",
    "agent",
    "substatus",
    "rating",
    "links",
    "live",
    "follow_up_of",
    "imported_from",
    "external_ref",
    "number",
    "solved_by",
    "reopens",
    "escalations",
    "hand_overs",
    "group_changes",
    "public_replies",
    "requester_messages",
    "internal_notes",
)
"""Fields of the published ticket (`libs.events.fold.Ticket`), under its names; `requester` is the id, and
`organization` is the requester's. `custom_fields` have a name each, see CUSTOM."""
SETS: Final = frozenset({"tags", "links"})
"""Fields with any number of values; a condition asks for one in common."""
COUNTS: Final = frozenset(
    (
        *("reopens", "escalations", "hand_overs", "group_changes"),
        *("public_replies", "requester_messages", "internal_notes"),
    )
)
REFUSED_FIELDS: Final[Mapping[str, str]] = {
    "id": "a condition names a single ticket by its number",
    "sequence": "it grows with every event",
    "status": "a status pauses and ends clocks, it does not choose a policy",
    "subject": "it is a text of the requester's; give the ticket a tag or a category",
    "description": "it is a text of the requester's; give the ticket a tag or a category",
    "merged_into": "a merged ticket has no clocks",
    "custom_fields": "write custom_fields. and the name of one",
    **dict.fromkeys(
        (
            *("created_at", "updated_at", "first_replied_at", "last_requester_message_at"),
            *("solved_at", "closed_at"),
        ),
        "it is an instant, and a condition names values",
    ),
}
"""Fields of the published ticket that no condition can ask for, and why."""
VALUE_MAX: Final = 200
"""Characters of a condition's value. What a ticket has is kept that long and one more, so that a longer
value never equals one."""


class Asked(NamedTuple):
    """What policies may ask of a ticket. `links`: the kind of each, and kind and ticket: `incident_of`,
    `incident_of:<id>`."""

    fields: Mapping[str, str]
    tags: Collection[str] = ()
    links: Collection[str] = ()
    live: bool = True

    def value(self, name: str) -> str | None:
        if name == "live":
            return "true" if self.live else "false"
        return self.fields.get(name, "0" if name in COUNTS else None)


class Target(NamedTuple):
    target_us: int
    calendar: str


@dataclass(frozen=True)
class Policy:
    """`conditions`: every field must have one of its values (tags, links: any in common); none: always.
    A metric or a priority without a target has no clock."""

    id: str
    conditions: Mapping[str, frozenset[str]]
    targets: Mapping[Metric, Mapping[str, Target]]
    warn_at: tuple[int, ...]
    on_warning: Mapping[Metric, tuple[Action, ...]]
    on_breach: Mapping[Metric, tuple[Action, ...]]

    def matches(self, asked: Asked) -> bool:
        for name, wanted in self.conditions.items():
            if name in SETS:
                if wanted.isdisjoint(asked.tags if name == "tags" else asked.links):
                    return False
            elif asked.value(name) not in wanted:
                return False
        return True


@dataclass(frozen=True)
class PolicySet:
    """One version of the ordered list of policies. An empty list times nothing."""

    version: int
    effective_from_us: int
    policies: tuple[Policy, ...]

    @cached_property
    def asks_for(self) -> frozenset[str]:
        """The fields whose change may give a ticket other terms."""
        return frozenset({"priority"}.union(*(policy.conditions for policy in self.policies)))

    def match(self, asked: Asked) -> Policy | None:
        return next((policy for policy in self.policies if policy.matches(asked)), None)

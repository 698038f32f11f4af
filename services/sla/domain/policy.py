"""Policies: which targets a ticket has, and in which calendar each is counted.

Policies are tried in order and the first that matches counts, for all its metrics. The whole ordered
list is one version, in force from a stated instant. A clock keeps the version it was started (or last
retargeted) with, so an edit never rewrites a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
)
VALUE_MAX: Final = 200
"""Characters of a condition's value. What a ticket has is kept that long and one more, so that a longer
value never equals one."""


class Target(NamedTuple):
    target_us: int
    calendar: str


@dataclass(frozen=True)
class Policy:
    """`conditions`: every field must have one of its values (tags: any tag in common); none: always.
    A metric or a priority without a target has no clock."""

    id: str
    conditions: Mapping[str, frozenset[str]]
    targets: Mapping[Metric, Mapping[str, Target]]
    warn_at: tuple[int, ...]
    on_warning: Mapping[Metric, tuple[Action, ...]]
    on_breach: Mapping[Metric, tuple[Action, ...]]

    def matches(self, fields: Mapping[str, str], tags: Sequence[str]) -> bool:
        for name, wanted in self.conditions.items():
            if name == "tags":
                if wanted.isdisjoint(tags):
                    return False
            elif fields.get(name) not in wanted:
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

    def match(self, fields: Mapping[str, str], tags: Sequence[str]) -> Policy | None:
        return next((policy for policy in self.policies if policy.matches(fields, tags)), None)

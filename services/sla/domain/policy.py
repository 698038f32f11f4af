"""Policies: which targets a ticket has, and in which calendar each is counted.

Policies are tried in order and the first that matches counts, for all its metrics. The whole ordered
list is one version, in force from a stated instant; so is every version of a calendar. The version
that counts at an instant is the newest that is in force by then. A clock keeps the versions it was
started (or last retargeted) with, so an edit never rewrites a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

from libs.events import Priority
from libs.events.sla import Metric
from services.sla.domain.calendar import Calendar
from services.sla.domain.errors import InvalidDefinition
from services.sla.domain.instants import DAY_US, SECOND_US
from services.sla.domain.metrics import METRICS

CONDITION_FIELDS: Final = (
    "priority",
    "channel",
    "category",
    "subcategory",
    "tags",
    "organization",
    "language",
    "tier",
    "group",
)
ACTIONS: Final = ("escalate",)
TARGET_MAX_S: Final = 366 * 86_400
LONGEST_MAX_US: Final = 20 * 366 * DAY_US
POLICIES_MAX: Final = 500
DEFAULT_WARN_AT: Final = (75, 90)


class Target(NamedTuple):
    target_us: int
    calendar: str


class Terms(NamedTuple):
    """What a clock is held to: everything that an edit of policy or calendar may change."""

    policy: str
    policy_version: int
    calendar: Calendar
    target_us: int
    warn_at: tuple[int, ...]
    escalates: bool


@dataclass(frozen=True)
class Policy:
    """`conditions`: every field must have one of its values (tags: any tag in common)."""

    id: str
    conditions: Mapping[str, frozenset[str]]
    targets: Mapping[Metric, Mapping[str, Target]]
    warn_at: tuple[int, ...]
    escalates: frozenset[Metric]

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
    """One version of the ordered list of policies."""

    version: int
    effective_from_us: int
    policies: tuple[Policy, ...]

    @cached_property
    def asks_for(self) -> frozenset[str]:
        """The fields whose change may give a ticket other terms."""
        return frozenset({"priority"}.union(*(policy.conditions for policy in self.policies)))

    def match(self, fields: Mapping[str, str], tags: Sequence[str]) -> Policy | None:
        return next((policy for policy in self.policies if policy.matches(fields, tags)), None)


class CalendarVersion(NamedTuple):
    effective_from_us: int
    calendar: Calendar


@dataclass(frozen=True)
class Book:
    """All versions of policies and calendars: what any verdict may refer to. Versions ascend."""

    policy_sets: tuple[PolicySet, ...] = ()
    calendars: Mapping[str, tuple[CalendarVersion, ...]] = field(default_factory=dict)
    _known: dict[tuple[object, ...], Terms] = field(default_factory=dict, repr=False)

    def policies_at(self, at_us: int) -> PolicySet | None:
        for version in reversed(self.policy_sets):
            if version.effective_from_us <= at_us:
                return version
        return None

    def calendar_at(self, name: str, at_us: int) -> Calendar:
        """The version of the calendar that counts at this instant: before its first, the first."""
        versions = self.calendars[name]
        for version in reversed(versions):
            if version.effective_from_us <= at_us:
                return version.calendar
        return versions[0].calendar

    def targets_at(
        self, fields: Mapping[str, str], tags: Sequence[str], at_us: int
    ) -> dict[Metric, Terms]:
        """The terms of each metric for which a ticket with these fields has a target."""
        version = self.policies_at(at_us)
        policy = version.match(fields, tags) if version is not None else None
        if version is None or policy is None:
            return {}
        found: dict[Metric, Terms] = {}
        for metric, per_priority in policy.targets.items():
            target = per_priority.get(fields["priority"])
            if target is not None:
                calendar = self.calendar_at(target.calendar, at_us)
                found[metric] = self._terms(version, policy, metric, target.target_us, calendar)
        return found

    def terms(
        self,
        policy: str,
        policy_version: int,
        metric: Metric,
        target_us: int,
        calendar: str,
        calendar_version: int,
    ) -> Terms:
        """The terms that a clock recorded by name and version. Raises LookupError."""
        key = (policy, policy_version, metric, target_us, calendar, calendar_version)
        known = self._known.get(key)
        if known is not None:
            return known
        version = self.policy_sets[policy_version - 1]
        of_version = next(entry for entry in version.policies if entry.id == policy)
        of_calendar = self.calendars[calendar][calendar_version - 1].calendar
        return self._terms(version, of_version, metric, target_us, of_calendar)

    def _terms(
        self, version: PolicySet, policy: Policy, metric: Metric, target_us: int, calendar: Calendar
    ) -> Terms:
        key = (policy.id, version.version, metric, target_us, calendar.name, calendar.version)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Terms(
                policy.id,
                version.version,
                calendar,
                target_us,
                policy.warn_at,
                metric in policy.escalates,
            )
        return known


def policy_set_of(
    definitions: Sequence[Mapping[str, Any]],
    *,
    version: int,
    effective_from_us: int,
    calendars: Mapping[str, Calendar],
) -> PolicySet:
    """The list of policies that `definitions` describe. Raises InvalidDefinition (too_many_policies,
    duplicate_policy, unknown_condition, unsupported_metric, bad_target, unknown_calendar,
    unreachable_target, bad_fraction, unsupported_action)."""
    if len(definitions) > POLICIES_MAX:
        raise InvalidDefinition(
            "too_many_policies", f"{len(definitions)} policies; at most {POLICIES_MAX} are taken"
        )
    policies = tuple(_policy(definition, calendars) for definition in definitions)
    ids = [policy.id for policy in policies]
    for name in ids:
        if ids.count(name) > 1:
            raise InvalidDefinition("duplicate_policy", f"two policies have the id {name!r}")
    return PolicySet(version, effective_from_us, policies)


def check_reachable(name: str, target_us: int, calendar: Calendar) -> None:
    """Raises InvalidDefinition (unreachable_target) for a target that the calendar's few open hours
    would spread over decades."""
    if calendar.longest_us(target_us) > LONGEST_MAX_US:
        raise InvalidDefinition(
            "unreachable_target",
            f"{name}: {target_us // SECOND_US} s of the open time of calendar {calendar.name!r} may"
            " take more than 20 years; shorten the target or open the calendar longer",
        )


def _policy(definition: Mapping[str, Any], calendars: Mapping[str, Calendar]) -> Policy:
    name = str(definition["id"])
    conditions: dict[str, frozenset[str]] = {}
    for field_name, values in (definition.get("when") or {}).items():
        if field_name not in CONDITION_FIELDS:
            raise InvalidDefinition(
                "unknown_condition",
                f"policy {name!r}: {field_name!r} cannot be a condition;"
                f" use {', '.join(CONDITION_FIELDS)}",
            )
        conditions[field_name] = frozenset(str(value) for value in values)
    targets = {
        _metric(name, metric): {
            _priority(name, priority): _target(name, target, calendars)
            for priority, target in per_priority.items()
        }
        for metric, per_priority in definition["targets"].items()
    }
    warn_at = definition.get("warn_at")
    return Policy(
        name,
        conditions,
        targets,
        _fractions(name, DEFAULT_WARN_AT if warn_at is None else warn_at),
        _escalates(name, definition.get("on_breach") or {}),
    )


def _metric(policy: str, metric: str) -> Metric:
    for known in METRICS:
        if known == metric:
            return known
    raise InvalidDefinition(
        "unsupported_metric",
        f"policy {policy!r}: {metric!r} cannot be timed; use {', '.join(METRICS)}",
    )


def _priority(policy: str, priority: str) -> str:
    try:
        return str(Priority(priority))
    except ValueError as error:
        raise InvalidDefinition(
            "unknown_priority",
            f"policy {policy!r}: {priority!r} is no priority; use {', '.join(Priority)}",
        ) from error


def _target(policy: str, target: Mapping[str, Any], calendars: Mapping[str, Calendar]) -> Target:
    seconds, name = target["target_s"], str(target["calendar"])
    if not 0 < seconds <= TARGET_MAX_S:
        raise InvalidDefinition(
            "bad_target",
            f"policy {policy!r}: a target must be 1 to {TARGET_MAX_S} seconds, not {seconds}",
        )
    calendar = calendars.get(name)
    if calendar is None:
        raise InvalidDefinition(
            "unknown_calendar",
            f"policy {policy!r}: there is no calendar {name!r}; put it to /v1/calendars first",
        )
    check_reachable(f"policy {policy!r}", seconds * SECOND_US, calendar)
    return Target(seconds * SECOND_US, name)


def _fractions(policy: str, fractions: Sequence[int]) -> tuple[int, ...]:
    for fraction in fractions:
        if not 0 < fraction < 100:  # noqa: PLR2004 - per cent
            raise InvalidDefinition(
                "bad_fraction",
                f"policy {policy!r}: a warning must come at 1 to 99 per cent, not {fraction}",
            )
    return tuple(sorted(set(fractions)))


def _escalates(policy: str, on_breach: Mapping[str, Sequence[str]]) -> frozenset[Metric]:
    for metric, actions in on_breach.items():
        _metric(policy, metric)
        for action in actions:
            if action not in ACTIONS:
                raise InvalidDefinition(
                    "unsupported_action",
                    f"policy {policy!r}: {action!r} cannot be done; use {', '.join(ACTIONS)}",
                )
    return frozenset(_metric(policy, metric) for metric, actions in on_breach.items() if actions)

"""All versions of policies and calendars: what any clock may be held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from libs.events.sla import Metric
from libs.worktime.timeline import CalendarVersion, Timeline
from services.sla.domain.actions import Action
from services.sla.domain.policy import Asked, Policy, PolicySet


class Terms(NamedTuple):
    """What a clock is held to. `calendar` is all versions of the calendar that its policy names."""

    policy: str
    policy_version: int
    calendar: Timeline
    target_us: int
    warn_at: tuple[int, ...]
    on_warning: tuple[Action, ...]
    on_breach: tuple[Action, ...]
    tzdata: str


@dataclass(frozen=True)
class Book:
    """Versions ascend. `tzdata` names the release of the time zone database that is in use."""

    policy_sets: tuple[PolicySet, ...] = ()
    calendars: Mapping[str, tuple[CalendarVersion, ...]] = field(default_factory=dict)
    tzdata: str = ""
    _known: dict[tuple[object, ...], Terms] = field(default_factory=dict, repr=False)

    @cached_property
    def timelines(self) -> Mapping[str, Timeline]:
        return {name: Timeline(name, versions) for name, versions in self.calendars.items()}

    @cached_property
    def metrics(self) -> frozenset[Metric]:
        """The metrics for which any version has a target."""
        return frozenset(
            metric
            for version in self.policy_sets
            for policy in version.policies
            for metric in policy.targets
        )

    def policies_at(self, at_us: int) -> PolicySet | None:
        """The newest version that is in force at this instant."""
        for version in reversed(self.policy_sets):
            if version.effective_from_us <= at_us:
                return version
        return None

    def policies_from(self, at_us: int) -> tuple[PolicySet, ...]:
        """The version in force at this instant, and each that is to follow it, ascending."""
        found: list[PolicySet] = []
        for version in reversed(self.policy_sets):
            if not found or version.effective_from_us < found[-1].effective_from_us:
                found.append(version)
            if version.effective_from_us <= at_us:
                break
        return tuple(reversed(found))

    def targets_at(self, asked: Asked, at_us: int) -> dict[Metric, Terms]:
        """The terms of each metric for which a ticket with these fields has a target."""
        version = self.policies_at(at_us)
        policy = version.match(asked) if version is not None else None
        if version is None or policy is None:
            return {}
        found: dict[Metric, Terms] = {}
        for metric, per_priority in policy.targets.items():
            target = per_priority.get(asked.fields["priority"])
            if target is not None:
                found[metric] = self._terms(
                    version, policy, metric, target.target_us, target.calendar
                )
        return found

    def terms(
        self, policy: str, policy_version: int, metric: Metric, target_us: int, calendar: str
    ) -> Terms:
        """The terms that a clock recorded by name and version. Raises LookupError."""
        known = self._known.get((policy, policy_version, metric, target_us, calendar))
        if known is not None:
            return known
        version = self.policy_sets[policy_version - 1]
        of_version = next(entry for entry in version.policies if entry.id == policy)
        return self._terms(version, of_version, metric, target_us, calendar)

    def _terms(
        self, version: PolicySet, policy: Policy, metric: Metric, target_us: int, calendar: str
    ) -> Terms:
        key = (policy.id, version.version, metric, target_us, calendar)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Terms(
                policy.id,
                version.version,
                self.timelines[calendar],
                target_us,
                policy.warn_at,
                policy.on_warning.get(metric, ()),
                policy.on_breach.get(metric, ()),
                self.tzdata,
            )
        return known

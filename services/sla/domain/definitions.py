"""From the policies that people write to the ones that count, or a reason why not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from libs.events import Channel, Priority
from libs.events.sla import Metric
from libs.events.ticket import LinkKind
from libs.worktime.calendar import Calendar
from libs.worktime.errors import InvalidDefinition
from libs.worktime.instants import DAY_US, SECOND_US
from services.sla.domain.actions import ACTIONS, Action
from services.sla.domain.metrics import METRICS
from services.sla.domain.policy import (
    CONDITION_FIELDS,
    COUNTS,
    CUSTOM,
    REFUSED_FIELDS,
    VALUE_MAX,
    Policy,
    PolicySet,
    Target,
)

TARGET_MAX_S: Final = 366 * 86_400
LONGEST_MAX_US: Final = 20 * 366 * DAY_US
POLICIES_MAX: Final = 500
DEFAULT_WARN_AT: Final = (75, 90)
FIXED_VALUES: Final[Mapping[str, frozenset[str]]] = {
    "priority": frozenset(Priority),
    "channel": frozenset(Channel),
    "tier": frozenset({"1", "2", "3"}),
    "rating": frozenset({"good", "bad"}),
    "live": frozenset({"true", "false"}),
    "links": frozenset(get_args(LinkKind)),
}
"""Fields with a closed list of values: another value in a condition is a slip that would never match."""

_PERSONAL: Final = dict.fromkeys(
    ("requester.name", "requester.email", "requester.phone"),
    "it is personal data, which policies do not see; use requester (the id) or organization",
)
_COUNT = re.compile(r"(?:0|[1-9][0-9]{0,15})\Z")
_WHOM = re.compile(r"assignee|group|leads|(agent|group):\S.*")


def policy_set_of(
    definitions: Sequence[Mapping[str, Any]],
    *,
    version: int,
    effective_from_us: int,
    calendars: Mapping[str, Calendar] | None,
) -> PolicySet:
    """The list of policies that `definitions` describe.

    `calendars` None: the definitions were accepted before. A calendar may since have come to be open so
    rarely that a target could not be taken anew; what was accepted stays readable all the same.

    Raises InvalidDefinition (too_many_policies, duplicate_policy, unknown_condition, empty_condition,
    bad_condition, unsupported_metric, unknown_priority, empty_targets, bad_target, unknown_calendar,
    unreachable_target, bad_fraction, unsupported_action, bad_action).
    """
    if len(definitions) > POLICIES_MAX:
        raise InvalidDefinition(
            "too_many_policies", f"{len(definitions)} policies; at most {POLICIES_MAX} are taken"
        )
    policies = tuple(_policy(definition, calendars) for definition in definitions)
    for name, count in Counter(policy.id for policy in policies).items():
        if count > 1:
            raise InvalidDefinition("duplicate_policy", f"two policies have the id {name!r}")
    return PolicySet(version, effective_from_us, policies)


def check_targets(policies: Iterable[Policy], calendars: Iterable[Calendar]) -> None:
    """Raises InvalidDefinition (unreachable_target) for the first target of these policies that one of
    these calendars would spread over decades."""
    for calendar in calendars:
        for policy in policies:
            for per_priority in policy.targets.values():
                for target in per_priority.values():
                    if target.calendar == calendar.name:
                        _check_reachable(f"policy {policy.id!r}", target.target_us, calendar)


def _check_reachable(name: str, target_us: int, calendar: Calendar) -> None:
    """Raises InvalidDefinition (unreachable_target) for a target that the calendar's few open hours
    would spread over decades."""
    if calendar.longest_us(target_us) > LONGEST_MAX_US:
        raise InvalidDefinition(
            "unreachable_target",
            f"{name}: {target_us // SECOND_US} s of the open time of calendar {calendar.name!r} may"
            " take more than 20 years; shorten the target or open the calendar longer",
        )


def _policy(definition: Mapping[str, Any], calendars: Mapping[str, Calendar] | None) -> Policy:
    name = str(definition["id"])
    targets = {
        _metric(name, metric): _targets(name, metric, per_priority, calendars)
        for metric, per_priority in definition["targets"].items()
    }
    warn_at = _fractions(name, definition.get("warn_at", DEFAULT_WARN_AT))
    return Policy(
        name,
        _conditions(name, definition.get("when") or {}),
        targets,
        warn_at,
        _actions(name, definition.get("on_warning") or {}, warn_at),
        _actions(name, definition.get("on_breach") or {}, None),
    )


def _conditions(policy: str, when: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    conditions: dict[str, frozenset[str]] = {}
    for field, values in when.items():
        why_not = REFUSED_FIELDS.get(field) or _PERSONAL.get(field)
        if why_not is not None:
            raise InvalidDefinition(
                "unknown_condition", f"policy {policy!r}: {field!r} chooses no policy: {why_not}"
            )
        custom = field.startswith(CUSTOM) and field != CUSTOM
        if field not in CONDITION_FIELDS and not custom:
            raise InvalidDefinition(
                "unknown_condition",
                f"policy {policy!r}: tickets have no field {field!r}; use"
                f" {', '.join(CONDITION_FIELDS)}, or {CUSTOM} and the name of a custom field",
            )
        if not values:
            raise InvalidDefinition(
                "empty_condition",
                f"policy {policy!r}: {field!r} has no value, so nothing could match; name at least"
                " one, or leave the condition out",
            )
        for value in values:
            _value(policy, field, str(value))
        conditions[field] = frozenset(str(value) for value in values)
    return conditions


def _value(policy: str, field: str, value: str) -> None:
    if not 0 < len(value) <= VALUE_MAX:
        raise InvalidDefinition(
            "bad_condition",
            f"policy {policy!r}: a value of {field!r} must have 1 to {VALUE_MAX} characters",
        )
    if (field in COUNTS or field == "number") and _COUNT.match(value) is None:
        raise InvalidDefinition(
            "bad_condition", f"policy {policy!r}: {field} is a whole number, and {value!r} is none"
        )
    fixed = FIXED_VALUES.get(field)
    if fixed is None:
        return
    kind, colon, other = value.partition(":") if field == "links" else (value, "", "")
    if kind not in fixed or (colon and not other):
        more = "; and, if wanted, a colon and the id of a ticket" if field == "links" else ""
        raise InvalidDefinition(
            "bad_condition",
            f"policy {policy!r}: {value!r} is no {field}; use {', '.join(sorted(fixed))}{more}",
        )


def _metric(policy: str, metric: str) -> Metric:
    for known in METRICS:
        if known == metric:
            return known
    raise InvalidDefinition(
        "unsupported_metric",
        f"policy {policy!r}: {metric!r} cannot be timed; use {', '.join(METRICS)}",
    )


def _targets(
    policy: str,
    metric: str,
    per_priority: Mapping[str, Mapping[str, Any]],
    calendars: Mapping[str, Calendar] | None,
) -> dict[str, Target]:
    if not per_priority:
        raise InvalidDefinition(
            "empty_targets",
            f"policy {policy!r}: {metric} has no target; give one for a priority, or leave it out",
        )
    return {
        _priority(policy, priority): _target(policy, target, calendars)
        for priority, target in per_priority.items()
    }


def _priority(policy: str, priority: str) -> str:
    try:
        return str(Priority(priority))
    except ValueError as error:
        raise InvalidDefinition(
            "unknown_priority",
            f"policy {policy!r}: {priority!r} is no priority; use {', '.join(Priority)}",
        ) from error


def _target(
    policy: str, target: Mapping[str, Any], calendars: Mapping[str, Calendar] | None
) -> Target:
    seconds, name = target["target_s"], str(target["calendar"])
    if not 0 < seconds <= TARGET_MAX_S:
        raise InvalidDefinition(
            "bad_target",
            f"policy {policy!r}: a target must be 1 to {TARGET_MAX_S} seconds, not {seconds}",
        )
    if calendars is None:
        return Target(seconds * SECOND_US, name)
    calendar = calendars.get(name)
    if calendar is None:
        raise InvalidDefinition(
            "unknown_calendar",
            f"policy {policy!r}: there is no calendar {name!r}; put it to /v1/calendars first",
        )
    _check_reachable(f"policy {policy!r}", seconds * SECOND_US, calendar)
    return Target(seconds * SECOND_US, name)


def _fractions(policy: str, fractions: Sequence[int]) -> tuple[int, ...]:
    for fraction in fractions:
        if not 0 < fraction < 100:  # noqa: PLR2004 - per cent
            raise InvalidDefinition(
                "bad_fraction",
                f"policy {policy!r}: a warning must come at 1 to 99 per cent, not {fraction}",
            )
    return tuple(sorted(set(fractions)))


def _actions(
    policy: str, per_metric: Mapping[str, Sequence[Any]], warn_at: tuple[int, ...] | None
) -> dict[Metric, tuple[Action, ...]]:
    """`warn_at` None: the actions of breaches."""
    found: dict[Metric, tuple[Action, ...]] = {}
    for name, written in per_metric.items():
        metric = _metric(policy, name)
        actions = tuple(_action(policy, entry, warn_at) for entry in written)
        for (do, _), count in Counter((one.do, one.at) for one in actions).items():
            if count > 1:
                raise InvalidDefinition(
                    "bad_action", f"policy {policy!r}: {metric} has {do!r} twice for one occasion"
                )
        if any(one.at is None for one in actions) and any(one.at is not None for one in actions):
            _refuse_both(policy, metric, actions)
        if actions:
            found[metric] = actions
    return found


def _refuse_both(policy: str, metric: str, actions: tuple[Action, ...]) -> None:
    always = {one.do for one in actions if one.at is None}
    for one in actions:
        if one.at is not None and one.do in always:
            raise InvalidDefinition(
                "bad_action",
                f"policy {policy!r}: {metric} has {one.do!r} at every warning and at {one.at} again",
            )


def _action(policy: str, written: Any, warn_at: tuple[int, ...] | None) -> Action:
    """`"escalate"`, or `{"do": "notify", "whom": ["leads"], "at": 90}`."""
    entry: Mapping[str, Any] = {"do": written} if isinstance(written, str) else written
    do = next((known for known in ACTIONS if known == entry.get("do")), None)
    if do is None:
        raise InvalidDefinition(
            "unsupported_action",
            f"policy {policy!r}: {entry.get('do')!r} cannot be done; use {', '.join(ACTIONS)}",
        )
    whom = tuple(entry.get("whom") or (("assignee",) if do == "notify" else ()))
    for one in whom:
        if do != "notify" or not _WHOM.fullmatch(one):
            raise InvalidDefinition(
                "bad_action",
                f"policy {policy!r}: {do} cannot be for {one!r}; `whom` goes with notify and is"
                " assignee, group, leads, agent:<id> or group:<name>",
            )
    at = entry.get("at")
    if at is not None and at not in (warn_at or ()):
        raise InvalidDefinition(
            "bad_action",
            f"policy {policy!r}: no warning comes at {at} per cent"
            if warn_at is not None
            else f"policy {policy!r}: `at` goes with warnings; a breach comes once",
        )
    return Action(do, whom, at)

"""What is wrong, or odd, about a rule set: everything at once, each with the path to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal, NamedTuple

from libs.events.routing import SkillNeed
from services.routing.domain.conditions import SINGLE, Condition, primary_language
from services.routing.domain.coverage import Space, TooManySteps
from services.routing.domain.rules import DEFAULT_QUEUE, QueueRule, RoutingRules

Level = Literal["error", "warning"]
AgentSkills = Mapping[str, Mapping[str, int]]
"""Agent id → skill → level."""
AgentGroups = Mapping[str, Collection[str]]
"""Agent id → groups."""

PAIRS_MAX: Final = 300_000
"""Pairs of rules that ask for the same skill and are compared: some tenths of a second."""
CONFLICTS_MAX: Final = 200
"""Conflicts between skill rules that are reported: a mistake made once may show thousands of times."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`level` "error": the rules cannot be put in force. `code` is stable and meant for programs,
    `path` leads to the place in the document, such as `queues[2].when.channel`."""

    level: Level
    code: str
    path: str
    message: str


def check(
    rules: RoutingRules,
    agents_skills: AgentSkills | None = None,
    agents_groups: AgentGroups | None = None,
) -> list[Finding]:
    """All findings, errors first. With the agents (both arguments, each naming all agents) also what
    nobody can do; without them only what the document itself shows.

    Codes of errors: `duplicate_queue`, `reserved_name`, `shadowed_queue`. Of warnings:
    `skill_levels_differ`, `skill_required_and_optional`, `language_region`, `empty_list`,
    `overflow_without_group`, `nothing_to_drop`, `never_dropped`, `not_checked`; with the agents
    `no_agents`, `unknown_skill`, `unreachable_level`, `unknown_group`, `unserved_queue`.
    """
    space = Space(condition for _, condition in _conditions(rules))
    found = [
        *_names(rules.queues),
        *_shadowed(rules.queues, space),
        *_conflicts(rules, space),
        *_never_dropped(rules, space),
        *_odd(rules),
    ]
    if agents_skills is not None and agents_groups is not None:
        found += _against_agents(rules, space, agents_skills, agents_groups)
    return sorted(found, key=lambda finding: finding.level != "error")


def errors_of(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level == "error"]


# ---------------------------------------------------------------------- what the document shows


def _conditions(rules: RoutingRules) -> Iterator[tuple[str, Condition]]:
    for place, rule in enumerate(rules.skills):
        yield f"skills[{place}].when", rule.when
    for place, queue in enumerate(rules.queues):
        yield f"queues[{place}].when", queue.when


def _names(queues: Sequence[QueueRule]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for place, queue in enumerate(queues):
        path = f"queues[{place}].name"
        if queue.name in first:
            message = f"queues[{first[queue.name]}] is named {queue.name!r} too; give one another"
            yield Finding("error", "duplicate_queue", path, message)
        first.setdefault(queue.name, place)
        last = place == len(queues) - 1
        if queue.name == DEFAULT_QUEUE.name and not (last and queue.when.empty):
            message = (
                f"{queue.name!r} is the queue of the tickets that no other takes: name this one"
                " differently, or let it be the last and leave its `when` out"
            )
            yield Finding("error", "reserved_name", path, message)


def _shadowed(queues: Sequence[QueueRule], space: Space) -> Iterator[Finding]:
    for place, queue in enumerate(queues):
        path = f"queues[{place}]"
        try:
            takers = _takers(queues[:place], queue.when, space)
        except TooManySteps:
            message = (
                "the conditions overlap in too many ways to tell whether a ticket can still come"
                f" to queue {queue.name!r}, or to those after it"
            )
            yield Finding("warning", "not_checked", path, message)
            return
        if takers:
            named = " and ".join(f"{queues[i].name!r} (queues[{i}])" for i in takers)
            message = (
                f"no ticket ever comes to queue {queue.name!r}: {named} before it"
                f" {'takes' if len(takers) == 1 else 'together take'} all that match it; move it"
                " up, or take it out"
            )
            yield Finding("error", "shadowed_queue", path, message)


def _takers(earlier: Sequence[QueueRule], when: Condition, space: Space) -> list[int]:
    """The places of the queues that leave nothing of `when`: one if one suffices, otherwise as few
    as are needed. Empty when something is left. Raises TooManySteps."""
    near = [i for i, queue in enumerate(earlier) if space.together(queue.when, when)]
    for i in near:
        if space.takes_all([earlier[i].when], when):
            return [i]
    if not space.takes_all([earlier[i].when for i in near], when):
        return []
    for i in tuple(near):
        fewer = [j for j in near if j != i]
        if space.takes_all([earlier[j].when for j in fewer], when):
            near = fewer
    return near


class _Asked(NamedTuple):
    path: str
    when: Condition
    need: SkillNeed
    queue: QueueRule | None


def _asked(rules: RoutingRules) -> Iterator[_Asked]:
    """Every place that asks for a skill."""
    for place, rule in enumerate(rules.skills):
        for i, need in enumerate(rule.skills):
            yield _Asked(f"skills[{place}].skills[{i}]", rule.when, need, None)
    for place, queue in enumerate(rules.queues):
        for i, need in enumerate(queue.skills):
            yield _Asked(f"queues[{place}].skills[{i}]", queue.when, need, queue)


def _conflicts(rules: RoutingRules, space: Space) -> Iterator[Finding]:
    per_skill: dict[str, list[_Asked]] = {}
    for asked in _asked(rules):
        per_skill.setdefault(asked.need.name, []).append(asked)
    pairs = (pair for places in per_skill.values() for pair in combinations(places, 2))
    found = 0
    for looked_at, (one, other) in enumerate(pairs):
        if looked_at == PAIRS_MAX:
            message = f"conflicts were looked for among {PAIRS_MAX:,} pairs of rules only"
            yield Finding("warning", "not_checked", "skills", message)
            return
        if one.need == other.need or _different_queues(one, other):
            continue
        if space.together(one.when, other.when):
            finding = _conflict(one, other)
            if finding is not None:
                yield finding
                found += 1
        if found == CONFLICTS_MAX:
            return


def _never_dropped(rules: RoutingRules, space: Space) -> Iterator[Finding]:
    """Optional skills that some queue never ceases to ask for."""
    patient = [q for q in (*rules.queues, DEFAULT_QUEUE) if q.optional_timeout_s is None]
    for path, when, need, own in _asked(rules):
        if need.importance is None:
            continue
        among = patient if own is None else [queue for queue in patient if queue is own]
        waits = next((q for q in among if _may_reach(q, when, rules, space)), None)
        if waits is not None:
            message = (
                f"skill {need.name!r} is optional, but queue {waits.name!r} has no"
                " optional_timeout_s: its tickets wait for the skill as if it were required"
            )
            yield Finding("warning", "never_dropped", path, message)


def _may_reach(queue: QueueRule, when: Condition, rules: RoutingRules, space: Space) -> bool:
    """True when a ticket that matches may be in that queue (as far as one can tell)."""
    if queue is not DEFAULT_QUEUE:
        return space.together(queue.when, when)
    try:
        return not space.takes_all([other.when for other in rules.queues], when)
    except TooManySteps:
        return True


def _different_queues(one: _Asked, other: _Asked) -> bool:
    """A ticket is in one queue only."""
    queues = (one.queue, other.queue)
    return None not in queues and queues[0] is not queues[1]


def _conflict(one: _Asked, other: _Asked) -> Finding | None:
    name, level = one.need.name, max(one.need.level, other.need.level)
    both = f"some tickets match this and {one.path}"
    if (one.need.importance is None) != (other.need.importance is None):
        message = (
            f"skill {name!r} is required by one rule and optional by another, and {both}: of these"
            f" it is required, at level {level}"
        )
        return Finding("warning", "skill_required_and_optional", other.path, message)
    if one.need.level != other.need.level:
        message = (
            f"skill {name!r} is asked at level {one.need.level} and at {other.need.level}, and"
            f" {both}: of these level {level} is asked"
        )
        return Finding("warning", "skill_levels_differ", other.path, message)
    return None


def _odd(rules: RoutingRules) -> Iterator[Finding]:
    for path, when in _conditions(rules):
        for name in (*SINGLE, "tags", "tags_all"):
            if name in when.model_fields_set and not getattr(when, name):
                message = "an empty list asks for nothing; leave it out, or name a value"
                yield Finding("warning", "empty_list", f"{path}.{name}", message)
        for i, language in enumerate(when.language):
            if primary_language(language) != language.lower():
                message = f"{language!r} stands for its whole language, all regions of it"
                yield Finding("warning", "language_region", f"{path}.language[{i}]", message)
    for place, queue in enumerate(rules.queues):
        if queue.overflow and not (queue.group or queue.when.group):
            message = (
                f"queue {queue.name!r} has no group of its own: an agent of any group may take"
                " its tickets already, unless a ticket has a group"
            )
            yield Finding("warning", "overflow_without_group", f"queues[{place}].overflow", message)
        if queue.optional_timeout_s is not None and not any(
            asked.need.importance for asked in _asked(rules)
        ):
            path = f"queues[{place}].optional_timeout_s"
            message = "no rule asks for an optional skill: there is nothing to drop"
            yield Finding("warning", "nothing_to_drop", path, message)


# ------------------------------------------------------------------------ what nobody can do


def _against_agents(
    rules: RoutingRules, space: Space, skills: AgentSkills, groups: AgentGroups
) -> Iterator[Finding]:
    if not groups and not skills:
        message = "there is no agent yet: whether the rules' skills and groups exist is not checked"
        yield Finding("warning", "no_agents", "", message)
        return
    best: dict[str, int] = {}
    for levels in skills.values():
        for name, level in levels.items():
            best[name] = max(level, best.get(name, 0))
    yield from _unknown_skills(rules, best)
    yield from _unknown_groups(rules, frozenset(g for of in groups.values() for g in of))
    for place, queue in enumerate(rules.queues):
        needs = _sure_needs(rules, queue, space, best)
        able = {
            agent
            for agent in {*skills, *groups}
            if all(skills.get(agent, {}).get(name, 0) >= level for name, level in needs.items())
        }
        for wanted in _group_sets(queue):
            if wanted is None:
                served = bool(able)
            else:
                served = any(not wanted.isdisjoint(groups.get(agent, ())) for agent in able)
            if not served:
                message = (
                    f"nobody can take a ticket of queue {queue.name!r}: {_lack(needs, wanted)}"
                )
                yield Finding("warning", "unserved_queue", f"queues[{place}]", message)


def _unknown_skills(rules: RoutingRules, best: Mapping[str, int]) -> Iterator[Finding]:
    for path, _, need, _ in _asked(rules):
        if need.name not in best:
            outcome = (
                "the tickets will wait"
                if rules.unknown_skills_required and need.importance is None
                else "it is not asked for"
            )
            message = f"no agent has the skill {need.name!r}: {outcome} until somebody has it"
            yield Finding("warning", "unknown_skill", path, message)
        elif best[need.name] < need.level and need.importance is None:
            message = (
                f"no agent has {need.name!r} at level {need.level} or more, the best is"
                f" {best[need.name]}: the tickets will wait"
            )
            yield Finding("warning", "unreachable_level", path, message)


def _unknown_groups(rules: RoutingRules, known: Collection[str]) -> Iterator[Finding]:
    named: list[tuple[str, str]] = []
    for path, when in _conditions(rules):
        named += [(f"{path}.group[{i}]", group) for i, group in enumerate(when.group)]
    for place, queue in enumerate(rules.queues):
        if queue.group:
            named.append((f"queues[{place}].group", queue.group))
        if queue.overflow:
            named += [
                (f"queues[{place}].overflow.groups[{i}]", group)
                for i, group in enumerate(queue.overflow.groups)
            ]
    for path, group in named:
        if group not in known:
            yield Finding("warning", "unknown_group", path, f"no agent is in the group {group!r}")


def _sure_needs(
    rules: RoutingRules, queue: QueueRule, space: Space, best: Mapping[str, int]
) -> dict[str, int]:
    """Skill → level that every ticket of the queue asks for, whatever else it asks for."""
    asked = list(queue.skills)
    for rule in rules.skills:
        try:
            if space.takes_all([rule.when], queue.when):
                asked += rule.skills
        except TooManySteps:
            break
    for_ever = queue.optional_timeout_s is None
    required = {need.name for need in asked if for_ever or need.importance is None}
    needs: dict[str, int] = {}
    for need in asked:
        counts = rules.unknown_skills_required or need.name in best
        if need.name in required and counts:
            needs[need.name] = max(need.level, needs.get(need.name, 0))
    return needs


def _group_sets(queue: QueueRule) -> list[frozenset[str] | None]:
    """The groups, overflow included, that may take the tickets: one set for each group that the
    tickets may have themselves. None: any agent."""
    overflow = queue.overflow.groups if queue.overflow else ()
    own: tuple[Any, ...] = queue.when.group or (queue.group,)
    return [None if group is None else frozenset((group, *overflow)) for group in own]


def _lack(needs: Mapping[str, int], groups: frozenset[str] | None) -> str:
    names = sorted(groups or ())
    who = "no agent" if groups is None else f"no agent of {' or '.join(map(repr, names))}"
    if not needs:
        return "there is no agent" if groups is None else f"{who} exists"
    levels = " and ".join(f"{name!r} at level {level}" for name, level in sorted(needs.items()))
    return f"{who} has {levels}"

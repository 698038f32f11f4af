"""A real desk's incidents routed to a roster made of that desk's own past.

The incident log is cut in time. From the first part, the incidents that were resolved before the cut, come
the people (who resolved how many incidents, in which group, how many at a time) and the rules: for each
category and subcategory the group that resolved most of them, another one for locations where another one
did. The incidents that were opened after the cut are routed with the facts of their first row, by the floor
in a simulation. What counts is whether the group of the first agent is the group that in reality resolved
the incident. Beside it: the group to which the desk itself gave the incident first.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bench.harness import WHOLE_LOG, How, Missing, Result, incident_log
from cli.importing.columns import PRIORITIES, STATES
from libs.events.base import Channel, Status
from services.routing.domain.agent import Agent
from services.routing.domain.rules import (
    Condition,
    QueueRule,
    RoutingRules,
    TakeBack,
    VersionedRules,
)
from services.routing.domain.simulation import Arrival, Plan, figures_of, simulate
from services.routing.domain.work import SETTLED, WORKING, Work

NAME: Final = "routing_history"
WHAT: Final = "incidents of a real desk whose first routed group is the one that resolved them"
TRAINING: Final = 0.6
"""Share of the incidents, by time of opening, before the cut."""
SEEN_MIN: Final = 5
"""Incidents resolved from which anything is concluded."""
QUEUES_MAX: Final = 499
HANDLE_S: Final = 3_600.0
"""Where the log does not tell how long somebody had an incident."""
MISSING: Final = "?"

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Incident:
    """`first` is the group that had it first, `group` and `person` those who had it when it was resolved
    for the first time. `held_s`: for how long that person had had it."""

    id: str
    opened: datetime
    facts: Row
    first: str
    group: str
    person: str
    taken: datetime
    resolved: datetime

    @property
    def pair(self) -> tuple[str, str]:
        return self.facts["category"], self.facts["subcategory"]

    @property
    def held_s(self) -> float:
        return (self.resolved - self.taken).total_seconds()


async def run(how: How) -> Result:
    return await asyncio.to_thread(_run, how)


def _run(how: How) -> Result:
    log = incident_log(quick=how.quick)
    if log.name != WHOLE_LOG and not how.quick:
        raise Missing(f"{WHOLE_LOG} is not here: name its directory in BITACORA_TEST_DATA")
    incidents = sorted(_incidents(log), key=lambda one: (one.opened, one.id))
    cut = incidents[int(len(incidents) * TRAINING)].opened
    past = [one for one in incidents if one.resolved < cut]
    later = [one for one in incidents if one.opened >= cut]
    rules, agents = rules_of(past), roster_of(past)
    how.tell(f"{len(past):,} incidents of the past, {len(later):,} to route, {len(agents)} agents")
    groups = {agent.id: agent.groups[0] for agent in agents}
    arrivals = [
        Arrival(one.opened, _work(one, number), max(60.0, one.held_s or HANDLE_S))
        for number, one in enumerate(later, start=1)
    ]
    end = later[-1].opened + timedelta(days=1)
    plan = Plan(cut, end, VersionedRules(1, rules), arrivals, agents)
    outcome = simulate(plan)
    routed = {story.id: groups.get(story.agent or "") for story in outcome.stories}
    ours = _share(one.group == routed[one.id] for one in later)
    own = _share(one.group == one.first for one in later)
    usual = Counter(one.group for one in past).most_common(1)[0][0]
    waits = figures_of(outcome).waits
    by_group = _by_group(later, routed)
    told = (
        f"{len(later):,} incidents opened from {cut:%F} on; rules ({len(rules.queues)} queues) and"
        f" {len(agents)} agents in {len({*groups.values()})} groups from {len(past):,} resolved before"
    )
    return Result(
        NAME,
        WHAT,
        ours=100 * ours,
        unit="%",
        peers={
            "the desk's own first assignment": 100 * own,
            "every incident to the group that resolves most": 100
            * _share(one.group == usual for one in later),
            "the best group per category and subcategory, in hindsight": 100 * _hindsight(later),
        },
        ratio=ours / own,
        ratio_to="the desk's own first assignment",
        notes=[told],
        details={
            "never_served": waits.unserved,
            "wait_p50_s": waits.p50_s,
            "wait_p95_s": waits.p95_s,
            "groups_of_later": len(by_group),
            "largest_groups": by_group[:10],
            "groups_unknown_before": _share(one.group not in groups.values() for one in later),
        },
    )


# -- the log ---------------------------------------------------------------------------------------


def _incidents(log: Path) -> Iterable[Incident]:
    """Those that were resolved while a group had them."""
    cases: dict[str, list[Row]] = defaultdict(list)
    with gzip.open(log, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            cases[row["number"]].append(row)
    for number, rows in cases.items():
        groups = [row["assignment_group"] for row in rows if row["assignment_group"] != MISSING]
        resolved = next((row for row in rows if _status(row) in SETTLED), None)
        if resolved is None or not groups or resolved["assignment_group"] == MISSING:
            continue
        before = rows[: rows.index(resolved) + 1]
        person = resolved["assigned_to"]
        had = [_when(r["sys_updated_at"]) for r in before if r["assigned_to"] == person]
        working = [_status(r) in WORKING for r in before if r["assigned_to"] == person]
        ended = _when(resolved["sys_updated_at"])
        taken = had[0] if any(working) else ended
        yield Incident(
            id=number,
            opened=_when(rows[0]["opened_at"]),
            facts=rows[0],
            first=groups[0],
            group=resolved["assignment_group"],
            person=person,
            taken=taken,
            resolved=ended,
        )


def _status(row: Row) -> Status | None:
    return STATES.get(row["incident_state"], (None, None))[0]


def _when(text: str) -> datetime:
    return datetime.strptime(text, "%d/%m/%Y %H:%M").replace(tzinfo=UTC)


def _work(one: Incident, number: int) -> Work:
    facts = one.facts
    return Work(
        id=one.id,
        number=number,
        priority=PRIORITIES[facts["priority"][0]],
        category=_word(facts["category"]),
        subcategory=_word(facts["subcategory"]),
        channel=Channel.PHONE,
        custom_fields={"location": facts["location"]},
    )


def _word(cell: str) -> str | None:
    return None if cell == MISSING else cell


# -- what the past teaches -------------------------------------------------------------------------


def roster_of(past: Sequence[Incident]) -> list[Agent]:
    """Everybody who resolved SEEN_MIN incidents, in the group where they resolved most, with room for as
    many as they ever had at a time. A group of which nobody is known by name has one agent who stands for
    all of it. Everybody is always there: the log's times tell no shifts."""
    by_person: defaultdict[str, list[Incident]] = defaultdict(list)
    for one in past:
        by_person[one.person].append(one)
    agents = []
    for person, solved in sorted(by_person.items()):
        if person != MISSING and len(solved) >= SEEN_MIN:
            group = Counter(one.group for one in solved).most_common(1)[0][0]
            agents.append(_agent(person, group, _most_at_a_time(solved)))
    there = {agent.groups[0] for agent in agents}
    by_group = Counter(one.group for one in past)
    agents += [
        _agent(f"somebody of {group}", group, by_group[group])
        for group in sorted(by_group.keys() - there)
    ]
    return agents


def _agent(name: str, group: str, capacity: int) -> Agent:
    return Agent(name, groups=(group,), capacity=capacity, presence="online")


def _most_at_a_time(solved: Sequence[Incident]) -> int:
    changes = sorted(
        change for one in solved for change in ((one.taken, 1), (one.resolved + timedelta(1), -1))
    )
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return max(1, most)


def rules_of(past: Sequence[Incident]) -> RoutingRules:
    """Queues, the most special first: category, subcategory and location; category and subcategory;
    category; and the group that resolves most."""
    by_pair: defaultdict[tuple[str, str], list[Incident]] = defaultdict(list)
    by_category: defaultdict[str, list[Incident]] = defaultdict(list)
    for one in past:
        by_pair[one.pair].append(one)
        by_category[one.facts["category"]].append(one)
    places, pairs, categories = [], [], []
    for (category, subcategory), some in sorted(by_pair.items()):
        if len(some) < SEEN_MIN or MISSING in {category, subcategory}:
            continue
        usual = _usual(some)
        when = {"category": (category,), "subcategory": (subcategory,)}
        pairs.append((len(some), when, usual))
        for group, locations, count in _elsewhere(some, usual):
            places.append((count, {**when, "custom_fields": {"location": locations}}, group))
    for category, some in sorted(by_category.items()):
        if len(some) >= SEEN_MIN and category != MISSING:
            categories.append((len(some), {"category": (category,)}, _usual(some)))
    room = QUEUES_MAX - len(pairs) - len(categories)
    places.sort(key=lambda place: -place[0])
    every = [*places[: max(0, room)], *pairs, *categories]
    queues = [
        QueueRule(name=f"{number} {group}", when=Condition.model_validate(when), group=group)
        for number, (_, when, group) in enumerate(every, start=1)
    ]
    return RoutingRules(
        category_is_skill=False,
        queues=(*queues, QueueRule(name="default", group=_usual(past))),
        take_back=TakeBack(out_of_office_s=None),
    )


def _elsewhere(some: Sequence[Incident], usual: str) -> Iterable[tuple[str, tuple[str, ...], int]]:
    """(a group, the locations where it resolves more of these than the usual one, how many)."""
    by_location: defaultdict[str, list[Incident]] = defaultdict(list)
    for one in some:
        by_location[one.facts["location"]].append(one)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for location, there in sorted(by_location.items()):
        if len(there) >= SEEN_MIN and location != MISSING and _usual(there) != usual:
            found[_usual(there)].append(location)
    for group, locations in found.items():
        yield group, tuple(locations), sum(len(by_location[place]) for place in locations)


def _usual(some: Iterable[Incident]) -> str:
    counts = Counter(one.group for one in some)
    return min(counts, key=lambda group: (-counts[group], group))


# -- figures ---------------------------------------------------------------------------------------


def _share(hits: Iterable[bool]) -> float:
    every = list(hits)
    return sum(every) / len(every)


def _hindsight(later: Sequence[Incident]) -> float:
    by_pair: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in later:
        by_pair[one.pair][one.group] += 1
    return sum(max(counts.values()) for counts in by_pair.values()) / len(later)


def _by_group(later: Sequence[Incident], routed: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """By resolving group: incidents, and how many of them both first assignments found."""
    found: defaultdict[str, list[Incident]] = defaultdict(list)
    for one in later:
        found[one.group].append(one)
    return [
        {
            "group": group,
            "incidents": len(some),
            "ours": _share(routed[one.id] == group for one in some),
            "own_first": _share(one.first == group for one in some),
        }
        for group, some in sorted(found.items(), key=lambda item: -len(item[1]))
    ]

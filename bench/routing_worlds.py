"""Simulated days for `routing_day`, and the least wait that anybody could reach in them.

Forty agents, each with room for one ticket, serve eight categories: most know one or two of them, some
four or six. Every ticket takes ten minutes. What comes is random (seeded), so that on average `load` of
the agents are busy, in the mix that the agents' skills can carry.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from services.routing.domain.agent import Agent
from services.routing.domain.rules import RoutingRules, VersionedRules
from services.routing.domain.simulation import Arrival, Plan
from services.routing.domain.work import Work

START: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
HANDLE: Final = timedelta(minutes=10)
CATEGORIES: Final = tuple(f"category {number}" for number in range(8))
BREADTHS: Final = (1, 1, 1, 2, 2, 2, 2, 3, 4, 6)
"""How many categories an agent knows: one of these."""
TAIL_SLOTS: Final = 60


@dataclass(frozen=True)
class World:
    """A day on a grid of `per_slot` steps per handling time. `tickets`: (step of arrival, category)."""

    agents: tuple[Agent, ...]
    tickets: tuple[tuple[int, str], ...]
    steps: int
    per_slot: int

    @property
    def step(self) -> timedelta:
        return HANDLE / self.per_slot

    def plan(self, rules: RoutingRules) -> Plan:
        arrivals = [
            Arrival(
                START + step * self.step,
                Work(id=f"{number:06d}", number=number, category=category),
                HANDLE.total_seconds(),
            )
            for number, (step, category) in enumerate(self.tickets, start=1)
        ]
        end = START + self.steps * self.step
        return Plan(START, end, VersionedRules(1, rules), arrivals, self.agents)


def world(seed: int, load: float, *, slots: int, per_slot: int, agents: int = 40) -> World:
    chance = random.Random(seed)
    people = []
    carried: Counter[str] = Counter()
    for number in range(agents):
        known = chance.sample(CATEGORIES, chance.choice(BREADTHS))
        for category in known:
            carried[category] += 1 / len(known)  # type: ignore[assignment]
        skills = dict.fromkeys(known, 5)
        person = Agent(f"agent-{number:02d}", skills=skills, capacity=1, presence="online")
        people.append(person)
    names = sorted(carried)
    weights = [carried[name] for name in names]
    counts = np.random.default_rng(seed).poisson(load * agents / per_slot, slots * per_slot)
    tickets = [
        (step, chance.choices(names, weights)[0])
        for step, count in enumerate(counts.tolist())
        for _ in range(count)
    ]
    return World(tuple(people), tuple(tickets), slots * per_slot, per_slot)


def optimum_s(day: World) -> list[float]:
    """The waits of the best plan that knows the whole day (seconds, by ticket): each ticket is matched
    with one slot of one agent, at or after its arrival, for the least sum of waits. Exact where every
    ticket comes and begins at the begin of a slot (`per_slot` 1)."""
    if day.per_slot != 1:
        raise ValueError("exact only where everything begins at the begin of a slot")
    people = len(day.agents)
    last = day.steps + TAIL_SLOTS
    able = {
        name: np.array([n for n, agent in enumerate(day.agents) if name in agent.skills])
        for name in CATEGORIES
    }
    rows, columns, costs = [], [], []
    for row, (arrival, category) in enumerate(day.tickets):
        slots = np.arange(arrival, min(last, arrival + TAIL_SLOTS))
        places = (slots[:, None] * people + able[category][None, :]).ravel()
        rows.append(np.full(len(places), row))
        columns.append(places)
        costs.append(np.repeat(slots - arrival + 1.0, len(able[category])))  # 0 would be "no edge"
    shape = (len(day.tickets), last * people)
    edges = (np.concatenate(rows), np.concatenate(columns))
    matrix = csr_matrix((np.concatenate(costs), edges), shape=shape)
    matched, places = min_weight_full_bipartite_matching(matrix)
    waits = [
        (int(place) // people - day.tickets[int(row)][0]) * HANDLE.total_seconds()
        for row, place in zip(matched, places, strict=True)
    ]
    return sorted(waits)


def bound_s(day: World) -> float:
    """Seconds of mean wait that no plan can be below, the whole day known: the linear relaxation of
    starting so many tickets of a category, at a step, by agents who know the same categories."""
    alike = Counter(tuple(sorted(agent.skills)) for agent in day.agents)
    steps = day.steps + TAIL_SLOTS // 2 * day.per_slot
    came = {name: np.zeros(steps) for _, name in day.tickets}
    for step, name in day.tickets:
        came[name][step] += 1
    starts = {
        (known, name): place * steps
        for place, (known, name) in enumerate(
            (known, name) for known in alike for name in known if name in came
        )
    }
    waiting = {name: (len(starts) + place) * steps for place, name in enumerate(came)}
    size = (len(starts) + len(waiting)) * steps
    each = np.arange(steps)
    cost = np.zeros(size)
    cost[len(starts) * steps :] = 1.0
    # What waits at a step waited before or came, and was not started.
    flow = _Rows()
    for number, name in enumerate(came):
        row = number * steps + each
        flow.add(row, waiting[name] + each, 1.0)
        flow.add(row[1:], waiting[name] + each[:-1], -1.0)
        for (_, own), place in starts.items():
            if own == name:
                flow.add(row, place + each, 1.0)
    # Nobody starts anything within a handling time after the last start.
    busy = _Rows()
    for number, known in enumerate(alike):
        mine = [place for (owners, _), place in starts.items() if owners == known]
        for place in mine:
            for back in range(day.per_slot):
                busy.add(number * steps + each[back:], place + each[: steps - back], 1.0)
    found: Any = linprog(  # type: ignore[call-overload]
        cost,
        A_eq=flow.matrix(len(came) * steps, size),
        b_eq=np.concatenate([came[name] for name in came]),
        A_ub=busy.matrix(len(alike) * steps, size),
        b_ub=np.repeat([alike[known] for known in alike], steps),
        method="highs",
    )
    return float(found.fun) * day.step.total_seconds() / len(day.tickets)


class _Rows:
    """A sparse matrix, put together."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, rows: np.ndarray, columns: np.ndarray, value: float) -> None:
        self._parts.append((rows, columns, np.full(len(rows), value)))

    def matrix(self, rows: int, columns: int) -> coo_matrix:
        own_rows, own_columns, values = (
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        )
        return coo_matrix((values, (own_rows, own_columns)), shape=(rows, columns))

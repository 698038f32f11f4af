"""How long tickets wait in a simulated day: ours, what others do, and the best that there is.

The day is cut into slots of ten minutes, as long as each ticket takes, and tickets come at the begin of
a slot: so the best plan of somebody who knows the whole day is a minimum-cost matching of tickets with
(agent, slot), and exact. Beside it: (a) greedy, to who has been idle for the longest time, (b) round
robin; both see the same queue, skills and agents (`services.routing.domain.simulation.policies`).

There all agents are free at the same instants. So a second set of days has steps of two minutes: tickets
come and agents get free at any of them, mostly one at a time. The best plan is then no matching any more;
what is told is a bound that no plan can beat, which knows the future (a linear relaxation).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from bench.harness import How, Result, percentile
from bench.routing_worlds import World, bound_s, optimum_s, world
from services.routing.domain.rules import RoutingRules, Strategy
from services.routing.domain.simulation import Policy, figures_of, simulate

NAME: Final = "routing_day"
WHAT: Final = "mean wait in a simulated day, in slots, load 85–95 %"
GOAL: Final = 1.1
LOADS: Final = (0.85, 0.90, 0.95)
SEEDS: Final = range(5)
FREE_SEEDS: Final = range(2)
SLOTS: Final = 48
OURS: Final = "ours (most_spare, the default)"
OPTIONS: Final = "ours (least_flexible)"
GREEDY: Final = "greedy, longest idle"
ROBIN: Final = "round robin"
WAYS: Final[dict[str, tuple[Policy, Strategy]]] = {
    OURS: ("floor", "most_spare"),
    OPTIONS: ("floor", "least_flexible"),
    GREEDY: ("greedy_idle", "longest_idle"),
    ROBIN: ("round_robin", "most_spare"),
}


async def run(how: How) -> Result:
    loads, seeds, free_seeds = ((0.9,), (0,), (0,)) if how.quick else (LOADS, SEEDS, FREE_SEEDS)
    slotted, free = [], []
    for load in loads:
        for seed in seeds:
            day = world(seed, load, slots=SLOTS, per_slot=1)
            slotted.append(await asyncio.to_thread(_slotted, day, load, seed))
            how.tell(_told(slotted[-1], "optimum"))
        for seed in free_seeds:
            day = world(seed, load, slots=SLOTS * 3 // 4, per_slot=5)
            free.append(await asyncio.to_thread(_free, day, load, seed))
            how.tell(_told(free[-1], "bound"))
    means = {name: _mean([one["waits"][name]["mean_s"] for one in slotted]) for name in WAYS}
    best = _mean([one["optimum"]["mean_s"] for one in slotted])
    ratios = {name: mean / best for name, mean in means.items()}
    notes = [
        f"in slots, load {load:.0%}: {_by_load(slotted, load, 'optimum')}" for load in loads
    ] + [f"at any time, load {load:.0%}: {_by_load(free, load, 'bound')}" for load in loads]
    return Result(
        NAME,
        WHAT,
        ours=means[OURS],
        unit="s",
        limit=best,
        peers={"offline optimum": best, **{n: m for n, m in means.items() if n != OURS}},
        ratio=ratios[OURS],
        ratio_to="the offline optimum, the whole day known",
        goal=GOAL,
        goal_for="ratio",
        better="lower",
        also={
            "greedy is not within 10 %": ratios[GREEDY] > GOAL,
            "round robin is not within 10 %": ratios[ROBIN] > GOAL,
        },
        notes=notes,
        details={"ratios": ratios, "slotted": slotted, "free": free},
    )


def _slotted(day: World, load: float, seed: int) -> dict[str, Any]:
    best = optimum_s(day)
    optimum = {"mean_s": sum(best) / len(best), "p95_s": percentile(best, 95)}
    return {**_ways(day, load, seed), "optimum": optimum}


def _free(day: World, load: float, seed: int) -> dict[str, Any]:
    return {**_ways(day, load, seed), "bound": {"mean_s": bound_s(day)}}


def _ways(day: World, load: float, seed: int) -> dict[str, Any]:
    waits = {}
    for name, (policy, strategy) in WAYS.items():
        found = figures_of(simulate(day.plan(RoutingRules(strategy=strategy)), policy))
        waits[name] = {
            "mean_s": found.waits.mean_s,
            "p95_s": found.waits.p95_s,
            "max_s": found.waits.max_s,
            "utilization": found.utilization,
        }
    return {"load": load, "seed": seed, "tickets": len(day.tickets), "waits": waits}


def _told(one: dict[str, Any], least: str) -> str:
    means = ", ".join(f"{name} {waits['mean_s']:.1f} s" for name, waits in one["waits"].items())
    return (
        f"load {one['load']:.0%}, seed {one['seed']}: {least} {one[least]['mean_s']:.1f} s, {means}"
    )


def _by_load(every: Sequence[dict[str, Any]], load: float, least: str) -> str:
    some = [one for one in every if one["load"] == load]
    told = [f"{least} {_mean([one[least]['mean_s'] for one in some]):.1f} s"]
    for name in WAYS:
        mean = _mean([one["waits"][name]["mean_s"] for one in some])
        p95 = _mean([one["waits"][name]["p95_s"] for one in some])
        told.append(f"{name} {mean:.1f} s (p95 {p95:.0f} s)")
    return ", ".join(told)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

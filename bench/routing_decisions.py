"""Routing's decisions: how many per second, and how long one takes, at desks of any size.

A decision: somebody solves a ticket and is given the next one; or a ticket comes, and is given to
somebody or put in line with the reasons why nobody takes it. (a) the floor in memory alone, (b) through
the service's transactions on SQLite (and PostgreSQL, where the wheel has it): state, decision record and
command are committed, one transaction per event, and then in polls of a hundred events. Each desk is a
process of its own (`bench.routing_desk`).

The machine may be busy with other things: so besides the time on the wall the processor time of the
deciding thread is told, which is what the goal of the floor is held against.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.harness import ROOT, How, Missing, Result, postgres, settle, workspace

NAME: Final = "routing_decisions"
WHAT: Final = (
    "one routing decision at 10,000 agents and 100,000 waiting tickets, p99 of processor time"
)
GOAL_MS: Final = 1.0
AGENTS: Final = (100, 1_000, 10_000)
WAITING: Final = (1_000, 10_000, 100_000)
FLOOR_DECISIONS: Final = 4_000
STORE_DECISIONS: Final = 1_000
FLAT: Final = 1.5
"""So much longer may a decision take with a hundred times the tickets waiting."""


async def run(how: How) -> Result:
    with workspace() as directory, ExitStack() as stack:
        floors = await _floors(directory, how)
        stores = {"SQLite": await _store(directory, "SQLite", _sqlite(directory), how)}
        notes = []
        try:
            url, _ = stack.enter_context(postgres(directory))
            stores["PostgreSQL"] = await _store(directory, "PostgreSQL", url, how)
        except Missing as missing:
            notes.append(f"without PostgreSQL: {missing}")
    agents = (AGENTS[0],) if how.quick else AGENTS
    largest = [one for one in floors if one["agents"] == agents[-1]]
    worst = largest[-1]
    growth = worst["cpu_mean_ms"] / largest[0]["cpu_mean_ms"]
    notes += [
        f"floor, {one['agents']:,} agents, {one['waiting']:,} waiting: {one['per_s']:,.0f}/s,"
        f" p99 {one['cpu_p99_ms']:.2f} ms of processor ({one['p99_ms']:.2f} ms on the wall),"
        f" {one['rss_mb']:.0f} MB"
        for one in floors
    ]
    notes += [
        f"{title}, {one['agents']:,} agents, {one['waiting']:,} waiting: {one['per_s']:,.0f}/s,"
        f" p99 {one['p99_ms']:.1f} ms one by one; {one['polls']['per_s']:,.0f}/s in polls;"
        f" {one['rss_mb']:.0f} MB"
        for title, one in stores.items()
    ]
    return Result(
        NAME,
        WHAT,
        ours=worst["cpu_p99_ms"],
        unit="ms",
        peers={
            f"through {title}, one transaction per event (wall)": one["p99_ms"]
            for title, one in stores.items()
        },
        ratio=growth,
        ratio_to=f"the mean with {largest[0]['waiting']:,} waiting",
        goal=GOAL_MS,
        better="lower",
        also={"flat in the number of waiting tickets": growth <= FLAT},
        notes=notes,
        details={"floor": floors, "store": stores},
    )


async def _floors(directory: Path, how: How) -> list[dict[str, Any]]:
    found = []
    for agents in (AGENTS[0],) if how.quick else AGENTS:
        for waiting in WAITING[:2] if how.quick else WAITING:
            decisions = 200 if how.quick else FLOOR_DECISIONS
            plan = {"agents": agents, "waiting": waiting, "decisions": decisions, "store": ""}
            found.append(await _one(directory, plan))
            last = found[-1]
            how.tell(
                f"{agents:,} agents, {waiting:,} waiting: {last['per_s']:,.0f}/s,"
                f" p99 {last['cpu_p99_ms']:.2f} ms ({last['p99_ms']:.2f} ms on the wall)"
            )
    return found


async def _store(directory: Path, title: str, url: str, how: How) -> dict[str, Any]:
    agents, waiting = (AGENTS[0], WAITING[0]) if how.quick else (AGENTS[-1], WAITING[-1])
    decisions = 100 if how.quick else STORE_DECISIONS
    plan = {"agents": agents, "waiting": waiting, "decisions": decisions, "store": url}
    found = await _one(directory, plan)
    how.tell(
        f"{title}: {found['per_s']:,.0f}/s, p99 {found['p99_ms']:.1f} ms one by one;"
        f" {found['polls']['per_s']:,.0f}/s in polls"
    )
    return found


async def _one(directory: Path, plan: dict[str, Any]) -> dict[str, Any]:
    file = directory / "plan.json"
    file.write_text(json.dumps({**plan, "seed": 1}), "utf-8")
    settle()
    command = [sys.executable, "-m", "bench.routing_desk", str(file)]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    return {**plan, "store": bool(plan["store"]), **json.loads(done.stdout)}


def _sqlite(directory: Path) -> str:
    return f"sqlite:///{directory / 'routing.db'}"

"""A million live SLA clocks: how late their timers fire, how fast they load, change and recover.

500,000 tickets with two clocks each, in the SLA service's own store, applied by its own handler and
fired by its own timers, without Kafka. In a window of time a number of them falls due evenly; each
firing is durable before it counts: the ticket's state, the timer, and in the outbox the breach, the
escalation and the record of it, in one transaction. Late is from the due instant until after the
commit. What falls due together comes from tickets of four priorities, created at four times.

A million that are due *within a minute* are more than the service can commit; what it does with
that is measured, too (overload). Beside it: a heap in memory that does nothing else (the limit), with
a million due within a minute, and APScheduler with what it can load in the time it is given.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bench.harness import How, Missing, Result, child, now_s, postgres, workspace

NAME: Final = "sla_timers"
WHAT: Final = "p99 lateness of durable SLA timers, a million live clocks"
TICKETS: Final = 500_000
PER_S: Final = 500
SECONDS: Final = 30.0
LADDER: Final = tuple((rate, 10.0) for rate in (100, 250, 750, 1_000, 1_500, 2_000))
KILLED: Final = (1_000, 6.0)
OVERLOAD_PER_S: Final = 1_000_000 / 60
GOAL_MS: Final = 10.0
APART: Final = 2
PAUSE_S: Final = 3.0
PATIENCE_S: Final = 20.0
STARTS_WITHIN_S: Final = 60.0
SEED: Final = 7
BEGIN: Final = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
LOAD_WITHIN_S: Final = 60.0
APSCHEDULER: Final = {
    "memory": {"load": 1_000_000, "count": 10_000, "seconds": 20.0},
    "sql": {"load": 100_000, "count": 10_000, "seconds": 20.0},
}

Step = list[dict[str, Any]]


async def run(how: How) -> Result:
    scale = 100 if how.quick else 1
    runs: dict[str, Any] = {}
    notes: list[str] = []
    with workspace() as directory, ExitStack() as stack:
        runs["SQLite"] = await _desk("SQLite", f"sqlite:///{directory}/a.sqlite3", directory, how)
        try:
            url, _ = stack.enter_context(postgres(directory))
            runs["PostgreSQL"] = await _desk("PostgreSQL", url, directory, how)
        except Missing as missing:
            notes.append(f"without {missing}")
        beside = await _peers(directory, how, scale)
    worst = max(runs.values(), key=lambda one: float(one["window"]["p99_ms"]))
    notes = [_note(title, one) for title, one in runs.items()] + notes
    notes += [_peer_note(title, one) for title, one in beside.items()]
    limit = beside["heap in memory"]
    return Result(
        NAME,
        f"{WHAT}, {PER_S} a second fall due",
        ours=worst["window"]["p99_ms"],
        unit="ms",
        limit=limit["p99_ms"],
        peers={title: one.get("p99_ms") for title, one in beside.items()},
        ratio=worst["window"]["p99_ms"] / limit["p99_ms"],
        ratio_to="a heap in memory, a million due within a minute",
        goal=GOAL_MS,
        better="lower",
        also={
            "each breach stated once, after a kill -9 too": all(
                one["check"]["breaches"] == one["check"]["tickets"] >= one["check"]["due"]
                for one in runs.values()
            ),
            "none early": all(
                window["min_ms"] >= 0 for one in runs.values() for window in one["windows"]
            ),
        },
        notes=notes,
        details={"runs": runs, "beside": beside},
    )


def _note(title: str, one: dict[str, Any]) -> str:
    load, window, recovery, overload = (
        one[name] for name in ("load", "window", "recovery", "overload")
    )
    return (
        f"{title}: {load['clocks']:,} clocks loaded in {load['seconds']:.0f} s"
        f" ({load['tickets'] / load['seconds']:,.0f} events/s through the handler);"
        f" p50 {window['p50_ms']:.1f}, p99 {window['p99_ms']:.1f}, max {window['max_ms']:.0f} ms"
        f" at {window['per_s']:,.0f}/s, {window['rss_mb']:.0f} MB;"
        f" p99 within {GOAL_MS:g} ms up to {one['up_to_per_s']:,.0f}/s;"
        f" overload of {overload['per_s']:,.0f}/s: {overload['fired'] / overload['seconds']:,.0f}/s"
        f" stated; {one['rescheduled']:,.0f} put off, {one['cancelled']:,.0f} cancelled a second;"
        f" after kill -9 the first is stated {recovery['first_s']:.1f} s after the start,"
        f" all {recovery['overdue']:,} overdue after {recovery['all_s']:.1f} s"
    )


def _peer_note(title: str, one: dict[str, Any]) -> str:
    text = f"{title}: {one['loaded']:,} loaded in {one['load_s']:.1f} s, {one['rss_mb']:.0f} MB"
    if "p99_ms" in one:
        text += f"; p99 {one['p99_ms']:.1f} ms at {one['per_s']:,.0f}/s"
    return f"{text}; {one['fired']:,} of {one['due']:,} called in time to be counted"


# -- ours ------------------------------------------------------------------------------------------


async def _desk(title: str, url: str, directory: Path, how: How) -> dict[str, Any]:
    """All steps on one new database. Raises RuntimeError when one of them fails."""
    plan = _Plan(url, directory / f"{title}.json", quick=how.quick)
    (load,) = await plan.step("load", plan.windows)
    how.tell(f"{title}: {load}")
    changes = {one["what"]: one["per_s"] for one in await plan.step("change", plan.windows)}
    windows = await plan.step("fire", plan.windows[:-2])
    for window in windows:
        how.tell(f"{title}: {window}")
    await plan.kill_in(plan.windows[-2])
    at = datetime.fromisoformat(plan.windows[-2]["start"]) + timedelta(seconds=KILLED[1])
    (recovery,) = await plan.step("recover", plan.windows, at=at.isoformat())
    (overload,) = await plan.step("fire", plan.windows[-1:])
    how.tell(f"{title}: after kill -9 {recovery}; overload {overload}")
    (check,) = await plan.step("check", plan.windows[:-1])
    good = [w["per_s"] for w in windows if w["fired"] == w["due"] and w["p99_ms"] <= GOAL_MS]
    return {
        "load": load,
        **changes,
        "window": windows[0],
        "windows": windows,
        "up_to_per_s": max(good, default=0),
        "recovery": recovery,
        "overload": overload,
        "check": check,
    }


class _Plan:
    """What each step reads. The windows follow each other; the last two, far apart, are for the kill
    and for the overload, in which everything falls due that is left."""

    def __init__(self, url: str, file: Path, *, quick: bool) -> None:
        self._file = file
        self._changes = 200 if quick else 20_000
        tickets = TICKETS // (100 if quick else 1)
        rates = [(PER_S, SECONDS), *LADDER, KILLED]
        if quick:
            rates = [(PER_S, 2.0), (250, 2.0), (200, KILLED[1])]
        counts = [(round(rate * seconds), seconds) for rate, seconds in rates]
        left = tickets - sum(count for count, _ in counts) - self._changes
        counts.append((left, left / OVERLOAD_PER_S))
        self._plan = {"url": url, "patience_s": PATIENCE_S, "changes": self._changes}
        self.windows: list[dict[str, Any]] = []
        start = BEGIN
        for number, (count, seconds) in enumerate(counts):
            if number >= len(counts) - APART:
                start += timedelta(hours=1)
            self.windows.append({"start": start.isoformat(), "seconds": seconds, "count": count})
            start += timedelta(seconds=seconds + PAUSE_S)

    def _write(self, windows: list[dict[str, Any]], more: dict[str, Any]) -> None:
        self._file.write_text(json.dumps({**self._plan, "windows": windows, **more}), "utf-8")

    async def step(self, name: str, windows: list[dict[str, Any]], **more: Any) -> Step:
        self._write(windows, more)
        return await _json_lines("bench.timers_desk", name, self._file)

    async def kill_in(self, window: dict[str, Any]) -> None:
        """kill -9 in the middle of this window, while it is firing."""
        self._write([window], {"says_begun": True})
        async with child("-m", "bench.timers_desk", "fire", str(self._file)) as process:
            if process.stdout is None:
                raise RuntimeError("the child has no output")
            await asyncio.wait_for(process.stdout.readline(), STARTS_WITHIN_S)
            await asyncio.sleep(window["seconds"] / 2)
            process.kill()
            await process.wait()


# -- beside it -------------------------------------------------------------------------------------


async def _peers(directory: Path, how: How, scale: int) -> dict[str, Any]:
    file = directory / "peer.json"
    million = 1_000_000 // scale
    plans: dict[str, tuple[str, dict[str, Any]]] = {
        "heap in memory": ("heap", {"load": million, "count": million, "seconds": 60.0 / scale}),
    }
    for kind, plan in APSCHEDULER.items():
        smaller = {name: value / scale for name, value in plan.items()}
        plans[f"APScheduler ({kind})"] = (
            f"apscheduler_{kind}",
            {
                "load": int(smaller["load"]),
                "count": int(smaller["count"]),
                "seconds": max(smaller["seconds"], 1.0),
                "load_within_s": max(LOAD_WITHIN_S / scale, 1.0),
                "url": f"sqlite:///{directory}/apscheduler.sqlite3",
            },
        )
    found = {}
    for title, (name, plan) in plans.items():
        file.write_text(json.dumps({"seed": SEED, **plan}), "utf-8")
        begun_s = now_s()
        (found[title],) = await _json_lines("bench.timers_peers", name, file)
        how.tell(f"{title}: {found[title]} ({now_s() - begun_s:.0f} s)")
    return found


async def _json_lines(module: str, name: str, plan: Path) -> Step:
    """What a child prints. Raises RuntimeError when it fails."""
    log = plan.with_suffix(".log")
    async with child("-m", module, name, str(plan), log=log) as process:
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"{module} {name} failed: {log.read_text('utf-8')[-500:]}")
    return [json.loads(line) for line in output.splitlines()]

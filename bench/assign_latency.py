"""From `POST /v1/tickets` until its `Assigned` can be seen in reporting, at 100 tickets per second.

The way: intake stores the ticket and publishes it, routing chooses an agent and asks for the
assignment, intake decides and publishes it, reporting applies it. A ticket counts from the instant it
is due to be sent until its agent stands in reporting's table `tickets`, which is read every few
milliseconds. Beside it: a bare message over three hops of the same broker at the same rate.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Final

import httpx
import psutil
from sqlalchemy import bindparam, text

from bench.harness import (
    How,
    Missing,
    Result,
    apache_kafka_or_missing,
    now_s,
    percentile,
    postgres,
    running,
    workspace,
)
from bench.http_load import CREATED
from bench.ping import ping
from bench.profiles import Profiles
from bench.wire import Pool, pool
from cli.system import Options, System
from libs.runtime.database import Database

NAME: Final = "assign_latency"
WHAT: Final = "p50 from create to Assigned visible in reporting, at 100 tickets per second"
PER_SECOND: Final = 100
SECONDS: Final = 30.0
WARM_UP_S: Final = 5.0
PING_S: Final = 10.0
POLL_S: Final = 0.004
ASKED_MAX: Final = 400
SEEN_WITHIN_S: Final = 60.0
AGENTS: Final = 20
CAPACITY: Final = 10_000

_ASSIGNED: Final = text("SELECT id FROM tickets WHERE id IN :ids AND agent IS NOT NULL").bindparams(
    bindparam("ids", expanding=True)
)


async def run(how: How) -> Result:
    runs = {"embedded + SQLite": await _one("embedded + SQLite", how, real=False)}
    notes = []
    try:
        apache_kafka_or_missing()
        real = "Apache Kafka + PostgreSQL"
        runs[real] = await _one(real, how, real=True)
    except Missing as missing:
        notes.append(f"without Apache Kafka + PostgreSQL: {missing}")
    worst = max(runs.values(), key=lambda one: float(one["ours"]["p50_ms"]))
    peers: dict[str, float | None] = {
        f"three-hop ping ({title})": one["ping"]["p50_ms"] for title, one in runs.items()
    }
    notes += [
        f"{title}: p50 {one['ours']['p50_ms']:.0f} ms, p99 {one['ours']['p99_ms']:.0f} ms;"
        f" ping p50 {one['ping']['p50_ms']:.0f} ms, p99 {one['ping']['p99_ms']:.0f} ms"
        for title, one in runs.items()
    ]
    return Result(
        NAME,
        WHAT,
        ours=worst["ours"]["p50_ms"],
        unit="ms",
        limit=worst["ping"]["p50_ms"],
        peers=peers,
        ratio=worst["ours"]["p50_ms"] / worst["ping"]["p50_ms"],
        ratio_to="a bare three-hop ping on the same broker",
        better="lower",
        also={"every ticket was assigned": all(one["unseen"] == 0 for one in runs.values())},
        notes=notes,
        details={"per_second": PER_SECOND, "poll_ms": POLL_S * 1e3, "runs": runs},
    )


async def _one(title: str, how: How, *, real: bool) -> dict[str, Any]:
    seconds, ping_s, warm_s = (3.0, 2.0, 1.0) if how.quick else (SECONDS, PING_S, WARM_UP_S)
    with workspace() as directory, ExitStack() as stack:
        options = Options(data_dir=directory / "data")
        if real:
            url, _ = stack.enter_context(postgres(directory))
            options = Options(data_dir=directory / "data", kafka="local", database=url)
        async with running(options, how.tell) as system:
            state = system.state
            await _make_agents(state.urls["routing"])
            pings = await ping(state.bootstrap, per_second=PER_SECOND, seconds=ping_s, run="a")
            await _assignments(system, warm_s)
            with Profiles(how.profile, how.tell) as profiles:
                for name, pid in state.pids.items():
                    if name != "broker":
                        profiles.attach(name, pid)
                begun, begun_s = _cpu(state.pids.values()), now_s()
                waits_ms, unseen, late_ms = await _assignments(system, seconds)
                busy = (_cpu(state.pids.values()) - begun) / (now_s() - begun_s)
            pings += await ping(state.bootstrap, per_second=PER_SECOND, seconds=ping_s, run="b")
    found = {
        "tickets": len(waits_ms),
        "unseen": unseen,
        "ours": _figures(waits_ms),
        "ping": _figures(pings),
        "generator_late_p99_ms": late_ms,
        "cores_busy": busy,
    }
    how.tell(f"{title}: ours {found['ours']}, ping {found['ping']}")
    return found


def _figures(waits_ms: list[float]) -> dict[str, float]:
    return {
        "p50_ms": round(percentile(waits_ms, 50), 1),
        "p99_ms": round(percentile(waits_ms, 99), 1),
        "max_ms": round(max(waits_ms), 1),
    }


def _cpu(pids: Iterable[int | None]) -> float:
    spent = [psutil.Process(pid).cpu_times() for pid in pids if pid]
    return float(sum(one.user + one.system for one in spent))


async def _make_agents(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        for number in range(AGENTS):
            body = {"id": f"agent-{number}", "name": f"Agent {number}", "capacity": CAPACITY}
            (await http.post("/v1/agents", json=body)).raise_for_status()
            path = f"/v1/agents/agent-{number}/presence"
            (await http.put(path, json={"presence": "online"})).raise_for_status()


async def _assignments(system: System, seconds: float) -> tuple[list[float], int, float]:
    """Milliseconds per ticket, the number never seen, and how late the generator was (p99, ms)."""
    due: dict[str, float] = {}
    late_ms: list[float] = []
    sending = True
    port = int(system.state.urls["intake"].rpartition(":")[2])

    async def send(http: Pool, number: int, due_s: float) -> None:
        late_ms.append((now_s() - due_s) * 1e3)
        body = b'{"subject":"Ticket %d","requester":{"id":"r-%d"}}' % (number, number % 97)
        status, answer = await http.post(body)
        if status != CREATED:
            raise RuntimeError(f"intake answered {status}: {answer[:300]!r}")
        due[json.loads(answer)["id"]] = due_s

    async def generate() -> None:
        nonlocal sending
        begun_s = now_s()
        async with pool(port) as http, asyncio.TaskGroup() as group:
            for number in range(round(PER_SECOND * seconds)):
                due_s = begun_s + number / PER_SECOND
                await asyncio.sleep(due_s - now_s())
                group.create_task(send(http, number, due_s))
        sending = False

    database = Database(system.state.database_urls["reporting"])
    generator = asyncio.create_task(generate())
    waits_ms: list[float] = []
    try:
        deadline_s = now_s() + seconds + SEEN_WITHIN_S
        while (sending or due) and now_s() < deadline_s:
            if generator.done():
                await generator
            asked = list(due)[:ASKED_MAX]  # the oldest first
            if asked:
                found = await asyncio.to_thread(_seen, database, asked)
                seen_s = now_s()
                waits_ms += [(seen_s - due.pop(own_id)) * 1e3 for own_id in found]
            await asyncio.sleep(POLL_S)
        await generator
    finally:
        generator.cancel()
        database.close()
    return waits_ms, len(due), percentile(late_ms, 99)


def _seen(database: Database, ids: list[str]) -> list[str]:
    with database.reading() as connection:
        return [row[0] for row in connection.execute(_ASSIGNED, {"ids": ids})]

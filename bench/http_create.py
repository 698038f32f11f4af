"""Tickets created over HTTP at 16 clients, beside a bare FastAPI endpoint with the same validation.

One worker each, in one run, taking turns; the median of the rounds counts. Intake runs with the
embedded broker (its relay publishes what is created, at the same time and on the same cores), the
peers keep less: nothing, or one row in SQLite. Afterwards every accepted ticket must be in the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import text

from bench.harness import How, Result, child, now_s, running, settle, spread, until, workspace
from bench.http_load import Load, client_name, load
from bench.profiles import Profiles
from cli.system import Options
from libs.runtime.database import Database
from libs.runtime.embedded import EmbeddedBroker
from libs.runtime.localserver import free_port
from libs.runtime.supervisor import answers

NAME: Final = "http_create"
WHAT: Final = "POST /v1/tickets at 16 clients, durable before the answer"
CLIENTS: Final = 16
GOAL: Final = 0.60
ROUNDS: Final = 5
ROUND_S: Final = 5.0
WARM_UP_S: Final = 1.0
IDLE_BELOW: Final = 0.05
IDLE_WITHIN_S: Final = 60.0
PEERS: Final = {"bare": "bare FastAPI", "commit": "bare FastAPI + one SQLite commit per request"}


async def run(how: How) -> Result:
    rounds, seconds = (1, 1.0) if how.quick else (ROUNDS, ROUND_S)
    with workspace() as directory:
        rates, loads, kept = await _taking_turns(directory, how, rounds, seconds)
        whole, whole_kept = await _whole_system(directory / "whole", how, seconds)
    medians = {name: spread(found)["median"] for name, found in rates.items()}
    ours = medians.pop("ours")
    return Result(
        NAME,
        WHAT,
        ours=ours,
        unit="requests/s",
        limit=medians["bare"],
        peers={PEERS[name]: value for name, value in medians.items()},
        ratio=ours / medians["bare"],
        ratio_to="bare FastAPI",
        goal=GOAL,
        goal_for="ratio",
        also={
            "every accepted ticket is in the store": kept and whole_kept,
            "no request failed": not any(one.errors for one in loads),
        },
        details={
            "client": client_name(),
            "clients": CLIENTS,
            "rounds": {name: spread(found) for name, found in rates.items()},
            "ratio_to_commit": ours / medians["commit"],
            "ours_p50_ms": spread([one.p50_ms for one in loads])["median"],
            "ours_p99_ms": spread([one.p99_ms for one in loads])["median"],
            "tickets_created": sum(len(one.accepted) for one in loads),
            "with_all_four_services": whole.per_second,
        },
    )


async def _taking_turns(
    directory: Path, how: How, rounds: int, seconds: float
) -> tuple[dict[str, list[float]], list[Load], bool]:
    """Requests per second by name and round, our loads, and whether the store has every ticket."""
    rates: dict[str, list[float]] = {"bare": [], "commit": [], "ours": []}
    loads: list[Load] = []
    async with AsyncExitStack() as stack:
        ports = {kind: await stack.enter_async_context(_peer(kind, directory)) for kind in PEERS}
        profiles = stack.enter_context(Profiles(how.profile, how.tell))
        ports["ours"], pids = await stack.enter_async_context(_intake(directory))
        for port in ports.values():
            warm = await load(port, CLIENTS, WARM_UP_S, directory)
            if port == ports["ours"]:
                loads.append(warm)
        profiles.attach("intake", pids[0])
        for number in range(rounds):
            for name, port in ports.items():
                await _idle(pids)
                settle()
                found = await load(port, CLIENTS, seconds, directory)
                rates[name].append(found.per_second)
                if name == "ours":
                    loads.append(found)
            rates_now = ", ".join(f"{name} {found[-1]:,.0f}" for name, found in rates.items())
            how.tell(f"round {number + 1} of {rounds}: {rates_now} requests/s")
        await _idle(pids)
        stored = _stored(f"sqlite:///{directory}/intake.sqlite3")
    accepted = [own for one in loads for own in one.accepted]
    return rates, loads[1:], _all_there(accepted, stored)


async def _whole_system(directory: Path, how: How, seconds: float) -> tuple[Load, bool]:
    """The same load on intake while routing, SLA and reporting follow on the same cores."""
    async with running(Options(data_dir=directory / "data"), how.tell) as system:
        port = int(system.state.urls["intake"].rpartition(":")[2])
        await load(port, CLIENTS, WARM_UP_S, directory)
        found = await load(port, CLIENTS, seconds, directory)
        stored = _stored(system.state.database_urls["intake"])
    return found, _all_there(found.accepted, stored)


@asynccontextmanager
async def _peer(kind: str, directory: Path) -> AsyncIterator[int]:
    port = free_port()
    async with child("-m", "bench.http_peers", kind, str(port), str(directory)):
        await _answering(f"http://127.0.0.1:{port}/openapi.json")
        yield port


@asynccontextmanager
async def _intake(directory: Path) -> AsyncIterator[tuple[int, list[int]]]:
    """Intake and its broker: (port, process ids, intake first)."""
    port = free_port()
    with EmbeddedBroker() as broker:
        environment = {
            "BITACORA_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "BITACORA_KAFKA_EMBEDDED": "true",
            "BITACORA_DATA_DIR": str(directory),
            "BITACORA_INTAKE_DATABASE_URL": f"sqlite:///{directory}/intake.sqlite3",
            "BITACORA_INTAKE_HTTP_HOST": "127.0.0.1",
            "BITACORA_INTAKE_HTTP_PORT": str(port),
        }
        log = directory / "intake.log"
        async with child("-m", "services.intake", environment=environment, log=log) as process:
            await _answering(f"http://127.0.0.1:{port}/health/ready")
            yield port, [process.pid, *([broker.pid] if broker.pid else [])]


async def _answering(url: str) -> None:
    await until(lambda: answers(url), within_s=60, every_s=0.05, what=f"an answer of {url}")


async def _idle(pids: Iterable[int]) -> None:
    """Wait until what was published later is done, so that nobody else's turn pays for it."""
    processes = [psutil.Process(pid) for pid in pids]

    def spent_s() -> float:
        return float(sum(t.user + t.system for t in (one.cpu_times() for one in processes)))

    last, at_s = spent_s(), now_s()

    async def idle() -> bool:
        nonlocal last, at_s
        before, before_s = last, at_s
        last, at_s = spent_s(), now_s()
        return (last - before) / (at_s - before_s) < IDLE_BELOW

    await asyncio.sleep(0.4)
    await until(idle, within_s=IDLE_WITHIN_S, every_s=0.4, what="an idle intake")


def _stored(database_url: str) -> set[str]:
    database = Database(database_url)
    query = text("SELECT originator_id FROM stored_events WHERE originator_version = 1")
    try:
        with database.reading() as connection:
            return {row[0] for row in connection.execute(query)}
    finally:
        database.close()


def _all_there(accepted: Iterable[str], stored: set[str]) -> bool:
    ids = list(accepted)
    return len(ids) == len(set(ids)) and stored.issuperset(ids)

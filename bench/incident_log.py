"""The whole incident log of a real desk, imported through all four services.

From the first row read by `bitacora import servicenow` until reporting has applied the last event of
every topic: on the embedded broker with SQLite, and on Apache Kafka with PostgreSQL. Its limit: one
process that reads the same topic `tickets.events` with aiokafka and checks every event with pydantic.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from bench.harness import (
    How,
    Missing,
    Reporting,
    Result,
    Usage,
    apache_kafka_or_missing,
    child,
    incident_log,
    now_s,
    postgres,
    running,
    settle,
    workspace,
)
from bench.profiles import Profiles
from cli.system import Options, System
from libs.events import EVENTS
from libs.events.topics import SLA_EVENTS, TICKETS_EVENTS
from libs.runtime.topiclog import open_topics

NAME: Final = "incident_log"
WHAT: Final = "a real desk's whole log through all four services, until reporting has caught up"
WALL_GOAL_S: Final = 60.0
MEMORY_GOAL_MB: Final = 500.0
WITHIN_S: Final = 900.0
QUIET_S: Final = 2.0
CLASSES: Final = {name.encode(): cls for name, cls in EVENTS.classes()}
OURS: Final = ("intake", "routing", "sla", "reporting", "importer")


async def run(how: How) -> Result:
    log = incident_log(quick=how.quick)
    embedded = await _one("embedded + SQLite", log, how, real=False)
    runs = {"embedded + SQLite": embedded}
    notes = []
    try:
        apache_kafka_or_missing()
        runs["Apache Kafka + PostgreSQL"] = await _one("Kafka + PostgreSQL", log, how, real=True)
    except Missing as missing:
        notes.append(f"without Apache Kafka + PostgreSQL: {missing}")
    # The slower of the two is what counts.
    worst = max(runs.values(), key=lambda one: float(one["wall_s"]))
    peak = max(one["processes"][name]["peak_mb"] for one in runs.values() for name in OURS)
    return Result(
        NAME,
        WHAT,
        ours=worst["wall_s"],
        unit="s",
        limit=worst["limit_s"],
        peers={"aiokafka + pydantic, tickets.events only": worst["limit_s"]},
        ratio=worst["wall_s"] / worst["limit_s"],
        ratio_to="reading tickets.events once with aiokafka and pydantic",
        goal=WALL_GOAL_S,
        better="lower",
        also={
            f"every process of ours below {MEMORY_GOAL_MB:g} MB": peak < MEMORY_GOAL_MB,
            "nothing refused": all(one["rejected"] == 0 for one in runs.values()),
        },
        notes=notes,
        details={"file": log.name, "peak_mb_max": peak, "runs": runs},
    )


async def _one(title: str, log: Path, how: How, *, real: bool) -> dict[str, Any]:
    with workspace() as directory, ExitStack() as stack:
        usage = Usage()
        options = Options(data_dir=directory / "data")
        if real:
            url, pid = stack.enter_context(postgres(directory))
            usage.add("postgres", pid)
            options = Options(data_dir=directory / "data", kafka="local", database=url)
        async with running(options, how.tell) as system:
            how.tell(f"{title}: importing {log.name}")
            found = await _measured(system, log, usage, how)
            how.tell(f"{title}: {found['wall_s']:.1f} s, {found['events_per_s']:,.0f} events/s")
            settle()
            found["limit_s"], found["limit_events_per_s"] = await _raw(system.state.bootstrap)
    return found


async def _measured(system: System, log: Path, usage: Usage, how: How) -> dict[str, Any]:
    state = system.state
    profiles = Profiles(how.profile, how.tell)
    for name, pid in state.pids.items():
        usage.add(name, pid)
    with usage, profiles:
        for name, pid in state.pids.items():
            if name != "broker":
                profiles.attach(name, pid)
        begun_s = now_s()
        async with _importing(system, log) as importer, httpx.AsyncClient(timeout=60) as http:
            usage.add("importer", importer.pid)
            reporting = Reporting(http, state.urls["reporting"])
            answer, _ = await importer.communicate()
            imported_s = now_s() - begun_s
            if importer.returncode != 0:
                raise RuntimeError(f"the import failed: {answer.decode()[-1000:]}")
            sent = json.loads(answer)["sent"]

            def complete(applied: Mapping[str, int]) -> bool:
                return bool(applied.get(TICKETS_EVENTS, 0) >= sent["events"])

            applied, ended_s = await reporting.settled(complete, quiet_s=QUIET_S, within_s=WITHIN_S)
    wall_s = ended_s - begun_s
    await _check(state.bootstrap, applied)
    return {
        "wall_s": wall_s,
        "import_s": imported_s,
        "commands": sent["commands"],
        "rejected": sent["rejected"],
        "ticket_events": sent["events"],
        "events_applied_by_reporting": sum(applied.values()),
        "events_per_s": sent["events"] / wall_s,
        "processes": usage.as_json(),
        **({"profile": profiles.summaries()} if how.profile else {}),
    }


@asynccontextmanager
async def _importing(system: System, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    url = system.state.urls["intake"]
    arguments = ("-m", "cli.main", "import", "servicenow", str(log), "--url", url, "--json")
    directory = system.options.data_dir
    async with child(*arguments, log=directory / "importer.log") as process:
        yield process


async def _check(bootstrap: str, applied: Mapping[str, int]) -> None:
    """Raises RuntimeError when a topic holds something that reporting has not applied."""
    for topic in (TICKETS_EVENTS, SLA_EVENTS):
        ids: set[bytes] = set()
        async with open_topics(bootstrap, [topic]) as reader:
            async for records in reader.read():
                ids.update(_id(record) for record in records)
        if len(ids) != applied.get(topic, 0):
            raise RuntimeError(
                f"{topic} holds {len(ids)} events, reporting applied {applied.get(topic, 0)}"
            )


def _id(record: Any) -> bytes:
    return next(bytes(value) for name, value in record.headers if name == "ce_id")


async def _raw(bootstrap: str) -> tuple[float, float]:
    """The limit: seconds, and events per second, to read tickets.events and check each event."""
    async with open_topics(bootstrap, [TICKETS_EVENTS]) as reader:
        begun_s = ended_s = now_s()
        events = 0
        async for records in reader.read():
            events += _validate(records)
            ended_s = now_s()
    return ended_s - begun_s, events / (ended_s - begun_s)


def _validate(records: Sequence[Any]) -> int:
    for record in records:
        name = next(value for name, value in record.headers if name == "ce_type")
        CLASSES[name].model_validate_json(record.value)
    return len(records)

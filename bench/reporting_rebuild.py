"""Reporting made anew from the topics, in events per second, beside reading the same topics bare.

A real desk's log is imported through all four services, which then rest. `rebuild` makes every read
model again beside the live ones, in a process of its own; then the fact tables are made from the
histories. Beside it, on the same broker: one process that reads the same topics with aiokafka,
validates each event with pydantic, and keeps nothing. The two take turns; medians count.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx

from bench.harness import (
    MB,
    How,
    Missing,
    Reporting,
    Result,
    apache_kafka_or_missing,
    child,
    incident_log,
    now_s,
    peak_of,
    postgres,
    running,
    workspace,
)
from cli.system import Options, System
from libs.events import EVENTS
from libs.runtime.clock import RealClock
from libs.runtime.database import Database
from libs.runtime.topiclog import open_topics
from services.reporting.facts.facts import Facts
from services.reporting.handlers import TOPICS
from services.reporting.rebuild import rebuild

NAME: Final = "reporting_rebuild"
WHAT: Final = "reporting's read models and fact tables made anew from the topics"
GOAL: Final = 0.5
ROUNDS: Final = 3
QUIET_S: Final = 3.0
WITHIN_S: Final = 900.0
CLASSES: Final = {name.encode(): cls for name, cls in EVENTS.classes()}


async def run(how: How) -> Result:
    runs = {"embedded + SQLite": await _one("embedded + SQLite", how, real=False)}
    notes: list[str] = []
    try:
        apache_kafka_or_missing()
        title = "Apache Kafka + PostgreSQL"
        runs[title] = await _one(title, how, real=True)
    except Missing as missing:
        notes.append(f"without Apache Kafka + PostgreSQL: {missing}")
    worst = min(runs.values(), key=lambda one: float(one["ratio"]))
    return Result(
        NAME,
        WHAT,
        ours=worst["events_per_s"],
        unit="events/s",
        limit=worst["bare_per_s"],
        peers={f"aiokafka + pydantic ({title})": one["bare_per_s"] for title, one in runs.items()},
        ratio=worst["ratio"],
        ratio_to="reading the same topics with aiokafka and pydantic",
        goal=GOAL,
        goal_for="ratio",
        also={"rebuilt equals live, row by row": all(one["equal"] for one in runs.values())},
        notes=[_note(title, one) for title, one in runs.items()] + notes,
        details={"runs": runs},
    )


def _note(title: str, one: dict[str, Any]) -> str:
    return (
        f"{title}: {one['events']:,} events; tables {one['tables_per_s']:,.0f}/s, with fact tables"
        f" {one['events_per_s']:,.0f}/s, bare {one['bare_per_s']:,.0f}/s;"
        f" comparing with the live tables {one['compare_s']:.1f} s, {one['peak_mb']:.0f} MB"
    )


async def _one(title: str, how: How, *, real: bool) -> dict[str, Any]:
    log = incident_log(quick=how.quick)
    with workspace() as directory, ExitStack() as stack:
        options = Options(data_dir=directory / "data")
        if real:
            url, _ = stack.enter_context(postgres(directory))
            options = Options(data_dir=directory / "data", kafka="local", database=url)
        async with running(options, how.tell) as system:
            how.tell(f"{title}: importing {log.name}")
            await _import(system, log)
            plan = {
                "bootstrap": system.state.bootstrap,
                "url": system.state.database_urls["reporting"],
                "facts": str(directory / "bench.facts"),
            }
            bare, ours = [], []
            for _ in range(1 if how.quick else ROUNDS):
                bare.append(await _ask("bare", plan, directory))
                ours.append(await _ask("ours", plan, directory))
    found = _together(bare, ours)
    how.tell(_note(title, found))
    return found


def _together(bare: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, Any]:
    bare_per_s = statistics.median(one["events"] / one["seconds"] for one in bare)
    events_per_s = statistics.median(
        one["events"] / (one["applied_s"] + one["facts_s"]) for one in ours
    )
    return {
        "events": ours[0]["events"],
        "events_per_s": events_per_s,
        "tables_per_s": statistics.median(one["events"] / one["applied_s"] for one in ours),
        "bare_per_s": bare_per_s,
        "ratio": events_per_s / bare_per_s,
        "compare_s": statistics.median(one["compare_s"] for one in ours),
        "peak_mb": max(one["peak_mb"] for one in ours),
        "equal": all(one["ok"] and one["events"] == bare[0]["events"] for one in ours),
        "rounds": {"bare": bare, "ours": ours},
    }


async def _import(system: System, log: Path) -> None:
    """Raises RuntimeError, and TimeoutError when reporting does not catch up."""
    url = system.state.urls["intake"]
    arguments = ("-m", "cli.main", "import", "servicenow", str(log), "--url", url, "--json")
    async with child(*arguments, log=system.options.data_dir / "importer.log") as importer:
        answer, _ = await importer.communicate()
        if importer.returncode != 0:
            raise RuntimeError(f"the import failed: {answer.decode()[-1000:]}")
    async with httpx.AsyncClient(timeout=60) as http:
        reporting = Reporting(http, system.state.urls["reporting"])
        await reporting.settled(bool, quiet_s=QUIET_S, within_s=WITHIN_S)


async def _ask(who: str, plan: dict[str, str], directory: Path) -> dict[str, Any]:
    file, log = directory / "plan.json", directory / f"{who}.log"
    file.write_text(json.dumps(plan), "utf-8")
    async with child("-m", "bench.reporting_rebuild", who, str(file), log=log) as process:
        answer, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"{who} failed: {log.read_text('utf-8')[-2000:]}")
    found: dict[str, Any] = json.loads(answer)
    return found


# -- in a process of its own -----------------------------------------------------------------------


async def _ours(plan: dict[str, str]) -> dict[str, Any]:
    begun_cpu_s = time.process_time()
    report = await rebuild(plan["url"], plan["bootstrap"])
    rebuilt_cpu_s = time.process_time()
    facts_s = await asyncio.to_thread(_facts, plan)
    return {
        "events": report.events,
        "applied_s": report.applied_s,
        "facts_s": facts_s,
        "compare_s": report.seconds - report.applied_s,
        "ok": report.ok and not report.parked,
        "peak_mb": peak_of(os.getpid()) / MB,
        "rebuild_and_compare_cpu_s": rebuilt_cpu_s - begun_cpu_s,
        "facts_cpu_s": time.process_time() - rebuilt_cpu_s,
    }


def _facts(plan: dict[str, str]) -> float:
    """Seconds to make the fact tables from the histories, from nothing."""
    database = Database(plan["url"])
    for old in Path(plan["facts"]).parent.glob("bench-*.duckdb*"):
        old.unlink()
    facts = Facts(database, plan["facts"], clock=RealClock())
    try:
        begun_s = now_s()
        facts.refresh()
        return now_s() - begun_s
    finally:
        facts.close()
        database.close()


async def _bare(plan: dict[str, str]) -> dict[str, Any]:
    begun_cpu_s = time.process_time()
    async with open_topics(plan["bootstrap"], TOPICS) as reader:
        begun_s = ended_s = now_s()
        events = 0
        async for records in reader.read():
            for record in records:
                name = next(value for name, value in record.headers if name == "ce_type")
                CLASSES[name].model_validate_json(record.value)
            events += len(records)
            ended_s = now_s()
    cpu_s = time.process_time() - begun_cpu_s
    return {"events": events, "seconds": ended_s - begun_s, "cpu_s": cpu_s}


if __name__ == "__main__":
    work = {"ours": _ours, "bare": _bare}[sys.argv[1]]
    print(json.dumps(asyncio.run(work(json.loads(Path(sys.argv[2]).read_text("utf-8"))))))

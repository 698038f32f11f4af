"""What the SLA timers stand beside: a bare heap, and APScheduler on memory and on a SQL store.

`python -m bench.timers_peers WHO PLAN.json` prints one JSON object. `load` timers are loaded, and
`count` of them fall due evenly over `seconds`; how late each is called is what is measured.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop
from pathlib import Path
from typing import Any, Final

from bench.harness import now_s
from bench.timers_desk import rss_mb, spread_ms, tell

HEAD_START_S: Final = 1.0
PATIENCE_S: Final = 20.0


def heap(plan: dict[str, Any]) -> None:
    """The limit: nothing is durable, nothing is done but to note how late it is."""
    begun_s = now_s()
    dues = [begun_s + wait for wait in _waits(plan)]
    entries = list(zip(dues, range(len(dues)), strict=True))
    heapify(entries)
    loaded_s = now_s() - begun_s
    # The waits count from the end of the loading.
    late_ms = asyncio.run(_pop(entries, loaded_s, plan["count"]))
    _tell(plan, loaded_s, late_ms)


async def _pop(entries: list[tuple[float, int]], shift_s: float, count: int) -> list[float]:
    late_ms: list[float] = []
    while len(late_ms) < count:
        at_s = entries[0][0] + shift_s
        left_s = at_s - now_s()
        if left_s > 0:
            await asyncio.sleep(left_s)
            continue
        heappop(entries)
        late_ms.append((now_s() - at_s) * 1e3)
    return late_ms


def apscheduler_memory(plan: dict[str, Any]) -> None:
    asyncio.run(_apscheduler(plan, {}))


def apscheduler_sql(plan: dict[str, Any]) -> None:
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore

    asyncio.run(_apscheduler(plan, {"default": SQLAlchemyJobStore(url=plan["url"])}))


_LATE_MS: Final[list[float]] = []


def called(at_s: float) -> None:
    """The job: at module level, because a job store keeps its name."""
    _LATE_MS.append((datetime.now(UTC).timestamp() - at_s) * 1e3)


async def _apscheduler(plan: dict[str, Any], stores: dict[str, Any]) -> None:
    from apscheduler.executors.debug import DebugExecutor
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    # Called in place: no thread, no task for each job.
    scheduler = AsyncIOScheduler(
        jobstores=stores,
        executors={"default": DebugExecutor()},
        job_defaults={"misfire_grace_time": None},
        timezone=UTC,
    )
    scheduler.start(paused=True)
    begun_s = now_s()
    deadline_s = begun_s + plan["load_within_s"]
    base = datetime.now(UTC) + timedelta(seconds=plan["load_within_s"])
    loaded = 0
    for wait_s in _waits(plan):
        at = base + timedelta(seconds=wait_s)
        scheduler.add_job(called, "date", run_date=at, args=[at.timestamp()])
        loaded += 1
        if now_s() > deadline_s:
            break
    loaded_s = now_s() - begun_s
    scheduler.resume()
    end_s = deadline_s + HEAD_START_S + plan["seconds"] + PATIENCE_S
    while len(_LATE_MS) < min(plan["count"], loaded) and now_s() < end_s:
        await asyncio.sleep(0.05)
    scheduler.shutdown(wait=False)
    _tell(plan, loaded_s, _LATE_MS, loaded)


def _waits(plan: dict[str, Any]) -> list[float]:
    """Seconds until each is due, in no order: those of the window, the others a day later."""
    due = [
        HEAD_START_S + plan["seconds"] * number / plan["count"] for number in range(plan["count"])
    ]
    due += [86_400.0 + number for number in range(plan["load"] - plan["count"])]
    random.Random(plan["seed"]).shuffle(due)
    return due


def _tell(
    plan: dict[str, Any], loaded_s: float, late_ms: Sequence[float], loaded: int | None = None
) -> None:
    tell(
        load=plan["load"],
        loaded=plan["load"] if loaded is None else loaded,
        load_s=loaded_s,
        per_s=plan["count"] / plan["seconds"],
        due=plan["count"],
        fired=len(late_ms),
        **spread_ms(late_ms),
        rss_mb=rss_mb(),
    )


WHO: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    "heap": heap,
    "apscheduler_memory": apscheduler_memory,
    "apscheduler_sql": apscheduler_sql,
}

if __name__ == "__main__":
    WHO[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text("utf-8")))

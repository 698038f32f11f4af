"""Makes the fact tables of a filled database and asks them what pages ask.

`python -m bench.year_queries PLAN.json` prints one JSON object. The questions are those of all pages of
the dashboard (`bench.year_pages`), and more that are made from the definitions: every metric in total, compared with the period before; in buckets; and by every dimension
that pages group by, for the last thirty days and for the whole year. Metrics of one kind that share a
source stand together in one question, as cards of a page do. Nothing is remembered between questions.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench.desk_year import YEAR_BEGIN, YEAR_H
from bench.harness import MB, now_s, peak_of, percentile, settle
from bench.year_pages import page_questions
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.errors import Poison
from services.reporting.domain import HOUR_US, instant_of, microseconds
from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.domain.metrics import METRICS
from services.reporting.facts.facts import Facts
from services.reporting.report.check import has
from services.reporting.report.model import Granularity, ReportQuery
from services.reporting.report.service import run_report

ZONE: Final = "Europe/Madrid"
TOGETHER: Final = 4
"""Metrics in one question, at most."""
BY: Final = (
    "group", "agent", "channel", "category", "priority", "language", "tag", "weekday", "policy",
)  # fmt: skip
SLOW_MS: Final = 3_000.0
TIMES: Final = ("p50", "p90")
END_US: Final = microseconds(YEAR_BEGIN) + YEAR_H * HOUR_US
PERIODS: Final[dict[str, tuple[int, Granularity]]] = {
    "30 days": (END_US - 30 * 24 * HOUR_US, "day"),
    "12 months": (END_US - YEAR_H * HOUR_US, "week"),
}


def questions() -> Iterator[tuple[str, ReportQuery]]:
    """(name, question)."""
    for period, (start_us, granularity) in PERIODS.items():
        for metrics in _together():
            spread = METRICS[metrics[0]].kind in ("distribution", "standing")
            common: dict[str, Any] = {
                "metrics": metrics,
                "start_us": start_us,
                "end_us": END_US,
                "zone": ZONE,
                "aggregates": TIMES if spread else (),
            }
            title = f"{period}: {', '.join(metrics)}"
            # A year before the year has nothing to compare with.
            yield title, ReportQuery(**common, compare=period == "30 days")
            yield f"{title} per {granularity}", ReportQuery(**common, granularity=granularity)
            for name in BY:
                if all(has(METRICS[metric], DIMENSIONS[name]) for metric in metrics):
                    yield f"{title} by {name}", ReportQuery(**common, by=(name,))


def _together() -> Iterator[tuple[str, ...]]:
    sets: dict[tuple[str, str], list[str]] = {}
    for name, metric in METRICS.items():
        sets.setdefault((metric.kind, metric.source), []).append(name)
    for names in sets.values():
        for start in range(0, len(names), TOGETHER):
            yield tuple(names[start : start + TOGETHER])


def main(plan: dict[str, Any]) -> None:
    database = Database(plan["url"])
    file = Path(plan["facts"])
    clock = ManualClock(instant_of(END_US))
    facts = Facts(database, file, clock=clock)
    try:
        begun_s = now_s()
        facts.refresh()
        load_s = now_s() - begun_s
        loaded_mb = peak_of(os.getpid()) / MB
        with facts.reading() as reading:
            rows = {
                table: reading.cursor.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[index] # noqa: S608 - constants
                for table in ("tickets", "activities", "intervals", "verdicts", "presences")
            }
        events = _count(database)
        settle()
        found, refused, pages_ms = asyncio.run(_all(database, facts, clock, plan["rounds"]))
    finally:
        facts.close()
        database.close()
    every = [ms for one in found for ms in one["ms"]]
    print(
        json.dumps(
            {
                "facts": {
                    "load_s": load_s,
                    "events_per_s": events / load_s,
                    "peak_mb": loaded_mb,
                    "peak_with_questions_mb": peak_of(os.getpid()) / MB,
                    "file_mb": sum(f.stat().st_size for f in file.parent.glob("*.duckdb*")) / MB,
                    "rows": rows,
                },
                "p50_ms": percentile(every, 50),
                "p95_ms": percentile(every, 95),
                "queries": sorted(found, key=lambda one: -one["p95_ms"]),
                "refused": refused,
                "pages_ms": pages_ms,
            }
        )
    )


def _count(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM history").scalar_one())


async def _all(
    database: Database, facts: Facts, clock: ManualClock, rounds: int
) -> tuple[list[dict[str, Any]], dict[str, str], dict[str, float]]:
    of_pages, pages_ms = await page_questions(database, facts, clock)
    asked = {query: name for name, query in [*of_pages, *questions()]}  # each once
    found, refused = await _answers([(n, q) for q, n in asked.items()], facts, clock, rounds)
    return found, refused, pages_ms


async def _answers(
    asked: Sequence[tuple[str, ReportQuery]], facts: Facts, clock: ManualClock, rounds: int
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rounds over all questions, after one that counts for those only that are so slow that they are
    not asked again."""
    taken: dict[str, list[float]] = {name: [] for name, _ in asked}
    refused: dict[str, str] = {}
    for number in range(rounds + 1):
        for name, query in asked:
            if taken[name] and taken[name][0] > SLOW_MS:
                continue
            begun_s = now_s()
            try:
                await run_report(facts, query, clock=clock)
            except Poison as reason:
                refused[name] = reason.code
            took_ms = (now_s() - begun_s) * 1e3
            if number or took_ms > SLOW_MS:
                taken[name].append(took_ms)
    return [
        {
            "name": name,
            "p50_ms": percentile(ms, 50),
            "p95_ms": percentile(ms, 95),
            "ms": [round(one, 1) for one in ms],
        }
        for name, ms in taken.items()
    ], refused


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text("utf-8")))

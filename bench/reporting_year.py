"""A year of a large desk in reporting: its size on disk, how fast the fact tables are made, and how
fast they answer.

Two million tickets with twenty million events at most (`--scale 1`); a twentieth of them usually.
Nearly all of the year is written into reporting's tables `history` and `tickets` as rows that
reporting's own code makes of the events (`bench.year_rows`), past the consumer, which would take
long and is measured elsewhere. The last tickets go through the real handler, into tables of full size.
A second process then makes the fact tables from the histories, as a service does that finds none, and
asks them what pages ask (`bench.year_queries`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from bench.desk_year import TICKETS_PER_PIECE, Plan, agents, piece
from bench.harness import MB, How, Result, child, now_s, workspace
from bench.year_rows import fill
from libs.runtime.clock import RealClock
from libs.runtime.database import Database
from libs.runtime.store import ServiceStore
from services.reporting.handlers import ReportingHandler
from services.reporting.views import fresh_metadata

NAME: Final = "reporting_year"
WHAT: Final = "a year of a large desk in reporting: p95 of the slowest question of a page"
TICKETS: Final = 2_000_000
USUAL: Final = 0.05
QUICK: Final = 0.002
TICKETS_PER_AGENT: Final = 4_900
MIN_AGENTS: Final = 24
ROUNDS: Final = 3
GOAL_MS: Final = 300.0
LIVE_PIECES: Final = 5
"""The last pieces, which go through the handler; at most a quarter of all."""
LIVE_BATCH: Final = 2_000


async def run(how: How) -> Result:
    scale = how.scale if how.scale is not None else QUICK if how.quick else USUAL
    tickets = max(2 * TICKETS_PER_PIECE, round(TICKETS * scale))
    plan = Plan(tickets, agents=max(MIN_AGENTS, tickets // TICKETS_PER_AGENT))
    with workspace() as directory:
        file = directory / "reporting.sqlite3"
        found = await _fill(plan, file, how)
        found |= await _ask(file, directory, rounds=1 if how.quick else ROUNDS, how=how)
    slowest = next(one for one in found["queries"] if one["name"].startswith("page "))
    return Result(
        NAME,
        f"{WHAT} ({plan.tickets:,} tickets, {found['events']:,} events)",
        ours=slowest["p95_ms"],
        unit="ms",
        goal=GOAL_MS,
        better="lower",
        also={"every question answered": not found["refused"]},
        notes=_notes(found),
        details={"plan": {"tickets": plan.tickets, "seed": plan.seed}, **found},
    )


def _notes(found: dict[str, Any]) -> list[str]:
    facts, size, live = found["facts"], found["size_mb"], found["live"]
    slow = ", ".join(
        f"{one['name']} {one['p50_ms']:,.0f}/{one['p95_ms']:,.0f} ms"
        for one in found["queries"][:5]
    )
    disk = (
        f"on disk: history {size['history']:,.0f} MB, tickets with indexes {size['tickets']:,.0f} MB,"
        f" fact tables {facts['file_mb']:,.0f} MB"
    )
    made = (
        f"fact tables made from the histories in {facts['load_s']:,.0f} s"
        f" ({facts['events_per_s']:,.0f} events/s), {facts['peak_mb']:,.0f} MB of memory at most"
    )
    asked = (
        f"{len(found['queries'])} questions: p50 {found['p50_ms']:,.0f} ms, p95"
        f" {found['p95_ms']:,.0f} ms over all; slowest (p50/p95): {slow}"
    )
    pages = sorted(found["pages_ms"].items(), key=lambda one: -one[1])
    made_pages = "pages made by the server, nothing remembered: " + ", ".join(
        f"{page} {ms:,.0f} ms" for page, ms in pages[:5]
    )
    handler = (
        f"the handler at this size: {live['events_per_s']:,.0f} events/s of {live['events']:,}"
    )
    return [disk, made, handler, asked, made_pages]


async def _fill(plan: Plan, file: Path, how: How) -> dict[str, Any]:
    live_pieces = max(1, min(LIVE_PIECES, plan.pieces // 4))
    begun_s = now_s()
    # Not lasting while it is filled: what was half written would be filled anew.
    database = Database(f"sqlite:///{file}", lasting=False)
    store = ServiceStore(database, fresh_metadata(), source="/bench", clock=RealClock())
    store.create_tables()
    events = fill(database, plan, plan.pieces - live_pieces, how.tell)
    filled_s = now_s() - begun_s
    sizes = _sizes(database)
    store.close()
    how.tell(f"{events:,} events written in {filled_s:.0f} s")
    live = _apply_live(plan, file, plan.pieces - live_pieces)
    return {
        "events": events + live["events"],
        "fill_s": filled_s,
        "live": live,
        "size_mb": sizes,
    }


def _apply_live(plan: Plan, file: Path, first: int) -> dict[str, Any]:
    """The last pieces and the agents, through the handler, in batches as a consumer gets them."""
    streams = [s for number in range(first, plan.pieces) for s in piece(plan, number)]
    streams += list(agents(plan))
    envelopes = sorted((e for stream in streams for e in stream), key=lambda e: e.recorded_time)
    del streams
    database = Database(f"sqlite:///{file}")
    store = ServiceStore(database, fresh_metadata(), source="/bench", clock=RealClock())
    handler = ReportingHandler()
    try:
        begun_s = now_s()
        for start in range(0, len(envelopes), LIVE_BATCH):
            batch = envelopes[start : start + LIVE_BATCH]
            store.write_now(lambda connection, out, b=batch: handler.apply(connection, b, out))  # type: ignore[misc]
        seconds = now_s() - begun_s
    finally:
        store.close()
    return {
        "events": len(envelopes),
        "seconds": seconds,
        "events_per_s": len(envelopes) / seconds,
    }


def _sizes(database: Database) -> dict[str, float]:
    """Megabytes of the two tables that were filled, `tickets` with its indexes: the pages that would be
    free without it, in a transaction that is taken back."""
    with database.engine.connect() as connection:

        def number(pragma: str) -> int:
            return int(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one())

        pages, free, page = number("page_count"), number("freelist_count"), number("page_size")
        connection.exec_driver_sql("DROP TABLE tickets")
        dropped = number("freelist_count") - free
        connection.rollback()
    return {"history": (pages - free - dropped) * page / MB, "tickets": dropped * page / MB}


async def _ask(file: Path, directory: Path, *, rounds: int, how: How) -> dict[str, Any]:
    plan = directory / "plan.json"
    plan.write_text(
        json.dumps(
            {
                "url": f"sqlite:///{file}",
                "facts": str(directory / "reporting.facts"),
                "rounds": rounds,
            }
        ),
        "utf-8",
    )
    how.tell("making the fact tables")
    log = directory / "facts.log"
    async with child("-m", "bench.year_queries", str(plan), log=log) as process:
        answer, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"the questions failed: {log.read_text('utf-8')[-2000:]}")
    found: dict[str, Any] = json.loads(answer)
    return found

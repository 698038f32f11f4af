"""What the dashboard's pages ask of the fact tables: noted while a server of this process makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx
import uvicorn
from fastapi import FastAPI

from bench.harness import now_s, until
from libs.runtime.clock import Clock
from libs.runtime.database import Database
from libs.runtime.store import ServiceStore
from services.reporting.facts.facts import Facts
from services.reporting.page import DASHBOARDS, mount
from services.reporting.report.model import Report, ReportQuery
from services.reporting.report.service import Reports
from services.reporting.snapshot import Floors
from services.reporting.views import fresh_metadata

VIEWS: Final = ("range=30d&compare=1", "range=12m", "range=all")
ZONE: Final = "zone=Europe/Madrid"
WITHIN_S: Final = 300.0

Asked = list[tuple[str, ReportQuery]]


class _Noting(Reports):
    """Notes every question that comes, by the page that is being made."""

    def __init__(self, facts: Facts, clock: Clock) -> None:
        super().__init__(facts, clock)
        self.page = ""
        self.noted: dict[ReportQuery, str] = {}
        self.open = 0

    async def get(self, query: ReportQuery) -> Report:
        self.noted.setdefault(query, self.page)
        self.open += 1
        try:
            return await super().get(query)
        finally:
            self.open -= 1


async def page_questions(
    database: Database, facts: Facts, clock: Clock
) -> tuple[Asked, dict[str, float]]:
    """Every different question of every dashboard page, named by page, and how many milliseconds the
    server took for each page when nothing was remembered of it."""
    reports = _Noting(facts, clock)
    took_ms: dict[str, float] = {}
    store = ServiceStore(database, fresh_metadata(), source="/bench", clock=clock)
    async with _served(store, reports) as url, httpx.AsyncClient(timeout=WITHIN_S) as http:
        for view in VIEWS:
            for place in DASHBOARDS:
                reports.page = f"{place.path} {view.partition('&')[0].removeprefix('range=')}"
                begun_s = now_s()
                (await http.get(f"{url}{place.path}?{view}&{ZONE}")).raise_for_status()
                await _quiet(reports)  # a page that takes long is sent before it is complete
                took_ms[reports.page] = (now_s() - begun_s) * 1e3
    names: dict[str, int] = {}
    asked: Asked = []
    for query, page in reports.noted.items():
        names[page] = names.get(page, 0) + 1
        what = ", ".join([*query.metrics, *(f"by {name}" for name in query.by)])
        per = "" if query.granularity == "none" else f" per {query.granularity}"
        asked.append((f"page {page} no. {names[page]}: {what}{per}", query))
    return asked, took_ms


async def _quiet(reports: _Noting) -> None:
    seen: Sequence[int] = ()

    async def idle() -> bool:
        nonlocal seen
        before, seen = seen, (len(reports.noted), reports.open)
        return before == seen and not reports.open

    await until(idle, within_s=WITHIN_S, every_s=0.02, what="the end of a page's questions")


@asynccontextmanager
async def _served(store: ServiceStore, reports: Reports) -> AsyncIterator[str]:
    app = FastAPI()
    mount(app, store, reports, Floors(store), interval_s=60)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    task = asyncio.create_task(server.serve())
    try:

        async def started() -> bool:
            return server.started or task.done()

        await until(started, within_s=60, every_s=0.02, what="the start of the pages")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task

"""The pages: NiceGUI mounted on the service's own HTTP app. Nothing is loaded from outside."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from nicegui import ui
from starlette.requests import Request

from libs.runtime.store import ServiceStore
from services.reporting.page.agents import AGENTS
from services.reporting.page.board import RESPONSE_S, Place, dashboard
from services.reporting.page.channels import CHANNELS
from services.reporting.page.desk import Desk
from services.reporting.page.facts_page import facts_page
from services.reporting.page.incidents import INCIDENTS
from services.reporting.page.overview import OVERVIEW
from services.reporting.page.routing import routing_page
from services.reporting.page.satisfaction import SATISFACTION
from services.reporting.page.sla import SLA
from services.reporting.page.team import TEAM
from services.reporting.page.ticket import ticket_page
from services.reporting.page.tickets import tickets_page
from services.reporting.report.service import Reports
from services.reporting.snapshot import Floors

DASHBOARDS: Final = (OVERVIEW, TEAM, AGENTS, CHANNELS, SLA, SATISFACTION, INCIDENTS)
ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect x="4" y="2" width="17"'
    ' height="20" rx="3" fill="#1d5fd0"/><path d="M2 6h4M2 12h4M2 18h4" stroke="#14a38b"'
    ' stroke-width="2"/><path d="M9 8h8M9 12h8M9 16h5" stroke="#fff" stroke-width="1.8"/></svg>'
)


def mount(
    app: FastAPI,
    store: ServiceStore,
    reports: Reports,
    floors: Floors,
    *,
    interval_s: float,
) -> None:
    """Add the pages to `app`, after all its other routes. Once per process: NiceGUI is global."""
    desk = Desk(store, reports, interval_s)
    for place in DASHBOARDS:
        _add(desk, place)

    @ui.page("/facts", response_timeout=RESPONSE_S)
    async def _facts(request: Request) -> None:
        await facts_page(request, desk)

    @ui.page("/routing", response_timeout=RESPONSE_S)
    async def _routing(request: Request) -> None:
        await routing_page(request, floors, store.clock, interval_s=interval_s)

    @ui.page("/tickets", response_timeout=RESPONSE_S)
    async def _tickets(request: Request) -> None:
        await tickets_page(request, desk)

    @ui.page("/tickets/{ticket_id}", response_timeout=RESPONSE_S)
    async def _ticket(request: Request, ticket_id: str) -> None:
        await ticket_page(request, ticket_id, store, interval_s=interval_s)

    ui.run_with(
        app,
        title="Bitácora",
        favicon=ICON,
        language="en-US",
        dark=None,
        tailwind=False,
        binding_refresh_interval=None,
        show_welcome_message=False,
    )


def _add(desk: Desk, place: Place) -> None:
    @ui.page(place.path, response_timeout=RESPONSE_S)
    async def _page(request: Request) -> None:
        await dashboard(request, desk, place)

"""The HTTP edge: read-only JSON over the read models."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from libs.runtime.errors import Rejected
from libs.runtime.store import ServiceStore
from services.reporting.query import RoutingQuery, TicketQuery
from services.reporting.snapshot import Floors
from services.reporting.views.floor import Floor, part_of
from services.reporting.views.lists import (
    Json,
    Page,
    get_ticket,
    list_positions,
    list_tickets,
)


class PositionList(BaseModel):
    positions: list[dict[str, Any]]


def router(store: ServiceStore, floors: Floors) -> APIRouter:
    """The routes over one store."""
    routes = APIRouter(tags=["reporting"])

    @routes.get("/v1/tickets")
    async def tickets(query: Annotated[TicketQuery, Query()]) -> Page:
        """Tickets, newest first. Follow `next` as `cursor` (with the same filter) for more."""
        wanted = query.wanted()
        return await store.read(
            lambda c: list_tickets(c, wanted, limit=query.limit, cursor=query.cursor),
        )

    @routes.get("/v1/tickets/{ticket_id}")
    async def ticket(ticket_id: str) -> Json:
        """One ticket with its clocks, its history (also of clocks and routing) and refusals."""
        found = await store.read(lambda c: get_ticket(c, ticket_id.replace("\x00", "")))
        if found is None:
            raise Rejected(
                "unknown_ticket",
                f"reporting knows no ticket {ticket_id[:100]!r}; a new one appears within seconds",
                status=404,
            )
        return found

    @routes.get("/v1/routing")
    async def routing(query: Annotated[RoutingQuery, Query()]) -> Floor:
        """Routing's floor: queues with depth, oldest wait and reasons; agents, `limit` a page, with
        presence and load; the newest decisions. The sums are of all that the filter finds."""
        found = part_of(await floors.get(), query.wanted())
        start = (query.page - 1) * query.limit
        return replace(found, agents=found.agents[start : start + query.limit])

    @routes.get("/v1/positions")
    async def positions() -> PositionList:
        """How far reporting has come, per topic."""
        return PositionList(positions=await store.read(list_positions))

    return routes

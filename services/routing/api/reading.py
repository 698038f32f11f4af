"""The endpoints that only read: agents, the queue, the decisions on a ticket."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from libs.runtime.errors import Rejected
from libs.runtime.http import json_response
from libs.runtime.store import ServiceStore
from services.routing.api.bodies import ID_MAX
from services.routing.domain import Agent
from services.routing.store import Desk
from services.routing.views.agents import Loads, agent_view, agents_view
from services.routing.views.answers import decisions_view, queue_view

LIST_MAX: Final = 1_000


def reading_router(store: ServiceStore, desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/agents", tags=["agents"])
    async def agents(
        after: Annotated[str, Query(max_length=ID_MAX, description="ids after this one")] = "",
        limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = LIST_MAX,
    ) -> Response:
        """The agents who have not left, by id, with their load, and whether they are on duty."""
        now = store.clock.now()

        def query(connection: Connection) -> dict[str, Any]:
            loads = _loads(desk, connection)
            return agents_view(desk.tables, connection, loads, now, after=after, limit=limit)

        return json_response(await store.read(query))

    @router.get("/v1/agents/{agent_id}", tags=["agents"])
    async def agent(agent_id: str) -> Response:
        """One agent, also one who has left."""

        def query(connection: Connection) -> tuple[Agent, dict[str, Any]]:
            found = desk.tables.agent(connection, agent_id)
            if found is None:
                raise Rejected("unknown_agent", f"There is no agent {agent_id!r}.", status=404)
            return found, with_load(store, desk, connection, found)

        found, shown = await store.read(query)
        return json_response(shown, headers=etag(found))

    @router.get("/v1/queue", tags=["queue"])
    async def queue(limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 100) -> Response:
        """The tickets that wait, in order, each with the reasons why, as of now."""

        def query(connection: Connection) -> dict[str, Any]:
            roster = desk.roster(connection, keep=False)
            return queue_view(desk.tables, roster, connection, limit=limit)

        return json_response(await store.read(query))

    @router.get("/v1/decisions/{ticket_id}", tags=["queue"])
    async def decisions(ticket_id: str) -> Response:
        """Every decision on the ticket, oldest first, and where it stands now."""

        def query(connection: Connection) -> dict[str, Any]:
            return decisions_view(desk.tables, store.outbox, connection, ticket_id)

        return json_response(await store.read(query))

    return router


def with_load(
    store: ServiceStore, desk: Desk, connection: Connection, agent: Agent
) -> dict[str, Any]:
    """The agent as it is shown, with its load as of this connection."""
    return agent_view(agent, _loads(desk, connection), store.clock.now())


def _loads(desk: Desk, connection: Connection) -> Loads:
    return Loads(desk.tables.loads(connection), desk.tables.reserved(connection))


def etag(agent: Agent) -> dict[str, str]:
    return {"ETag": f'"{agent.sequence}"'}

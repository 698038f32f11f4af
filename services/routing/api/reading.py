"""The endpoints that only read: agents, the queue, the decisions on a ticket."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from libs.runtime.errors import Rejected
from libs.runtime.http import json_response
from libs.runtime.store import ServiceStore
from services.routing.api.bodies import ID_MAX
from services.routing.domain import Agent
from services.routing.domain.floor import Floor
from services.routing.store import Desk
from services.routing.views.agents import Loads, agent_view, agents_view
from services.routing.views.answers import decisions_view, idle_view, lines_view, queue_view

LIST_MAX: Final = 1_000


def reading_router(store: ServiceStore, desk: Desk) -> APIRouter:
    router = APIRouter()
    router.include_router(_agents(store, desk))
    router.include_router(_tickets(store, desk))
    return router


def _agents(store: ServiceStore, desk: Desk) -> APIRouter:
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

    @router.get("/v1/agents/{agent_id}/idle", tags=["agents"])
    async def idle(agent_id: str) -> Response:
        """Why the agent has no (more) work, as of now."""

        def query(_: Connection, floor: Floor, now: datetime) -> dict[str, Any]:
            agent = floor.columns.get(agent_id)
            if agent is None:
                raise Rejected("unknown_agent", f"There is no agent {agent_id!r}.", status=404)
            return idle_view(floor, now, agent)

        return json_response(await store.write(desk.looking(query)))

    return router


def _tickets(store: ServiceStore, desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/queue", tags=["queue"])
    async def queue(limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 100) -> Response:
        """The tickets that wait, in order, each with the reasons why, as of now."""

        def query(connection: Connection, floor: Floor, now: datetime) -> dict[str, Any]:
            return queue_view(desk.tables, connection, floor, now, limit=limit)

        return json_response(await store.write(desk.looking(query)))

    @router.get("/v1/queue/lines", tags=["queue"])
    async def lines() -> Response:
        """The queues by what is needed: how many wait, since when the oldest, and why."""

        def query(_: Connection, floor: Floor, now: datetime) -> dict[str, Any]:
            return lines_view(floor, now)

        return json_response(await store.write(desk.looking(query)))

    @router.get("/v1/decisions/{ticket_id}", tags=["queue"])
    async def decisions(ticket_id: str) -> Response:
        """Why the ticket waits, or who has it, as of now; and every decision on it, oldest first."""

        def query(connection: Connection, floor: Floor, now: datetime) -> dict[str, Any]:
            outbox = store.outbox
            return decisions_view(desk.tables, outbox, connection, floor, now, ticket_id)

        return json_response(await store.write(desk.looking(query)))

    return router


def with_load(
    store: ServiceStore, desk: Desk, connection: Connection, agent: Agent
) -> dict[str, Any]:
    """The agent as it is shown, with its load as of this connection."""
    return agent_view(agent, _loads(desk, connection), store.clock.now())


def _loads(desk: Desk, connection: Connection) -> Loads:
    return Loads(*desk.loads(connection))


def etag(agent: Agent) -> dict[str, str]:
    return {"ETag": f'"{agent.sequence}"'}

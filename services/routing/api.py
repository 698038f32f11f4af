"""Routing over HTTP: agents, the queue, and the decisions on a ticket."""

# ruff: noqa: FAST003 - a LeanRoute hands the whole request over, path parameters included

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from libs.events.agent import Presence
from libs.events.agent import Skill as SkillValue
from libs.events.base import Channel, Word
from libs.runtime.errors import Rejected
from libs.runtime.http import LeanRoute, actor_of, body_of, json_response, takes
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.routing.domain import Agent, AgentCommand
from services.routing.domain.agent import (
    RegisterAgent,
    RetireAgent,
    SetCapacity,
    SetGroups,
    SetLanguages,
    SetPresence,
    SetSkills,
)
from services.routing.store import Desk
from services.routing.views import agent_view, agents_view, decisions_view, queue_view

ID_MAX: Final = 200
LIST_MAX: Final = 1_000
Capacity = Annotated[int, Field(ge=0, le=10_000)]
Words = Annotated[tuple[Word, ...], Field(max_length=200)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Skill(Body):
    name: Word
    level: int = Field(ge=1, le=10)

    def value(self) -> SkillValue:
        return SkillValue(name=self.name, level=self.level)


Skills = Annotated[tuple[Skill, ...], Field(max_length=200)]


class NewAgent(Body):
    """`languages` and `channels` empty: any. The agent is offline until `presence` is set."""

    id: Annotated[str, Field(pattern=r"^[^\s/\x00-\x1f\x7f][^/\x00-\x1f\x7f]*$", max_length=ID_MAX)]
    name: Word
    groups: Words = ()
    skills: Skills = ()
    languages: Words = ()
    tiers: Annotated[tuple[Annotated[int, Field(ge=1, le=3)], ...], Field(max_length=3)] = (1,)
    capacity: Capacity
    channels: Annotated[tuple[Channel, ...], Field(max_length=20)] = ()


class PresenceBody(Body):
    presence: Presence


class SkillsBody(Body):
    skills: Skills


class CapacityBody(Body):
    capacity: Capacity


class GroupsBody(Body):
    groups: Words


class LanguagesBody(Body):
    languages: Words


def create_router(store: ServiceStore, desk: Desk) -> APIRouter:
    router = APIRouter()
    router.include_router(_agent_commands(store, desk))
    router.include_router(_reading(store, desk))
    return router


def _agent_commands(store: ServiceStore, desk: Desk) -> APIRouter:
    router = APIRouter(route_class=LeanRoute, tags=["agents"])

    async def change(
        request: Request, command: AgentCommand, *, new_id: str = "", status: int = 200
    ) -> Response:
        agent_id = new_id or request.path_params["agent_id"]
        transaction = desk.change_agent(agent_id, command, actor_of(request))

        def changed(connection: Connection, outgoing: Outgoing) -> dict[str, Any]:
            return _with_load(desk, connection, transaction(connection, outgoing))

        return json_response(await store.write(changed), status)

    @router.post("/v1/agents", status_code=201, openapi_extra=takes(NewAgent))
    async def register(request: Request) -> Response:
        body = await body_of(request, NewAgent)
        command = RegisterAgent(
            name=body.name,
            capacity=body.capacity,
            groups=body.groups,
            skills=tuple(skill.value() for skill in body.skills),
            languages=body.languages,
            tiers=body.tiers,
            channels=body.channels,
        )
        return await change(request, command, new_id=body.id, status=201)

    @router.put("/v1/agents/{agent_id}/presence", openapi_extra=takes(PresenceBody))
    async def presence(request: Request) -> Response:
        body = await body_of(request, PresenceBody)
        return await change(request, SetPresence(body.presence))

    @router.put("/v1/agents/{agent_id}/skills", openapi_extra=takes(SkillsBody))
    async def skills(request: Request) -> Response:
        body = await body_of(request, SkillsBody)
        command = SetSkills(tuple(skill.value() for skill in body.skills))
        return await change(request, command)

    @router.put("/v1/agents/{agent_id}/capacity", openapi_extra=takes(CapacityBody))
    async def capacity(request: Request) -> Response:
        body = await body_of(request, CapacityBody)
        return await change(request, SetCapacity(body.capacity))

    @router.put("/v1/agents/{agent_id}/groups", openapi_extra=takes(GroupsBody))
    async def groups(request: Request) -> Response:
        body = await body_of(request, GroupsBody)
        return await change(request, SetGroups(body.groups))

    @router.put("/v1/agents/{agent_id}/languages", openapi_extra=takes(LanguagesBody))
    async def languages(request: Request) -> Response:
        body = await body_of(request, LanguagesBody)
        return await change(request, SetLanguages(body.languages))

    @router.delete("/v1/agents/{agent_id}")
    async def retire(request: Request) -> Response:
        return await change(request, RetireAgent())

    return router


def _reading(store: ServiceStore, desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/agents", tags=["agents"])
    async def agents(
        after: Annotated[str, Query(max_length=ID_MAX, description="ids after this one")] = "",
        limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = LIST_MAX,
    ) -> Response:
        """The agents who have not left, by id, with their load."""

        def query(connection: Connection) -> dict[str, Any]:
            roster = desk.roster(connection, keep=False)
            return agents_view(desk.tables, roster, connection, after=after, limit=limit)

        return json_response(await store.read(query))

    @router.get("/v1/agents/{agent_id}", tags=["agents"])
    async def agent(agent_id: str) -> Response:
        def query(connection: Connection) -> dict[str, Any]:
            found = desk.tables.agent(connection, agent_id)
            if found is None:
                raise Rejected("unknown_agent", f"There is no agent {agent_id!r}.", status=404)
            return _with_load(desk, connection, found)

        return json_response(await store.read(query))

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


def _with_load(desk: Desk, connection: Connection, agent: Agent) -> dict[str, Any]:
    loads, reserved = desk.tables.loads(connection), desk.tables.reserved(connection)
    return agent_view(agent, loads.get(agent.id, 0), reserved.get(agent.id, 0))

"""The endpoints that change agents.

Every change takes `If-Match` (the ETag of the version that was read): 412 with the version of now
when the agent has changed since. Answers show the agent as it is afterwards, with its ETag.
"""

# ruff: noqa: FAST003 - a LeanRoute hands the whole request over, path parameters included

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from libs.runtime.http import LeanRoute, actor_of, body_of, if_match_of, json_response, takes
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.routing.api import bodies
from services.routing.api.reading import etag, with_load
from services.routing.domain import Agent, AgentCommand
from services.routing.domain import agent as agents
from services.routing.store import Desk

B = TypeVar("B", bound=BaseModel)


def agents_router(store: ServiceStore, desk: Desk) -> APIRouter:
    router = APIRouter(route_class=LeanRoute, tags=["agents"])

    async def change(request: Request, agent_id: str, command: AgentCommand) -> Response:
        transaction = desk.change_agent(agent_id, command, actor_of(request), if_match_of(request))

        def changed(connection: Connection, outgoing: Outgoing) -> tuple[bool, Agent, Any]:
            known = desk.tables.agent(connection, agent_id) is not None
            agent = transaction(connection, outgoing)
            return known, agent, with_load(store, desk, connection, agent)

        known, agent, shown = await store.write(changed)
        place = {} if known else {"Location": f"/v1/agents/{quote(agent_id, safe='')}"}
        return json_response(shown, 200 if known else 201, {**etag(agent), **place})

    @router.post("/v1/agents", status_code=201, openapi_extra=takes(bodies.NewAgent))
    async def register(request: Request) -> Response:
        """Add an agent."""
        body = await body_of(request, bodies.NewAgent)
        return await change(request, body.id, body.command())

    @router.put("/v1/agents/{agent_id}", openapi_extra=takes(bodies.AgentBody))
    async def put(request: Request) -> Response:
        """Make the agent as described: add it (201), or change where it differs (200). What is left
        out is set to its default; the presence stays as it is."""
        body = await body_of(request, bodies.AgentBody)
        return await change(request, _agent_id(request), agents.PutAgent(body.command()))

    @router.delete("/v1/agents/{agent_id}")
    async def retire(request: Request) -> Response:
        """The agent leaves: the tickets go to others, the id is never used again."""
        return await change(request, _agent_id(request), agents.RetireAgent())

    _add_settings(router, change)
    return router


def _add_settings(router: APIRouter, change: Callable[..., Any]) -> None:
    def setting(path: str, model: type[B], make: Callable[[B], AgentCommand], summary: str) -> None:
        async def endpoint(request: Request) -> Response:
            body = await body_of(request, model)
            answer: Response = await change(request, _agent_id(request), make(body))
            return answer

        router.add_api_route(
            f"/v1/agents/{{agent_id}}/{path}",
            endpoint,
            methods=["PUT"],
            summary=summary,
            name=f"put_{path.replace('-', '_')}",
            openapi_extra=takes(model),
        )

    def presence(body: bodies.PresenceBody) -> AgentCommand:
        return agents.SetPresence(body.presence, body.reason)

    def skills(body: bodies.SkillsBody) -> AgentCommand:
        return agents.SetSkills(bodies.skills_of(body.skills))

    def channels(body: bodies.ChannelsBody) -> AgentCommand:
        return agents.SetChannels(body.channels, body.channel_limits)

    def hours(body: bodies.WorkingHoursBody) -> AgentCommand:
        return agents.SetWorkingHours(bodies.hours_of(body.working_hours))

    def absences(body: bodies.OutOfOfficeBody) -> AgentCommand:
        return agents.SetOutOfOffice(tuple(period.value() for period in body.periods))

    setting("presence", bodies.PresenceBody, presence, "Online, away or offline.")
    setting("name", bodies.NameBody, lambda b: agents.SetName(b.name), "Set the display name.")
    setting("skills", bodies.SkillsBody, skills, "Set all skills with their levels.")
    setting(
        "capacity",
        bodies.CapacityBody,
        lambda b: agents.SetCapacity(b.capacity),
        "Set how many units of work are held at once.",
    )
    setting("groups", bodies.GroupsBody, lambda b: agents.SetGroups(b.groups), "Set all groups.")
    setting(
        "languages",
        bodies.LanguagesBody,
        lambda b: agents.SetLanguages(b.languages),
        "Set all languages.",
    )
    setting("tiers", bodies.TiersBody, lambda b: agents.SetTiers(b.tiers), "Set all tiers.")
    setting("channels", bodies.ChannelsBody, channels, "Set all channels and their limits.")
    setting("working-hours", bodies.WorkingHoursBody, hours, "Set the week in wall time.")
    setting("out-of-office", bodies.OutOfOfficeBody, absences, "Set all out-of-office periods.")
    setting("contact", bodies.ContactBody, lambda b: agents.SetContact(b.email), "Set the e-mail.")
    setting(
        "leadership",
        bodies.LeadershipBody,
        lambda b: agents.SetLeadership(b.lead_of),
        "Set the groups whose lead the agent is.",
    )


def _agent_id(request: Request) -> str:
    agent_id: str = request.path_params["agent_id"]
    return agent_id

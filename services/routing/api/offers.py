"""The agent's side of offers: what is offered to me, I take it, I do not."""

# ruff: noqa: FAST003 - a LeanRoute hands the whole request over, path parameters included

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from libs.events.base import Line
from libs.runtime.errors import Rejected
from libs.runtime.http import LeanRoute, actor_of, body_of, json_response, takes
from libs.runtime.store import ServiceStore
from services.routing.api.bodies import Body
from services.routing.domain.instants import instant
from services.routing.store import Desk
from services.routing.store.offers import Answer, who_answers
from services.routing.views.tables import Offer

LIST_MAX = 500


class AnswerBody(Body):
    """Who answers; needed only when the caller's `X-Bitacora-Actor` is no agent."""

    agent: str | None = Field(None, min_length=1, max_length=200)
    reason: Line | None = None


def offers_router(store: ServiceStore, desk: Desk) -> APIRouter:
    router = APIRouter(route_class=LeanRoute, tags=["offers"])

    async def answered(request: Request, answer: Answer) -> Response:
        body = await body_of(request, AnswerBody)
        agent_id = who_answers(actor_of(request), body.agent)
        offer_id = request.path_params["offer_id"]
        transaction = desk.answer_offer(offer_id, agent_id, answer, body.reason)
        return json_response(offer_view(await store.write(transaction)))

    @router.post("/v1/offers/{offer_id}/accept", openapi_extra=takes(AnswerBody))
    async def accept(request: Request) -> Response:
        """Take the ticket. 409 `offer_ended` when it is too late."""
        return await answered(request, "accepted")

    @router.post("/v1/offers/{offer_id}/decline", openapi_extra=takes(AnswerBody))
    async def decline(request: Request) -> Response:
        """Let somebody else have the ticket."""
        return await answered(request, "declined")

    router.include_router(_reading(store, desk))
    return router


def _reading(store: ServiceStore, desk: Desk) -> APIRouter:
    router = APIRouter(tags=["offers"])

    @router.get("/v1/agents/{agent_id}/offers")
    async def offers(
        agent_id: str, limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 100
    ) -> Response:
        """The offers to this agent: open ones first, then the latest."""

        def query(connection: Connection) -> list[Offer]:
            if desk.tables.agent(connection, agent_id) is None:
                raise Rejected("unknown_agent", f"There is no agent {agent_id!r}.", status=404)
            return desk.tables.offers_to(connection, agent_id, limit)

        found = await store.read(query)
        return json_response({"offers": [offer_view(offer) for offer in found]})

    return router


def offer_view(offer: Offer) -> dict[str, Any]:
    """An offer as JSON. `state`: open, accepted, declined, timed_out or withdrawn."""
    made, until = instant(offer.made_us), instant(offer.until_us)
    shown: dict[str, str | int | datetime] = {
        "id": offer.id,
        "ticket_id": offer.ticket_id,
        "number": offer.number,
        "agent": offer.agent,
        "state": offer.state,
        "made": made,
        "until": until,
    }
    return shown

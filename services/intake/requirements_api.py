"""The HTTP edge of what a hand-over requires: read it, change it, see who changed it."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from libs.runtime.errors import Rejected
from libs.runtime.http import (
    PROBLEM,
    LeanRoute,
    actor_of,
    body_of,
    if_match_of,
    json_response,
    takes,
)
from services.intake.bodies import RequirementsBody
from services.intake.requirements import RequirementsBook, Version

PATH: Final = "/v1/hand-over-requirements"
HAND_OVER: Final[dict[int | str, dict[str, Any]]] = {
    409: {
        "description": "The rules say no. With the code `missing_information`, `missing` lists the"
        " fields to fill in before the ticket can be handed over.",
        "content": {
            "application/problem+json": {
                "schema": {
                    **PROBLEM["content"]["application/problem+json"]["schema"],
                    "properties": {
                        **PROBLEM["content"]["application/problem+json"]["schema"]["properties"],
                        "missing": {"type": "array", "items": {"type": "string"}},
                        "requirements_version": {"type": "integer"},
                    },
                },
                "example": {
                    "type": "urn:bitacora:problem:missing_information",
                    "title": "Conflict",
                    "status": 409,
                    "detail": "Ticket 17 cannot be handed over yet. Fill in first: order_number.",
                    "code": "missing_information",
                    "request_id": "0b0ad1a9",
                    "missing": ["order_number"],
                    "requirements_version": 3,
                },
            }
        },
    }
}
"""How the refusal of a hand-over is documented in OpenAPI."""


def requirements_routes(book: RequirementsBook) -> APIRouter:
    """The endpoints."""
    router = APIRouter(route_class=LeanRoute, tags=["hand-over"])

    @router.get(PATH)
    async def read(_: Request) -> Response:
        """What a ticket must tell before it is handed over, and since when; the ETag is its
        version. Version 0: nothing was ever required."""
        return _answer(await book.read())

    @router.get(f"{PATH}/versions")
    async def versions(_: Request) -> Response:
        """All versions, the newest first: who changed them, when, and behind which event."""
        return json_response({"versions": [found.as_json() for found in await book.versions()]})

    @router.put(PATH, openapi_extra=takes(RequirementsBody))
    async def change(request: Request) -> Response:
        """A new version of the whole list, in force for every decision from now on. `If-Match`
        (the ETag that was read) refuses it when somebody else was faster."""
        body = await body_of(request, RequirementsBody)
        actor = actor_of(request)
        if actor != "system" and not actor.startswith("agent:"):
            raise Rejected(
                "not_permitted",
                "Only the people of the desk (agent:ID, system) change what a hand-over requires.",
                status=403,
            )
        return _answer(await book.change(body.document(), actor, if_match_of(request)))

    return router


def _answer(found: Version) -> Response:
    return json_response(found.as_json(), 200, {"ETag": f'"{found.version}"'})

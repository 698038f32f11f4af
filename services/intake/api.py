"""The HTTP edge of intake: translate, hand to the desk, answer.

Every change takes `If-Match` (the ETag of the version that was read) and `Idempotency-Key` (the
same key and request again get the first answer again). Errors are problem+json with a stable code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID, uuid5

import uuid_utils
from fastapi import APIRouter, Query
from pydantic import BaseModel
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.events import Command, CommandEnvelope, EventEnvelope, Ticket
from libs.events import commands as c
from libs.runtime.commit import Outcome
from libs.runtime.errors import Failure, Poison, Rejected
from libs.runtime.http import (
    LeanRoute,
    actor_of,
    body_of,
    if_match_of,
    json_body_of,
    json_response,
    takes,
)
from libs.runtime.problem import InvalidBody, problem
from services.intake.batch import parse_batch
from services.intake.bodies import (
    AssignmentBody,
    Batch,
    EscalationBody,
    FieldBody,
    NewTicket,
    ReasonBody,
    TicketIds,
)
from services.intake.requirements_api import HAND_OVER, requirements_routes
from services.intake.store import Desk

KEYS: Final = UUID("0b0ad1a9-6a3c-5d0e-8f3c-3f7a6d1f5b52")
KEY_MAX: Final = 200
SOURCE: Final = "/bitacora/intake/http"
HISTORY_MAX: Final = 10_000
BATCH_PATH: Final = "/v1/commands/batch"

B = TypeVar("B", bound=BaseModel)


def routes(desk: Desk) -> APIRouter:
    """All endpoints."""
    router = APIRouter(route_class=LeanRoute, tags=["tickets"])
    _add_creation(router, desk)
    _add_changes(router, desk)
    _add_batch(router, desk)
    _add_reading(router, desk)
    router.include_router(requirements_routes(desk.requirements))
    return router


# ------------------------------------------------------------------------------------- creation


def _add_creation(router: APIRouter, desk: Desk) -> None:
    @router.post("/v1/tickets", status_code=201, openapi_extra=takes(NewTicket))
    async def create(request: Request) -> Response:
        """Open a ticket."""
        try:
            body = await body_of(request, NewTicket)
            envelope = _envelope(request, str(uuid_utils.uuid7()), body.command())
        except (Failure, InvalidBody):
            desk.note_malformed()
            raise
        return _created(await desk.submit(envelope))

    @router.post("/v1/tickets/{ticket_id}/messages", openapi_extra=takes(c.AddMessage))  # noqa: FAST003 - lean
    async def message(request: Request) -> Response:
        """Write a public message or an internal note. A requester's message on a closed ticket
        opens a follow-up ticket: the answer is 201 with that ticket."""
        try:
            body = await body_of(request, c.AddMessage)
            envelope = _envelope(request, _ticket_id(request), body)
        except (Failure, InvalidBody):
            desk.note_malformed()
            raise
        outcome = await desk.submit(envelope)
        return _created(outcome) if "follow_up_of" in outcome.extra else _changed(outcome)


# -------------------------------------------------------------------------------------- changes


def _add_changes(router: APIRouter, desk: Desk) -> None:
    def change(
        method: str,
        path: str,
        model: type[B] | None,
        make: Callable[[Request, B], Command],
        summary: str,
        responses: dict[int | str, dict[str, Any]] | None = None,
    ) -> None:
        async def endpoint(request: Request) -> Response:
            body: Any = await body_of(request, model) if model is not None else None
            envelope = _envelope(request, _ticket_id(request), make(request, body))
            return _changed(await desk.submit(envelope))

        router.add_api_route(
            f"/v1/tickets/{{ticket_id}}/{path}",
            endpoint,
            methods=[method],
            summary=summary,
            name=f"{method.lower()}_{path.partition('/')[0].replace('-', '_')}",
            openapi_extra=takes(model) if model is not None else None,
            responses=responses,
        )

    def same(_: Request, command: B) -> B:
        return command

    def assign(_: Request, body: AssignmentBody) -> c.AssignTicket:
        return c.AssignTicket(group=body.group, agent=body.agent)

    def escalate(_: Request, body: EscalationBody) -> c.EscalateTicket:
        return c.EscalateTicket(tier=body.tier, reason=body.reason)

    def fill(request: Request, body: FieldBody) -> c.ChangeCustomField:
        name = request.path_params["field"]
        if not 0 < len(name.strip()) <= 200:  # noqa: PLR2004 - the contract's limit of a name
            raise Poison("bad_field_name", "the name of a custom field has 1 to 200 characters")
        if not name.isprintable():
            raise Poison("bad_field_name", "the name of a custom field holds no control characters")
        return c.ChangeCustomField(field=name, value=body.value)

    def activate(_: Request, body: ReasonBody) -> c.ActivateImportedTicket:
        return c.ActivateImportedTicket(reason=body.reason)

    change("PUT", "status", c.ChangeStatus, same, "Change the status.")
    change("PUT", "priority", c.ChangePriority, same, "Change the priority.")
    change("PUT", "category", c.ChangeCategory, same, "Set category and subcategory together.")
    change("POST", "tags", c.ChangeTags, same, "Add and remove tags.")
    change("PUT", "custom-fields/{field}", FieldBody, fill, "Fill or empty a custom field.")
    change("PUT", "assignment", AssignmentBody, assign, "Give it to a group or person.", HAND_OVER)
    change("DELETE", "assignment", None, lambda *_: c.UnassignTicket(), "Take it from its holder.")
    change("POST", "escalations", EscalationBody, escalate, "Move it to a higher tier.", HAND_OVER)
    change("POST", "rating", c.RateSatisfaction, same, "Rate the resolution, as its requester.")
    change("POST", "activation", ReasonBody, activate, "Hand an imported ticket to the live desk.")
    change("POST", "merge", c.MergeTicket, same, "Go on with it in another ticket.")
    change("POST", "links", c.LinkTicket, same, "Link it to another ticket.")


def _add_batch(router: APIRouter, desk: Desk) -> None:
    @router.post(BATCH_PATH, tags=["commands"], openapi_extra=takes(Batch))
    async def batch(request: Request) -> Response:
        """Decide many commands in order, in one transaction; durable when answered."""
        body = await json_body_of(request)
        parsed = await asyncio.to_thread(parse_batch, body)
        if parsed.malformed_intake:
            desk.note_malformed(parsed.malformed_intake)
        outcomes = parsed.outcomes(await desk.submit_many(parsed.envelopes))
        counts = {"accepted": 0, "duplicate": 0, "rejected": 0}
        for outcome in outcomes:
            counts[_status(outcome)] += 1
        return json_response(
            {
                "results": [_result(outcome) for outcome in outcomes],
                "accepted": counts["accepted"],
                "duplicates": counts["duplicate"],
                "rejected": counts["rejected"],
            }
        )


def _status(outcome: Outcome) -> str:
    return "rejected" if outcome.status == "failed" else outcome.status


def _result(outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = {
        "command_id": outcome.command_id,
        "status": _status(outcome),
        "ticket_id": outcome.ticket_id,
        "sequence": outcome.sequence,
        "events": outcome.events,
        "code": outcome.code,
        "detail": outcome.detail,
    }
    if outcome.number is not None:
        result["number"] = outcome.number
    if "follow_up_of" in outcome.extra:
        result["follow_up_of"] = outcome.extra["follow_up_of"]
    if "missing" in outcome.extra:
        result["missing"] = outcome.extra["missing"]
    return result


# -------------------------------------------------------------------------------------- reading


def _add_reading(router: APIRouter, desk: Desk) -> None:
    @router.get("/v1/tickets/by-number/{number}")  # noqa: FAST003 - lean
    async def by_number(request: Request) -> Response:
        """A ticket by the number that people quote."""
        text = request.path_params["number"]
        known = text.isascii() and text.isdigit() and len(text) <= 18  # noqa: PLR2004 - 63 bits
        ticket_id = await desk.find_number(int(text)) if known else None
        ticket = await desk.ticket(ticket_id) if ticket_id else None
        if ticket is None:
            raise Rejected("unknown_ticket", f"There is no ticket number {text[:30]}.", status=404)
        return _ticket(request, ticket)

    @router.get("/v1/tickets/{ticket_id}")  # noqa: FAST003 - lean
    async def read(request: Request) -> Response:
        """A ticket's present state. `If-None-Match` with its ETag answers 304."""
        ticket_id = _ticket_id(request)
        ticket = await desk.ticket(ticket_id)
        if ticket is None:
            raise _unknown(ticket_id)
        return _ticket(request, ticket)

    @router.post("/v1/tickets/batch-get", openapi_extra=takes(TicketIds))
    async def read_many(request: Request) -> Response:
        """The present states of up to 2,000 tickets; ids that no ticket has are left out."""
        body = await body_of(request, TicketIds)
        ids = list(dict.fromkeys(map(str, body.ids)))
        tickets = await desk.tickets(ids)
        return json_response({"tickets": [_state(ticket) for ticket in tickets]})

    @router.get("/v1/ledger", tags=["ledger"])
    async def ledger(_: Request) -> Response:
        """Received = ticketed + appended + quarantined + rejected, by channel and in total."""
        return json_response(await desk.ledger())

    plain = APIRouter(tags=["tickets"])

    @plain.get("/v1/tickets/{ticket_id}/history")
    async def history(
        ticket_id: str,
        after: Annotated[int, Query(ge=0, description="only events behind this sequence")] = 0,
        limit: Annotated[int, Query(ge=1, le=HISTORY_MAX)] = 1_000,
    ) -> Response:
        """What happened to a ticket, in order."""
        own_id = _checked_id(ticket_id)
        events = await desk.history(own_id)
        if not events:
            raise _unknown(own_id)
        page = events[after : after + limit]
        return json_response(
            {
                "id": own_id,
                "events": [_event(event) for event in page],
                "more": after + len(page) < len(events),
            }
        )

    router.include_router(plain)


def _ticket(request: Request, ticket: Ticket) -> Response:
    etag = f'"{ticket.sequence}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return json_response(_state(ticket), 200, {"ETag": etag})


def _state(ticket: Ticket) -> dict[str, Any]:
    state = dict(ticket.__dict__)
    state["tags"] = sorted(ticket.tags)
    state["links"] = [{"kind": kind, "other": other} for kind, other in ticket.links]
    return state


def _event(envelope: EventEnvelope) -> dict[str, Any]:
    return {
        "sequence": envelope.sequence,
        "position": envelope.position,
        "type": envelope.type,
        "time": envelope.time,
        "recorded_time": envelope.recorded_time,
        "actor": envelope.actor,
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "previous_hash": envelope.previous_hash,
        "hash": envelope.hash,
        "data": from_json(envelope.data),
    }


# ------------------------------------------------------------------------- from and to HTTP


def _envelope(request: Request, ticket_id: str, command: Command) -> CommandEnvelope:
    actor = actor_of(request)
    return CommandEnvelope(
        command_id=_command_id(request, actor),
        ticket_id=ticket_id,
        command=command,
        actor=actor,
        expected_sequence=if_match_of(request),
        source=SOURCE,
    )


def _command_id(request: Request, actor: str) -> str:
    """Derived from the caller's Idempotency-Key, or new."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return str(uuid_utils.uuid7())
    if not 0 < len(key) <= KEY_MAX or not key.isprintable():
        raise Poison(
            "bad_idempotency_key", f"an Idempotency-Key has 1 to {KEY_MAX} printable characters"
        )
    return str(uuid5(KEYS, f"{actor}\n{key}"))


def _ticket_id(request: Request) -> str:
    return _checked_id(request.path_params["ticket_id"])


def _checked_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise Poison("bad_ticket_id", "a ticket's id is a UUID") from None


def _unknown(ticket_id: str) -> Rejected:
    return Rejected("unknown_ticket", f"There is no ticket with the id {ticket_id}.", status=404)


def _created(outcome: Outcome) -> Response:
    if refusal := _refusal(outcome):
        return refusal
    content: dict[str, Any] = {
        "id": outcome.ticket_id,
        "number": outcome.number,
        "sequence": outcome.sequence,
    }
    if "follow_up_of" in outcome.extra:
        content["follow_up_of"] = outcome.extra["follow_up_of"]
    headers = _headers(outcome)
    headers["Location"] = f"/v1/tickets/{outcome.ticket_id}"
    return json_response(content, 201, headers)


def _changed(outcome: Outcome) -> Response:
    if refusal := _refusal(outcome):
        return refusal
    content = {"id": outcome.ticket_id, "sequence": outcome.sequence}
    return json_response(content, 200, _headers(outcome))


def _headers(outcome: Outcome) -> dict[str, str]:
    headers = {"ETag": f'"{outcome.sequence}"'}
    if outcome.status == "duplicate":
        headers["Idempotency-Replayed"] = "true"
    return headers


def _refusal(outcome: Outcome) -> Response | None:
    if outcome.status in {"accepted", "duplicate"}:
        return None
    return problem(outcome.http_status, outcome.code, outcome.detail, **outcome.extra)


class CountTooLarge:
    """Tells `noted` about messages that were refused for their size before any endpoint saw them,
    so that the ledger knows them too."""

    def __init__(self, app: ASGIApp, noted: Callable[[], None]) -> None:
        self._app = app
        self._noted = noted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope.get("method") != "POST" or not path.startswith("/v1/tickets"):
            await self._app(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message.get("status") == 413 and (  # noqa: PLR2004
                path == "/v1/tickets" or path.endswith("/messages")
            ):
                self._noted()
            await send(message)

        await self._app(scope, receive, watched)

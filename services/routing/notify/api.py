"""The log of deliveries over HTTP."""

# ruff: noqa: FAST003 - a LeanRoute hands the whole request over, path parameters included

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from libs.runtime.errors import Rejected
from libs.runtime.http import LeanRoute, actor_of, json_response
from libs.runtime.logs import get_logger
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.routing.notify.model import State
from services.routing.notify.queue import Delivery, Notifications

log = get_logger(__name__)

ID_MAX: Final = 200
LIST_MAX: Final = 1_000


def create_notifications_router(store: ServiceStore, queue: Notifications) -> APIRouter:
    router = APIRouter(tags=["notifications"])

    @router.get("/v1/notifications")
    async def notifications(
        agent: Annotated[str | None, Query(max_length=ID_MAX)] = None,
        state: Annotated[State | None, Query()] = None,
        ticket: Annotated[str | None, Query(max_length=ID_MAX, description="a ticket's id")] = None,
        limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 100,
    ) -> Response:
        """What agents were told, newest first: one entry per channel, with what became of it."""

        def query(connection: Connection) -> list[dict[str, Any]]:
            found = queue.log(connection, agent=agent, state=state, ticket_id=ticket, limit=limit)
            return [view(row) for row in found]

        shown = await store.read(query)
        return json_response({"channels": queue.channels, "notifications": shown})

    lean = APIRouter(route_class=LeanRoute, tags=["notifications"])

    @lean.post("/v1/notifications/{notification_id}/retry")
    async def retry(request: Request) -> Response:
        """Try a failed one again at once, with all attempts before it."""
        notification_id = request.path_params["notification_id"]
        actor = actor_of(request)

        def change(connection: Connection, _: Outgoing) -> dict[str, Any]:
            again = queue.retry(connection, notification_id)
            if again is not None:
                return view(again)
            known = queue.one(connection, notification_id)
            if known is None:
                detail = f"There is no notification {notification_id!r}."
                raise Rejected("unknown_notification", detail, status=404)
            if known.state == "failed":
                detail = f"The channel {known.channel} is no longer set up; set it up again first."
                raise Rejected("channel_not_set_up", detail)
            detail = f"It is {known.state}; only a failed one can be tried again."
            raise Rejected("not_failed", detail)

        shown = await store.write(change)
        log.info("notification_retried", notification=notification_id, actor=actor)
        return json_response(shown)

    router.include_router(lean)
    return router


def view(row: Delivery) -> dict[str, Any]:
    """An entry of the log. `next_try` is null unless it waits; `reason` says why not sent (yet)."""
    return {
        "id": row.id,
        "kind": row.kind,
        "agent": row.agent,
        "ticket_id": row.ticket_id,
        "facts": row.facts.known(),
        "at": row.at,
        "channel": row.channel,
        "state": row.state,
        "attempts": row.attempts,
        "next_try": row.next_try,
        "sent": row.sent,
        "reason": row.reason,
    }

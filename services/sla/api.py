"""The HTTP edge: policies and calendars, the clocks of a ticket, what is due next."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection

from libs.runtime.clock import Clock
from libs.runtime.errors import Poison, Rejected
from libs.runtime.http import LeanRoute, body_of, json_response, takes
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.sla import views
from services.sla.domain.errors import InvalidDefinition
from services.sla.domain.instants import to_us
from services.sla.store import Books, put_calendar, put_policies

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,99}$")]
Short = Annotated[str, StringConstraints(max_length=200)]
Seconds = Annotated[int, Field(strict=True)]
M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CalendarBody(Body):
    """`hours` null means round the clock; a weekday that is missing is closed."""

    id: Name
    zone: Short
    hours: dict[Short, list[list[Short]]] | None = Field(
        description='{"mon": [["09:00", "13:00"], ["14:00", "18:00"]], …}; null: round the clock'
    )
    holidays: list[Short] = Field(default_factory=list, description="dates, YYYY-MM-DD")


class CalendarsBody(Body):
    """New versions of these calendars; others stay as they are."""

    calendars: list[CalendarBody] = Field(min_length=1, max_length=500)
    effective_from: AwareDatetime | None = Field(None, description="default: now")


class TargetBody(Body):
    target_s: Seconds = Field(description="seconds of the calendar's open time")
    calendar: Name


class PolicyBody(Body):
    id: Name
    when: dict[Short, list[Short]] = Field(
        default_factory=dict, description="field → values, one of which it must have; {}: always"
    )
    targets: dict[Short, dict[Short, TargetBody]] = Field(description="metric → priority → target")
    warn_at: list[Seconds] = Field(default_factory=lambda: [75, 90], max_length=20)
    on_breach: dict[Short, list[Short]] = Field(
        default_factory=dict, description="metric → actions (escalate)"
    )


class PoliciesBody(Body):
    """The whole list, in the order in which it is tried: a new version of it."""

    policies: list[PolicyBody]
    effective_from: AwareDatetime | None = Field(None, description="default: now")


def create_router(store: ServiceStore, clock: Clock, books: Books) -> APIRouter:
    """All endpoints of the service."""
    router = APIRouter(tags=["sla"], route_class=LeanRoute)
    _definitions(router, store, clock, books)
    _questions(router, store, clock, books)
    return router


def create_lists(store: ServiceStore) -> APIRouter:
    """The endpoint with query parameters, which FastAPI checks."""
    router = APIRouter(tags=["sla"])

    @router.get("/v1/due", summary="The next warnings and breaches of live tickets.")
    async def due(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
        return {"due": await store.read(lambda connection: views.due_next(connection, limit))}

    return router


def _definitions(router: APIRouter, store: ServiceStore, clock: Clock, books: Books) -> None:
    @router.get("/v1/policies", summary="All versions of the policies, the newest first.")
    async def policies(_request: Request) -> Response:
        return json_response({"versions": await store.read(views.policy_versions)})

    @router.put(
        "/v1/policies", summary="A new version of the policies.", openapi_extra=takes(PoliciesBody)
    )
    async def change_policies(request: Request) -> Response:
        body = await body_of(request, PoliciesBody)
        effective_us = _effective_us(body.effective_from, clock)
        document = [policy.model_dump(mode="json") for policy in body.policies]

        def change(connection: Connection, _outgoing: Outgoing) -> int:
            book = books.read(connection)
            return put_policies(connection, book, document, effective_us).version

        return json_response({"version": await _put(store, change)})

    @router.get("/v1/calendars", summary="All versions of all calendars.")
    async def calendars(_request: Request) -> Response:
        return json_response({"calendars": await store.read(views.calendar_versions)})

    @router.put(
        "/v1/calendars", summary="New versions of calendars.", openapi_extra=takes(CalendarsBody)
    )
    async def change_calendars(request: Request) -> Response:
        body = await body_of(request, CalendarsBody)
        effective_us = _effective_us(body.effective_from, clock)
        names = [calendar.id for calendar in body.calendars]
        if len(set(names)) < len(names):
            raise Poison("duplicate_calendar", "a calendar stands in the list twice")

        def change(connection: Connection, _outgoing: Outgoing) -> list[dict[str, Any]]:
            book = books.read(connection)
            made = [
                put_calendar(connection, book, calendar.model_dump(mode="json"), effective_us)
                for calendar in body.calendars
            ]
            return [{"id": calendar.name, "version": calendar.version} for calendar in made]

        return json_response({"calendars": await _put(store, change)})


def _questions(router: APIRouter, store: ServiceStore, clock: Clock, books: Books) -> None:
    @router.get("/v1/clocks/{ticket_id}", summary="The clocks of a ticket, as of now.")  # noqa: FAST003
    async def clocks(request: Request) -> Response:
        ticket_id = _ticket_id(request.path_params["ticket_id"])
        now_us = to_us(clock.now())

        def ask(connection: Connection) -> dict[str, Any] | None:
            return views.clocks_of(connection, books.read(connection), ticket_id, now_us)

        found = await store.read(ask)
        if found is None:
            raise Rejected(
                "unknown_ticket", "the SLA service knows no ticket with this id", status=404
            )
        return json_response(found)


async def _put(store: ServiceStore, change: Any) -> Any:
    try:
        return await store.write(change)
    except InvalidDefinition as error:
        raise Poison(error.code, error.detail) from error


def _effective_us(effective_from: datetime | None, clock: Clock) -> int:
    now_us = to_us(clock.now())
    if effective_from is None:
        return now_us
    if to_us(effective_from) < now_us:
        raise Poison(
            "effective_in_past",
            "a new version cannot be in force before now: verdicts that were given stay as they are",
        )
    return to_us(effective_from)


def _ticket_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise Rejected("unknown_ticket", "a ticket's id is a UUID", status=404) from error

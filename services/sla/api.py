"""The HTTP edge: policies and calendars, the clocks of a ticket, what is due next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BeforeValidator
from sqlalchemy import Connection

from libs.events.sla import Metric
from libs.runtime.clock import Clock
from libs.runtime.errors import Poison, Rejected
from libs.runtime.http import LeanRoute, body_of, json_response, takes
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from libs.worktime.errors import InvalidDefinition
from libs.worktime.holidays import (
    YEARS_AHEAD,
    YEARS_BACK,
    has_upload,
    resolved,
    uploads_of,
    with_upload,
    without_upload,
)
from libs.worktime.ical import holidays_of_ical
from libs.worktime.instants import to_us
from services.sla import views
from services.sla.announcing import announce_calendars
from services.sla.bodies import CalendarsBody, PoliciesBody
from services.sla.domain.book import Book
from services.sla.store import (
    Books,
    Put,
    change_calendar,
    lock_definitions,
    newest_calendar,
    put_calendar,
    put_policies,
)

T = TypeVar("T")


def _no_number(value: Any) -> Any:
    """A bare number would be taken for seconds since 1970: `at=2026` for a quiet hour of that year."""
    if isinstance(value, str) and value.strip().lstrip("+-").replace(".", "", 1).isdigit():
        raise ValueError("give an instant with its offset, such as 2026-03-02T09:00:00Z")
    return value


def create_router(
    store: ServiceStore, clock: Clock, books: Books, *, edited: Callable[[], None]
) -> APIRouter:
    """Policies and calendars. `edited` is called when a calendar has a new version."""
    router = APIRouter(tags=["sla"], route_class=LeanRoute)
    _policies(router, store, clock, books)
    _calendars(router, store, clock, books, edited)
    _holidays(router, store, clock, books, edited)
    return router


def create_questions(store: ServiceStore, clock: Clock, books: Books) -> APIRouter:
    """The endpoints with query parameters, which FastAPI checks."""
    router = APIRouter(tags=["sla"])

    @router.get("/v1/clocks/{ticket_id}", summary="The clocks of a ticket at an instant.")
    async def clocks(
        ticket_id: str,
        at: Annotated[
            AwareDatetime | None,
            BeforeValidator(_no_number),
            Query(
                description="default: now. A due instant is by all calendar versions that are known today"
            ),
        ] = None,
    ) -> Response:
        known = _ticket_id(ticket_id)
        now_us = to_us(clock.now())
        at_us = None if at is None else to_us(at)

        def ask(connection: Connection) -> dict[str, Any] | None:
            return views.clocks_of(connection, books.read(connection), known, now_us, at_us)

        found = await store.read(ask)
        if found is None:
            raise _unknown()
        return json_response(found)

    @router.get("/v1/clocks/{ticket_id}/proof", summary="What each clock counted, and why.")
    async def proof(ticket_id: str, metric: Metric | None = None) -> Response:
        known = _ticket_id(ticket_id)
        now_us = to_us(clock.now())

        def ask(connection: Connection) -> dict[str, Any] | None:
            return views.proofs_of(connection, books.read(connection), known, now_us, metric)

        found = await store.read(ask)
        if found is None:
            raise _unknown()
        return json_response(found)

    @router.get("/v1/due", summary="The next warnings and breaches of live tickets.")
    async def due(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
        return {"due": await store.read(lambda connection: views.due_next(connection, limit))}

    return router


def _policies(router: APIRouter, store: ServiceStore, clock: Clock, books: Books) -> None:
    @router.get("/v1/policies", summary="All versions of the policies, the newest first.")
    async def policies(_request: Request) -> Response:
        return json_response({"versions": await store.read(views.policy_versions)})

    @router.put(
        "/v1/policies",
        summary="A new version of the policies, unless the newest says the same.",
        openapi_extra=takes(PoliciesBody),
    )
    async def change_policies(request: Request) -> Response:
        body = await body_of(request, PoliciesBody)
        document = [policy.document() for policy in body.policies]

        def change(connection: Connection, _outgoing: Outgoing) -> Put:
            effective_us = _turn_us(connection, clock, body.effective_from)
            return put_policies(connection, books.read(connection), document, effective_us)

        put: Put = await _put(store, change)
        return json_response({"version": put.version, "changed": put.made})


def _calendars(
    router: APIRouter,
    store: ServiceStore,
    clock: Clock,
    books: Books,
    edited: Callable[[], None],
) -> None:
    @router.get("/v1/calendars", summary="All versions of all calendars.")
    async def calendars(_request: Request) -> Response:
        return json_response({"calendars": await store.read(views.calendar_versions)})

    @router.put(
        "/v1/calendars",
        summary="New versions of calendars, unless the newest say the same.",
        openapi_extra=takes(CalendarsBody),
    )
    async def change_calendars(request: Request) -> Response:
        body = await body_of(request, CalendarsBody)
        names = [calendar.id for calendar in body.calendars]
        if len(set(names)) < len(names):
            raise Poison("duplicate_calendar", "a calendar stands in the list twice")
        year = clock.now().year
        documents = [calendar.model_dump(mode="json") for calendar in body.calendars]
        # What is found is kept, so that it takes no time once nobody else can write.
        await _aside(lambda: [resolved(document, year) for document in documents])

        def change(connection: Connection, outgoing: Outgoing) -> list[dict[str, Any]]:
            effective_us = _turn_us(connection, clock, body.effective_from)
            book = books.read(connection)
            made = []
            for name, document in zip(names, documents, strict=True):
                uploads = uploads_of(newest_calendar(connection, name) or {})
                complete = resolved(document, year, uploads)
                made.append((name, put_calendar(connection, book, complete, effective_us)))
            announce_calendars(connection, outgoing, store.outbox)
            return [{"id": name, "version": put.version, "changed": put.made} for name, put in made]

        answer = await _put(store, change)
        edited()
        return json_response({"calendars": answer})


def _holidays(
    router: APIRouter,
    store: ServiceStore,
    clock: Clock,
    books: Books,
    edited: Callable[[], None],
) -> None:
    @router.put(
        "/v1/calendars/{name}/holidays/{source}",  # noqa: FAST003 - LeanRoute reads them itself
        summary="The holidays of an iCalendar file, in place of what this source gave before: from now on,"
        " in scheduled versions too.",
        openapi_extra={"requestBody": {"content": {"text/calendar": {}}, "required": True}},
    )
    async def upload_holidays(request: Request) -> Response:
        name, source = request.path_params["name"], request.path_params["source"]
        data = await request.body()
        year = clock.now().year
        dates = await _aside(lambda: holidays_of_ical(data, year - YEARS_BACK, year + YEARS_AHEAD))

        def change(connection: Connection, outgoing: Outgoing) -> Put:
            effective_us = _turn_us(connection, clock)
            book = _with_calendar(books.read(connection), name)
            edit = partial(with_upload, name=source, dates=dates)
            put = change_calendar(connection, book, name, edit, effective_us)
            announce_calendars(connection, outgoing, store.outbox)
            return put

        put: Put = await _put(store, change)
        edited()
        return json_response({"id": name, "version": put.version, "changed": put.made})

    @router.delete(
        "/v1/calendars/{name}/holidays/{source}",  # noqa: FAST003
        summary="The calendar without the holidays that this source gave: from now on, in scheduled"
        " versions too.",
    )
    async def take_holidays_back(request: Request) -> Response:
        name, source = request.path_params["name"], request.path_params["source"]

        def change(connection: Connection, outgoing: Outgoing) -> Put:
            effective_us = _turn_us(connection, clock)
            book = _with_calendar(books.read(connection), name)
            found = False

            def edit(document: dict[str, Any]) -> dict[str, Any]:
                nonlocal found
                if not has_upload(document, source):
                    return document
                found = True
                return without_upload(document, source)

            put = change_calendar(connection, book, name, edit, effective_us)
            if not found:
                detail = f"calendar {name!r} has no holidays from {source!r}"
                raise Rejected("unknown_source", detail, status=404)
            announce_calendars(connection, outgoing, store.outbox)
            return put

        put: Put = await _put(store, change)
        edited()
        return json_response({"id": name, "version": put.version, "changed": put.made})


def _with_calendar(book: Book, name: str) -> Book:
    if name not in book.calendars:
        raise Rejected("unknown_calendar", f"there is no calendar {name!r}", status=404)
    return book


async def _aside(work: Callable[[], T]) -> T:
    """Work that may take seconds, in a thread where no timer and no event waits for it."""
    try:
        return await asyncio.to_thread(work)
    except InvalidDefinition as error:
        raise Poison(error.code, error.detail) from error


async def _put(store: ServiceStore, change: Any) -> Any:
    try:
        return await store.write(change)
    except InvalidDefinition as error:
        raise Poison(error.code, error.detail) from error


def _turn_us(connection: Connection, clock: Clock, effective_from: datetime | None = None) -> int:
    """Wait until nobody else adds a version, and say from when the one to be added is in force.

    The clock is read only then: while a change waited its turn, or looked holidays up, timers fired by
    the versions before it, and no version may be in force at an instant that was already stated by another.
    Raises Poison (effective_in_past).
    """
    lock_definitions(connection)
    now_us = to_us(clock.now())
    if effective_from is None:
        return now_us
    if to_us(effective_from) < now_us:
        raise Poison(
            "effective_in_past",
            "a new version cannot be in force before now: verdicts that were given stay as they are",
        )
    return to_us(effective_from)


def _unknown() -> Rejected:
    detail = "the SLA service knows no ticket with this id"
    return Rejected("unknown_ticket", detail, status=404)


def _ticket_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise Rejected("unknown_ticket", "a ticket's id is a UUID", status=404) from error

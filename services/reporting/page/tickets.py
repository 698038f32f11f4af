"""The list of tickets: search, filters in the address, newest first, live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nicegui import ui
from pydantic import ValidationError
from starlette.requests import Request

from libs.events import Channel, Priority, Status
from libs.runtime.errors import Poison
from libs.runtime.store import ServiceStore
from services.reporting.page.desk import Desk
from services.reporting.page.frame import Frame, fragment, frame, look_again, meet, named, update
from services.reporting.page.i18n import N_, ngettext
from services.reporting.page.i18n import gettext as _
from services.reporting.page.live_table import LiveTable, cell, linked, text
from services.reporting.page.parts import duration, link, moment, number, word
from services.reporting.query import TicketQuery
from services.reporting.views.lists import Json, list_tickets, opened
from services.reporting.views.positions import stamp

PATH: Final = "/tickets"
PER_PAGE: Final = 25
COLUMNS: Final = (
    N_("Number"),
    N_("Subject"),
    N_("Status"),
    N_("Priority"),
    N_("Group"),
    N_("Agent"),
    N_("Channel"),
    N_("Created"),
    N_("First reply"),
    N_("Resolution"),
    N_("SLA"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for. `problem` says what in it could not be understood."""

    query: TicketQuery
    problem: str

    @property
    def filters(self) -> dict[str, Any]:
        given = self.query.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)
        return {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in given.items()
        }


def asked(parameters: Mapping[str, str]) -> Asked:
    """Reads the address. A filter that makes no sense is named and left out, the others hold."""
    given: dict[str, Any] = {name: value for name, value in parameters.items() if value.strip()}
    given.pop("lang", None)
    given["limit"] = PER_PAGE
    wrong: set[str] = set()
    try:
        query = TicketQuery.model_validate(given)
    except ValidationError as error:
        wrong = {str(e["loc"][0]) for e in error.errors() if e["loc"]}
        query = TicketQuery.model_validate({n: v for n, v in given.items() if n not in wrong})
    if query.cursor and not _is_cursor(query.cursor):
        wrong.add("cursor")
        query = query.model_copy(update={"cursor": None})
    if not wrong:
        return Asked(query, "")
    names = ", ".join(sorted(name[:40] for name in wrong))
    problem = _("this filter was not understood and is left out: {names}").format(names=names)
    return Asked(query, problem)


def _is_cursor(text: str) -> bool:
    try:
        opened(text)
    except Poison:
        return False
    return True


async def tickets_page(request: Request, desk: Desk) -> None:
    """Build the page for one visitor."""
    meet(request)
    wanted = asked(dict(request.query_params))
    values = await desk.values()
    with frame(request, _("Tickets"), current=PATH) as made:
        if wanted.problem:
            made.warn(wanted.problem)
        page = _Page(made, wanted, values)

    async def refresh() -> None:
        await page.refresh(desk.store)

    await refresh()
    look_again(made, desk.interval_s, refresh)


class _Page:
    def __init__(
        self, made: Frame, wanted: Asked, values: dict[str, list[tuple[str, str]]]
    ) -> None:
        self._frame = made
        self._wanted = wanted
        self._events = -1
        fragment("tickets_head.html")
        self._empty = fragment("empty.html")
        self._body = ui.element("section").classes("card tickets")
        with self._body.props('id="tickets" aria-labelledby="h-tickets"'):
            fragment("filters.html", filters=wanted.filters, choices=_choices(values))
            self._table = LiveTable(_("Tickets"), [_(name) for name in COLUMNS])
            self._none = fragment("none.html", text="")
            self._more = fragment("more.html", tag="nav", older=None, newest=None)
            named(self._more, _("Pages of the list"))

    async def refresh(self, store: ServiceStore) -> None:
        """Bring the list up to date, when anything was applied since."""
        events = await store.read(stamp)
        if events == self._events:
            return
        self._events = events
        said = ngettext("{n} event applied", "{n} events applied", events)
        self._frame.say(said.format(n=number(events)), ok=True)
        query = self._wanted.query
        page = await store.read(
            lambda c: list_tickets(c, query.wanted(), limit=query.limit, cursor=query.cursor),
        )
        nothing = not page.tickets and not self._wanted.filters
        self._empty.set_visibility(nothing)
        self._body.set_visibility(not nothing)
        self._table.show([_row(ticket) for ticket in page.tickets])
        kept = self._wanted.filters
        older = link(PATH, {**kept, "cursor": page.next}) if page.next else None
        newest = link(PATH, kept) if query.cursor else None
        none = "" if page.tickets else _("No ticket matches these filters.")
        update(self._none, "none.html", text=none)
        update(self._more, "more.html", older=older, newest=newest)


def _choices(values: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str, Any]]:
    """(parameter, label, options) of the filter form."""
    return [
        ("status", _("Status"), [(value.value, word(value.value)) for value in Status]),
        ("priority", _("Priority"), [(value.value, word(value.value)) for value in Priority]),
        ("channel", _("Channel"), [(value.value, word(value.value)) for value in Channel]),
        ("group", _("Group"), values["group"]),
        ("agent", _("Agent"), values["agent"]),
        ("category", _("Category"), values["category"]),
        ("breached", _("SLA"), [("true", _("breached")), ("false", _("not breached"))]),
    ]


def _row(ticket: Json) -> dict[str, Any]:
    status, breaches = ticket["status"], int(ticket["breaches"])
    late = ngettext("{n} breach", "{n} breaches", breaches).format(n=number(breaches))
    return {
        "id": ticket["id"],
        "attrs": {},
        "cells": [
            cell("key", linked(f"#{ticket['number']}", f"/tickets/{ticket['id']}")),
            cell("wide", text(ticket["subject"], free=True)),
            cell("", text(word(ticket["substatus"] or status), f"badge status-{status}")),
            cell("", text(word(ticket["priority"]), f"priority-{ticket['priority']}")),
            cell("", text(ticket["group"] or "–")),
            cell("", text(ticket["agent_name"] or ticket["agent"] or "–")),
            cell("", text(word(ticket["channel"]))),
            cell("figure", text(moment(ticket["created_at"]))),
            cell("figure", text(duration(ticket["first_reply_s"]))),
            cell("figure", text(duration(ticket["resolution_s"]))),
            cell("", text(late, "badge breach") if breaches else text("–")),
        ],
    }

"""The SLA clocks that run and are due next, whatever period is looked at."""

from __future__ import annotations

from typing import Any, Final

from nicegui import ui
from sqlalchemy import Connection, select

from libs.runtime.store import ServiceStore
from services.reporting.domain import microseconds
from services.reporting.page.card import About, Sheet
from services.reporting.page.frame import named
from services.reporting.page.i18n import gettext as _
from services.reporting.page.live_table import LiveTable, Row, cell, head, linked, text
from services.reporting.page.parts import duration, instant, word
from services.reporting.page.view import View
from services.reporting.views.clocks import CLOCKS
from services.reporting.views.tickets import TICKETS

SHOWN: Final = 12
_SOON_S: Final = 900


class DueCard:
    """A table of the clocks that are due next; what is late already stands first."""

    def __init__(self, store: ServiceStore, view: View) -> None:
        self._store, self._view = store, view
        self._found: list[dict[str, Any]] = []
        self._sheet = Sheet(About("due", _("Due next")))
        with self._sheet.body:
            box = ui.element("div").classes("box").props('tabindex="0" role="group"')
            with named(box, _("Due next")):
                columns = (_("Ticket"), _("Metric"), _("Due"), _("In"), _("Target"))
                self._table = LiveTable(_("Due next"), columns)
                self._table.classes("figures")

    async def read(self) -> None:
        """The clocks that are due next. Raises Transient without a database."""
        self._found = await self._store.read(lambda c: _due_next(c, self._view))

    def tick(self) -> None:
        """Say how long there is left by now."""
        now_us = microseconds(self._store.clock.now())
        none = "" if self._found else _("No clock is running.")
        self._sheet.say(_("running clocks, now"), none)
        self._sheet.fill(empty=not self._found)
        self._table.show([_row(clock, now_us) for clock in self._found])


def _due_next(connection: Connection, view: View) -> list[dict[str, Any]]:
    of = {
        "channel": TICKETS.c.channel,
        "group": TICKETS.c.group_name,
        "category": TICKETS.c.category,
        "priority": TICKETS.c.priority,
    }
    query = (
        select(CLOCKS, TICKETS.c.number, TICKETS.c.subject)
        .join(TICKETS, TICKETS.c.id == CLOCKS.c.ticket_id)
        .where(CLOCKS.c.state == "running", CLOCKS.c.due_us.isnot(None))
        .where(*(of[name] == value for name, value in view.filters))
        .order_by(CLOCKS.c.due_us, CLOCKS.c.ticket_id)
        .limit(SHOWN)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _row(clock: dict[str, Any], now_us: int) -> Row:
    left_s = (clock["due_us"] - now_us) / 1_000_000
    late = left_s < 0
    said = _("{time} late") if late else "{time}"
    level = "late" if late else "soon" if left_s < _SOON_S else ""
    label = f"#{clock['number']}, {clock['subject']}"
    return {
        "id": f"{clock['ticket_id']}:{clock['metric']}",
        "attrs": {},
        "cells": [
            head(linked(f"#{clock['number']}", f"/tickets/{clock['ticket_id']}", label)),
            cell("name", text(word(clock["metric"]))),
            cell("figure", text(instant(clock["due_us"])[:16])),
            cell("figure", text(said.format(time=duration(abs(left_s))), level)),
            cell("figure", text(duration(clock["target_s"]))),
        ],
    }

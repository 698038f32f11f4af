"""The tickets behind a figure: every fact that it is made of, as many as it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from nicegui import ui
from sqlalchemy import Connection, select
from starlette.requests import Request

from libs.runtime.errors import Poison, Transient
from services.reporting.domain import microseconds
from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.domain.metrics import METRICS
from services.reporting.page.behind import PATH
from services.reporting.page.desk import Desk
from services.reporting.page.frame import Frame, fragment, frame, look_again, meet, update
from services.reporting.page.i18n import gettext as _
from services.reporting.page.i18n import ngettext
from services.reporting.page.live_table import LiveTable, Row, cell, head, linked, text
from services.reporting.page.parts import instant, number
from services.reporting.page.say import aggregate_of, edges_of, figure, formula_of, key, title_of
from services.reporting.report.ask import question_of
from services.reporting.report.drill import Facts, facts_of
from services.reporting.report.engine import Cursor, Known
from services.reporting.report.model import Fact, ReportQuery
from services.reporting.report.service import ask
from services.reporting.report.zones import zone_of
from services.reporting.views.tickets import TICKETS

PER_PAGE: Final = 50
CURSOR_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for: one metric, in a period, of a part of the desk."""

    query: ReportQuery
    given: tuple[tuple[str, str], ...]
    cursor: str | None

    @property
    def metric(self) -> str:
        return self.query.metrics[0]

    def page(self, cursor: str | None) -> str:
        more = [("cursor", cursor)] if cursor else []
        return f"{PATH}?{urlencode([*self.given, *more])}"


def asked(given: list[tuple[str, str]], now_us: int) -> Asked:
    """Reads the address. Raises Poison (422): a list of something else than was asked for helps nobody."""
    kept = tuple((name, value) for name, value in given if name not in ("cursor", "lang"))
    query = question_of(kept).query(now_us)
    if len(query.metrics) != 1:
        raise Poison("one_metric", _("name the one metric whose facts are wanted"))
    cursor = dict(given).get("cursor", "")[:CURSOR_MAX] or None
    return Asked(query, kept, cursor)


async def facts_page(request: Request, desk: Desk) -> None:
    """Build the page for one visitor."""
    meet(request)
    now_us = microseconds(desk.store.clock.now())
    try:
        wanted = asked(list(request.query_params.multi_items()), now_us)
    except Poison as refused:
        with frame(request, _("Behind a figure")) as made:
            made.warn(refused.detail)
            fragment("facts_none.html")
        return
    meet(request, zone_of(wanted.query.zone).key)
    with frame(request, title_of(wanted.metric)) as made:
        page = _Page(made, wanted, desk)

    await page.refresh()
    look_again(made, desk.interval_s, page.refresh)


class _Page:
    def __init__(self, made: Frame, wanted: Asked, desk: Desk) -> None:
        self._frame, self._wanted, self._desk = made, wanted, desk
        self._stamp = -1
        metric = wanted.metric
        about = {"formula": formula_of(metric), "edges": edges_of(metric)}
        fragment("facts_head.html", title=title_of(metric), filters=_filters(wanted.query), **about)
        with ui.element("section").classes("card tickets").props('aria-labelledby="h-facts"'):
            self._title = ui.html("", sanitize=False)
            columns = (_("Ticket"), _("Subject"), _("Time"), _("Value"), _("Status"), _("Details"))
            self._table = LiveTable(title_of(metric), columns)
            self._none = fragment("none.html", text="")
            self._more = fragment("pages.html", before=None, after=None)

    async def refresh(self) -> None:
        """Ask again when facts have changed since. A database that is away is said by the frame."""
        stamp = self._desk.reports.stamp
        if stamp == self._stamp:
            return
        query, cursor = self._wanted.query, self._wanted.cursor

        def read(c: Cursor, known: Known) -> tuple[Facts, Known]:
            found = facts_of(c, query, known, bucket_us=None, keys=(), limit=PER_PAGE, after=cursor)
            return found, known

        try:
            reports = self._desk.reports
            found, known = await ask(reports.facts, read, query=query, clock=reports.clock)
        except (Poison, Transient) as refused:
            self._frame.warn(refused.detail)
            return
        self._stamp = stamp
        ids = sorted({fact.ticket_id for fact in found.facts})
        subjects = await self._desk.store.read(lambda c: _subjects(c, ids))
        self._show(found, subjects)
        self._frame.say(_("up to {time}").format(time=instant(known.recorded_us)), ok=True)

    def _show(self, found: Facts, subjects: dict[str, tuple[str, str]]) -> None:
        facts = ngettext("{n} fact", "{n} facts", found.total).format(n=number(found.total))
        of = ngettext("of {n} ticket", "of {n} tickets", found.tickets)
        unit = of.format(n=number(found.tickets))
        update(self._title, "card_title.html", id="h-facts", title=facts, unit=unit)
        self._table.show([_row(self._wanted.metric, fact, subjects) for fact in found.facts])
        none = "" if found.facts else _("No fact is behind this figure.")
        update(self._none, "none.html", text=none)
        update(
            self._more,
            "pages.html",
            before=self._wanted.page(None) if self._wanted.cursor else None,
            after=self._wanted.page(found.next) if found.next else None,
        )


def _filters(query: ReportQuery) -> list[tuple[str, str]]:
    """What is asked for, in words: the period and each filter."""
    shown = [
        (_("From"), instant(query.start_us)),
        (_("To, not included"), instant(query.end_us)),
    ]
    if METRICS[query.metrics[0]].business:
        business = query.time == "business"
        shown.append((_("Time"), _("business time") if business else _("calendar time")))
    for name, values in query.filters:
        title = _(DIMENSIONS[name].title)
        shown.append((title, ", ".join(key(name, value) for value in values)))
    return shown


def _subjects(connection: Connection, ids: list[str]) -> dict[str, tuple[str, str]]:
    query = select(TICKETS.c.id, TICKETS.c.subject, TICKETS.c.status).where(TICKETS.c.id.in_(ids))
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


def _row(metric: str, fact: Fact, subjects: dict[str, tuple[str, str]]) -> Row:
    subject, status = subjects.get(fact.ticket_id, ("", ""))
    detail: dict[str, Any] = {
        name: value for name, value in fact.detail.items() if name not in ("sequence", "status")
    }
    said = " · ".join(key(name, str(value)) for name, value in detail.items())
    sequence = fact.detail.get("sequence")
    anchor = f"#e-{fact.ticket_id}-{sequence}" if sequence is not None else ""
    return {
        "id": f"{fact.ticket_id}:{fact.at_us}:{sequence}:{said}",
        "attrs": {},
        "cells": [
            head(linked(f"#{fact.number}", f"/tickets/{fact.ticket_id}{anchor}")),
            cell("wide", text(subject, free=True)),
            cell("figure", text(instant(fact.at_us))),
            cell("figure", text(_value(metric, fact))),
            cell("", text(key("status", status), f"badge status-{status}")),
            cell("", text(said)),
        ],
    }


def _value(metric: str, fact: Fact) -> str:
    """The fact's own value; of a share whether it counts."""
    kind = METRICS[metric].kind
    if fact.value is None or kind in ("count", "level"):
        return "–"
    if kind == "share":
        return _("yes") if fact.value else _("no")
    if kind == "present":
        return figure("present_time", "mean", fact.value)
    return figure(metric, aggregate_of(metric), fact.value)

"""What comes again: categories and how they move, problems with their incidents, people who come back."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from libs.runtime.store import ServiceStore
from services.reporting.page.asking import Answer, Ask, Keys
from services.reporting.page.behind import as_csv
from services.reporting.page.blocks import (
    Column,
    Line,
    breakdown,
    linked_figure,
    over_time,
    parts_over_time,
)
from services.reporting.page.board import Board, Place
from services.reporting.page.card import About, Table, TableCard
from services.reporting.page.i18n import N_
from services.reporting.page.i18n import gettext as _
from services.reporting.page.live_table import Row, bar, cell, head, linked, text
from services.reporting.page.say import change, title_of
from services.reporting.page.tiles import Tile, Tiles
from services.reporting.page.view import View
from services.reporting.views.tickets import TICKETS

KEY_FIGURES = (
    Tile("repeat_contacts"),
    Tile("repeat_contact_rate"),
    Tile("incidents"),
    Tile("reopened", beside=(("reopen_rate", "share"),)),
)
PROBLEMS_MAX = 20


def _fill(board: Board) -> None:
    with board.body:
        board.add(Tiles(*KEY_FIGURES))
    with board.row("two-one"):
        board.add(
            breakdown(
                About(
                    "categories",
                    _("Categories"),
                    ("created", "repeat_contacts", "repeat_contact_rate", "incidents"),
                ),
                "category",
                [
                    Column("created", moved=True, bar=True),
                    Column("repeat_contacts", moved=True),
                    Column("repeat_contact_rate"),
                    Column("incidents"),
                ],
                first=_("Category"),
                unit=_("with the change against the period before"),
            ),
            over_time(
                About("repeats", _("Repeat contacts over time"), ("repeat_contacts",)),
                [Line("repeat_contacts")],
            ),
        )
    problems = Problems(board.desk.store)
    with board.row("halves"):
        board.add(
            parts_over_time(
                About("course", _("Tickets by category"), ("created",)), "created", "category"
            ),
            TableCard(
                About("problems", _("Problems with most incidents"), ("incidents",)),
                [Ask(("incidents",), by=("problem",), compare=True)],
                problems.table,
                prepare=problems.prepare,
                none=_("No incident is linked to a problem in this period."),
                csv=lambda answers, _view: as_csv(answers[0].question("incidents")),
            ),
        )


class Problems:
    """The problems by their incidents; their numbers and subjects are read from the list of tickets."""

    def __init__(self, store: ServiceStore) -> None:
        self._store = store
        self._known: dict[str, tuple[int, str]] = {}

    async def prepare(self, answers: Sequence[Answer]) -> None:
        """Look up the problems that are in the answer. Raises Transient without a database."""
        ids = [keys[0] for keys in _largest(answers[0]) if keys[0]]
        self._known = await self._store.read(lambda c: _subjects(c, ids))

    def table(self, answers: Sequence[Answer], view: View) -> Table:
        answer = answers[0]
        largest = _largest(answer)
        most = max(
            (answer.cell("incidents", "count", keys).value or 0 for keys in largest), default=0
        )
        rows: list[Row] = []
        for keys in largest:
            found = answer.cell("incidents", "count", keys)
            number, subject = self._known.get(keys[0] or "", (0, ""))
            name = linked(f"#{number}", f"/tickets/{keys[0]}", f"#{number}, {subject}")
            moved = change(found)
            figures = [bar((found.value or 0) / (most or 1), "", "plain")]
            figures.append(linked_figure(answer, found, view, keys))
            if moved:
                figures.append(text(f"{moved.sign} {moved.text}", f"change {moved.mood}"))
            rows.append(
                {
                    "id": str(keys),
                    "attrs": {"data-key": keys[0] or ""},
                    "cells": [
                        head(name if number else text(keys[0] or "")),
                        cell("wide", text(subject, free=True)),
                        cell("figure barred", *figures),
                    ],
                }
            )
        return Table((_("Problem"), _("Subject"), title_of("incidents")), rows)


def _largest(answer: Answer) -> list[Keys]:
    found = [keys for keys in answer.keys if answer.cell("incidents", "count", keys).facts]
    return sorted(found, key=lambda k: -answer.cell("incidents", "count", k).facts)[:PROBLEMS_MAX]


def _subjects(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    query = select(TICKETS.c.id, TICKETS.c.number, TICKETS.c.subject).where(TICKETS.c.id.in_(ids))
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


INCIDENTS = Place("/incidents", N_("Repeated incidents"), _fill)

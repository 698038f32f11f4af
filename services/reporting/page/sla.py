"""Service levels: what is kept, what is missed, and what is due next."""

from __future__ import annotations

from collections.abc import Sequence

from services.reporting.page.asking import Answer, Ask
from services.reporting.page.behind import as_csv
from services.reporting.page.blocks import (
    Column,
    breakdown,
    linked_figure,
    parts_over_time,
)
from services.reporting.page.board import Board, Place
from services.reporting.page.card import About, Table, TableCard
from services.reporting.page.due import DueCard
from services.reporting.page.i18n import N_
from services.reporting.page.i18n import gettext as _
from services.reporting.page.live_table import cell, head, text
from services.reporting.page.say import key, title_of
from services.reporting.page.tiles import Tile, Tiles
from services.reporting.page.view import View

FIGURES = ("sla_attainment", "sla_kept", "sla_breaches")
KEY_FIGURES = tuple(Tile(name) for name in (*FIGURES, "sla_started"))


def _fill(board: Board) -> None:
    with board.body:
        board.add(Tiles(*KEY_FIGURES))
    with board.row("halves"):
        board.add(
            parts_over_time(
                About("attainment", _("SLA attainment by metric"), ("sla_attainment",)),
                "sla_attainment",
                "sla_metric",
                kind="line",
            ),
            parts_over_time(
                About("breaches", _("SLA breaches by metric"), ("sla_breaches",)),
                "sla_breaches",
                "sla_metric",
            ),
        )
    with board.row("halves"):
        board.add(
            TableCard(
                About("policies", _("Policies and metrics"), FIGURES),
                [Ask(FIGURES, by=("policy", "sla_metric"))],
                _policies,
                csv=lambda answers, _view: as_csv(answers[0].question("sla_attainment")),
            ),
        )
        board.add_part(DueCard(board.desk.store, board.view))
    with board.row("halves"):
        board.add(
            breakdown(
                About("groups", _("By group"), FIGURES),
                "group",
                [Column("sla_breaches", moved=True, bar=True), Column("sla_attainment")],
                first=_("Group"),
                unit=_("most breaches first"),
            ),
            breakdown(
                About("priorities", _("By priority"), FIGURES),
                "priority",
                [Column("sla_breaches", moved=True, bar=True), Column("sla_attainment")],
                first=_("Priority"),
                unit=_("most breaches first"),
            ),
        )


def _policies(answers: Sequence[Answer], view: View) -> Table:
    answer = answers[0]
    rows = []
    for keys in answer.keys:
        cells = [
            answer.cell(name, "share" if name == FIGURES[0] else "count", keys) for name in FIGURES
        ]
        if any(one.facts for one in cells):
            policy, metric = key("policy", keys[0]), key("sla_metric", keys[1])
            figures = [cell("figure", linked_figure(answer, one, view, keys)) for one in cells]
            rows.append(
                {
                    "id": str(keys),
                    "attrs": {},
                    "cells": [head(text(policy)), cell("name", text(metric)), *figures],
                }
            )
    return Table((_("Policy"), _("Metric"), *(title_of(name) for name in FIGURES)), rows)


SLA = Place("/sla", N_("SLA"), _fill)

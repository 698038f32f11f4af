"""Satisfaction: how many are content, where, and how it goes with the time that was worked on a ticket.

Comments are personal data: they stand in the tickets' histories, not here.
"""

from __future__ import annotations

from collections.abc import Sequence

from libs.events import Channel
from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.page import charts
from services.reporting.page.asking import Answer, Ask
from services.reporting.page.behind import as_csv
from services.reporting.page.blocks import Column, Line, breakdown, linked_figure, over_time
from services.reporting.page.board import Board, Place
from services.reporting.page.card import About, Table
from services.reporting.page.chart_card import ChartCard, Drawn
from services.reporting.page.charts import BLUE, ORANGE, Series
from services.reporting.page.i18n import N_, ngettext
from services.reporting.page.i18n import gettext as _
from services.reporting.page.live_table import cell, head, text
from services.reporting.page.parts import number
from services.reporting.page.tiles import Tile, Tiles
from services.reporting.page.view import View

KEY_FIGURES = (
    Tile("satisfaction"),
    Tile("ratings"),
    Tile("one_touch_rate"),
    Tile("reopen_rate"),
)
BANDS = DIMENSIONS["handling_minutes"].values
CHATS = (("channel", (Channel.CHAT.value,)),)
OTHERS = (("channel", tuple(one.value for one in Channel if one is not Channel.CHAT)),)
BOTH = ("satisfaction", "ratings")
COLUMNS = (Column("ratings", bar=True), Column("satisfaction", moved=True))


def _fill(board: Board) -> None:
    with board.body:
        board.add(Tiles(*KEY_FIGURES))
    with board.row("halves"):
        board.add(
            over_time(
                About("course", _("Satisfaction over time"), ("satisfaction",)),
                [Line("satisfaction", "line")],
            ),
            ChartCard(
                About(
                    "curve",
                    _("Satisfaction by minutes of handling"),
                    ("satisfaction", "handling_time"),
                ),
                [
                    Ask(BOTH, by=("handling_minutes",), only=CHATS),
                    Ask(BOTH, by=("handling_minutes",), only=OTHERS),
                ],
                _curve,
            ),
        )
    with board.row("halves"):
        board.add(
            breakdown(
                About("channels", _("By channel"), BOTH), "channel", COLUMNS, first=_("Channel")
            ),
            breakdown(About("groups", _("By group"), BOTH), "group", COLUMNS, first=_("Group")),
        )
    with board.row("halves"):
        board.add(
            breakdown(
                About("agents", _("By agent"), BOTH),
                "agent",
                COLUMNS,
                first=_("Agent"),
                names=board.agents,
                hide_none=True,
            ),
            breakdown(
                About("categories", _("By category"), BOTH),
                "category",
                COLUMNS,
                first=_("Category"),
            ),
        )


def _curve(answers: Sequence[Answer], view: View) -> Drawn:
    """Chats beside all other tickets: a share from few ratings says little, so their number stands with it."""
    names = (_("Chats"), _("Other tickets"))
    colors = (BLUE, ORANGE)
    rows = [
        Series(
            name,
            [answer.cell("satisfaction", "share", (band,)).value for band in BANDS],
            color,
            "line",
        )
        for name, color, answer in zip(names, colors, answers, strict=True)
    ]
    lines = []
    for band in BANDS:
        cells = []
        for answer in answers:
            found = answer.cell("satisfaction", "share", (band,))
            of = ngettext("of {n} rating", "of {n} ratings", found.facts)
            few = text(of.format(n=number(found.facts)), "sub")
            cells.append(cell("figure", linked_figure(answer, found, view, (band,)), few))
        lines.append({"id": band, "attrs": {}, "cells": [head(text(band)), *cells]})
    options = charts.time_chart(BANDS, rows, measure="share")
    return Drawn(
        options,
        Table((_("Minutes"), *names), lines),
        _("per cent good · minutes of handling"),
        csv=as_csv(answers[0].question("satisfaction")),
        empty=all(answer.empty for answer in answers),
    )


SATISFACTION = Place("/satisfaction", N_("Satisfaction"), _fill)

"""The channels: through which the tickets come, when, and in which language."""

from __future__ import annotations

from collections.abc import Sequence

from services.reporting.page import charts
from services.reporting.page.asking import Answer, Ask
from services.reporting.page.behind import as_csv, tickets_behind
from services.reporting.page.blocks import Column, breakdown, linked_figure, parts_over_time
from services.reporting.page.board import Board, Place
from services.reporting.page.card import About, Table
from services.reporting.page.chart_card import ChartCard, Drawn
from services.reporting.page.i18n import N_
from services.reporting.page.i18n import gettext as _
from services.reporting.page.live_table import cell, head, text
from services.reporting.page.say import key, title_of
from services.reporting.page.tiles import Tile, Tiles
from services.reporting.page.view import View

KEY_FIGURES = (
    Tile("created"),
    Tile("requester_messages"),
    Tile("first_replies"),
    Tile("first_reply_time", beside=(("first_reply_time", "p90"),)),
)
DAYS = tuple(str(day) for day in range(1, 8))
HOURS = tuple(str(hour) for hour in range(24))


def _fill(board: Board) -> None:
    with board.body:
        board.add(Tiles(*KEY_FIGURES))
    with board.row("two-one"):
        board.add(
            parts_over_time(
                About("volume", _("Tickets by channel"), ("created",)), "created", "channel"
            ),
            breakdown(
                About("languages", _("Languages"), ("created",)),
                "language",
                [Column("created", moved=True, bar=True)],
                first=_("Language"),
            ),
        )
    with board.row():
        board.add(
            ChartCard(
                About("heat", _("When tickets come"), ("created",), "heat"),
                [Ask(("created",), by=("weekday", "hour"))],
                _heat_map,
            )
        )
    with board.row():
        board.add(
            breakdown(
                About("channels", _("Channels"), ("created", "first_reply_time", "satisfaction")),
                "channel",
                [
                    Column("created", moved=True, bar=True),
                    Column("solved"),
                    Column("first_reply_time"),
                    Column("resolution_time"),
                    Column("one_touch_rate"),
                    Column("reopen_rate"),
                    Column("sla_attainment"),
                    Column("satisfaction"),
                ],
                first=_("Channel"),
                unit=_("times are medians"),
            )
        )


def _heat_map(answers: Sequence[Answer], view: View) -> Drawn:
    answer = answers[0]
    grid = [[answer.cell("created", "count", (day, hour)) for hour in HOURS] for day in DAYS]
    hours, days = [f"{int(hour):02}" for hour in HOURS], [key("weekday", day) for day in DAYS]
    values = [[one.value for one in row] for row in grid]
    links = [
        tickets_behind(answer, one, view, (day, hour))
        for day, row in zip(DAYS, grid, strict=True)
        for hour, one in zip(HOURS, row, strict=True)
    ]
    table = Table(
        (_("Hour"), *days),
        [
            {
                "id": hour,
                "attrs": {},
                "cells": [
                    head(text(key("hour", hour))),
                    *(
                        cell("figure", linked_figure(answer, grid[d][place], view, (day, hour)))
                        for d, day in enumerate(DAYS)
                    ),
                ],
            }
            for place, hour in enumerate(HOURS)
        ],
    )
    unit = _("tickets by weekday and hour, {zone}").format(zone=view.zone)
    options = charts.heat_map(hours, days, values, title_of("created"))
    return Drawn(options, table, unit, [links], as_csv(answer.question("created")), answer.empty)


CHANNELS = Place("/channels", N_("Channels"), _fill)

"""The overview: what comes, what goes, what is left, how long it takes and how well."""

from __future__ import annotations

from services.reporting.page.blocks import Column, Line, breakdown, over_time
from services.reporting.page.board import Board, Place
from services.reporting.page.card import About
from services.reporting.page.i18n import N_
from services.reporting.page.i18n import gettext as _
from services.reporting.page.tiles import Tile, Tiles

KEY_FIGURES = (
    Tile("backlog", beside=(("unassigned", "count"), ("backlog_age", "p50"))),
    Tile("created", beside=(("repeat_contact_rate", "share"),)),
    Tile("solved", beside=(("one_touch_rate", "share"),)),
    Tile("reopen_rate", beside=(("reopened", "count"),)),
    Tile("first_reply_time", beside=(("first_reply_time", "p90"),)),
    Tile("resolution_time", beside=(("resolution_time", "p90"),)),
    Tile("sla_attainment", beside=(("sla_breaches", "count"),)),
    Tile("satisfaction", beside=(("ratings", "count"),)),
)


def _fill(board: Board) -> None:
    with board.body:
        board.add(Tiles(*KEY_FIGURES))
    with board.row("two-one"):
        board.add(
            over_time(
                About("flow", _("Created and solved"), ("created", "solved", "reopened")),
                [Line("created"), Line("solved"), Line("reopened")],
            ),
            breakdown(
                About("status", _("Backlog by status"), ("backlog",)),
                "status",
                [Column("backlog", bar=True)],
                first=_("Status"),
                unit=_("at the end of the period"),
            ),
        )
    with board.row("two-one"):
        board.add(
            over_time(
                About("backlog", _("Backlog over time"), ("backlog", "unassigned")),
                [Line("backlog", "steps"), Line("unassigned", "line")],
            ),
            breakdown(
                About("waiting", _("Backlog by priority"), ("backlog", "backlog_age")),
                "priority",
                [Column("backlog", bar=True), Column("backlog_age")],
                first=_("Priority"),
                unit=_("at the end of the period"),
            ),
        )
    with board.row("halves"):
        board.add(
            over_time(
                About("replies", _("First reply"), ("first_reply_time",)),
                [Line("first_reply_time", "line", "p50"), Line("first_reply_time", "line", "p90")],
            ),
            over_time(
                About("resolutions", _("Resolution"), ("resolution_time",)),
                [Line("resolution_time", "line", "p50"), Line("resolution_time", "line", "p90")],
            ),
        )
    with board.row("halves"):
        board.add(
            over_time(
                About("attainment", _("SLA attainment"), ("sla_attainment",)),
                [Line("sla_attainment", "line")],
            ),
            over_time(
                About("ratings", _("Satisfaction"), ("satisfaction",)),
                [Line("satisfaction", "line")],
            ),
        )


OVERVIEW = Place("/", N_("Overview"), _fill)

"""The team: how the groups do, beside each other and as the time goes on."""

from __future__ import annotations

from services.reporting.page.blocks import Column, breakdown, parts_over_time
from services.reporting.page.board import Board, Place
from services.reporting.page.card import About
from services.reporting.page.i18n import N_
from services.reporting.page.i18n import gettext as _
from services.reporting.page.tiles import Tile, Tiles

KEY_FIGURES = (
    Tile("backlog", beside=(("unassigned", "count"),)),
    Tile("solved", beside=(("one_touch_rate", "share"),)),
    Tile("hand_overs", beside=(("group_changes", "count"), ("ping_pong", "count"))),
    Tile("escalated", beside=(("hand_overs_per_ticket", "mean"),)),
)
FLOW = ("created", "solved", "reopened", "backlog")
TIMES = ("first_reply_time", "next_reply_time", "resolution_time", "requester_wait_time")
QUALITY = ("sla_attainment", "sla_breaches", "satisfaction", "hand_overs")


def _fill(board: Board) -> None:
    with board.body:
        board.add(Tiles(*KEY_FIGURES))
    with board.row():
        board.add(
            breakdown(
                About("groups", _("Groups"), (*FLOW, *QUALITY)),
                "group",
                [
                    Column("backlog", bar=True),
                    Column("created"),
                    Column("solved", moved=True),
                    Column("reopened"),
                    Column("first_reply_time"),
                    Column("resolution_time"),
                    Column("sla_attainment"),
                    Column("satisfaction"),
                ],
                first=_("Group"),
                unit=_("the largest backlog first; times are medians"),
            )
        )
    with board.row("halves"):
        board.add(
            parts_over_time(About("solved", _("Solved by group"), ("solved",)), "solved", "group"),
            parts_over_time(
                About("backlogs", _("Backlog by group"), ("backlog",)), "backlog", "group"
            ),
        )
    with board.row("halves"):
        board.add(
            breakdown(
                About("times", _("Times by group"), TIMES),
                "group",
                [Column(name) for name in TIMES],
                first=_("Group"),
                unit=_("medians"),
            ),
            breakdown(
                About("tiers", _("By tier"), ("backlog", "escalated", "solved", "resolution_time")),
                "tier",
                [
                    Column("backlog", bar=True),
                    Column("solved"),
                    Column("escalated"),
                    Column("resolution_time"),
                ],
                first=_("Tier"),
            ),
        )


TEAM = Place("/team", N_("Team"), _fill)

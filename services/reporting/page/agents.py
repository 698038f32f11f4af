"""The agents: who is present, what they carry, and what comes of it."""

from __future__ import annotations

from services.reporting.page.blocks import Column, Line, breakdown, over_time
from services.reporting.page.board import Board, Place
from services.reporting.page.card import About
from services.reporting.page.i18n import N_
from services.reporting.page.i18n import gettext as _
from services.reporting.page.tiles import Tile, Tiles

KEY_FIGURES = (
    Tile("utilization", "mean"),
    Tile("agent_load", "mean"),
    Tile("replies", beside=(("notes", "count"),)),
    Tile("handling_time", beside=(("handling_time", "p90"),)),
)


def _fill(board: Board) -> None:
    with board.body:
        board.add(Tiles(*KEY_FIGURES))
    names = board.agents
    with board.row():
        board.add(
            breakdown(
                About(
                    "work",
                    _("Work by agent"),
                    ("solved", "replies", "backlog", "hand_overs", "satisfaction"),
                ),
                "agent",
                [
                    Column("solved", moved=True, bar=True),
                    Column("replies"),
                    Column("backlog"),
                    Column("first_reply_time"),
                    Column("handling_time"),
                    Column("hand_overs"),
                    Column("sla_attainment"),
                    Column("satisfaction"),
                ],
                first=_("Agent"),
                unit=_("most solved first; times are medians"),
                names=names,
                hide_none=True,
            )
        )
    with board.row("halves"):
        board.add(
            breakdown(
                About(
                    "load",
                    _("Load and utilization"),
                    ("utilization", "agent_load", "present_time"),
                ),
                "agent",
                [
                    Column("utilization", "mean", bar=True),
                    Column("agent_load", "mean"),
                    Column("present_time", "mean"),
                ],
                first=_("Agent"),
                none=_("No agent was present in this period."),
                names=names,
                hide_none=True,
            ),
            over_time(
                About("utilized", _("Utilization over time"), ("utilization",)),
                [Line("utilization", "line", "mean")],
            ),
        )


AGENTS = Place("/agents", N_("Agents"), _fill)

"""The read models, one file each, and the queries over them.

Each view keeps the rows of one kind of stream, or only adds up; none looks at another's
rows. So the rows depend on the streams alone, not on how topics interleave or batches are cut.
"""

from services.reporting.views.agents import AGENTS, AgentsView
from services.reporting.views.changes import CHANGES, CHANGES_HEAD, ChangesView
from services.reporting.views.clocks import CLOCKS, ClocksView
from services.reporting.views.history import HISTORY, REJECTIONS, HistoryView
from services.reporting.views.positions import POSITIONS, PositionsView
from services.reporting.views.roster import ROSTER, RosterView
from services.reporting.views.routing import GIVEN, LINES, ROUTED, ROUTING_LOG, RoutingView
from services.reporting.views.saved import SAVED_REPORTS
from services.reporting.views.sql import METADATA, fresh_metadata
from services.reporting.views.tickets import TICKETS, TicketsView
from services.reporting.views.work import AT_WORK, Work

VIEWS = (
    TICKETS,
    HISTORY,
    CLOCKS,
    AGENTS,
    ROSTER,
    AT_WORK,
    ROUTED,
    LINES,
    ROUTING_LOG,
    GIVEN,
    POSITIONS,
    REJECTIONS,
)
"""Every table that a rebuild makes anew (`changes` and its head are none of them)."""

__all__ = [
    "AGENTS",
    "AT_WORK",
    "CHANGES",
    "CHANGES_HEAD",
    "CLOCKS",
    "GIVEN",
    "HISTORY",
    "LINES",
    "METADATA",
    "POSITIONS",
    "REJECTIONS",
    "ROSTER",
    "ROUTED",
    "ROUTING_LOG",
    "SAVED_REPORTS",
    "TICKETS",
    "VIEWS",
    "AgentsView",
    "ChangesView",
    "ClocksView",
    "HistoryView",
    "PositionsView",
    "RosterView",
    "RoutingView",
    "TicketsView",
    "Work",
    "fresh_metadata",
]

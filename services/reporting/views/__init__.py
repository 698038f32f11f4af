"""The read models, one file each, and the queries over them.

Each view keeps the rows of one kind of stream, or only adds to counters; none looks at another's
rows. So the rows depend on the streams alone, not on how topics interleave or batches are cut.
"""

from services.reporting.views.agents import AGENTS, AgentsView
from services.reporting.views.clocks import CLOCKS, ClocksView
from services.reporting.views.history import HISTORY, REJECTIONS, HistoryView
from services.reporting.views.positions import POSITIONS, PositionsView
from services.reporting.views.rollup import HOURLY, STATUS_COUNTS, StatusCounts, Tally
from services.reporting.views.sql import METADATA, fresh_metadata
from services.reporting.views.tickets import TICKETS, TicketsView

VIEWS = (TICKETS, HISTORY, CLOCKS, AGENTS, HOURLY, STATUS_COUNTS, POSITIONS, REJECTIONS)
"""Every table that a rebuild makes anew."""

__all__ = [
    "AGENTS",
    "CLOCKS",
    "HISTORY",
    "HOURLY",
    "METADATA",
    "POSITIONS",
    "REJECTIONS",
    "STATUS_COUNTS",
    "TICKETS",
    "VIEWS",
    "AgentsView",
    "ClocksView",
    "HistoryView",
    "PositionsView",
    "StatusCounts",
    "Tally",
    "TicketsView",
    "fresh_metadata",
]

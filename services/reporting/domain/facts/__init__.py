"""From the histories to the rows of the fact tables: pure, total, one fold for every use."""

from services.reporting.domain.facts.agent import AgentFacts, Stretch, facts_of_agent
from services.reporting.domain.facts.clocks import Verdict
from services.reporting.domain.facts.rows import TICKET_COLUMNS, TicketFacts, facts_of_ticket
from services.reporting.domain.facts.ticket import Activity, HistoryRow, Interval

__all__ = [
    "TICKET_COLUMNS",
    "Activity",
    "AgentFacts",
    "HistoryRow",
    "Interval",
    "Stretch",
    "TicketFacts",
    "Verdict",
    "facts_of_agent",
    "facts_of_ticket",
]

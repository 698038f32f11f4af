"""Routing's rules, pure: no I/O, no clock, no chance.

`agent` agents, their commands and events · `work` tickets as routing sees them, and reservations ·
`needs` what a ticket needs · `matching` who can take it, and who is the best
"""

from services.routing.domain.agent import Agent, AgentCommand
from services.routing.domain.matching import Decision, Roster, choose, has_room
from services.routing.domain.needs import Needs, NeedsRules, needs_of
from services.routing.domain.work import Reservation, Work

__all__ = [
    "Agent",
    "AgentCommand",
    "Decision",
    "Needs",
    "NeedsRules",
    "Reservation",
    "Roster",
    "Work",
    "choose",
    "has_room",
    "needs_of",
]

"""Routing's rules, pure: no I/O, no clock, no chance.

`agent` agents, their commands and events · `duty` who is there when · `work` tickets as routing sees
them, and reservations · `rules` the rule set, `conditions` its conditions · `needs` what a ticket
needs · `floor` who gets what, and why · `reasons` why not
"""

from services.routing.domain.agent import Agent
from services.routing.domain.agent_commands import AgentCommand
from services.routing.domain.needs import Needs, needs_of
from services.routing.domain.work import Reservation, Work

__all__ = ["Agent", "AgentCommand", "Needs", "Reservation", "Work", "needs_of"]

"""Routing's tables, and what is read from them."""

from services.routing.views.agents import Loads, agent_view, agents_view
from services.routing.views.answers import decisions_view, queue_view
from services.routing.views.tables import Tables

__all__ = ["Loads", "Tables", "agent_view", "agents_view", "decisions_view", "queue_view"]

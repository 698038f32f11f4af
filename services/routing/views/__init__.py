"""Routing's tables, and what is read from them."""

from services.routing.views.answers import (
    agent_view,
    agents_view,
    decisions_view,
    queue_view,
)
from services.routing.views.tables import Tables

__all__ = ["Tables", "agent_view", "agents_view", "decisions_view", "queue_view"]

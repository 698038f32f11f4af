"""Routing's transactions: load, decide, save, say."""

from services.routing.store.desk import Desk, Timing

__all__ = ["Desk", "Timing"]

"""What routing remembers, and what it answers to those who ask."""

from services.routing.views.tables import Mark, Offer, Tables

__all__ = ["Mark", "Offer", "Tables"]

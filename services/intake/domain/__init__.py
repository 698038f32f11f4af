"""The rules of a ticket's life: pure functions from a command and a state to events."""

from services.intake.domain.creation import follow_up
from services.intake.domain.decide import decide
from services.intake.domain.details import refuse_other
from services.intake.domain.model import DecisionContext, DomainSettings, Refused
from services.intake.domain.requirements import (
    Requirements,
    asks_for_requirements,
    requirements_of,
)

__all__ = [
    "DecisionContext",
    "DomainSettings",
    "Refused",
    "Requirements",
    "asks_for_requirements",
    "decide",
    "follow_up",
    "refuse_other",
    "requirements_of",
]

"""Routing's settings, read once from the environment (`BITACORA_ROUTING_…`)."""

from __future__ import annotations

from pydantic import Field

from services.routing.domain.rules import RoutingRules
from services.routing.notify.settings import NotifySettings
from services.routing.store import Timing


class RoutingSettings(NotifySettings, service="routing"):
    category_is_skill: bool = Field(
        default=True, description="a ticket's category is a skill that its agent must have"
    )
    unknown_skills_required: bool = Field(
        default=False, description="ask for such a skill also when no agent at all has it"
    )
    language_required: bool = Field(
        default=True, description="an agent who lists languages must list the ticket's"
    )
    answer_s: float = Field(
        60.0, gt=0, description="real seconds after which an unanswered assignment is asked again"
    )
    retry_s: float = Field(
        1.0, gt=0, description="real seconds that a ticket stays out of the queue after a refusal"
    )
    sweep_interval_s: float = Field(
        1.0, gt=0, description="most real seconds between two looks at what time has brought"
    )

    def rules(self) -> RoutingRules:
        """The rule set that holds until one is put (`PUT /v1/rules`)."""
        return RoutingRules(
            category_is_skill=self.category_is_skill,
            unknown_skills_required=self.unknown_skills_required,
            language_required=self.language_required,
        )

    def timing(self) -> Timing:
        return Timing(answer_s=self.answer_s, retry_s=self.retry_s)

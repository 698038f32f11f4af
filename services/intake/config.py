"""Intake's settings, read once from the environment (`BITACORA_INTAKE_…`)."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from libs.runtime.settings import ServiceSettings
from services.intake.domain import DomainSettings


class IntakeSettings(ServiceSettings, service="intake"):
    """Raises SettingsError."""

    reopen_on_hold_on_reply: bool = Field(
        default=True,
        description="a requester's reply moves a ticket from on_hold to open",
    )
    close_after_hours: float = Field(
        96.0,
        gt=0,
        le=24 * 366,
        description="a ticket is closed after being solved for so long",
    )
    close_poll_seconds: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="how often to look for tickets to close, in seconds of the service's clock",
    )

    def domain(self) -> DomainSettings:
        return DomainSettings(
            reopen_on_hold_on_reply=self.reopen_on_hold_on_reply,
            close_after=timedelta(hours=self.close_after_hours),
        )

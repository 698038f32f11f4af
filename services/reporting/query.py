"""What may be asked: the parameters of the list and of routing's floor, for the API and the page."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from libs.events import Channel, Priority, Status
from libs.events.agent import Presence
from services.reporting.views.floor import FloorFilter
from services.reporting.views.lists import TicketFilter

_LARGEST = 2**63 - 1
_Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class TicketQuery(BaseModel):
    """The filter of the list. Unknown parameters are refused: a misspelt one must not find all."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = None
    priority: Priority | None = None
    channel: Channel | None = None
    group: _Text | None = None
    agent: _Text | None = None
    category: _Text | None = None
    external_ref: _Text | None = None
    number: Annotated[int, Field(ge=0, le=_LARGEST)] | None = None
    breached: bool | None = None
    q: _Text | None = None
    limit: int = Field(50, ge=1, le=500)
    cursor: Annotated[str, Field(max_length=300)] | None = None

    def wanted(self) -> TicketFilter:
        return TicketFilter(**self.model_dump(exclude={"limit", "cursor"}))


class RoutingQuery(BaseModel):
    """Which part of routing's floor. Pages count from 1."""

    model_config = ConfigDict(extra="forbid")

    queue: _Text | None = None
    group: _Text | None = None
    presence: Presence | None = None
    page: int = Field(1, ge=1, le=100_000)
    limit: int = Field(50, ge=1, le=1_000)

    def wanted(self) -> FloorFilter:
        return FloorFilter(self.queue, self.group, self.presence)

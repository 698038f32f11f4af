"""Clock events on `sla.events`. The SLA service is their only writer.

Stream id = `sla:<ticket id>`: all clocks of one ticket, in order.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from libs.events.base import Count, Event, Instant, Word
from libs.events.registry import EVENTS

Metric = Literal[
    "first_reply",
    "next_reply",
    "periodic_update",
    "pausable_update",
    "requester_wait",
    "agent_work",
    "total_resolution",
]


class ClockEvent(Event):
    ticket_id: Word
    metric: Metric
    policy: Word
    policy_version: Count = Field(ge=1)
    calendar: Word
    calendar_version: Count = Field(ge=1)
    live: bool = Field(
        True, description="False for imported history: a verdict, not a call to act."
    )


@EVENTS.register("bitacora.ClockStarted.v1")
class ClockStarted(ClockEvent):
    at: Instant
    target_s: Count = Field(gt=0)
    due: Instant


@EVENTS.register("bitacora.ClockPaused.v1")
class ClockPaused(ClockEvent):
    at: Instant
    elapsed_s: Count = Field(ge=0)


@EVENTS.register("bitacora.ClockResumed.v1")
class ClockResumed(ClockEvent):
    at: Instant
    elapsed_s: Count = Field(ge=0)
    due: Instant


@EVENTS.register("bitacora.ClockRetargeted.v1")
class ClockRetargeted(ClockEvent):
    """The priority or the policy changed: a new target for the original activation."""

    at: Instant
    target_s: Count = Field(gt=0)
    due: Instant | None = None


@EVENTS.register("bitacora.SlaWarning.v1")
class SlaWarning(ClockEvent):
    """`fraction` (per cent) of the target was used up at `at`."""

    at: Instant
    fraction: int = Field(ge=1, le=99)
    due: Instant


@EVENTS.register("bitacora.SlaBreached.v1")
class SlaBreached(ClockEvent):
    """Exactly one per clock. `due` is the true due time, however late it was noticed."""

    due: Instant
    target_s: Count = Field(gt=0)


@EVENTS.register("bitacora.ClockSatisfied.v1")
class ClockSatisfied(ClockEvent):
    at: Instant
    elapsed_s: Count = Field(ge=0)
    target_s: Count = Field(gt=0)
    breached: bool


@EVENTS.register("bitacora.ClockCancelled.v1")
class ClockCancelled(ClockEvent):
    at: Instant
    reason: Word


SlaEvent = (
    ClockStarted
    | ClockPaused
    | ClockResumed
    | ClockRetargeted
    | SlaWarning
    | SlaBreached
    | ClockSatisfied
    | ClockCancelled
)

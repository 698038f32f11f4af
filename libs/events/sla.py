"""Events of clocks and of calendars on `sla.events`. The SLA service is their only writer.

Stream id = `sla:<ticket id>`: all clocks of one ticket, in order; `calendar:<calendar>`: the versions of
one calendar, in order.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from libs.events.agent import ClockTime, Weekday
from libs.events.base import Count, Event, Instant, Line, Priority, Tier, Word
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


class OfClock(Event):
    """What every event says of its clock."""

    ticket_id: Word
    metric: Metric
    policy: Word
    policy_version: Count = Field(ge=1)
    calendar: Word
    calendar_version: Count = Field(ge=1)
    live: bool = Field(
        True, description="False for imported history: a verdict, not a call to act."
    )
    activation: Count | None = Field(
        None, ge=1, description="Which clock of this metric: a reply clock starts anew each time."
    )
    tzdata: Word | None = Field(None, description="Release of the time zone database, as 2026a.")
    cause: Word | None = Field(
        None, description="Id of the ticket event that caused this, or last moved the clock before."
    )


class ClockEvent(OfClock):
    """Something happened to the clock itself."""


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
    """The original activation goes on with another target or due instant. `reason`: `ticket` (its
    priority or policy changed), `calendar` (that was edited) or `tzdata` (there is a new release)."""

    at: Instant
    target_s: Count = Field(gt=0)
    due: Instant | None = None
    reason: Word | None = None


@EVENTS.register("bitacora.SlaWarning.v1")
class SlaWarning(ClockEvent):
    """`fraction` (per cent) of the target was used up at `at`."""

    at: Instant
    fraction: int = Field(ge=1, le=99)
    due: Instant


@EVENTS.register("bitacora.SlaBreached.v1")
class SlaBreached(ClockEvent):
    """Exactly one per activation. `due` is the true due time, however late it was noticed."""

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


@EVENTS.register("bitacora.SlaActionTaken.v1")
class SlaActionTaken(OfClock):
    """What the policy wants done on a warning (`fraction` in per cent) or a breach (none): once each.

    `notify` is done by whoever reads this, for those in `whom`: `agent:<id>`, `group:<name>`, `leads`.
    The others were asked of intake by the command `command_id`.
    """

    at: Instant
    action: Literal["notify", "raise_priority", "escalate", "reroute"]
    fraction: int | None = Field(None, ge=1, le=99)
    whom: tuple[Word, ...] = ()
    priority: Priority | None = None
    tier: Tier | None = None
    command_id: Word | None = None


Span = Annotated[tuple[ClockTime, ...], Field(min_length=2, max_length=2)]
"""From, to: in wall time; an end before its start is on the next day."""
Shifts = tuple[Span, ...]


@EVENTS.register("bitacora.CalendarDefined.v1")
class CalendarDefined(Event):
    """A version of a business calendar, complete. From `effective_from` on it takes the place of the version
    before it, and of versions that were to follow; null: from the beginning. `hours` null: round the clock; a weekday
    that is missing is closed. `special_days` have hours of their own instead, also where they are holidays."""

    calendar: Word
    version: Count = Field(ge=1)
    effective_from: Instant | None = None
    zone: Word = Field(description="An IANA time zone, as Europe/Madrid.")
    hours: dict[Weekday, Shifts] | None = None
    holidays: dict[date, Line] = Field(
        default_factory=dict,
        description="Date → name, or empty: those that were listed, uploaded, or looked up for countries.",
    )
    special_days: dict[date, Shifts] = Field(default_factory=dict)


SlaEvent = (
    ClockStarted
    | ClockPaused
    | ClockResumed
    | ClockRetargeted
    | SlaWarning
    | SlaBreached
    | ClockSatisfied
    | ClockCancelled
    | SlaActionTaken
    | CalendarDefined
)

"""From the facts of the clocks to the events of `sla.events`."""

from __future__ import annotations

from typing import Any

from libs.events import Event
from libs.events import sla as e
from services.sla.domain.clocks import Clock, Fact, breached
from services.sla.domain.instants import SECOND_US, to_datetime


def stream_of(ticket_id: str) -> str:
    """The stream of all clocks of a ticket."""
    return f"sla:{ticket_id}"


def event_of(ticket_id: str, fact: Fact, *, live: bool) -> Event:
    """The event that publishes this fact."""
    clock = fact.clock
    common: dict[str, Any] = {
        "ticket_id": ticket_id,
        "metric": clock.metric,
        "policy": clock.policy,
        "policy_version": clock.policy_version,
        "calendar": clock.calendar,
        "calendar_version": clock.calendar_version,
        "live": live,
    }
    at = to_datetime(fact.at_us)
    match fact.kind:
        case "started":
            return e.ClockStarted(**common, at=at, target_s=_target_s(clock), due=_due(fact))
        case "paused":
            return e.ClockPaused(**common, at=at, elapsed_s=_elapsed_s(clock))
        case "resumed":
            return e.ClockResumed(**common, at=at, elapsed_s=_elapsed_s(clock), due=_due(fact))
        case "retargeted":
            due = None if clock.due_us is None else to_datetime(clock.due_us)
            return e.ClockRetargeted(**common, at=at, target_s=_target_s(clock), due=due)
        case "warning":
            return e.SlaWarning(**common, at=at, fraction=fact.fraction, due=_due(fact))
        case "breached":
            return e.SlaBreached(**common, due=at, target_s=_target_s(clock))
        case "satisfied":
            return e.ClockSatisfied(
                **common,
                at=at,
                elapsed_s=_elapsed_s(clock),
                target_s=_target_s(clock),
                breached=breached(clock),
            )
        case "cancelled":
            return e.ClockCancelled(**common, at=at, reason=fact.reason)


def _due(fact: Fact) -> Any:
    return to_datetime(fact.at_us if fact.clock.due_us is None else fact.clock.due_us)


def _target_s(clock: Clock) -> int:
    return clock.target_us // SECOND_US


def _elapsed_s(clock: Clock) -> int:
    return clock.elapsed_us // SECOND_US

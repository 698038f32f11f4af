"""From the facts of the clocks to the events of `sla.events`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from libs.events import Event, Priority
from libs.events import sla as e
from libs.worktime.instants import SECOND_US, to_datetime
from services.sla.domain.actions import Deed, Trigger, deed_of
from services.sla.domain.book import Terms
from services.sla.domain.clocks import breached
from services.sla.domain.metrics import ENDED
from services.sla.domain.state import Clock, Fact
from services.sla.domain.ticket import TicketClocks


def stream_of(ticket_id: str) -> str:
    """The stream of all clocks of a ticket."""
    return f"sla:{ticket_id}"


def event_of(ticket_id: str, fact: Fact, *, live: bool) -> Event:
    """The event that publishes this fact."""
    clock = fact.clock
    common = _common(ticket_id, fact, live=live)
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
            target_s = _target_s(clock)
            return e.ClockRetargeted(
                **common, at=at, target_s=target_s, due=due, reason=fact.reason
            )
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


def deeds_of(fact: Fact, ticket: TicketClocks, terms: Terms) -> Iterator[Deed]:
    """What the policy wants done because of this fact; nothing for imported history."""
    if not ticket.live or fact.kind not in {"warning", "breached"}:
        return
    ended = ticket.merged or ticket.status in ENDED
    trigger: Trigger = "breach" if fact.kind == "breached" else "warning"
    actions = terms.on_breach if trigger == "breach" else terms.on_warning
    for action in actions:
        if action.at is None or action.at == fact.fraction:
            deed = deed_of(action, trigger, fact.fraction, ticket.fields, ended=ended)
            if deed is not None:
                yield deed


def action_event(ticket_id: str, fact: Fact, deed: Deed, command_id: str | None) -> Event:
    """The event that tells of a deed."""
    return e.SlaActionTaken(
        **_common(ticket_id, fact, live=True),
        at=to_datetime(fact.at_us),
        action=deed.do,
        fraction=deed.fraction or None,
        whom=deed.whom,
        priority=None if deed.priority is None else Priority(deed.priority),
        tier=deed.tier,
        command_id=command_id,
    )


def _common(ticket_id: str, fact: Fact, *, live: bool) -> dict[str, Any]:
    clock = fact.clock
    return {
        "ticket_id": ticket_id,
        "metric": clock.metric,
        "policy": clock.policy,
        "policy_version": clock.policy_version,
        "calendar": clock.calendar,
        "calendar_version": clock.calendar_version,
        "live": live,
        "activation": clock.activation,
        "tzdata": clock.tzdata or None,
        "cause": f"{ticket_id}:{fact.cause}",
    }


def _due(fact: Fact) -> Any:
    return to_datetime(fact.at_us if fact.clock.due_us is None else fact.clock.due_us)


def _target_s(clock: Clock) -> int:
    return clock.target_us // SECOND_US


def _elapsed_s(clock: Clock) -> int:
    return clock.elapsed_us // SECOND_US

"""What routing hears of tickets: their own events, those of their clocks, and refusals.

A poll may bring several events of one ticket. The ticket is folded over all of them, and what
follows is decided once, from how it was before and how it is after them; no event in between is
overlooked for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from libs.events import EventEnvelope, sla, ticket
from libs.events.rejection import CommandRejected
from services.routing.domain import duty
from services.routing.domain import work as works_
from services.routing.domain.agent import Agent
from services.routing.domain.work import SETTLED, WORKING, Asked, Work
from services.routing.store.step import Back, Cause, Step

TRIGGERS: Final[dict[type, str]] = {
    ticket.TicketCreated: "ticket_created",
    ticket.Assigned: "ticket_in_group",
    ticket.Unassigned: "ticket_unassigned",
    ticket.StatusChanged: "status_changed",
    ticket.PriorityChanged: "priority_changed",
    ticket.CategoryChanged: "category_changed",
    ticket.TagsChanged: "tags_changed",
    ticket.CustomFieldChanged: "custom_field_changed",
    ticket.Escalated: "ticket_escalated",
    ticket.ImportedTicketActivated: "ticket_activated",
    sla.SlaWarning: "sla_warning",
    sla.SlaBreached: "sla_breached",
    CommandRejected: "assignment_refused",
}
"""What a decision record says about the event that made routing look at a ticket."""

Heard = Sequence[EventEnvelope]
"""The events of one ticket in one poll, in order; those that changed nothing left out."""


def hear(step: Step, envelopes: Heard, retry_at: Callable[[int], datetime]) -> None:
    """Take in these events. `retry_at`: until when a ticket stays out of the queue that intake has
    refused to assign, given how often in a row it had done so before."""
    step.load(_touched(envelopes))
    before = dict(step.works)
    works = dict(step.works)
    heard: dict[str, list[EventEnvelope]] = {}
    for envelope in envelopes:
        work = _fold(works, envelope, retry_at)
        if work is not None:
            works[work.id] = work
            heard.setdefault(work.id, []).append(envelope)
    for envelope in envelopes:
        if isinstance(envelope.event, sla.SlaActionTaken):
            step.telling.tell_of_clock(works.get(envelope.event.ticket_id), envelope)
    for ticket_id, events in heard.items():
        _put(step, before.get(ticket_id), works[ticket_id], events)


def _fold(
    works: dict[str, Work], envelope: EventEnvelope, retry_at: Callable[[int], datetime]
) -> Work | None:
    event = envelope.event
    if isinstance(event, CommandRejected):
        work = works.get(event.ticket_id)
        if work is None:
            return None
        again = work.taking_back
        ours = again is not None and again.command_id == event.command_id
        refusals = again.asks if again is not None and ours else work.refusals
        return works_.refuse(work, event.command_id, retry_at(refusals))
    if isinstance(event, sla.ClockEvent):
        return works_.evolve_clock(works.get(event.ticket_id), event)
    return works_.evolve(works.get(envelope.stream_id), envelope)


def _put(step: Step, before: Work | None, work: Work, heard: Heard) -> None:
    # A clock that merely starts with its ticket is not why the ticket is looked at.
    envelope = next((e for e in reversed(heard) if type(e.event) in TRIGGERS), heard[-1])
    cause = Cause(TRIGGERS.get(type(envelope.event), "ticket_changed"), envelope.id, envelope)
    if before is not None and _offer_is_over(step, before, work):
        step.end_offer(before, "withdrawn", cause)
        if work.reservation == before.reservation:
            work = works_.release(work)
    step.put(work)
    if not work.live:
        return
    for agent_id in _units(before) - _units(work):
        step.freed.setdefault(agent_id, Cause("agent_freed", envelope.id, envelope))
    if work.waiting:
        step.causes[work.id] = cause
    if work.holder is not None and work.sequence > 0:
        _look_at_holder(step, before, work, heard, cause)


def _offer_is_over(step: Step, before: Work, work: Work) -> bool:
    """True when the ticket was offered to somebody, and needs nobody any more, or somebody else."""
    asked = before.reservation
    if asked is None or asked.kind != "offer":
        return False
    if work.reservation != asked or not work.eligible:
        return True
    kind = step.floor.kind_of(work)
    return kind is not step.floor.kind_of(before) and not kind.fits(
        step.floor.columns.places[asked.agent]
    )


def ask_again(step: Step, work: Work, asked: Asked, cause: Cause, until: datetime) -> None:
    """Intake has not taken the ticket back, or not escalated it: the same request under a new id,
    if it still makes sense. `until`: when it should have answered."""
    if asked is work.escalating:
        if work.status in SETTLED or work.merged:
            step.put(works_.escalate(work, None))
        else:
            step.ask_tier(work, asked.reason, cause, until, asked.asks + 1)
        return
    agent = step.floor.columns.get(asked.agent or "")
    if agent is None or work.holder != agent.id or not _still(step, agent, work, asked.reason):
        step.put(works_.take_back(work, None))
    else:
        step.ask_back(work, agent.id, asked.reason, cause, until, asked.asks + 1)


def _still(step: Step, agent: Agent, work: Work, reason: str) -> bool:
    """Is this still a reason to take the ticket from its agent?"""
    if reason == "escalated":
        return not _in_tier(step, agent, work)
    if reason == "needs_changed":
        return not _could_serve(step, agent, work)
    if reason == "unavailable":
        return duty.off_duty(agent, step.now) is not None or _full(step, agent)
    return step.floor.overdue_away(agent, step.now) is not None


def _look_at_holder(
    step: Step, before: Work | None, work: Work, heard: Heard, cause: Cause
) -> None:
    """Is the one who holds the ticket there, and the right one for it?"""
    limit = step.floor.rules.rules.hand_over_limit
    if limit and work.hand_overs - work.limit_told >= limit:
        step.escalate_for_hand_overs(work, cause)
        work = step.works[work.id]
    agent = step.floor.columns.get(work.agent or "")
    if agent is None:
        return
    news = list(heard)
    reason: Back | None = None
    given = next((e for e in reversed(heard) if _gives_to(e, agent)), None)
    if given is not None:
        if given.actor != f"agent:{agent.id}":
            step.telling.tell("assigned", agent.id, given.id, work, at=given.time)
        news = news[news.index(given) + 1 :]
        # Asked for as it was then: the group that it was given in may put it in another queue.
        reason = _cannot_have(step, agent, works_.in_group(work, before), given)
    reason = (
        reason or step.floor.overdue_away(agent, step.now) or _cannot_keep(step, agent, work, news)
    )
    if reason is not None:
        step.take_back(work, reason, cause)


def _gives_to(envelope: EventEnvelope, agent: Agent) -> bool:
    event = envelope.event
    return isinstance(event, ticket.Assigned) and event.agent == agent.id


def _cannot_have(step: Step, agent: Agent, work: Work, given: EventEnvelope) -> Back | None:
    """Routing asked for this, and meanwhile the agent has gone, or the ticket was escalated, or
    needs something else. What a person assigns stays where it is, also when it needs something else
    later, unless the agent has left or is absent beyond the grace time."""
    if getattr(given.event, "decision_id", None) is None:
        return None
    if agent.retired or duty.away_since(agent, step.now) is not None:
        return "unavailable"
    if not _in_tier(step, agent, work):
        return "escalated" if work.tier > 1 else "needs_changed"
    return None if _could_serve(step, agent, work) else "needs_changed"


def _cannot_keep(step: Step, agent: Agent, work: Work, news: Heard) -> Back | None:
    """A ticket that was escalated since its agent got it, whatever its status was then, leaves one
    who does not work in the tier that it needs. A reopened one returns to the agent who solved it,
    if there, with room for it."""
    if work.escalated and not _in_tier(step, agent, work):
        return "escalated"
    if not any(_reopens(envelope) for envelope in news):
        return None
    gone = duty.off_duty(agent, step.now) is not None
    return "unavailable" if gone or _full(step, agent) else None


def _in_tier(step: Step, agent: Agent, work: Work) -> bool:
    """The tier may be that of the ticket or that of its queue, the higher of both."""
    return step.floor.kind_of(work).needs.tier in agent.tiers


def _could_serve(step: Step, agent: Agent, work: Work) -> bool:
    """Could the agent be given this ticket, were there room, and were it to wait for ever? By then
    the optional skills are dropped, and the overflow helps out."""
    kinds = step.floor.kinds
    kind = step.floor.kind_of(work)
    while (following := kinds.relaxed(kind)) is not None:
        kind = following
    kind = kinds.overflow(kind) or kind
    return kind.fits(step.floor.columns.places[agent.id])


def _full(step: Step, agent: Agent) -> bool:
    columns = step.floor.columns
    place = columns.places[agent.id]
    return bool(columns.load[place] > columns.capacity[place])


def _reopens(envelope: EventEnvelope) -> bool:
    event = envelope.event
    return (
        isinstance(event, ticket.StatusChanged)
        and event.previous in SETTLED
        and event.status in WORKING
    )


def _touched(envelopes: Heard) -> set[str]:
    ids: set[str] = set()
    for envelope in envelopes:
        event = envelope.event
        if isinstance(event, CommandRejected | sla.OfClock):
            ids.add(event.ticket_id)
        elif works_.concerns(event):
            ids.add(envelope.stream_id)
    return ids


def _units(work: Work | None) -> set[str]:
    """The agents of whose capacity this ticket uses some."""
    if work is None:
        return set()
    reserved = work.reservation.agent if work.reservation else None
    return {agent for agent in (work.holder, reserved) if agent is not None}

"""Who holds a ticket, and at which tier."""

from __future__ import annotations

from typing import Final

from libs.events import Event, Status, Ticket
from libs.events.commands import AssignTicket, EscalateTicket, UnassignTicket
from libs.events.ticket import Assigned, Escalated, Unassigned
from services.intake.domain.life import SETTLED, moved, refuse_closed, refuse_service_on_history
from services.intake.domain.model import Ask, Refused

HIGHEST_TIER: Final = 3


def assign(command: AssignTicket, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    """The command states the complete new holder: no group given means no group afterwards.

    The first assignment to a person opens a new ticket; imports state every status themselves.
    """
    if command.group is None and command.agent is None:
        raise Refused("no_holder", "Name a group, an agent, or both.")
    refuse_service_on_history(ticket, ask)
    if (command.group, command.agent) == (ticket.group, ticket.agent):
        return ()
    if ticket.status in SETTLED and not ask.by_import:
        raise Refused(
            "not_assignable",
            f"Ticket {ticket.number} is {ticket.status}. Reopen it before you assign it."
            if ticket.status is Status.SOLVED
            else f"Ticket {ticket.number} is closed and cannot be assigned any more.",
        )
    if command.if_unassigned and ticket.agent is not None:
        raise Refused(
            "already_assigned",
            f"Ticket {ticket.number} is held by {ticket.agent} already.",
            agent=ticket.agent,
        )
    assigned = Assigned(
        group=command.group,
        agent=command.agent,
        previous_group=ticket.group,
        previous_agent=ticket.agent,
        decision_id=command.decision_id,
    )
    if ticket.status is Status.NEW and command.agent is not None and not ask.by_import:
        return (assigned, moved(ticket, Status.OPEN, "assigned"))
    return (assigned,)


def unassign(command: UnassignTicket, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    refuse_service_on_history(ticket, ask)
    if ticket.group is None and ticket.agent is None:
        return ()
    refuse_closed(ticket, ask)
    return (
        Unassigned(
            previous_group=ticket.group,
            previous_agent=ticket.agent,
            reason=command.reason,
        ),
    )


def escalate(command: EscalateTicket, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    """To the named tier, or one up. A ticket that is there already, or higher, stays."""
    refuse_service_on_history(ticket, ask)
    if command.tier is not None and command.tier <= ticket.tier:
        return ()
    if ticket.status in SETTLED and not ask.by_import:
        raise Refused(
            "not_escalatable",
            f"Ticket {ticket.number} is {ticket.status}; only work in progress is escalated.",
        )
    if command.tier is None and ticket.tier >= HIGHEST_TIER:
        raise Refused("highest_tier", f"Ticket {ticket.number} is at the highest tier already.")
    return (
        Escalated(
            tier=command.tier or ticket.tier + 1,
            previous_tier=ticket.tier,
            cause=command.cause,
            reason=command.reason,
        ),
    )

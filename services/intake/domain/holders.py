"""Who holds a ticket, and at which tier."""

from __future__ import annotations

from typing import Final

from libs.events import Event, Status, Ticket
from libs.events.commands import AssignTicket, EscalateTicket, UnassignTicket
from libs.events.ticket import Assigned, Escalated, Unassigned
from services.intake.domain.life import SETTLED, moved, refuse_closed, refuse_service_on_history
from services.intake.domain.model import Ask, Refused
from services.intake.domain.requirements import exempt, missing_for_group, missing_for_tier

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
    if command.if_group is not None and command.if_group != (ticket.group or ""):
        raise Refused(
            "group_changed",
            f"Ticket {ticket.number} is held by {_group_name(ticket)} now. Decide anew.",
            group=ticket.group,
        )
    _refuse_uninformed_move(ticket, command.group, ask)
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
    if command.if_agent is not None and command.if_agent != ticket.agent:
        raise Refused(
            "not_held_by",
            f"Ticket {ticket.number} is held by {ticket.agent or 'no agent'}, "
            f"not by {command.if_agent}.",
            agent=ticket.agent,
        )
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
    tier = command.tier or ticket.tier + 1
    _refuse_uninformed_escalation(ticket, tier, ask)
    return (
        Escalated(
            tier=tier,
            previous_tier=ticket.tier,
            cause=command.cause,
            reason=command.reason,
        ),
    )


# ------------------------------------------------------------------ information at hand-over


def _refuse_uninformed_escalation(ticket: Ticket, tier: int, ask: Ask) -> None:
    """Raises Refused when a person escalates a ticket that lacks what the next tier needs."""
    if not exempt(ask.envelope.actor):
        _refuse(missing_for_tier(ask.context.requirements, ticket, tier), ticket, ask)


def _refuse_uninformed_move(ticket: Ticket, group: str | None, ask: Ask) -> None:
    """Raises Refused when a person takes a ticket out of the group that holds it while it lacks
    what the next holder needs. A group that gets a ticket from nobody is not handed it over."""
    if ticket.group is not None and group != ticket.group and not exempt(ask.envelope.actor):
        _refuse(missing_for_group(ask.context.requirements, ticket, group), ticket, ask)


def _refuse(missing: tuple[str, ...], ticket: Ticket, ask: Ask) -> None:
    if missing:
        raise Refused(
            "missing_information",
            f"Ticket {ticket.number} cannot be handed over yet. "
            f"Fill in first: {', '.join(missing)}.",
            missing=list(missing),
            requirements_version=ask.context.requirements.version,
        )


def _group_name(ticket: Ticket) -> str:
    return "no group" if ticket.group is None else f"group {ticket.group}"

"""A ticket's status through its life: messages, changes by hand, closing, merging, activation.

By hand a ticket goes between open, pending, on_hold and solved as people like; `new` is left once,
and `closed` is reached by time only and never left.
"""

from __future__ import annotations

from typing import Final

from libs.events import Event, Status, Ticket, format_time
from libs.events.commands import (
    ActivateImportedTicket,
    AddMessage,
    ChangeStatus,
    CloseSolvedTicket,
    MergeTicket,
    RateSatisfaction,
)
from libs.events.ticket import (
    ImportedTicketActivated,
    MessageAdded,
    SatisfactionRated,
    StatusChanged,
    TicketMerged,
)
from services.intake.domain.model import SYSTEM, Ask, Refused

BY_HAND: Final[dict[Status, frozenset[Status]]] = {
    Status.NEW: frozenset({Status.OPEN, Status.PENDING, Status.ON_HOLD, Status.SOLVED}),
    Status.OPEN: frozenset({Status.PENDING, Status.ON_HOLD, Status.SOLVED}),
    Status.PENDING: frozenset({Status.OPEN, Status.ON_HOLD, Status.SOLVED}),
    Status.ON_HOLD: frozenset({Status.OPEN, Status.PENDING, Status.SOLVED}),
    Status.SOLVED: frozenset({Status.OPEN, Status.PENDING, Status.ON_HOLD}),
    Status.CLOSED: frozenset(),
}
"""From each status, where a person may take a live ticket."""

SETTLED: Final = frozenset({Status.SOLVED, Status.CLOSED})


def moved(ticket: Ticket, to: Status, reason: str | None) -> StatusChanged:
    """The event of a move to another status, without a sub-status."""
    return StatusChanged(
        status=to,
        previous=ticket.status,
        previous_substatus=ticket.substatus,
        reason=reason,
    )


def refuse_closed(ticket: Ticket, ask: Ask) -> None:
    """Raises Refused when the ticket is closed, unless an import records it."""
    if ticket.status is Status.CLOSED and not ask.by_import:
        raise Refused(
            "ticket_closed",
            f"Ticket {ticket.number} is closed and never changes again. Open a follow-up instead.",
        )


# ------------------------------------------------------------------------------------- messages


def add_message(command: AddMessage, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    from_requester = command.author == "requester"
    if from_requester:
        _check_requester_message(command, ticket, ask)
    else:
        refuse_closed(ticket, ask)
    message = MessageAdded(
        message_id=ask.envelope.command_id,
        author=command.author,
        author_id=command.author_id,
        visibility=command.visibility,
        body=command.body,
        channel=command.channel or ticket.channel,
    )
    if ask.by_import or command.visibility == "internal":
        return (message,)
    events: list[Event] = [message]
    if from_requester:
        if not ticket.live:
            # Somebody waits for an answer now: that is live work, whatever the history is.
            events.insert(0, ImportedTicketActivated(reason="the requester replied"))
        if ticket.status in _reopened_by_reply(ask):
            events.append(moved(ticket, Status.OPEN, "the requester replied"))
    elif command.author == "agent" and ticket.status is Status.NEW:
        events.append(moved(ticket, Status.OPEN, "first reply"))
    return tuple(events)


def _reopened_by_reply(ask: Ask) -> frozenset[Status]:
    waiting = frozenset({Status.PENDING, Status.SOLVED})
    if ask.context.settings.reopen_on_hold_on_reply:
        return waiting | {Status.ON_HOLD}
    return waiting


def _check_requester_message(command: AddMessage, ticket: Ticket, ask: Ask) -> None:
    if command.visibility == "internal":
        raise Refused(
            "internal_by_requester",
            "Internal notes are the desk's own. A requester's message is public.",
        )
    if ask.by_import:
        return
    if ticket.requester is not None and command.author_id != ticket.requester.id:
        raise Refused(
            "not_on_ticket",
            f"{command.author_id!r} is not the requester of ticket {ticket.number}. "
            "Open a new ticket for them.",
        )
    if ticket.status is Status.CLOSED:
        raise Refused(
            "closed_needs_follow_up",
            f"Ticket {ticket.number} is closed. The message belongs in a follow-up ticket.",
            follow_up_of=ticket.id,
        )


# --------------------------------------------------------------------------------------- status


def change_status(command: ChangeStatus, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    if (command.status, command.substatus) == (ticket.status, ticket.substatus):
        return ()
    if not ask.by_import:
        _check_transition(ticket, command.status, ask)
    return (
        StatusChanged(
            status=command.status,
            previous=ticket.status,
            substatus=command.substatus,
            previous_substatus=ticket.substatus,
            reason=command.reason,
        ),
    )


def _check_transition(ticket: Ticket, to: Status, ask: Ask) -> None:
    refuse_closed(ticket, ask)
    if to is ticket.status:
        return  # another sub-status of the same status
    allowed = BY_HAND[ticket.status]
    if ask.by_requester:
        allowed &= {Status.SOLVED} if ticket.status is not Status.SOLVED else {Status.OPEN}
    if to in allowed:
        return
    names = ", ".join(sorted(allowed))
    if to is Status.CLOSED:
        why = "A ticket is closed by the system only, some days after it was solved."
    elif to is Status.NEW:
        why = "A ticket is new only once."
    else:
        why = f"Ticket {ticket.number} cannot go from {ticket.status} to {to} by this actor."
    raise Refused(
        "forbidden_transition",
        f"{why} From {ticket.status} it may go to: {names}.",
        current_status=str(ticket.status),
        allowed=sorted(str(status) for status in allowed),
    )


def close_solved(_: CloseSolvedTicket, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    if ask.envelope.actor != SYSTEM:
        raise Refused(
            "system_only", "Tickets are closed by the system only, never by hand.", status=403
        )
    if ticket.status is Status.CLOSED:
        return ()
    if not ticket.live:
        raise _not_live(ticket)
    if ticket.status is not Status.SOLVED or ticket.solved_at is None:
        raise Refused("not_solved", f"Ticket {ticket.number} is {ticket.status}, not solved.")
    due = ticket.solved_at + ask.context.settings.close_after
    if ask.context.now < due:
        raise Refused(
            "not_due",
            f"Ticket {ticket.number} is to be closed at {format_time(due)}, not earlier.",
            due=format_time(due),
        )
    return (moved(ticket, Status.CLOSED, "solved long enough"),)


def rate(command: RateSatisfaction, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    requester = ticket.requester.id if ticket.requester is not None else ""
    if not ask.by_import and (not ask.by_requester or ask.name != requester):
        raise Refused(
            "only_requester", "Only the requester of a ticket can rate its resolution.", status=403
        )
    if ticket.status not in SETTLED:
        raise Refused(
            "not_solved", f"Ticket {ticket.number} is {ticket.status}; rate it once it is solved."
        )
    return (
        SatisfactionRated(
            rating=command.rating,
            comment=command.comment,
            requester_id=requester,
            solved_at=ticket.solved_at,
        ),
    )


# ------------------------------------------------------------------------------ merge, activate


def merge(command: MergeTicket, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    """A merged ticket is solved, so that nobody works on it or waits for it any more."""
    if command.into == ticket.id:
        raise Refused("merge_into_itself", "A ticket cannot be merged into itself.")
    refuse_closed(ticket, ask)
    merged = TicketMerged(into=command.into)
    if ask.by_import or ticket.status in SETTLED:
        return (merged,)
    return (merged, moved(ticket, Status.SOLVED, "merged into another ticket"))


def activate(command: ActivateImportedTicket, ticket: Ticket) -> tuple[Event, ...]:
    if ticket.live:
        return ()
    if ticket.status is Status.CLOSED:
        raise Refused(
            "ticket_closed", f"Ticket {ticket.number} is closed: there is nothing left to work on."
        )
    return (ImportedTicketActivated(reason=command.reason),)


def _not_live(ticket: Ticket) -> Refused:
    return Refused(
        "not_live",
        f"Ticket {ticket.number} is imported history. Hand it to the live desk first "
        f"(POST /v1/tickets/{ticket.id}/activation).",
    )


def refuse_service_on_history(ticket: Ticket, ask: Ask) -> None:
    """Raises Refused when a service wants to work on imported history."""
    if ask.by_service and not ticket.live:
        raise _not_live(ticket)

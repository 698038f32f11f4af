"""`decide(command, state, context) -> events`: all rules of a ticket's life, pure.

An empty answer means "already so". A refusal is a `Refused` with a stable code.
"""

from __future__ import annotations

from typing import Final, assert_never, cast

from libs.events import CommandEnvelope, Event, Ticket
from libs.events import commands as c
from services.intake.domain import creation, details, holders, life
from services.intake.domain.model import Ask, DecisionContext, Refused, ask_of

OF_REQUESTERS: Final = (c.CreateTicket, c.AddMessage, c.ChangeStatus, c.RateSatisfaction)
"""The commands that a requester may send, on their own tickets."""


def decide(
    envelope: CommandEnvelope, ticket: Ticket | None, context: DecisionContext
) -> tuple[Event, ...]:
    """The events that `envelope` leads to on `ticket` (None: there is no such ticket yet).

    Raises Refused; its codes are listed in the service's README.
    """
    ask = ask_of(envelope, context)
    command = cast("c.TicketCommand", envelope.command)
    if envelope.time is not None and not ask.by_import:
        raise Refused(
            "import_only_field",
            "Only an import may say when something happened; leave the time out.",
            fields=["time"],
        )
    if isinstance(command, c.CreateTicket):
        return creation.create(command, ticket, ask)
    if ticket is None:
        raise Refused(
            "unknown_ticket", f"There is no ticket with the id {envelope.ticket_id}.", status=404
        )
    _refuse_stale(ticket, ask)
    if ask.by_import:
        _refuse_foreign_history(command, ticket, ask)
    if ask.by_requester:
        _refuse_strangers(command, ticket, ask)
    if ticket.merged_into is not None:
        return _on_merged(command, ticket, ask)
    return _dispatch(command, ticket, ask)


def _dispatch(command: c.TicketCommand, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:  # noqa: C901, PLR0912 - one branch per command
    match command:
        case c.CreateTicket():
            return creation.create(command, ticket, ask)
        case c.ChangeStatus():
            return life.change_status(command, ticket, ask)
        case c.AssignTicket():
            return holders.assign(command, ticket, ask)
        case c.AddMessage():
            return life.add_message(command, ticket, ask)
        case c.ChangeCustomField():
            return details.change_custom_field(command, ticket, ask)
        case c.ChangePriority():
            return details.change_priority(command, ticket, ask)
        case c.ChangeCategory():
            return details.change_category(command, ticket, ask)
        case c.ChangeTags():
            return details.change_tags(command, ticket, ask)
        case c.UnassignTicket():
            return holders.unassign(command, ticket, ask)
        case c.EscalateTicket():
            return holders.escalate(command, ticket, ask)
        case c.MergeTicket():
            return life.merge(command, ticket, ask)
        case c.LinkTicket():
            return details.link(command, ticket, ask)
        case c.RateSatisfaction():
            return life.rate(command, ticket, ask)
        case c.CloseSolvedTicket():
            return life.close_solved(command, ticket, ask)
        case c.ActivateImportedTicket():
            return life.activate(command, ticket)
        case _ as never:
            assert_never(never)


def _refuse_stale(ticket: Ticket, ask: Ask) -> None:
    expected = ask.envelope.expected_sequence
    if expected is not None and expected != ticket.sequence:
        raise Refused(
            "stale_version",
            f"Ticket {ticket.number} is at version {ticket.sequence}, not {expected}. "
            "Read it again and decide anew.",
            status=412,
            current_sequence=ticket.sequence,
        )


def _refuse_foreign_history(command: c.TicketCommand, ticket: Ticket, ask: Ask) -> None:
    """An import writes the history of its own tickets, until they are handed to the desk."""
    if ticket.imported_from != ask.name:
        raise Refused(
            "not_its_import", f"Ticket {ticket.number} was not imported from {ask.name!r}."
        )
    if ticket.live and not isinstance(command, c.ActivateImportedTicket):
        raise Refused(
            "already_live",
            f"Ticket {ticket.number} was handed to the live desk. Its history is closed to imports.",
        )


def _refuse_strangers(command: c.TicketCommand, ticket: Ticket, ask: Ask) -> None:
    """A requester acts on their own tickets, as themselves, and with a requester's commands."""
    if ticket.requester is None or ticket.requester.id != ask.name:
        raise Refused(
            "not_on_ticket", f"{ask.name!r} is not the requester of this ticket.", status=403
        )
    own = isinstance(command, OF_REQUESTERS)
    if isinstance(command, c.AddMessage):
        own = command.author == "requester" and command.author_id == ask.name
    if not own:
        raise Refused(
            "not_permitted",
            "A requester may write, solve or reopen their ticket, and rate it; nothing else.",
            status=403,
        )


def _on_merged(command: c.TicketCommand, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    """A merged ticket only waits to be closed; its conversation goes on elsewhere."""
    if isinstance(command, c.CloseSolvedTicket):
        return life.close_solved(command, ticket, ask)
    if isinstance(command, c.MergeTicket) and command.into == ticket.merged_into:
        return ()
    raise Refused(
        "ticket_merged",
        f"Ticket {ticket.number} was merged. Go on in ticket {ticket.merged_into}.",
        merged_into=ticket.merged_into,
    )

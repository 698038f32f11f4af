"""How a ticket comes to be: a request, an import, or a follow-up of a closed ticket."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

from libs.events import CommandEnvelope, Event, Status, Ticket
from libs.events.commands import AddMessage, CreateTicket, LinkTicket
from libs.events.ticket import Requester, TicketCreated
from services.intake.domain.model import Ask, Refused

IMPORT_ONLY: Final = ("status", "substatus", "group", "agent", "imported_from", "external_ref")
FOLLOW_UPS: Final = UUID("6f0c1a52-4b1d-5f43-9a55-0d6f2f6c9e11")


def create(command: CreateTicket, ticket: Ticket | None, ask: Ask) -> tuple[Event, ...]:
    if ticket is not None:
        raise Refused(
            "ticket_exists",
            f"Ticket {ticket.id} exists already. Use another id, or repeat the first request "
            "under its own command id to get its answer again.",
            number=ticket.number,
        )
    if not ask.by_import:
        _only_imports(command)
    if ask.by_requester and command.requester.id != ask.name:
        raise Refused(
            "not_permitted", "A requester opens tickets in their own name only.", status=403
        )
    origin = ask.name if ask.by_import else None
    if command.imported_from is not None and command.imported_from != origin:
        raise Refused(
            "import_only_field",
            f"imported_from is {command.imported_from!r}, but the actor is {ask.envelope.actor!r}. "
            "Both must name the same system.",
        )
    return (
        TicketCreated(
            number=ask.context.next_number,
            subject=command.subject,
            description=command.description,
            requester=command.requester,
            channel=command.channel,
            language=command.language,
            status=command.status or Status.NEW,
            substatus=command.substatus,
            priority=command.priority,
            category=command.category,
            subcategory=command.subcategory,
            tags=tuple(dict.fromkeys(command.tags)),
            custom_fields=command.custom_fields,
            group=command.group,
            agent=command.agent,
            follow_up_of=command.follow_up_of,
            imported_from=origin,
            external_ref=command.external_ref,
        ),
    )


def _only_imports(command: CreateTicket) -> None:
    given = [name for name in IMPORT_ONLY if getattr(command, name) is not None]
    if given:
        raise Refused(
            "import_only_field",
            f"Only an import may set {', '.join(given)} at creation. "
            "Create the ticket first, then assign it or change its status.",
            fields=given,
        )


def follow_up(envelope: CommandEnvelope, closed: Ticket) -> tuple[CommandEnvelope, CommandEnvelope]:
    """What to ask for instead, when a requester's message was refused with
    `closed_needs_follow_up`: a new ticket that follows the closed one, and the link on the closed
    one. Their ids derive from the refused command, so that it leads to one follow-up only, however
    often it comes. Both are to be decided together.

    Raises TypeError when the command is not an AddMessage.
    """
    message = envelope.command
    if not isinstance(message, AddMessage):
        raise TypeError(f"only a message leads to a follow-up, not {envelope.type}")
    new_id = str(uuid5(FOLLOW_UPS, f"ticket:{envelope.command_id}"))
    creation = CreateTicket(
        subject=closed.subject or f"Follow-up of ticket {closed.number}",
        description=message.body,
        requester=closed.requester or Requester(id=message.author_id),
        channel=message.channel or closed.channel,
        language=closed.language,
        priority=closed.priority,
        category=closed.category,
        subcategory=closed.subcategory,
        tags=tuple(sorted(closed.tags)),
        custom_fields=dict(closed.custom_fields),
        follow_up_of=closed.id,
    )
    correlation = envelope.correlation_id or envelope.command_id
    opened = CommandEnvelope(
        command_id=str(uuid5(FOLLOW_UPS, f"create:{envelope.command_id}")),
        ticket_id=new_id,
        command=creation,
        actor=envelope.actor,
        correlation_id=correlation,
        causation_id=envelope.command_id,
        traceparent=envelope.traceparent,
        source=envelope.source,
    )
    linked = CommandEnvelope(
        command_id=str(uuid5(FOLLOW_UPS, f"link:{envelope.command_id}")),
        ticket_id=closed.id,
        command=LinkTicket(kind="followed_up_by", other=new_id),
        actor="system",
        correlation_id=correlation,
        causation_id=envelope.command_id,
        traceparent=envelope.traceparent,
        source=envelope.source,
    )
    return opened, linked

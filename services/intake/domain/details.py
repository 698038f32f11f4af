"""What a ticket says about itself: priority, category, tags, custom fields, links."""

from __future__ import annotations

from typing import Final

from libs.events import Event, Priority, Status, Ticket
from libs.events.commands import (
    ChangeCategory,
    ChangeCustomField,
    ChangePriority,
    ChangeTags,
    LinkTicket,
    MergeTicket,
)
from libs.events.ticket import (
    CategoryChanged,
    CustomFieldChanged,
    PriorityChanged,
    TagsChanged,
    TicketLinked,
)
from services.intake.domain.life import refuse_closed
from services.intake.domain.model import Ask, Refused

RANKS: Final = tuple(Priority)
"""From the lowest to the highest."""


def change_priority(command: ChangePriority, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    if command.priority is ticket.priority:
        return ()
    if command.raise_only and RANKS.index(command.priority) < RANKS.index(ticket.priority):
        return ()
    refuse_closed(ticket, ask)
    return (PriorityChanged(priority=command.priority, previous=ticket.priority),)


def change_category(command: ChangeCategory, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    """Both are stated together: no subcategory given means none afterwards."""
    if (command.category, command.subcategory) == (ticket.category, ticket.subcategory):
        return ()
    refuse_closed(ticket, ask)
    return (
        CategoryChanged(
            category=command.category,
            subcategory=command.subcategory,
            previous_category=ticket.category,
            previous_subcategory=ticket.subcategory,
        ),
    )


def change_tags(command: ChangeTags, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    """A tag that is both added and removed is there afterwards."""
    wanted = dict.fromkeys(command.add)
    added = tuple(tag for tag in wanted if tag not in ticket.tags)
    removed = tuple(
        tag for tag in dict.fromkeys(command.remove) if tag in ticket.tags and tag not in wanted
    )
    if not added and not removed:
        return ()
    refuse_closed(ticket, ask)
    limit = ask.context.settings.tags_max
    if added and len(ticket.tags) + len(added) - len(removed) > limit:
        raise Refused("too_many_tags", f"A ticket has at most {limit} tags. Remove some first.")
    return (TagsChanged(added=added, removed=removed),)


def change_custom_field(command: ChangeCustomField, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    previous = ticket.custom_fields.get(command.field)
    if command.value == previous:
        return ()
    refuse_closed(ticket, ask)
    limit = ask.context.settings.custom_fields_max
    if previous is None and len(ticket.custom_fields) >= limit:
        raise Refused(
            "too_many_custom_fields",
            f"A ticket has at most {limit} custom fields. Empty one first.",
        )
    return (CustomFieldChanged(field=command.field, value=command.value, previous=previous),)


def link(command: LinkTicket, ticket: Ticket, ask: Ask) -> tuple[Event, ...]:
    """Allowed on closed tickets: a link says something about the other ticket too."""
    if command.other == ticket.id and not ask.by_import:
        raise Refused("link_to_itself", "A ticket cannot be linked to itself.")
    if (command.kind, command.other) in ticket.links:
        return ()
    return (TicketLinked(kind=command.kind, other=command.other),)


def refuse_other(command: MergeTicket | LinkTicket, other: Ticket | None) -> None:
    """Raises Refused when the ticket that a merge or a link names cannot be the other one.

    A `followed_up_by` link is exempt: its ticket is created in the same transaction.
    """
    if isinstance(command, LinkTicket) and command.kind == "followed_up_by":
        return
    if other is None:
        raise Refused("unknown_other_ticket", "There is no ticket with the other id.", status=404)
    if isinstance(command, LinkTicket):
        return
    if other.merged_into is not None:
        raise Refused(
            "other_ticket_merged",
            f"Ticket {other.number} was itself merged. Merge into {other.merged_into} instead.",
            merged_into=other.merged_into,
        )
    if other.status is Status.CLOSED:
        raise Refused(
            "other_ticket_closed", f"Ticket {other.number} is closed: nothing goes on there."
        )

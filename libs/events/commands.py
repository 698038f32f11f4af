"""Commands on tickets: requests that intake accepts with events or refuses with a rejection.

They arrive over HTTP or on the topic `tickets.commands`. Who asks, when, and the id by which a
command is recognized when it comes twice are not in the command but around it (`CommandEnvelope`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from libs.events.base import (
    Channel,
    Command,
    Line,
    PersonalData,
    Priority,
    Status,
    Text,
    Word,
)
from libs.events.registry import COMMANDS
from libs.events.ticket import AuthorKind, EscalationCause, LinkKind, Requester, Visibility

WordOrNone = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]
"""A `Word`, or empty: nothing of the kind."""


def _known_fields_only(value: Any) -> Any:
    """A command refuses unknown fields in its parts too; the same parts in an event ignore them."""
    if isinstance(value, dict):
        unknown = sorted(str(name)[:100] for name in value.keys() - Requester.model_fields.keys())
        if unknown:
            raise ValueError(f"unknown fields: {', '.join(unknown[:10])}")
    return value


@COMMANDS.register("bitacora.CreateTicket.v1")
class CreateTicket(Command):
    """`status`, `substatus`, `group`, `agent`, `imported_from` and `external_ref` are for imports
    only (actor `import:…`); anybody else who sets one is refused."""

    subject: Annotated[Line, PersonalData("requester.id")] = Field(min_length=1, pattern=r"\S")
    description: Annotated[Text, PersonalData("requester.id")] = ""
    requester: Annotated[Requester, BeforeValidator(_known_fields_only)]
    channel: Channel = Channel.API
    language: Word | None = None
    priority: Priority = Priority.MEDIUM
    category: Word | None = None
    subcategory: Word | None = None
    tags: tuple[Word, ...] = Field((), max_length=100)
    custom_fields: dict[Word, Text] = Field(default_factory=dict, max_length=200)
    follow_up_of: Word | None = None
    status: Status | None = None
    substatus: Word | None = None
    group: Word | None = None
    agent: Word | None = None
    imported_from: Word | None = None
    external_ref: Word | None = None


@COMMANDS.register("bitacora.AddMessage.v1")
class AddMessage(Command):
    author: AuthorKind
    author_id: Word
    visibility: Visibility = "public"
    body: Annotated[Text, PersonalData("author_id")] = Field(min_length=1)
    channel: Channel | None = None


@COMMANDS.register("bitacora.AssignTicket.v1")
class AssignTicket(Command):
    """The new holder. At least one of group and agent.

    `if_unassigned` and `if_group` make it a request that a router can send safely: it is refused with
    `already_assigned` when an agent holds the ticket by the time it is decided, and with
    `group_changed` when the group that holds it is not `if_group` (empty: no group) any more.
    """

    group: Word | None = None
    agent: Word | None = None
    if_unassigned: bool = False
    decision_id: Word | None = None
    if_group: WordOrNone | None = None


@COMMANDS.register("bitacora.UnassignTicket.v1")
class UnassignTicket(Command):
    """Nobody holds the ticket afterwards. With `if_agent` it is refused with `not_held_by` unless
    that agent holds the ticket by the time it is decided: so a ticket is taken back from the one
    who was meant, and from nobody who got it meanwhile."""

    reason: Line | None = None
    if_agent: Word | None = None


@COMMANDS.register("bitacora.ChangeStatus.v1")
class ChangeStatus(Command):
    status: Status
    substatus: Word | None = None
    reason: Line | None = None


@COMMANDS.register("bitacora.ChangePriority.v1")
class ChangePriority(Command):
    """With `raise_only` a ticket that has this priority or a higher one stays as it is."""

    priority: Priority
    raise_only: bool = False


@COMMANDS.register("bitacora.ChangeCategory.v1")
class ChangeCategory(Command):
    category: Word | None = None
    subcategory: Word | None = None


@COMMANDS.register("bitacora.ChangeTags.v1")
class ChangeTags(Command):
    add: tuple[Word, ...] = Field((), max_length=100)
    remove: tuple[Word, ...] = Field((), max_length=100)


@COMMANDS.register("bitacora.ChangeCustomField.v1")
class ChangeCustomField(Command):
    field: Word
    value: Text | None = None


@COMMANDS.register("bitacora.EscalateTicket.v1")
class EscalateTicket(Command):
    """To `tier`, or one tier up when it is not given. Already there: nothing happens."""

    tier: int | None = Field(None, ge=2, le=3)
    cause: EscalationCause = "manual"
    reason: Line | None = None


@COMMANDS.register("bitacora.MergeTicket.v1")
class MergeTicket(Command):
    into: Word


@COMMANDS.register("bitacora.LinkTicket.v1")
class LinkTicket(Command):
    kind: LinkKind
    other: Word


@COMMANDS.register("bitacora.RateSatisfaction.v1")
class RateSatisfaction(Command):
    rating: Literal["good", "bad"]
    comment: Text | None = None


@COMMANDS.register("bitacora.CloseSolvedTicket.v1")
class CloseSolvedTicket(Command):
    """Sent by the system when a solved ticket has stayed solved long enough."""


@COMMANDS.register("bitacora.ActivateImportedTicket.v1")
class ActivateImportedTicket(Command):
    reason: Line | None = None


TicketCommand = (
    CreateTicket
    | AddMessage
    | AssignTicket
    | UnassignTicket
    | ChangeStatus
    | ChangePriority
    | ChangeCategory
    | ChangeTags
    | ChangeCustomField
    | EscalateTicket
    | MergeTicket
    | LinkTicket
    | RateSatisfaction
    | CloseSolvedTicket
    | ActivateImportedTicket
)

"""The events of a ticket's stream, version 1. Intake is their only writer.

Each is past tense and specific; none is a generic "Updated". Fields that hold personal data carry
the `PersonalData` mark. An event that changes a value also says what the value was before, so that a
consumer who keeps no state can still tell a reopening from a first opening.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from libs.events.base import (
    Channel,
    Count,
    Event,
    Instant,
    Line,
    PersonalData,
    Priority,
    Status,
    Text,
    Tier,
    Value,
    Word,
)
from libs.events.registry import EVENTS

AuthorKind = Literal["requester", "agent", "system"]
Visibility = Literal["public", "internal"]
EscalationCause = Literal["manual", "rule", "sla", "hand_over_limit"]
LinkKind = Literal["follow_up_of", "followed_up_by", "incident_of", "problem_of", "related"]


class Requester(Value):
    """The person who asks for help. `id` is stable and is not personal data by itself."""

    id: Word
    name: Annotated[Line | None, PersonalData("id")] = None
    email: Annotated[Line | None, PersonalData("id")] = None
    phone: Annotated[Line | None, PersonalData("id")] = None
    organization: Word | None = None


@EVENTS.register("bitacora.TicketCreated.v1")
class TicketCreated(Event):
    """A support request became a ticket. Always the first event of its stream.

    `group` and `agent` are set only by imports, whose first record may already name a holder.
    """

    number: Count = Field(ge=1, description="The number people quote; unique, never reused.")
    subject: Annotated[Line, PersonalData("requester.id")]
    description: Annotated[Text, PersonalData("requester.id")] = ""
    requester: Requester
    channel: Channel
    language: Word | None = Field(None, description="BCP 47 tag, for example es, ru, en.")
    status: Status = Status.NEW
    substatus: Word | None = None
    priority: Priority = Priority.MEDIUM
    category: Word | None = None
    subcategory: Word | None = None
    tags: tuple[Word, ...] = ()
    custom_fields: dict[Word, Text] = Field(default_factory=dict)
    group: Word | None = None
    agent: Word | None = None
    follow_up_of: Word | None = Field(None, description="Id of the closed ticket this one follows.")
    imported_from: Word | None = Field(None, description="Name of the system a history came from.")
    external_ref: Word | None = Field(None, description="The ticket's name in that system.")


@EVENTS.register("bitacora.MessageAdded.v1")
class MessageAdded(Event):
    """Somebody wrote. Internal messages (notes) never reach the requester."""

    message_id: Word
    author: AuthorKind
    author_id: Word
    visibility: Visibility = "public"
    body: Annotated[Text, PersonalData("author_id")]
    channel: Channel


@EVENTS.register("bitacora.Assigned.v1")
class Assigned(Event):
    """The ticket has a new holder: a group, a person, or a person in a group (at least one)."""

    group: Word | None = None
    agent: Word | None = None
    previous_group: Word | None = None
    previous_agent: Word | None = None
    decision_id: Word | None = Field(None, description="The routing decision behind it, if any.")


@EVENTS.register("bitacora.Unassigned.v1")
class Unassigned(Event):
    """Nobody holds the ticket any more, neither a group nor a person."""

    previous_group: Word | None = None
    previous_agent: Word | None = None
    reason: Line | None = None


@EVENTS.register("bitacora.StatusChanged.v1")
class StatusChanged(Event):
    status: Status
    previous: Status
    substatus: Word | None = None
    previous_substatus: Word | None = None
    reason: Line | None = None


@EVENTS.register("bitacora.PriorityChanged.v1")
class PriorityChanged(Event):
    priority: Priority
    previous: Priority


@EVENTS.register("bitacora.CategoryChanged.v1")
class CategoryChanged(Event):
    category: Word | None = None
    subcategory: Word | None = None
    previous_category: Word | None = None
    previous_subcategory: Word | None = None


@EVENTS.register("bitacora.TagsChanged.v1")
class TagsChanged(Event):
    added: tuple[Word, ...] = ()
    removed: tuple[Word, ...] = ()


@EVENTS.register("bitacora.CustomFieldChanged.v1")
class CustomFieldChanged(Event):
    """`value` None means that the field was emptied."""

    field: Word
    value: Text | None = None
    previous: Text | None = None


@EVENTS.register("bitacora.Escalated.v1")
class Escalated(Event):
    """The ticket moved to a higher tier (1 first answer, 2 specialists, 3 experts)."""

    tier: Tier
    previous_tier: Tier
    cause: EscalationCause
    reason: Line | None = None


@EVENTS.register("bitacora.TicketMerged.v1")
class TicketMerged(Event):
    """This ticket's conversation goes on in another one."""

    into: Word


@EVENTS.register("bitacora.TicketLinked.v1")
class TicketLinked(Event):
    kind: LinkKind
    other: Word = Field(description="Id of the other ticket.")


@EVENTS.register("bitacora.SatisfactionRated.v1")
class SatisfactionRated(Event):
    rating: Literal["good", "bad"]
    comment: Annotated[Text | None, PersonalData("requester_id")] = None
    requester_id: Word
    solved_at: Instant | None = Field(None, description="The resolution that is rated.")


@EVENTS.register("bitacora.ImportedTicketActivated.v1")
class ImportedTicketActivated(Event):
    """An imported ticket was handed to the live desk: from here on it is routed and timed."""

    reason: Line | None = None


TicketEvent = (
    TicketCreated
    | MessageAdded
    | Assigned
    | Unassigned
    | StatusChanged
    | PriorityChanged
    | CategoryChanged
    | TagsChanged
    | CustomFieldChanged
    | Escalated
    | TicketMerged
    | TicketLinked
    | SatisfactionRated
    | ImportedTicketActivated
)

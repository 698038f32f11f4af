"""What the HTTP API takes: bodies that offer what a person may set, and refuse anything else."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from libs.events.base import Channel, Instant, Line, Priority, Text, Word
from libs.events.commands import CreateTicket
from libs.events.ticket import Requester


class Body(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RequesterBody(Body):
    id: Word
    name: Line | None = None
    email: Line | None = None
    phone: Line | None = None
    organization: Word | None = None


class NewTicket(Body):
    """A support request. Only `subject` and `requester.id` are needed."""

    subject: Line = Field(min_length=1, pattern=r"\S")
    description: Text = ""
    requester: RequesterBody
    channel: Channel = Channel.API
    language: Word | None = Field(None, description="BCP 47 tag, for example es, ru, en")
    priority: Priority = Priority.MEDIUM
    category: Word | None = None
    subcategory: Word | None = None
    tags: tuple[Word, ...] = Field((), max_length=100)
    custom_fields: dict[Word, Text] = Field(default_factory=dict, max_length=200)

    def command(self) -> CreateTicket:
        """The command; the values were checked by the same rules and are not checked again."""
        requester = _NOBODY.model_copy(update=self.requester.__dict__)
        return _NOTHING.model_copy(update=self.__dict__ | {"requester": requester})


# Copies of these with other values cost half of what `model_construct` does.
_NOBODY: Final = Requester(id="-")
_NOTHING: Final = CreateTicket(subject="-", requester=_NOBODY)


class AssignmentBody(Body):
    """The complete new holder: no group given means that no group holds it."""

    group: Word | None = None
    agent: Word | None = None


class EscalationBody(Body):
    tier: int | None = Field(None, ge=2, le=3, description="one tier up when not given")
    reason: Line | None = None


class ReasonBody(Body):
    reason: Line | None = None


class FieldBody(Body):
    value: Text | None = Field(description="null empties the field")


class BatchItem(Body):
    """One command of a batch. `time` only for actors `import:…`."""

    command_id: Word = Field(pattern=r"^[^\x00-\x1f\x7f]*$")
    type: Word
    ticket_id: Word
    actor: Word
    time: Instant | None = None
    expected_sequence: int | None = Field(None, ge=0)
    correlation_id: str = Field("", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
    data: dict[str, Any] = Field(default_factory=dict)


class Batch(Body):
    """At most 5,000 commands; they are decided in order, in one transaction."""

    commands: list[BatchItem]


class TicketIds(Body):
    """Which tickets to read."""

    ids: list[UUID] = Field(max_length=2_000)


def _printable(name: str) -> str:
    if not name.isprintable():
        raise PydanticCustomError("unprintable", "a name holds no control characters")
    return name


def _each_once(names: list[str]) -> list[str]:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise PydanticCustomError(
            "duplicate_field", "the field {name} stands in this list twice", {"name": twice[0]}
        )
    return names


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(_printable),
]
Fields = Annotated[list[Name], Field(min_length=1, max_length=50), AfterValidator(_each_once)]


class RequirementBody(Body):
    """What tickets of one category must tell. At least one of fields, tiers and groups; leave out
    what asks for nothing."""

    category: Name = Field(description='a category, or "*" for every ticket')
    fields: Fields | None = Field(
        None,
        description="for every hand-over: names of custom fields, or category, subcategory, language",
    )
    tiers: dict[Literal["2", "3"], Fields] | None = Field(
        None, min_length=1, description="besides, for an escalation to this tier or past it"
    )
    groups: dict[Name, Fields] | None = Field(
        None, min_length=1, max_length=200, description="besides, for a move to this group"
    )

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.fields is None and self.tiers is None and self.groups is None:
            raise PydanticCustomError(
                "nothing_required", "give fields, tiers or groups, or leave the category out"
            )
        return self


class RequirementsBody(Body):
    """The whole list: what is not in it is required no more, and an empty list requires nothing."""

    requirements: list[RequirementBody] = Field(max_length=1_000)

    @model_validator(mode="after")
    def _each_category_once(self) -> Self:
        counts = Counter(entry.category for entry in self.requirements)
        twice = [category for category, count in counts.items() if count > 1]
        if twice:
            raise PydanticCustomError(
                "duplicate_category",
                "the category {category} stands in the list twice; join the two entries",
                {"category": twice[0]},
            )
        return self

    def document(self) -> list[dict[str, Any]]:
        """As it is kept: JSON, without what was left out."""
        return [entry.model_dump(mode="json", exclude_none=True) for entry in self.requirements]

"""What every contract shares: frozen models, the mark for personal data, and small value types."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic_core import CoreSchema


class PersonalData:
    """Marks a field that holds personal data, and names the person it belongs to.

    `subject` names the field *of the same model* that identifies the person (a requester's id, an
    author's id). The mapper of the event store passes every marked field through one seam.
    """

    __slots__ = ("subject",)

    def __init__(self, subject: str) -> None:
        self.subject = subject

    def __repr__(self) -> str:
        return f"PersonalData(subject={self.subject!r})"

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The mark travels into the generated JSON Schema."""
        return {**handler(core_schema), "x-personal-data": {"subject": self.subject}}


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:  # the first or last hours of the calendar, in another zone
        raise ValueError("the time lies outside the years 1 to 9999 in UTC") from error


Instant = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A point in time: aware, kept in UTC."""

Word = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
"""A name, an id, a category: one short line."""

COUNT_MAX: Final = 2**53 - 1
"""The largest whole number that every reader of JSON, and every database column, holds exactly."""

Count = Annotated[int, Field(le=COUNT_MAX)]
"""A whole number; its lower bound is said where it is used."""

Tier = Annotated[int, Field(ge=1, le=3)]

Line = Annotated[str, StringConstraints(max_length=500)]
Text = Annotated[str, StringConstraints(max_length=100_000)]


class Status(StrEnum):
    """The six statuses of a ticket. An organization's own sub-statuses each map to one of them."""

    NEW = "new"
    OPEN = "open"
    PENDING = "pending"
    ON_HOLD = "on_hold"
    SOLVED = "solved"
    CLOSED = "closed"


class Priority(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Channel(StrEnum):
    EMAIL = "email"
    FORM = "form"
    CHAT = "chat"
    PHONE = "phone"
    SOCIAL = "social"
    WHATSAPP = "whatsapp"
    API = "api"


class Value(BaseModel):
    """A part of an event or command. Unknown fields are ignored: newer producers may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Event(Value):
    """A fact, in the past tense. `TYPE` is its stable name on the wire, with its version."""

    TYPE: ClassVar[str] = ""


class Command(BaseModel):
    """A request, in the imperative. Unknown fields are refused, so that a typing error, or an
    attempt to set a field that this command does not offer, never passes in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    TYPE: ClassVar[str] = ""

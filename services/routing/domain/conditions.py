"""Conditions on a ticket: which tickets a rule is for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer

from libs.events.base import Channel, Priority, Text, Word

VALUES_MAX: Final = 500


class TicketFacts(Protocol):
    """What of a ticket a condition can ask for."""

    @property
    def channel(self) -> Channel: ...
    @property
    def category(self) -> str | None: ...
    @property
    def subcategory(self) -> str | None: ...
    @property
    def language(self) -> str | None: ...
    @property
    def priority(self) -> Priority: ...
    @property
    def group(self) -> str | None: ...
    @property
    def organization(self) -> str | None: ...
    @property
    def tier(self) -> int: ...
    @property
    def tags(self) -> Collection[str]: ...
    @property
    def custom_fields(self) -> Mapping[str, str]: ...


class Part(BaseModel):
    """A part of a rule set: frozen, and a field that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def primary_language(tag: str | None) -> str | None:
    """`es-MX` → `es`; a tag that begins with no letter names none."""
    return tag.replace("_", "-").split("-")[0].strip().lower() or None if tag else None


def _listed(value: Any) -> Any:
    """A list of one may be written without the brackets."""
    return value if isinstance(value, list | tuple | set | frozenset) else (value,)


StrictTier = Annotated[int, Field(strict=True, ge=1, le=3)]
_MANY: Final = Field(max_length=VALUES_MAX)
Words = Annotated[
    tuple[Word, ...], _MANY, BeforeValidator(_listed, json_schema_input_type=Word | list[Word])
]
Channels = Annotated[
    tuple[Channel, ...],
    _MANY,
    BeforeValidator(_listed, json_schema_input_type=Channel | list[Channel]),
]
Priorities = Annotated[
    tuple[Priority, ...],
    _MANY,
    BeforeValidator(_listed, json_schema_input_type=Priority | list[Priority]),
]
Tiers = Annotated[
    tuple[StrictTier, ...],
    _MANY,
    BeforeValidator(_listed, json_schema_input_type=StrictTier | list[StrictTier]),
]
Texts = Annotated[
    tuple[Text, ...],
    Field(min_length=1, max_length=VALUES_MAX),
    BeforeValidator(_listed, json_schema_input_type=Text | list[Text]),
]

SINGLE: Final = (
    "channel",
    "category",
    "subcategory",
    "language",
    "priority",
    "group",
    "organization",
    "tier",
)
"""The fields of a condition of which a ticket has one value, or none."""


class Condition(Part):
    """All given fields must hold; a field without values asks for nothing, and so does an empty
    condition: every ticket fulfils it. One value may stand without the brackets of a list.

    A ticket's value must be one of those listed. `language` is compared by its primary subtag
    (`es-MX` is Spanish). `tags`: at least one of these; `tags_all`: every one of them.
    `custom_fields`: for each field named, one of its values. A ticket that has no value fulfils no
    condition on it.
    """

    channel: Channels = ()
    category: Words = ()
    subcategory: Words = ()
    language: Words = ()
    priority: Priorities = ()
    group: Words = ()
    organization: Words = ()
    tier: Tiers = ()
    tags: Words = ()
    tags_all: Words = ()
    custom_fields: Annotated[dict[Word, Texts], Field(max_length=50)] = Field(default_factory=dict)

    @model_serializer
    def _given(self) -> dict[str, Any]:
        """Only what is asked for."""
        given: dict[str, Any] = {}
        for name in (*SINGLE, "tags", "tags_all"):
            values = getattr(self, name)
            if values:
                given[name] = list(values)
        if self.custom_fields:
            given["custom_fields"] = {
                name: list(values) for name, values in self.custom_fields.items()
            }
        return given

    @property
    def empty(self) -> bool:
        """True when every ticket fulfils it."""
        return not (self._wanted or self.tags or self.tags_all or self.custom_fields)

    def values(self, name: str) -> frozenset[Any]:
        """The values that one of the SINGLE fields may have, as they are compared."""
        values = getattr(self, name)
        return frozenset(map(primary_language, values) if name == "language" else values)

    def matches(self, ticket: TicketFacts) -> bool:
        for name, values in self._wanted:
            value = getattr(ticket, name)
            if (primary_language(value) if name == "language" else value) not in values:
                return False
        if self.tags and self._any_tag.isdisjoint(ticket.tags):
            return False
        if self.tags_all and not self._all_tags.issubset(ticket.tags):
            return False
        if self.custom_fields:
            has = ticket.custom_fields
            return all(has.get(name) in values for name, values in self.custom_fields.items())
        return True

    @cached_property
    def _wanted(self) -> tuple[tuple[str, frozenset[Any]], ...]:
        return tuple((name, self.values(name)) for name in SINGLE if getattr(self, name))

    @cached_property
    def _any_tag(self) -> frozenset[str]:
        return frozenset(self.tags)

    @cached_property
    def _all_tags(self) -> frozenset[str]:
        return frozenset(self.tags_all)

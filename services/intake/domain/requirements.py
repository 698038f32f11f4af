"""What a ticket must tell before it is handed over: to a higher tier, or to another group.

Whoever takes a ticket over should not have to ask for what the one before could have asked. Which
fields that are is the organization's own choice, kept in versions and given to `decide` as data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from libs.events import CommandEnvelope, Ticket
from libs.events.commands import AssignTicket, EscalateTicket

EVERY_CATEGORY: Final = "*"
OWN_FIELDS: Final = ("category", "subcategory", "language")
"""Names that mean the ticket's own field; every other name is a custom field's."""

HAND_OVERS: Final = (AssignTicket, EscalateTicket)

EXEMPT: Final = frozenset({"service:routing", "service:sla"})
"""They escalate because a target was missed or a ticket was handed around too often, and move it
because nobody else can take it. A machine cannot fill in a field: refused, the ticket would lie
where nobody works on it, and that is worse than a question that has to be asked later."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Fields that tickets of one category need: for every hand-over, for an escalation to a tier
    (or past it), for a move to a group."""

    fields: tuple[str, ...] = ()
    tiers: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Requirements:
    """One version of all requirements, by category; `*` holds for every ticket, one without a
    category too, beside what its category asks for. Version 0 requires nothing."""

    version: int = 0
    by_category: Mapping[str, Requirement] = field(default_factory=dict)

    def of(self, ticket: Ticket) -> Iterator[Requirement]:
        """Those that this ticket must meet."""
        if (for_all := self.by_category.get(EVERY_CATEGORY)) is not None:
            yield for_all
        own = self.by_category.get(ticket.category or EVERY_CATEGORY)
        if own is not None and own is not for_all:
            yield own


def requirements_of(version: int, document: Sequence[Mapping[str, Any]]) -> Requirements:
    """The requirements from a document that the HTTP edge has checked: a list of
    `{"category", "fields", "tiers", "groups"}`."""
    return Requirements(
        version,
        {
            entry["category"]: Requirement(
                tuple(entry.get("fields", ())),
                {int(tier): tuple(names) for tier, names in entry.get("tiers", {}).items()},
                {group: tuple(names) for group, names in entry.get("groups", {}).items()},
            )
            for entry in document
        },
    )


def asks_for_requirements(envelope: CommandEnvelope) -> bool:
    """Whether deciding this command may look at the requirements at all."""
    return isinstance(envelope.command, HAND_OVERS) and not exempt(envelope.actor)


def missing_for_tier(requirements: Requirements, ticket: Ticket, tier: int) -> tuple[str, ...]:
    """The fields to fill in before an escalation to `tier`. A tier that is passed over counts too:
    naming the highest tier at once is no way round."""
    wanted = [
        name
        for requirement in requirements.of(ticket)
        for names in (
            requirement.fields,
            *(requirement.tiers.get(step, ()) for step in range(ticket.tier + 1, tier + 1)),
        )
        for name in names
    ]
    return _missing(wanted, ticket)


def missing_for_group(
    requirements: Requirements, ticket: Ticket, group: str | None
) -> tuple[str, ...]:
    """The fields to fill in before the ticket leaves its group for `group` (None: for a person
    outside any group)."""
    wanted = [
        name
        for requirement in requirements.of(ticket)
        for names in (requirement.fields, requirement.groups.get(group or "", ()))
        for name in names
    ]
    return _missing(wanted, ticket)


def exempt(actor: str) -> bool:
    """Whether this actor hands over whatever is missing. An import records what happened elsewhere, under that system's own rules."""
    return actor in EXEMPT or actor.startswith("import:")


def _missing(wanted: Sequence[str], ticket: Ticket) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys(wanted) if _blank(_value(name, ticket)))


def _value(name: str, ticket: Ticket) -> str | None:
    if name in OWN_FIELDS:
        value: str | None = getattr(ticket, name)
        return value
    return ticket.custom_fields.get(name)


def _blank(value: str | None) -> bool:
    """Nothing that a reader would see: absent, empty, spaces, invisible characters."""
    return not any(c.isprintable() and not c.isspace() for c in value or "")

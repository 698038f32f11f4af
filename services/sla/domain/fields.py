"""What policies may ask of a ticket, from its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from libs.events import ticket as t
from services.sla.domain.policy import CUSTOM, VALUE_MAX

Changes = Mapping[str, str | None]
"""Field → its new value; None: it has none any more."""


def fields_of(event: t.TicketCreated) -> dict[str, str]:
    """The fields of a new ticket that have a value."""
    fields = {
        "priority": str(event.priority),
        "channel": str(event.channel),
        "category": event.category,
        "subcategory": event.subcategory,
        "requester": event.requester.id,
        "organization": event.requester.organization,
        "language": event.language,
        "group": event.group,
        "agent": event.agent,
        "tier": "1",
    }
    found = {name: value for name, value in fields.items() if value is not None}
    for name, text in event.custom_fields.items():
        found[CUSTOM + name] = text[: VALUE_MAX + 1]
    return found


def with_changes(fields: dict[str, str], changes: Changes) -> dict[str, str]:
    """The fields that have a value afterwards."""
    merged = {**fields, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _holder(event: t.Assigned | t.Unassigned) -> Changes:
    if isinstance(event, t.Assigned):
        return {"group": event.group, "agent": event.agent}
    return {"group": None, "agent": None}


def _custom(event: t.CustomFieldChanged) -> Changes:
    value = event.value
    return {CUSTOM + event.field: None if value is None else value[: VALUE_MAX + 1]}


CHANGES: Final[Mapping[type, Callable[[Any], Changes]]] = {
    t.PriorityChanged: lambda event: {"priority": str(event.priority)},
    t.CategoryChanged: lambda event: {
        "category": event.category,
        "subcategory": event.subcategory,
    },
    t.Escalated: lambda event: {"tier": str(event.tier)},
    t.Assigned: _holder,
    t.Unassigned: _holder,
    t.CustomFieldChanged: _custom,
}
"""Events that give fields other values."""

"""What policies may ask of a ticket, kept as its events tell it: the fields of the published fold.

Values are texts. A field without a value, and a count of 0, are left out. Ids of requesters are in it,
their names and addresses are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from libs.events import ticket as t
from libs.events.fold import is_handed_over
from services.sla.domain.metrics import ENDED
from services.sla.domain.policy import CUSTOM, VALUE_MAX

Fields = Mapping[str, str]
Changes = Mapping[str, str | None]
"""Field → its new value; None: it has none any more."""


def fields_of(event: t.TicketCreated) -> dict[str, str]:
    """The fields of a new ticket that have a value."""
    settled = str(event.status) in ENDED
    fields = {
        "number": str(event.number),
        "substatus": event.substatus,
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
        "solved_by": event.agent if settled else None,
        "follow_up_of": event.follow_up_of,
        "imported_from": event.imported_from,
        "external_ref": event.external_ref,
    }
    found = {name: value for name, value in fields.items() if value is not None}
    for name, text in event.custom_fields.items():
        found[CUSTOM + name] = text[: VALUE_MAX + 1]
    return found


def changes_of(event: Any, fields: Fields) -> Changes:
    """What this event changes, of a ticket that had these fields."""
    change = _CHANGES.get(type(event))
    if change is None:
        return {}
    return {
        name: value for name, value in change(event, fields).items() if fields.get(name) != value
    }


def with_changes(fields: Fields, changes: Changes) -> dict[str, str]:
    """The fields that have a value afterwards."""
    merged = {**fields, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _more(fields: Fields, name: str) -> Changes:
    return {name: str(int(fields.get(name, "0")) + 1)}


def _message(event: t.MessageAdded, fields: Fields) -> Changes:
    if event.visibility == "internal":
        return _more(fields, "internal_notes")
    if event.author == "requester":
        return _more(fields, "requester_messages")
    return _more(fields, "public_replies") if event.author == "agent" else {}


def _status(event: t.StatusChanged, fields: Fields) -> Changes:
    changes: dict[str, str | None] = {"substatus": event.substatus}
    before, after = str(event.previous), str(event.status)
    if after in ENDED and before not in ENDED:
        changes["solved_by"] = fields.get("agent")
    elif before in ENDED and after not in ENDED:
        changes |= _more(fields, "reopens")
    return changes


def _assigned(event: t.Assigned, fields: Fields) -> Changes:
    return _held(fields, event.group, event.agent)


def _unassigned(_: t.Unassigned, fields: Fields) -> Changes:
    return _held(fields, None, None)


def _held(fields: Fields, group: str | None, agent: str | None) -> Changes:
    """Who holds it now, and the counts of the published fold, which says what a hand-over is."""
    changes: dict[str, str | None] = {"group": group, "agent": agent}
    held = (fields.get("group"), fields.get("agent"))
    if group != held[0]:
        changes |= _more(fields, "group_changes")
    if is_handed_over(held, (group, agent)):
        changes |= _more(fields, "hand_overs")
    return changes


def _custom(event: t.CustomFieldChanged, _: Fields) -> Changes:
    value = event.value
    return {CUSTOM + event.field: None if value is None else value[: VALUE_MAX + 1]}


def _category(event: t.CategoryChanged, _: Fields) -> Changes:
    return {"category": event.category, "subcategory": event.subcategory}


_CHANGES: Final[Mapping[type, Callable[[Any, Fields], Changes]]] = {
    t.MessageAdded: _message,
    t.StatusChanged: _status,
    t.PriorityChanged: lambda event, _: {"priority": str(event.priority)},
    t.CategoryChanged: _category,
    t.Escalated: lambda event, fields: {
        "tier": str(event.tier),
        **_more(fields, "escalations"),
    },
    t.Assigned: _assigned,
    t.Unassigned: _unassigned,
    t.CustomFieldChanged: _custom,
    t.SatisfactionRated: lambda event, _: {"rating": str(event.rating)},
}
"""Events that give fields other values; tags and links are kept apart."""

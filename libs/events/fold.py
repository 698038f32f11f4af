"""The public fold: `evolve(state, event) -> state`, total and pure.

Intake decides on this state; a data team or an auditor who folds the same stream sees the same
ticket. It never raises: an event of another kind of stream, or of a type that this version does not
know, changes only `sequence` and `updated_at`; an event that no owner would have recorded in that
state is applied as far as it goes. Give it each event once, in order of `sequence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from libs.events import ticket as t
from libs.events.base import Channel, Priority, Status
from libs.events.envelope import EventEnvelope


@dataclass(frozen=True)
class Ticket:
    """A ticket as its events tell it. Times are business times, in UTC.

    `group_changes` counts every change of the holding group after creation, to and from nobody
    included. `hand_overs` counts changes from one holder (person, or group if no person) to another.
    `reopens` counts returns from solved or closed to work. `live` is False for imported history
    until it is handed to the desk.
    """

    id: str
    sequence: int = 0
    number: int = 0
    status: Status = Status.NEW
    substatus: str | None = None
    priority: Priority = Priority.MEDIUM
    category: str | None = None
    subcategory: str | None = None
    subject: str = ""
    description: str = ""
    requester: t.Requester | None = None
    channel: Channel = Channel.API
    language: str | None = None
    tags: frozenset[str] = frozenset()
    custom_fields: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    agent: str | None = None
    tier: int = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None
    first_replied_at: datetime | None = None
    last_requester_message_at: datetime | None = None
    solved_at: datetime | None = None
    solved_by: str | None = None
    closed_at: datetime | None = None
    public_replies: int = 0
    requester_messages: int = 0
    internal_notes: int = 0
    reopens: int = 0
    group_changes: int = 0
    hand_overs: int = 0
    escalations: int = 0
    merged_into: str | None = None
    follow_up_of: str | None = None
    links: tuple[tuple[str, str], ...] = ()
    rating: str | None = None
    imported_from: str | None = None
    external_ref: str | None = None
    live: bool = True

    @property
    def exists(self) -> bool:
        return self.sequence > 0


def evolve(state: Ticket | None, envelope: EventEnvelope) -> Ticket:
    """The ticket after this event. `state` is None before the first one.

    Raises InvalidData only for an envelope made by hand around data that never was an event:
    `decode_event` gives none of those.
    """
    before = state if state is not None else Ticket(id=envelope.stream_id)
    event = envelope.event
    change = _CHANGES.get(type(event))
    changes = change(before, event, envelope) if change is not None else {}
    # `dataclasses.replace`, many times as fast: a frozen class pays for every field it sets.
    ticket = object.__new__(Ticket)
    values = {
        **before.__dict__,
        **changes,
        "sequence": envelope.sequence,
        "updated_at": envelope.time,
    }
    object.__setattr__(ticket, "__dict__", values)
    return ticket


def fold(envelopes: Iterable[EventEnvelope]) -> Ticket | None:
    """The ticket after all these events of one stream, or None when there are none."""
    state: Ticket | None = None
    for envelope in envelopes:
        state = evolve(state, envelope)
    return state


Changes = dict[str, Any]


def _created(s: Ticket, e: t.TicketCreated, at: EventEnvelope) -> Changes:
    if s.created_at is not None:
        return {}  # a ticket is created once; a second creation must not wipe it
    settled = e.status in (Status.SOLVED, Status.CLOSED)
    return {
        "number": e.number,
        "status": e.status,
        "substatus": e.substatus,
        "priority": e.priority,
        "category": e.category,
        "subcategory": e.subcategory,
        "subject": e.subject,
        "description": e.description,
        "requester": e.requester,
        "channel": e.channel,
        "language": e.language,
        "tags": frozenset(e.tags),
        "custom_fields": e.custom_fields,
        "group": e.group,
        "agent": e.agent,
        "created_at": at.time,
        "last_requester_message_at": at.time,
        "solved_at": at.time if settled else None,
        "solved_by": e.agent if settled else None,
        "closed_at": at.time if e.status is Status.CLOSED else None,
        "follow_up_of": e.follow_up_of,
        "imported_from": e.imported_from,
        "external_ref": e.external_ref,
        "live": e.imported_from is None,
    }


def _message(s: Ticket, e: t.MessageAdded, at: EventEnvelope) -> Changes:
    if e.visibility == "internal":
        return {"internal_notes": s.internal_notes + 1}
    if e.author == "requester":
        return {
            "requester_messages": s.requester_messages + 1,
            "last_requester_message_at": at.time,
        }
    if e.author == "agent":
        return {
            "public_replies": s.public_replies + 1,
            "first_replied_at": s.first_replied_at or at.time,
        }
    return {}


Holder = tuple[str | None, str | None]
"""The group and the person that hold a ticket."""


def is_handed_over(before: Holder, after: Holder) -> bool:
    """Whether a ticket went from one holder (person, or group if no person) to another."""
    (group, agent), (new_group, new_agent) = before, after
    if agent is None and group is not None and new_group == group:
        return False  # a person of the holding group took it
    holder, new_holder = agent or group, new_agent or new_group
    other = holder != new_holder or (agent is None) is not (new_agent is None)
    return holder is not None and new_holder is not None and other


def _holder(s: Ticket, group: str | None, agent: str | None) -> Changes:
    return {
        "group": group,
        "agent": agent,
        "group_changes": s.group_changes + (group != s.group),
        "hand_overs": s.hand_overs + is_handed_over((s.group, s.agent), (group, agent)),
    }


def _assigned(s: Ticket, e: t.Assigned, _: EventEnvelope) -> Changes:
    return _holder(s, e.group, e.agent)


def _unassigned(s: Ticket, _e: t.Unassigned, _: EventEnvelope) -> Changes:
    return _holder(s, None, None)


def _status(s: Ticket, e: t.StatusChanged, at: EventEnvelope) -> Changes:
    changes: Changes = {"status": e.status, "substatus": e.substatus}
    was_settled = s.status in (Status.SOLVED, Status.CLOSED)
    if e.status is Status.SOLVED:
        if s.status is not Status.SOLVED:
            changes |= {"solved_at": at.time, "solved_by": s.agent, "closed_at": None}
    elif e.status is Status.CLOSED:
        if s.status is not Status.CLOSED:
            changes["closed_at"] = at.time
        if s.solved_at is None:  # closed without having been solved first: imports
            changes |= {"solved_at": at.time, "solved_by": s.agent}
    elif was_settled:
        changes |= {"reopens": s.reopens + 1, "solved_at": None, "closed_at": None}
    return changes


def _priority(_: Ticket, e: t.PriorityChanged, _at: EventEnvelope) -> Changes:
    return {"priority": e.priority}


def _category(_: Ticket, e: t.CategoryChanged, _at: EventEnvelope) -> Changes:
    return {"category": e.category, "subcategory": e.subcategory}


def _tags(s: Ticket, e: t.TagsChanged, _: EventEnvelope) -> Changes:
    return {"tags": (s.tags - frozenset(e.removed)) | frozenset(e.added)}


def _custom_field(s: Ticket, e: t.CustomFieldChanged, _: EventEnvelope) -> Changes:
    fields = {name: value for name, value in s.custom_fields.items() if name != e.field}
    if e.value is not None:
        fields[e.field] = e.value
    return {"custom_fields": fields}


def _escalated(s: Ticket, e: t.Escalated, _: EventEnvelope) -> Changes:
    return {"tier": e.tier, "escalations": s.escalations + 1}


def _merged(_: Ticket, e: t.TicketMerged, _at: EventEnvelope) -> Changes:
    return {"merged_into": e.into}


def _linked(s: Ticket, e: t.TicketLinked, _: EventEnvelope) -> Changes:
    return {"links": (*s.links, (str(e.kind), e.other))}


def _rated(_: Ticket, e: t.SatisfactionRated, _at: EventEnvelope) -> Changes:
    return {"rating": str(e.rating)}


def _activated(_: Ticket, _e: t.ImportedTicketActivated, _at: EventEnvelope) -> Changes:
    return {"live": True}


_CHANGES: Final[dict[type, Callable[[Ticket, Any, EventEnvelope], Changes]]] = {
    t.TicketCreated: _created,
    t.MessageAdded: _message,
    t.Assigned: _assigned,
    t.Unassigned: _unassigned,
    t.StatusChanged: _status,
    t.PriorityChanged: _priority,
    t.CategoryChanged: _category,
    t.TagsChanged: _tags,
    t.CustomFieldChanged: _custom_field,
    t.Escalated: _escalated,
    t.TicketMerged: _merged,
    t.TicketLinked: _linked,
    t.SatisfactionRated: _rated,
    t.ImportedTicketActivated: _activated,
}

"""The columns of ServiceNow's incident log, and what becomes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from libs.events import Channel, Priority, Status

Treatment = Literal["used", "kept", "derived", "ignored", "no_meaning", "unknown"]
"""used: becomes part of the ticket · kept: as a custom field · derived: the fold counts it itself,
and the check compares · ignored: by a rule · no_meaning: nothing in the domain, changes are counted
· unknown: a column that this importer has never heard of, changes are counted."""


@dataclass(frozen=True, slots=True)
class Column:
    """`field`: the name of the custom field that keeps the column (or its later changes)."""

    treatment: Treatment
    why: str
    field: str | None = None
    required: bool = False


def _used(why: str, field: str | None = None, *, required: bool = True) -> Column:
    return Column("used", why, field, required)


def _kept(field: str) -> Column:
    return Column("kept", f"custom field {field}", field)


BACK_FILLED: Final = "filled in on every row after the fact: derived from the changes of state"

COLUMNS: Final[dict[str, Column]] = {
    "number": _used("the case; the ticket's external reference"),
    "incident_state": _used("status and sub-status"),
    "active": Column("derived", "true until the incident is closed"),
    "reassignment_count": Column("derived", "changes of the holding group", required=True),
    "reopen_count": Column("derived", "returns from solved or closed", required=True),
    "sys_mod_count": Column("no_meaning", "a counter of saves"),
    "made_sla": Column("no_meaning", "a verdict whose targets are not in the log"),
    "caller_id": _used("requester; a later change as custom field caller_id", "caller_id"),
    "opened_by": _kept("opened_by"),
    "opened_at": _used("time of creation"),
    "sys_created_by": _kept("created_by"),
    "sys_created_at": _kept("created_at"),
    "sys_updated_by": Column("no_meaning", "who pressed save; the actor is the import"),
    "sys_updated_at": _used("time of what the row changed"),
    "contact_type": _used(
        "channel; a later change as custom field contact_type", "contact_type", required=False
    ),
    "location": _kept("location"),
    "category": _used("category"),
    "subcategory": _used("subcategory"),
    "u_symptom": _kept("symptom"),
    "cmdb_ci": _kept("cmdb_ci"),
    "impact": _kept("impact"),
    "urgency": _kept("urgency"),
    "priority": _used("priority"),
    "assignment_group": _used("holding group"),
    "assigned_to": _used("holding person"),
    "knowledge": _kept("knowledge"),
    "u_priority_confirmation": Column("no_meaning", "a tick box of that desk's form"),
    "notify": Column("no_meaning", "a setting for mails of the other system"),
    "problem_id": _kept("problem_id"),
    "rfc": _kept("rfc"),
    "vendor": _kept("vendor"),
    "caused_by": _kept("caused_by"),
    "closed_code": Column("ignored", BACK_FILLED),
    "resolved_by": Column("ignored", BACK_FILLED),
    "resolved_at": Column("ignored", BACK_FILLED),
    "closed_at": Column("ignored", BACK_FILLED),
}

UNKNOWN: Final = Column("unknown", "not a column of the incident log")

WORDS: Final = (
    "number",
    "caller_id",
    "category",
    "subcategory",
    "assignment_group",
    "assigned_to",
)
"""Columns whose cells become short words of the ticket."""

REQUIRED: Final = tuple(name for name, column in COLUMNS.items() if column.required)

STATES: Final[dict[str, tuple[Status, str | None]]] = {
    "New": (Status.NEW, None),
    "Active": (Status.OPEN, None),
    "In Progress": (Status.OPEN, None),
    "Awaiting User Info": (Status.PENDING, None),
    "On Hold": (Status.ON_HOLD, None),
    "Awaiting Vendor": (Status.ON_HOLD, "Awaiting Vendor"),
    "Awaiting Problem": (Status.ON_HOLD, "Awaiting Problem"),
    "Awaiting Evidence": (Status.ON_HOLD, "Awaiting Evidence"),
    "Resolved": (Status.SOLVED, None),
    "Closed": (Status.CLOSED, None),
    "Canceled": (Status.CLOSED, "Canceled"),
    "Cancelled": (Status.CLOSED, "Canceled"),
}

PRIORITIES: Final[dict[str, Priority]] = {
    "1": Priority.CRITICAL,
    "2": Priority.HIGH,
    "3": Priority.MEDIUM,
    "4": Priority.LOW,
    "5": Priority.LOW,
}
"""By the digit that the word begins with: "3 - Moderate"."""

CHANNELS: Final[dict[str, Channel]] = {
    "Phone": Channel.PHONE,
    "IVR": Channel.PHONE,
    "Self service": Channel.FORM,
    "Self-service": Channel.FORM,
    "Email": Channel.EMAIL,
    "Chat": Channel.CHAT,
    "Direct opening": Channel.API,
}


@dataclass(frozen=True, slots=True)
class Positions:
    """Where each column stands in the rows of one file. `fields` are kept at creation,
    `later_fields` are kept when they change; `meaning` are all whose change may become a command."""

    number: int
    state: int
    opened: int
    updated: int
    group: int
    agent: int
    category: int
    subcategory: int
    priority: int
    requester: int
    reassignments: int
    reopens: int
    channel: int | None
    all: range
    words: tuple[int, ...]
    ignored: tuple[int, ...]
    fields: dict[int, str]
    later_fields: dict[int, str]
    meaning: frozenset[int]

    @classmethod
    def of(cls, columns: Sequence[str]) -> Positions:
        """`columns` must hold all of REQUIRED."""
        at = {name: index for index, name in enumerate(columns)}
        known = {name: COLUMNS[name] for name in columns if name in COLUMNS}
        later = {at[name]: column.field for name, column in known.items() if column.field}
        holders = ("assignment_group", "assigned_to", "priority", "category", "subcategory")
        return cls(
            number=at["number"],
            state=at["incident_state"],
            opened=at["opened_at"],
            updated=at["sys_updated_at"],
            group=at["assignment_group"],
            agent=at["assigned_to"],
            category=at["category"],
            subcategory=at["subcategory"],
            priority=at["priority"],
            requester=at["caller_id"],
            reassignments=at["reassignment_count"],
            reopens=at["reopen_count"],
            channel=at.get("contact_type"),
            all=range(len(columns)),
            words=tuple(at[name] for name in WORDS),
            ignored=tuple(at[n] for n, column in known.items() if column.treatment == "ignored"),
            fields={
                at[name]: column.field
                for name, column in known.items()
                if column.treatment == "kept" and column.field
            },
            later_fields=later,
            meaning=frozenset(later) | {at[name] for name in holders},
        )

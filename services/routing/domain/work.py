"""A ticket as routing sees it: only what bears on who should hold it.

`evolve` folds the ticket's events; the other functions are the steps of a reservation, which is an
assignment that intake was asked for and has not yet answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from libs.events import EventEnvelope, ticket
from libs.events.base import Channel, Priority, Status

WORKING: Final = frozenset({Status.NEW, Status.OPEN})
"""The statuses in which a ticket uses its agent's capacity, and may be given to one."""

SETTLED: Final = frozenset({Status.SOLVED, Status.CLOSED})

Changes = dict[str, Any]

RANK: Final = {Priority.CRITICAL: 0, Priority.HIGH: 1, Priority.MEDIUM: 2, Priority.LOW: 3}
"""The place of a priority in the queue: the smallest goes first."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """One unit of `agent`'s capacity, kept until intake answers the command `command_id`.

    `until`: when to ask again if there is no answer. `asks` counts the commands sent.
    """

    agent: str
    group: str | None
    command_id: str
    decision_id: str
    until: datetime
    asks: int = 1


@dataclass(frozen=True)
class Work:
    """`eligible_since` is when the ticket could first be given to an agent (business time); it is
    kept when the ticket comes back from an agent, and begins anew after it was solved.

    `retry_at`: not to be offered before this instant, because intake refused the last command and
    the event that explains why has not arrived. `refusals` counts such refusals in a row.
    `reasons`: those of the last "nobody" on record, in a fixed order; empty when there is none.
    """

    id: str
    sequence: int = 0
    number: int = 0
    status: Status = Status.NEW
    priority: Priority = Priority.MEDIUM
    category: str | None = None
    language: str | None = None
    channel: Channel = Channel.API
    tags: tuple[str, ...] = ()
    group: str | None = None
    agent: str | None = None
    tier: int = 1
    live: bool = True
    merged: bool = False
    eligible_since: datetime | None = None
    reservation: Reservation | None = None
    retry_at: datetime | None = None
    refusals: int = 0
    reasons: str = ""

    @property
    def eligible(self) -> bool:
        """True when this ticket may be given to an agent."""
        return self.live and self.agent is None and self.status in WORKING and not self.merged

    @property
    def waiting(self) -> bool:
        """Eligible, and nothing has been asked for it yet: it stands in the queue."""
        return self.eligible and self.reservation is None and self.retry_at is None

    @property
    def holder(self) -> str | None:
        """The agent whose capacity this ticket uses, reservations aside. Pending, on-hold and
        settled tickets use none: nobody works on them."""
        return self.agent if self.live and self.status in WORKING and not self.merged else None

    @property
    def rank(self) -> int:
        return RANK[self.priority]


def evolve(state: Work | None, envelope: EventEnvelope) -> Work | None:
    """The ticket after this event, or None when the event does not concern routing."""
    change = _CHANGES.get(type(envelope.event))
    if change is None:
        return None
    before = state if state is not None else Work(id=envelope.stream_id)
    changes = change(before, envelope.event)
    after = _copy(before, {"sequence": envelope.sequence, "retry_at": None, **changes})
    if after.status in SETTLED:
        return after if after.eligible_since is None else _copy(after, {"eligible_since": None})
    if after.eligible_since is None and after.eligible:
        return _copy(after, {"eligible_since": envelope.time})
    return after


def concerns(event: object) -> bool:
    """True for the events that `evolve` looks at."""
    return type(event) in _CHANGES


def reserve(state: Work, reservation: Reservation) -> Work:
    """The ticket after intake was asked to assign it."""
    return _copy(state, {"reservation": reservation, "retry_at": None, "reasons": ""})


def refuse(state: Work, command_id: str, retry_at: datetime) -> Work | None:
    """The ticket after intake refused the command, or None when nothing follows from that.

    While the ticket still looks eligible it stays out of the queue until `retry_at`: whatever made
    intake refuse is on its way as an event, and asking at once would only be refused again.
    """
    asked = state.reservation
    if asked is None or asked.command_id != command_id:
        return None
    changes: Changes = {"reservation": None, "refusals": state.refusals + 1}
    if state.eligible:
        changes["retry_at"] = retry_at
    return _copy(state, changes)


def release(state: Work) -> Work:
    """The ticket without its reservation."""
    return _copy(state, {"reservation": None})


def retry(state: Work) -> Work:
    """The ticket back in the queue."""
    return _copy(state, {"retry_at": None})


def remember(state: Work, reasons: str) -> Work:
    """The ticket after a "nobody" for these reasons was put on record."""
    return _copy(state, {"reasons": reasons})


def _copy(state: Work, changes: Changes) -> Work:
    # `dataclasses.replace` pays for every field of a frozen class; this runs for every event.
    work = object.__new__(Work)
    work.__dict__.update(state.__dict__)
    work.__dict__.update(changes)
    return work


def _created(_: Work, e: ticket.TicketCreated) -> Changes:
    return {
        "number": e.number,
        "status": e.status,
        "priority": e.priority,
        "category": e.category,
        "language": e.language,
        "channel": e.channel,
        "tags": tuple(sorted(set(e.tags))),
        "group": e.group,
        "agent": e.agent,
        "live": e.imported_from is None,
    }


def _assigned(s: Work, e: ticket.Assigned) -> Changes:
    changes: Changes = {"group": e.group, "agent": e.agent, "refusals": 0}
    if e.agent is not None:
        changes["reasons"] = ""
    asked = s.reservation
    # Somebody else's assignment does not answer our command: the unit stays reserved until intake
    # refuses ours, because by then the ticket may be free again and ours accepted after all.
    if asked is not None and (e.decision_id == asked.decision_id or e.agent == asked.agent):
        changes["reservation"] = None
    return changes


def _unassigned(_: Work, _e: ticket.Unassigned) -> Changes:
    return {"group": None, "agent": None}


def _status(_: Work, e: ticket.StatusChanged) -> Changes:
    return {"status": e.status}


def _priority(_: Work, e: ticket.PriorityChanged) -> Changes:
    return {"priority": e.priority}


def _category(_: Work, e: ticket.CategoryChanged) -> Changes:
    return {"category": e.category}


def _tags(s: Work, e: ticket.TagsChanged) -> Changes:
    return {"tags": tuple(sorted((set(s.tags) - set(e.removed)) | set(e.added)))}


def _escalated(_: Work, e: ticket.Escalated) -> Changes:
    return {"tier": e.tier}


def _merged(_: Work, _e: ticket.TicketMerged) -> Changes:
    return {"merged": True}


def _activated(_: Work, _e: ticket.ImportedTicketActivated) -> Changes:
    return {"live": True}


_CHANGES: Final[dict[type, Callable[[Work, Any], Changes]]] = {
    ticket.TicketCreated: _created,
    ticket.Assigned: _assigned,
    ticket.Unassigned: _unassigned,
    ticket.StatusChanged: _status,
    ticket.PriorityChanged: _priority,
    ticket.CategoryChanged: _category,
    ticket.TagsChanged: _tags,
    ticket.Escalated: _escalated,
    ticket.TicketMerged: _merged,
    ticket.ImportedTicketActivated: _activated,
}

"""A ticket as routing sees it: only what bears on who should hold it.

`evolve` folds the ticket's events and those of its clocks; the other functions are the steps of a
reservation: an offer that an agent has not answered yet, or an assignment that intake was asked for
and has not answered yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from libs.events import EventEnvelope, sla, ticket
from libs.events.base import Channel, Priority, Status

WORKING: Final = frozenset({Status.NEW, Status.OPEN})
"""The statuses in which a ticket uses its agent's capacity, and may be given to one."""

SETTLED: Final = frozenset({Status.SOLVED, Status.CLOSED})

TAKE_BACKS_MAX: Final = 3
TAKE_BACKS_WITHIN: Final = timedelta(hours=1)
"""So often a ticket may be taken back in so much time because it does not suit its agent."""

ROUTER: Final = "service:routing"
"""The actor of routing's own commands."""

Changes = dict[str, Any]

RANK: Final = {Priority.CRITICAL: 0, Priority.HIGH: 1, Priority.MEDIUM: 2, Priority.LOW: 3}
"""The place of a priority in the queue: the smallest goes first."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Capacity of `agent`, kept until the answer comes.

    kind "assign": intake was asked by the command `command_id`, and is asked again at `until`;
    `asks` counts the commands sent. kind "offer": the agent may accept until `until`; `command_id`
    is the one that will be sent then.
    """

    agent: str
    group: str | None
    command_id: str
    decision_id: str
    until: datetime
    asks: int = 1
    kind: Literal["assign", "offer"] = "assign"


@dataclass(frozen=True, slots=True)
class Asked:
    """Intake was asked by the command `command_id` to take the ticket from `agent`, or to escalate
    it, for this `reason`. It is asked again at `until`; `asks` counts the commands sent."""

    command_id: str
    until: datetime
    reason: str
    agent: str | None = None
    asks: int = 1


@dataclass(frozen=True)
class Work:
    """`eligible_since` is when the ticket could first be given to an agent (business time); it is
    kept when the ticket comes back from an agent, and begins anew after it was solved.
    `waiting_since` is when it last came into the queue.

    `last_agent` held it last, and not by mistake: a ticket that routing took back has none.
    `hand_overs` counts the changes from one agent to another since the ticket was last solved,
    those by way of the queue included; `limit_told`, that count when the limit was last told of.
    `solved_by` is the agent who solved it. `declined`: agents who said no, and until when they are
    not asked again. `dues`: metric → due time of each clock that runs.

    `escalated`: since its agent got it. `taking_back`, `escalating`: intake was asked for that, and
    has not done it yet. `take_backs`: when it was taken back lately, since it was last solved.

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
    subcategory: str | None = None
    organization: str | None = None
    custom_fields: Mapping[str, str] = field(default_factory=dict)
    waiting_since: datetime | None = None
    last_agent: str | None = None
    hand_overs: int = 0
    limit_told: int = 0
    solved_by: str | None = None
    escalated: bool = False
    taking_back: Asked | None = None
    escalating: Asked | None = None
    take_backs: tuple[datetime, ...] = ()
    declined: Mapping[str, datetime] = field(default_factory=dict)
    dues: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def eligible(self) -> bool:
        """True when this ticket may be given to an agent."""
        return (
            self.live
            and self.agent is None
            and self.status in WORKING
            and not self.merged
            and self.sequence > 0  # its clocks may be heard of before the ticket itself
        )

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

    @property
    def due(self) -> datetime | None:
        """The nearest due time of the clocks that run; one that has passed counts too."""
        return min(self.dues.values(), default=None)

    @property
    def preferred(self) -> str | None:
        """The agent who knows this ticket: who solved it before it was reopened."""
        return self.solved_by


def evolve(state: Work | None, envelope: EventEnvelope) -> Work | None:
    """The ticket after this event, or None when the event does not concern routing."""
    change = _CHANGES.get(type(envelope.event))
    if change is None:
        return None
    before = state if state is not None else Work(id=envelope.stream_id)
    changes = change(before, envelope.event, envelope)
    after = _copy(before, {"sequence": envelope.sequence, "retry_at": None, **changes})
    if after.status in SETTLED:
        return after if after.eligible_since is None else _copy(after, {"eligible_since": None})
    if after.eligible and not before.eligible:
        since = after.eligible_since or envelope.time
        return _copy(after, {"eligible_since": since, "waiting_since": envelope.time})
    return after


def evolve_clock(state: Work | None, event: sla.ClockEvent) -> Work | None:
    """The ticket after one of its clocks changed, or None when nothing follows from that.

    A clock that runs tells when it is due; one that ended or pauses does not. A warning changes
    nothing, but why the ticket waits is looked at once more.
    """
    if not event.live:
        return None
    before = state if state is not None else Work(id=event.ticket_id)
    dues: dict[str, datetime] = {m: due for m, due in before.dues.items() if m != event.metric}
    due: datetime | None = getattr(event, "due", None)
    if due is not None:
        dues[event.metric] = due
    if dues != before.dues:
        return _copy(before, {"dues": dues})
    warned = isinstance(event, sla.SlaWarning | sla.SlaBreached)
    return before if warned and before.waiting else None


def concerns(event: object) -> bool:
    """True for the events of a ticket's own stream that `evolve` looks at."""
    return type(event) in _CHANGES


def reserve(state: Work, reservation: Reservation) -> Work:
    """The ticket after intake was asked to assign it, or after it was offered to an agent."""
    return _copy(state, {"reservation": reservation, "retry_at": None, "reasons": ""})


def refuse(state: Work, command_id: str, retry_at: datetime) -> Work | None:
    """The ticket after intake refused the command, or None when nothing follows from that.

    A refused escalation is over. Whether the ticket is to be taken back is asked anew at `retry_at`.
    While the ticket still looks eligible it stays out of the queue until `retry_at`: whatever made
    intake refuse is on its way as an event, and asking at once would only be refused again.
    """
    if state.escalating is not None and state.escalating.command_id == command_id:
        return escalate(state, None)
    if state.taking_back is not None and state.taking_back.command_id == command_id:
        return take_back(state, replace(state.taking_back, until=retry_at))
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


def decline(state: Work, agent: str, until: datetime, now: datetime) -> Work:
    """The ticket after the agent did not take the offer; not to be asked again before `until`."""
    declined = {name: t for name, t in state.declined.items() if t > now}
    return _copy(state, {"reservation": None, "declined": {**declined, agent: until}})


def retry(state: Work) -> Work:
    """The ticket back in the queue."""
    return _copy(state, {"retry_at": None})


def remember(state: Work, reasons: str) -> Work:
    """The ticket after a "nobody" for these reasons was put on record."""
    return _copy(state, {"reasons": reasons})


def take_back(state: Work, asked: Asked | None) -> Work:
    """The ticket after intake was asked to take it back from its agent (None: no longer)."""
    return _copy(state, {"taking_back": asked})


def taken_back_lately(state: Work, now: datetime) -> tuple[datetime, ...]:
    """When the ticket was taken back, as far as it still counts."""
    return tuple(at for at in state.take_backs if at > now - TAKE_BACKS_WITHIN)


def count_take_back(state: Work, now: datetime) -> Work:
    """The ticket after one more take-back; the one above the limit stands for telling the leads."""
    return _copy(state, {"take_backs": (*taken_back_lately(state, now), now)})


def escalate(state: Work, asked: Asked | None) -> Work:
    """The ticket after intake was asked to escalate it (None: no longer)."""
    return _copy(state, {"escalating": asked})


def in_group(state: Work, before: Work | None) -> Work:
    """The ticket in the group that it was in before."""
    group = before.group if before is not None else None
    return state if state.group == group else _copy(state, {"group": group})


def told_limit(state: Work) -> Work:
    """The ticket after somebody was told that it is handed over too often."""
    return _copy(state, {"limit_told": state.hand_overs})


def _copy(state: Work, changes: Changes) -> Work:
    # `dataclasses.replace` pays for every field of a frozen class; this runs for every event.
    work = object.__new__(Work)
    work.__dict__.update(state.__dict__)
    work.__dict__.update(changes)
    return work


def _created(_: Work, e: ticket.TicketCreated, _at: EventEnvelope) -> Changes:
    return {
        "number": e.number,
        "status": e.status,
        "priority": e.priority,
        "category": e.category,
        "subcategory": e.subcategory,
        "language": e.language,
        "channel": e.channel,
        "tags": tuple(sorted(set(e.tags))),
        "organization": e.requester.organization,
        "custom_fields": dict(e.custom_fields),
        "group": e.group,
        "agent": e.agent,
        "last_agent": e.agent,
        "live": e.imported_from is None,
    }


def _assigned(s: Work, e: ticket.Assigned, _at: EventEnvelope) -> Changes:
    changes: Changes = {
        "group": e.group,
        "agent": e.agent,
        "refusals": 0,
        "taking_back": None,
        "escalated": False,
    }
    if e.agent is not None:
        changes["reasons"] = ""
        changes["last_agent"] = e.agent
        changes["hand_overs"] = s.hand_overs + (s.last_agent not in {None, e.agent})
    asked = s.reservation
    if asked is None:
        return changes
    # Somebody else's assignment does not answer our command, even if it names the same agent: the
    # unit stays reserved until intake refuses ours, because by then the ticket may be free again and
    # ours accepted after all.
    # An offer has no command under way: whoever holds the ticket now, the offer is over.
    ours = e.decision_id == asked.decision_id
    if ours or (asked.kind == "offer" and e.agent is not None):
        changes["reservation"] = None
    return changes


def _unassigned(s: Work, _: ticket.Unassigned, at: EventEnvelope) -> Changes:
    changes: Changes = {"group": None, "agent": None, "taking_back": None, "escalated": False}
    if at.actor == ROUTER:
        changes["last_agent"] = None  # nobody passed it on: its agent was not there
    if s.taking_back is not None and s.taking_back.command_id == at.causation_id:
        # An assignment is not asked for while the ticket is taken back: what was asked for before,
        # intake has decided, too. An earlier request to take it back does not tell that.
        changes["reservation"] = None
    return changes


def _status(s: Work, e: ticket.StatusChanged, _at: EventEnvelope) -> Changes:
    if e.status in SETTLED and s.status not in SETTLED:
        solver = s.agent or s.solved_by
        return {
            "status": e.status,
            "solved_by": solver,
            "hand_overs": 0,
            "limit_told": 0,
            "take_backs": (),
        }
    return {"status": e.status}


def _priority(_: Work, e: ticket.PriorityChanged, _at: EventEnvelope) -> Changes:
    return {"priority": e.priority}


def _category(_: Work, e: ticket.CategoryChanged, _at: EventEnvelope) -> Changes:
    return {"category": e.category, "subcategory": e.subcategory}


def _tags(s: Work, e: ticket.TagsChanged, _at: EventEnvelope) -> Changes:
    return {"tags": tuple(sorted((set(s.tags) - set(e.removed)) | set(e.added)))}


def _custom_field(s: Work, e: ticket.CustomFieldChanged, _at: EventEnvelope) -> Changes:
    others = {name: value for name, value in s.custom_fields.items() if name != e.field}
    return {"custom_fields": others if e.value is None else {**others, e.field: e.value}}


def _escalated(s: Work, e: ticket.Escalated, _at: EventEnvelope) -> Changes:
    return {"tier": e.tier, "escalated": s.agent is not None, "escalating": None}


def _merged(_: Work, _e: ticket.TicketMerged, _at: EventEnvelope) -> Changes:
    return {"merged": True}


def _activated(_: Work, _e: ticket.ImportedTicketActivated, _at: EventEnvelope) -> Changes:
    return {"live": True}


_CHANGES: Final[dict[type, Callable[[Work, Any, EventEnvelope], Changes]]] = {
    ticket.TicketCreated: _created,
    ticket.Assigned: _assigned,
    ticket.Unassigned: _unassigned,
    ticket.StatusChanged: _status,
    ticket.PriorityChanged: _priority,
    ticket.CategoryChanged: _category,
    ticket.TagsChanged: _tags,
    ticket.CustomFieldChanged: _custom_field,
    ticket.Escalated: _escalated,
    ticket.TicketMerged: _merged,
    ticket.ImportedTicketActivated: _activated,
}

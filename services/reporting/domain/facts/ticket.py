"""The facts of one ticket: a pure fold of its events, total, fast enough for tens of millions.

It agrees with the published fold (`libs.events.fold`) in everything that both say, and goes on where
that one stops: what happened when, how long each stretch took, who held the ticket meanwhile.

Edges. Events before the ticket's creation leave no trace; a second creation changes nothing. Imported
tickets count like any other, in the days where they happened. Business time may run backwards in a
stream: a stretch then has no length, and each begins where the one before ended. A merged ticket counts
as created; the resolution that the merge brings is marked (`solved` with `detail` 'merged'), since nobody
solved it: what measures resolutions leaves it out, what balances the backlog does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from libs.events import ticket as t
from services.reporting.domain.facts import decode as d
from services.reporting.domain.facts.instants import instant_us

HistoryRow = tuple[int, str, int, int, str, str]
"""One event: sequence, type, time_us, recorded_us, actor, data (JSON)."""

Holder = tuple[str | None, str | None, int]
"""Group, agent, tier."""

SECOND_US: Final = 1_000_000
SETTLED: Final = frozenset(("solved", "closed"))
REQUESTER_WAITS: Final = ("new", "open", "on_hold")
AGENT_WORKS: Final = ("new", "open")


class Activity(NamedTuple):
    """`since_us` is the instant from which `value_s` was counted, where it is one."""

    sequence: int
    kind: str
    group_name: str | None
    agent: str | None
    tier: int
    time_us: int
    recorded_us: int
    actor: str
    value_s: int | None
    since_us: int | None
    detail: str | None


class Interval(NamedTuple):
    group_name: str | None
    agent: str | None
    tier: int
    status: str
    start_us: int
    end_us: int | None


class Resolution(NamedTuple):
    time_us: int
    handling_us: int
    holder: Holder


_tuple: Final = tuple.__new__
"""A named tuple's own way costs twice as much."""


class TicketState:
    """What is known of a ticket while its events are folded."""

    __slots__ = (
        "activities", "agent", "agents", "category", "channel", "closed_us", "created_us",
        "escalations", "event", "external_ref", "first_recorded_us", "first_replied_us",
        "first_solved_us", "group", "group_changes", "groups", "hand_overs", "handling_us", "held",
        "imported_from", "intervals", "language", "live", "merged_into", "notes",
        "number", "organization", "ping_pongs", "priority", "problem", "rated_us", "rating", "reopens",
        "replies", "requester", "requester_messages", "resolutions", "sequence", "solved_by",
        "solved_us", "spent_us", "start_us", "status", "subcategory", "substatus", "tags", "tier",
        "updated_us", "waiting_us",
    )  # fmt: skip

    def __init__(self, e: d.Created, event: HistoryRow) -> None:
        time_us = event[2]
        self.event = event
        self.sequence = event[0]
        self.number, self.channel, self.language = e.number, e.channel, e.language
        self.requester, self.organization = e.requester.id, e.requester.organization
        self.status, self.substatus, self.priority = e.status, e.substatus, e.priority
        self.category, self.subcategory = e.category, e.subcategory
        self.tags = set(e.tags)
        self.group, self.agent, self.tier = e.group, e.agent, 1
        self.imported_from, self.external_ref = e.imported_from, e.external_ref
        self.live = e.imported_from is None
        self.merged_into: str | None = None
        self.problem: str | None = None
        self.rating: str | None = None
        self.rated_us: int | None = None
        self.created_us = self.start_us = self.updated_us = time_us
        self.first_replied_us: int | None = None
        self.first_solved_us: int | None = None
        self.solved_us: int | None = None
        self.solved_by: str | None = None
        self.closed_us: int | None = None
        self.waiting_us: int | None = time_us  # the creation is the requester's first message
        self.replies = self.requester_messages = self.notes = 0
        self.reopens = self.hand_overs = self.group_changes = self.escalations = 0
        self.ping_pongs = self.handling_us = 0
        self.agents = set() if e.agent is None else {e.agent}
        self.groups = set() if e.group is None else {e.group}
        self.held = {_key(e.group, e.agent)}
        self.spent_us: dict[str, int] = {}
        self.intervals: list[Interval] = []
        self.activities: list[Activity] = []
        self.resolutions: list[Resolution] = []
        self.first_recorded_us = event[3]

    def note(
        self,
        kind: str,
        *,
        detail: str | None = None,
        since_us: int | None = None,
        value_s: int | None = None,
        holder: Holder | None = None,
    ) -> None:
        """One row of `activities` for the event that is being folded. `value_s` is counted from
        `since_us` when that is given."""
        sequence, _, time_us, recorded_us, actor, _ = self.event
        if since_us is not None:
            value_s = (time_us - since_us) // SECOND_US
        group, agent, tier = (self.group, self.agent, self.tier) if holder is None else holder
        row = (
            sequence, kind, group, agent, tier,
            time_us, recorded_us, actor, value_s, since_us, detail,
        )  # fmt: skip
        self.activities.append(_tuple(Activity, row))

    def turn(self) -> None:
        """The status, the holder or the tier is about to change: the present stretch ends here."""
        end_us, start_us = self.event[2], self.start_us
        if end_us <= start_us:
            return
        status = self.status
        row = (self.group, self.agent, self.tier, status, start_us, end_us)
        self.intervals.append(_tuple(Interval, row))
        self.spent_us[status] = self.spent_us.get(status, 0) + end_us - start_us
        if status == "open" and self.agent is not None:
            self.handling_us += end_us - start_us
        self.start_us = end_us

    def solve(self) -> None:
        """The resolution that stands from now on."""
        self.solved_us, self.solved_by = self.event[2], self.agent
        holder = (self.group, self.agent, self.tier)
        self.resolutions.append(Resolution(self.event[2], self.handling_us, holder))

    def holder_at(self, time_us: int) -> Holder:
        """Who held it then; before the creation, who held it first."""
        for row in reversed(self.intervals):
            if row.start_us <= time_us or row is self.intervals[0]:
                if row.end_us is None or time_us < row.end_us:
                    return row.group_name, row.agent, row.tier
                break
        return self.group, self.agent, self.tier


def fold_ticket(events: Sequence[HistoryRow]) -> TicketState | None:
    """The state after the events of one ticket's stream, in order; None while there is no ticket.

    Never raises on events that `decode_event` has accepted.
    """
    s: TicketState | None = None
    for event in events:
        if s is None:
            if d.present_name(event[1]) == t.TicketCreated.TYPE:
                s = _create(event)
            continue
        s.event = event
        s.sequence, s.updated_us = event[0], event[2]
        known = _CHANGES[event[1]]
        if known is not d.NOTHING:
            change, read = known
            made = read(event[5])
            if made is not None:
                change(s, made)
    return s


def _create(event: HistoryRow) -> TicketState | None:
    read = d.reader_of(event[1])
    made = None if read is None else read(event[5])
    if made is None:
        return None
    s = TicketState(made, event)
    s.note("created")
    if s.agent is not None:
        s.note("assigned")
    if s.status in SETTLED:
        s.first_solved_us = event[2]
        s.solve()
        s.note("solved", since_us=s.created_us, detail="first")
    if s.status == "closed":
        s.closed_us = event[2]
        s.note("closed")
    return s


def _created_again(s: TicketState, _: Any) -> None:
    s.first_recorded_us = min(s.first_recorded_us, s.event[3])


def _message(s: TicketState, e: d.Message) -> None:
    if e.visibility == "internal":
        s.notes += 1
        s.note("note")
    elif e.author == "requester":
        s.requester_messages += 1
        if s.waiting_us is None:
            s.waiting_us = s.event[2]
        s.note("requester_message")
    elif e.author == "agent":
        s.replies += 1
        first = s.first_replied_us is None
        if first:
            s.first_replied_us = s.event[2]
        s.note("reply", since_us=s.waiting_us, detail="first" if first else "next")
        s.waiting_us = None


def _key(group: str | None, agent: str | None) -> tuple[str | None, str | None]:
    """Who holds a ticket: the person, or the group if no person does."""
    return (None, agent) if agent is not None else (group, None)


def _hold(s: TicketState, group: str | None, agent: str | None) -> None:
    old_group, old_agent = s.group, s.agent
    if group == old_group and agent == old_agent:
        return
    before, after = old_agent or old_group, agent or group
    if old_agent is None and old_group is not None and group == old_group:
        handed_over = False  # a person of the holding group took it
    else:
        other = before != after or (old_agent is None) is not (agent is None)
        handed_over = before is not None and after is not None and other
    s.turn()
    s.group, s.agent = group, agent
    if agent is not None and agent != old_agent:
        s.agents.add(agent)
        s.note("assigned")
    if handed_over:
        s.hand_overs += 1
        s.note("handed_over")
    if group != old_group:
        s.group_changes += 1
        if group is not None:
            s.groups.add(group)
        s.note("group_changed")
    key = _key(group, agent)
    if handed_over and key in s.held:
        s.ping_pongs += 1
        s.note("ping_pong")
    s.held.add(key)


def _assigned(s: TicketState, e: d.Assigned) -> None:
    _hold(s, e.group, e.agent)


def _unassigned(s: TicketState, _: Any) -> None:
    _hold(s, None, None)


def _status(s: TicketState, e: d.StatusChanged) -> None:
    before, now = s.status, e.status
    s.substatus = e.substatus
    if now == before:
        if now == "closed" and s.solved_us is None:
            s.solve()
        return
    s.turn()
    s.status = now
    was_settled, is_settled = before in SETTLED, now in SETTLED
    if now == "solved":
        s.solve()
        s.closed_us = None
    elif now == "closed":
        s.closed_us = s.event[2]
        if s.solved_us is None:
            s.solve()
    elif was_settled:
        s.reopens += 1
        s.solved_us = s.closed_us = None
        s.note("reopened")
    if is_settled and not was_settled:
        if s.merged_into is not None:
            detail = "merged"
        else:
            detail = "first" if s.first_solved_us is None else "again"
        s.note("solved", since_us=s.created_us, detail=detail)
    if is_settled and s.first_solved_us is None:
        s.first_solved_us = s.event[2]
    if now == "closed":
        s.note("closed")


def _priority(s: TicketState, e: d.PriorityChanged) -> None:
    s.priority = e.priority


def _category(s: TicketState, e: d.CategoryChanged) -> None:
    s.category, s.subcategory = e.category, e.subcategory


def _tags(s: TicketState, e: d.TagsChanged) -> None:
    s.tags.difference_update(e.removed)
    s.tags.update(e.added)


def _escalated(s: TicketState, e: d.Escalated) -> None:
    if e.tier != s.tier:
        s.turn()
        s.tier = e.tier
    s.escalations += 1
    s.note("escalated", detail=e.cause)


def _merged(s: TicketState, e: d.Merged) -> None:
    s.merged_into = e.into
    s.note("merged")


def _linked(s: TicketState, e: d.Linked) -> None:
    if e.kind == "incident_of":
        s.problem = e.other


def _rated(s: TicketState, e: d.Rated) -> None:
    s.rating, s.rated_us = e.rating, s.event[2]
    solved_us = None if e.solved_at is None else instant_us(e.solved_at)
    resolution = next(
        (r for r in reversed(s.resolutions) if r.time_us == solved_us),
        s.resolutions[-1] if s.resolutions else None,
    )
    if resolution is None:
        s.note("rated", detail=e.rating)
    else:
        handling_s = resolution.handling_us // SECOND_US
        s.note("rated", detail=e.rating, value_s=handling_s, holder=resolution.holder)


def _activated(s: TicketState, _: Any) -> None:
    s.live = True


_CHANGES: Final = d.Changes(
    {
        t.TicketCreated.TYPE: _created_again,
        t.MessageAdded.TYPE: _message,
        t.Assigned.TYPE: _assigned,
        t.Unassigned.TYPE: _unassigned,
        t.StatusChanged.TYPE: _status,
        t.PriorityChanged.TYPE: _priority,
        t.CategoryChanged.TYPE: _category,
        t.TagsChanged.TYPE: _tags,
        t.Escalated.TYPE: _escalated,
        t.TicketMerged.TYPE: _merged,
        t.TicketLinked.TYPE: _linked,
        t.SatisfactionRated.TYPE: _rated,
        t.ImportedTicketActivated.TYPE: _activated,
    }
)

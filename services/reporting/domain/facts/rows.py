"""Rows of the fact tables, as the fold gives them: without a ticket's number and its dimensions
(which the loader repeats in every table), and without business time (which it looks up)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

from services.reporting.domain.facts.clocks import Verdict, fold_clocks
from services.reporting.domain.facts.ticket import (
    AGENT_WORKS,
    REQUESTER_WAITS,
    SECOND_US,
    Activity,
    HistoryRow,
    Interval,
    TicketState,
    fold_ticket,
)

TICKET_COLUMNS: Final = (
    "id", "number", "priority", "category", "subcategory", "channel", "language", "organization",
    "live", "group_name", "agent", "tier", "status", "substatus", "tags", "requester", "solved_by",
    "problem", "imported_from", "external_ref", "merged_into", "created_us", "first_replied_us",
    "first_solved_us", "solved_us", "closed_us", "updated_us", "rating", "rated_us", "first_reply_s",
    "first_resolution_s", "resolution_s", "requester_wait_s", "agent_work_s", "on_hold_s",
    "handling_s", "replies", "requester_messages", "internal_notes", "reopens", "hand_overs",
    "group_changes", "escalations", "ping_pongs", "agents", "groups", "one_touch", "sequence",
    "sla_sequence", "first_recorded_us", "last_recorded_us",
)  # fmt: skip


class TicketFacts:
    """`ticket` has the values of TICKET_COLUMNS."""

    __slots__ = ("activities", "intervals", "ticket", "verdicts")

    def __init__(
        self,
        ticket: tuple[Any, ...],
        activities: list[Activity],
        intervals: list[Interval],
        verdicts: list[Verdict],
    ) -> None:
        self.ticket = ticket
        self.activities = activities
        self.intervals = intervals
        self.verdicts = verdicts


def facts_of_ticket(
    ticket_id: str, events: Sequence[HistoryRow], clock_events: Sequence[HistoryRow]
) -> TicketFacts | None:
    """The rows that follow from a ticket's stream and from the stream of its clocks, each in order;
    None while there is no ticket. Never raises on events that `decode_event` has accepted."""
    s = fold_ticket(events)
    if s is None:
        return None
    s.intervals.append(Interval(s.group, s.agent, s.tier, s.status, s.start_us, None))
    verdicts, last_recorded_us = [], max(map(_recorded_us, events))
    if clock_events:
        verdicts = fold_clocks(clock_events, s.holder_at)
        last_recorded_us = max(last_recorded_us, *map(_recorded_us, clock_events))
    sla_sequence = clock_events[-1][0] if clock_events else 0
    row = _row(ticket_id, s, sla_sequence, last_recorded_us)
    return TicketFacts(row, s.activities, s.intervals, verdicts)


_recorded_us: Final = itemgetter(3)


def _row(
    ticket_id: str, s: TicketState, sla_sequence: int, last_recorded_us: int
) -> tuple[Any, ...]:
    solved_us, spent = s.solved_us, s.spent_us
    waited_s = worked_s = held_s = handled_s = None
    if solved_us is not None:
        waited_s = sum(spent.get(status, 0) for status in REQUESTER_WAITS) // SECOND_US
        worked_s = sum(spent.get(status, 0) for status in AGENT_WORKS) // SECOND_US
        held_s = spent.get("on_hold", 0) // SECOND_US
        handled_s = s.handling_us // SECOND_US
    return (
        ticket_id, s.number, s.priority, s.category, s.subcategory, s.channel, s.language,
        s.organization, s.live, s.group, s.agent, s.tier, s.status, s.substatus, sorted(s.tags),
        s.requester, s.solved_by, s.problem, s.imported_from, s.external_ref, s.merged_into,
        s.created_us, s.first_replied_us, s.first_solved_us, solved_us, s.closed_us, s.updated_us,
        s.rating, s.rated_us, _seconds(s.created_us, s.first_replied_us),
        _seconds(s.created_us, s.first_solved_us), _seconds(s.created_us, solved_us),
        waited_s, worked_s, held_s, handled_s, s.replies, s.requester_messages, s.notes,
        s.reopens, s.hand_overs, s.group_changes, s.escalations, s.ping_pongs, len(s.agents),
        len(s.groups), solved_us is not None and not s.reopens and s.replies <= 1, s.sequence,
        sla_sequence, s.first_recorded_us, last_recorded_us,
    )  # fmt: skip


def _seconds(start_us: int, end_us: int | None) -> int | None:
    return None if end_us is None else (end_us - start_us) // SECOND_US

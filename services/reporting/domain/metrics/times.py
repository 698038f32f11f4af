"""How long it takes: durations, one value per ticket or per reply."""

from __future__ import annotations

from typing import Final

from services.reporting.domain.metrics.definition import Definition

_ONCE: Final = (
    "One value per ticket, at the resolution that stands; a ticket at work has none, and gets "
    "another one when it was reopened and solved again. Merged tickets have none."
)
_LIFE: Final = ("TicketCreated", "StatusChanged")


def _of_reply(name: str, title: str, detail: str, formula: str, edges: str) -> Definition:
    return Definition(
        name,
        title,
        "seconds",
        "distribution",
        "activities",
        "time_us",
        formula,
        ("TicketCreated", "MessageAdded"),
        when=f"kind = 'reply' AND detail = '{detail}' AND value_s IS NOT NULL",
        value="value_s",
        business=True,
        better="less",
        edges=edges,
    )


def _of_ticket(
    name: str,
    title: str,
    column: str,
    formula: str,
    *,
    events: tuple[str, ...] = _LIFE,
    business: bool = True,
    edges: str = _ONCE,
) -> Definition:
    return Definition(
        name,
        title,
        "seconds",
        "distribution",
        "tickets",
        "solved_us",
        formula,
        events,
        when=f"solved_us IS NOT NULL AND merged_into IS NULL AND {column} IS NOT NULL",
        value=column,
        business=business,
        better="less",
        edges=edges,
    )


TIMES: Final[tuple[Definition, ...]] = (
    _of_reply(
        "first_reply_time",
        "First reply time",
        "first",
        "From the creation of a ticket to the first public message by an agent.",
        "Tickets without a reply have none; they do not count as 0. By agent: who held the ticket as "
        "it was replied to.",
    ),
    _of_reply(
        "next_reply_time",
        "Next reply time",
        "next",
        "From the oldest unanswered message of the requester to the next public message by an agent, "
        "after the first reply.",
        "A message without one of the requester before it answers nothing and has no value.",
    ),
    Definition(
        "first_resolution_time",
        "First resolution time",
        "seconds",
        "distribution",
        "activities",
        "time_us",
        "From the creation of a ticket to the first time that it was solved or closed.",
        _LIFE,
        when="kind = 'solved' AND detail = 'first' AND value_s IS NOT NULL",
        value="value_s",
        business=True,
        better="less",
        edges="Stays as it is when the ticket is reopened. A merge is no resolution.",
    ),
    _of_ticket(
        "resolution_time",
        "Resolution time",
        "resolution_s",
        "From the creation of a ticket to the resolution that stands, all statuses included.",
    ),
    _of_ticket(
        "requester_wait_time",
        "Requester wait time",
        "requester_wait_s",
        "Time in new, open and on hold up to the resolution that stands: what the requester waited "
        "for the desk.",
    ),
    _of_ticket(
        "agent_work_time",
        "Agent work time",
        "agent_work_s",
        "Time in new and open up to the resolution that stands: when it was the desk's turn.",
    ),
    _of_ticket(
        "on_hold_time",
        "On-hold time",
        "on_hold_s",
        "Time on hold up to the resolution that stands.",
        edges=_ONCE + " Tickets that never were on hold count with 0.",
    ),
    _of_ticket(
        "handling_time",
        "Handling time",
        "handling_s",
        "Time in open while an agent holds the ticket, up to the resolution that stands.",
        events=(*_LIFE, "Assigned", "Unassigned"),
        business=False,
        edges=_ONCE + " Calendar time only: an agent who works after hours does work.",
    ),
)

"""How much happens: counts of what the histories say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.reporting.domain.metrics.definition import (
    Better,
    Definition,
    Unit,
)


def _activity(
    name: str,
    title: str,
    kind: str,
    formula: str,
    events: tuple[str, ...],
    *,
    unit: Unit = "times",
    better: Better = "neither",
    edges: str = "",
    dimensions: Mapping[str, str] | None = None,
) -> Definition:
    return Definition(
        name,
        title,
        unit,
        "count",
        "activities",
        "time_us",
        formula,
        events,
        when=kind,
        better=better,
        edges=edges,
        dimensions=dimensions or {},
    )


_AT_CREATION: Final = (
    "An import may create a ticket in any status; what that implies counts at its creation."
)

VOLUME: Final[tuple[Definition, ...]] = (
    Definition(
        "created",
        "Created",
        "tickets",
        "count",
        "tickets",
        "created_us",
        "Tickets, by the instant of their creation.",
        ("TicketCreated",),
        when="created_us IS NOT NULL",
        edges="Imported tickets count on the day where they were created in the other system. "
        "Group and agent are those who hold the ticket now.",
    ),
    _activity(
        "solved",
        "Solved",
        "kind = 'solved'",
        "Changes from work (new, open, pending, on hold) to solved or closed.",
        ("StatusChanged", "TicketCreated"),
        better="more",
        edges="A ticket that is reopened and solved again counts again. From solved to closed is "
        "no change. Merged tickets count, so that created, solved and reopened give the backlog. "
        + _AT_CREATION,
    ),
    _activity(
        "reopened",
        "Reopened",
        "kind = 'reopened'",
        "Changes from solved or closed back to work.",
        ("StatusChanged",),
        better="less",
        edges="Group and agent are those who hold the ticket as it comes back.",
    ),
    _activity(
        "closed",
        "Closed",
        "kind = 'closed'",
        "Changes to closed.",
        ("StatusChanged", "TicketCreated"),
        edges=_AT_CREATION,
    ),
    _activity(
        "first_replies",
        "First replies",
        "kind = 'reply' AND detail = 'first'",
        "First public messages by an agent, one per ticket at most.",
        ("MessageAdded",),
        unit="tickets",
    ),
    _activity(
        "replies",
        "Replies",
        "kind = 'reply'",
        "Public messages by agents.",
        ("MessageAdded",),
        edges="Several in a row count each. Internal notes and messages of the system do not.",
    ),
    _activity(
        "requester_messages",
        "Messages of requesters",
        "kind = 'requester_message'",
        "Public messages by requesters after creation.",
        ("MessageAdded",),
        edges="The description that a ticket is created with is not counted.",
    ),
    _activity(
        "notes",
        "Internal notes",
        "kind = 'note'",
        "Internal messages, by whomever.",
        ("MessageAdded",),
    ),
    _activity(
        "assignments",
        "Assignments",
        "kind = 'assigned'",
        "Times that a ticket came to an agent.",
        ("Assigned", "TicketCreated"),
    ),
    _activity(
        "hand_overs",
        "Hand-overs",
        "kind = 'handed_over'",
        "Changes from one holder (an agent, or a group where there is none) to another.",
        ("Assigned",),
        better="less",
        edges="A member of the holding group who takes the ticket is no other holder. Who gets a "
        "ticket that nobody held does not count.",
    ),
    _activity(
        "group_changes",
        "Changes of group",
        "kind = 'group_changed'",
        "Changes of the holding group after creation.",
        ("Assigned", "Unassigned"),
        better="less",
        edges="To and from nobody included.",
    ),
    _activity(
        "ping_pong",
        "Ping-pong",
        "kind = 'ping_pong'",
        "Hand-overs back to a holder who had the ticket before.",
        ("Assigned",),
        better="less",
    ),
    _activity(
        "escalated",
        "Escalated",
        "kind = 'escalated'",
        "Moves to another tier.",
        ("Escalated",),
        better="less",
        edges="Tier, group and agent are those after it.",
        dimensions={"cause": "detail"},
    ),
    _activity(
        "merged",
        "Merged",
        "kind = 'merged'",
        "Tickets whose conversation went on in another one.",
        ("TicketMerged",),
        unit="tickets",
    ),
)

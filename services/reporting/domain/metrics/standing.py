"""What stands at an instant, and what agents carry while they are present."""

from __future__ import annotations

from typing import Final

from services.reporting.domain.metrics.definition import AT_WORK, Better, Definition, Unit

_LIFE: Final = ("TicketCreated", "StatusChanged")
_HELD: Final = (*_LIFE, "Assigned", "Unassigned")
_END: Final = (
    "At the end of each period, which is not part of it: what happens at midnight sharp belongs to "
    "the new day. Group, agent and tier are those of that instant."
)


def _present(
    name: str,
    title: str,
    unit: Unit,
    value: str,
    formula: str,
    *,
    better: Better = "neither",
    edges: str = "",
) -> Definition:
    events = ("AgentRegistered", "PresenceChanged", *_HELD)
    return Definition(
        name,
        title,
        unit,
        "present",
        "presences",
        "start_us",
        formula,
        events,
        when="presence = 'online'",
        value=value,
        better=better,
        edges=edges,
    )


STANDING: Final[tuple[Definition, ...]] = (
    Definition(
        "backlog",
        "Backlog",
        "tickets",
        "level",
        "intervals",
        "start_us",
        "Tickets that are neither solved nor closed.",
        _LIFE,
        when=AT_WORK,
        better="less",
        edges=_END,
    ),
    Definition(
        "unassigned",
        "Unassigned",
        "tickets",
        "level",
        "intervals",
        "start_us",
        "Tickets that are new or open and that no agent holds.",
        _HELD,
        when="status IN ('new', 'open') AND agent IS NULL",
        better="less",
        edges=_END,
    ),
    Definition(
        "backlog_age",
        "Age of the backlog",
        "seconds",
        "standing",
        "intervals",
        "start_us",
        "From creation to the end of the period, of the tickets that then are neither solved nor "
        "closed.",
        _LIFE,
        when=AT_WORK,
        value="(end_us - t_created_us) // 1000000",
        better="less",
        edges=_END + " A period that is not over counts up to the latest event.",
    ),
    _present(
        "present_time",
        "Time present",
        "seconds",
        "present_us // 1000000",
        "Time in which agents are online.",
        edges="Away and offline are not present. An agent without a recorded presence has none.",
    ),
    _present(
        "agent_load",
        "Agent load",
        "tickets",
        "held_us / present_us",
        "Tickets held that are neither solved nor closed, on the average of the time present.",
        edges="Of several agents: their tickets together, by their time present together. Without "
        "time present there is no figure. By group: of the agents that belong to it.",
    ),
    _present(
        "utilization",
        "Utilization",
        "share",
        "busy_us / present_us",
        "Of the time present: with at least one ticket held that is new or open.",
        edges="Pending, on hold and solved tickets do not keep an agent busy. Without time present "
        "there is no figure.",
    ),
)

"""The topics, their owners, and how long each is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TICKETS_EVENTS: Final = "tickets.events"
TICKETS_COMMANDS: Final = "tickets.commands"
TICKETS_REJECTIONS: Final = "tickets.rejections"
AGENTS_EVENTS: Final = "agents.events"
AGENTS_COMMANDS: Final = "agents.commands"
ROUTING_DECISIONS: Final = "routing.decisions"
SLA_EVENTS: Final = "sla.events"

DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """`retention_ms` -1 means for ever. Every topic is keyed by stream id (commands: of whom or what
    they ask something)."""

    name: str
    owner: str
    holds: str
    partitions: int = 6
    retention_ms: int = -1
    cleanup: str = "delete"


TOPICS: Final[tuple[Topic, ...]] = (
    Topic(TICKETS_EVENTS, "intake", "the streams of the tickets: the public log"),
    Topic(
        TICKETS_COMMANDS,
        "anybody",
        "requests on tickets, decided by intake",
        retention_ms=7 * DAY_MS,
    ),
    Topic(TICKETS_REJECTIONS, "intake", "refused commands", retention_ms=30 * DAY_MS),
    Topic(AGENTS_EVENTS, "routing", "the streams of the agents"),
    Topic(
        AGENTS_COMMANDS,
        "anybody",
        "requests of agents, decided by routing",
        retention_ms=7 * DAY_MS,
    ),
    Topic(ROUTING_DECISIONS, "routing", "why a ticket went to whom, or to nobody"),
    Topic(
        SLA_EVENTS,
        "sla",
        "clocks: started, paused, warned, breached, satisfied; versions of calendars",
    ),
)


def topic_named(name: str) -> Topic:
    """Raises LookupError when no topic is called so."""
    for topic in TOPICS:
        if topic.name == name:
            return topic
    raise LookupError(f"there is no topic {name!r}")


def parked_topic(group: str) -> Topic:
    """The topic to which the consumer group `group` puts what it cannot apply."""
    return Topic(f"{group}.parked", group, "messages that could not be applied", partitions=1)

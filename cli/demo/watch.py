"""A reader of the public topics, as a data team would write it: counts, and the last events."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError

from libs.events import EventEnvelope, Malformed, decode_event
from libs.events import sla as s
from libs.events import ticket as t
from libs.events.topics import AGENTS_EVENTS, ROUTING_DECISIONS, SLA_EVENTS, TICKETS_EVENTS
from libs.runtime.topiclog import open_topics

TOPICS: Final = (TICKETS_EVENTS, AGENTS_EVENTS, ROUTING_DECISIONS, SLA_EVENTS)
SHOWN: Final = 200
QUIET_S: Final = 0.2
AGAIN_S: Final = 0.5

log = structlog.get_logger()


@dataclass(slots=True)
class Watch:
    """`types`: events by type name. `last`: (time, text) of the latest that people care about."""

    bootstrap: str
    types: Counter[str] = field(default_factory=Counter)
    topics: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    """Status changes by the status reached."""
    causes: Counter[str] = field(default_factory=Counter)
    """Escalations by cause."""
    by: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Tickets by ("channel" or "language", value)."""
    ratings: Counter[str] = field(default_factory=Counter)
    reopened: int = 0
    assigned_by_routing: int = 0
    last: deque[tuple[Any, str]] = field(default_factory=lambda: deque(maxlen=SHOWN))
    _heads: dict[tuple[str, str], int] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def count(self, event: type) -> int:
        return self.types[getattr(event, "TYPE")]  # noqa: B009 - a class attribute of every event

    async def catch_up(self) -> None:
        """Count everything that is on the topics now. Raises KafkaError."""
        async with open_topics(self.bootstrap, TOPICS) as topics:
            async for records in topics.read():
                self._take(records)

    async def run(self) -> None:
        """Until cancelled. A broker that is away is waited for; what was read is not counted twice."""
        while True:
            try:
                async with open_topics(self.bootstrap, TOPICS) as topics:
                    while True:
                        async for records in topics.read(quiet_s=QUIET_S):
                            self._take(records)
            except (KafkaError, OSError) as error:
                log.debug("watch_waits", error=str(error)[:200])
                await asyncio.sleep(AGAIN_S)

    def _take(self, records: list[Any]) -> None:
        for record in records:
            envelope = decode_event(record.value, record.headers)
            if isinstance(envelope, Malformed):
                continue
            place = (record.topic, envelope.stream_id)
            if envelope.sequence <= self._heads.get(place, 0):
                continue
            self._heads[place] = envelope.sequence
            self.topics[record.topic] += 1
            self.types[envelope.type] += 1
            self._note(envelope)

    def _note(self, envelope: EventEnvelope) -> None:
        event = envelope.event
        if isinstance(event, t.TicketCreated):
            self._numbers[envelope.stream_id] = event.number
            self.by["channel", event.channel] += 1
            self.by["language", event.language or "none"] += 1
        elif isinstance(event, t.StatusChanged):
            self.statuses[event.status] += 1
            if event.previous in ("solved", "closed") and event.status not in ("solved", "closed"):
                self.reopened += 1
        elif isinstance(event, t.Escalated):
            self.causes[event.cause] += 1
        elif isinstance(event, t.Assigned):
            self.assigned_by_routing += event.decision_id is not None
        elif isinstance(event, t.SatisfactionRated):
            self.ratings[event.rating] += 1
        text = _story(event)
        if text:
            ticket_id = envelope.stream_id.partition(":")[2] or envelope.stream_id
            number = self._numbers.get(ticket_id)
            self.last.append((envelope.time, f"#{number} {text}" if number else text))


def _story(event: Any) -> str:
    match event:
        case t.TicketCreated():
            return f"new by {event.channel}, {event.priority}: {event.subject}"
        case t.Assigned(agent=str(agent)):
            if event.decision_id:
                return f"given to {agent}"
            return f"handed over to {agent}" if event.previous_agent else f"taken by {agent}"
        case t.Escalated():
            return f"escalated to tier {event.tier} ({event.cause})"
        case t.StatusChanged(status="solved"):
            return "solved"
        case t.StatusChanged(previous="solved", status="open"):
            return "reopened: it did not help"
        case t.SatisfactionRated():
            return f"rated {event.rating}"
        case s.SlaWarning():
            return f"SLA warning: {event.metric.replace('_', ' ')} at {event.fraction} %"
        case s.SlaBreached():
            return f"SLA BREACH: {event.metric.replace('_', ' ')}"
        case _:
            return ""

"""The Kafka edge: events of every topic into the read models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from libs.events import EventEnvelope
from libs.events.rejection import CommandRejected
from libs.events.topics import (
    AGENTS_EVENTS,
    ROUTING_DECISIONS,
    SLA_EVENTS,
    TICKETS_EVENTS,
    TICKETS_REJECTIONS,
)
from libs.runtime.outbox import Outgoing
from services.reporting.views import (
    AgentsView,
    ChangesView,
    ClocksView,
    HistoryView,
    PositionsView,
    RosterView,
    RoutingView,
    TicketsView,
    Work,
)
from services.reporting.views.history import (
    AGENT_PREFIX,
    CALENDAR_PREFIX,
    DECISION_PREFIX,
    NEEDS_PREFIX,
    NOTIFICATION_PREFIX,
    REFUSAL_PREFIX,
    RULES_STREAM,
    SLA_PREFIX,
)

TOPICS: Final = (
    TICKETS_EVENTS,
    SLA_EVENTS,
    ROUTING_DECISIONS,
    AGENTS_EVENTS,
    TICKETS_REJECTIONS,
)


class ReportingHandler:
    """Applies one poll in a handful of statements. Says nothing itself."""

    def __init__(self, *, changes: bool = True) -> None:
        """`changes` False: no copy follows these tables (those of a rebuild)."""
        self._changes = ChangesView() if changes else None
        self._tickets = TicketsView()
        self._clocks = ClocksView()
        self._agents = AgentsView()
        self._roster = RosterView()
        self._routing = RoutingView()
        self._history = HistoryView()
        self._positions = PositionsView()

    def apply(
        self,
        connection: Connection,
        envelopes: Sequence[EventEnvelope],
        outgoing: Outgoing,
    ) -> None:
        """Order within each stream is kept; streams may be mixed in any way.

        Raises Poison when an event holds a number that no database column can.
        """
        del outgoing
        by_topic = split(envelopes)
        work = Work()
        rejected = by_topic.get(TICKETS_REJECTIONS, [])
        kept = [e for e in envelopes if type(e.event) is not CommandRejected]
        self._history.apply(connection, kept)
        self._history.apply_rejections(connection, rejected)
        if tickets := by_topic.get(TICKETS_EVENTS):
            self._tickets.apply(connection, tickets, work)
            work.save(connection)
        if clocks := by_topic.get(SLA_EVENTS):
            self._clocks.apply(connection, clocks)
        if agents := by_topic.get(AGENTS_EVENTS):
            self._agents.apply(connection, agents)
            self._roster.apply(connection, agents)
        if decisions := by_topic.get(ROUTING_DECISIONS):
            self._routing.apply(connection, decisions)
        self._positions.apply(connection, by_topic)
        if self._changes is not None:  # last: from here on other writers wait
            self._changes.apply(connection, [*(tickets or ()), *(clocks or ()), *(agents or ())])


def split(envelopes: Sequence[EventEnvelope]) -> dict[str, list[EventEnvelope]]:
    """The envelopes by topic. The names of the streams tell it, also for unknown types."""
    by_topic: dict[str, list[EventEnvelope]] = {}
    for envelope in envelopes:
        by_topic.setdefault(topic_of(envelope), []).append(envelope)
    return by_topic


def topic_of(envelope: EventEnvelope) -> str:
    stream_id = envelope.stream_id
    if type(envelope.event) is CommandRejected:
        return TICKETS_REJECTIONS
    if stream_id == RULES_STREAM:
        return ROUTING_DECISIONS
    prefix, colon, _ = stream_id.partition(":")
    return _BY_PREFIX.get(prefix + colon, TICKETS_EVENTS)


_BY_PREFIX: Final = {
    SLA_PREFIX: SLA_EVENTS,
    CALENDAR_PREFIX: SLA_EVENTS,
    DECISION_PREFIX: ROUTING_DECISIONS,
    NEEDS_PREFIX: ROUTING_DECISIONS,
    NOTIFICATION_PREFIX: ROUTING_DECISIONS,
    REFUSAL_PREFIX: ROUTING_DECISIONS,
    AGENT_PREFIX: AGENTS_EVENTS,
}

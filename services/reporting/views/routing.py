"""What routing has said, in four tables: where each ticket stands with it, why each line of equal needs
waits, every decision in short, and when each agent was last given something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final

import orjson
from sqlalchemy import BigInteger, Column, Connection, Index, String, Table, select

from libs.events import EventEnvelope, routing
from services.reporting.domain import microseconds
from services.reporting.views.history import DECISION_PREFIX, NEEDS_PREFIX
from services.reporting.views.sql import METADATA, Save, big, clean

ROUTED = Table(
    "routed",
    METADATA,
    Column("ticket_id", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("outcome", String, nullable=False),
    Column("agent", String),
    Column("queue", String),
    Column("line", String),
    Column("units", BigInteger, nullable=False),
    Column("reasons", String, nullable=False),
    Column("rule_version", String),
    Column("decided_us", BigInteger),
    Column("until_us", BigInteger),
)
"""The last word on each ticket. `outcome` is that of the last TicketRouted (assigned, offered,
nobody), how the last offer ended (accepted, declined, timed_out, withdrawn), or taken_back. `queue`,
`line`, `units`, `reasons` (JSON) and `decided_us` are those of the last TicketRouted; `until_us` is when
an open offer ends."""

LINES = Table(
    "lines",
    METADATA,
    Column("stream_id", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("queue", String, nullable=False),
    Column("line", String, nullable=False),
    Column("waiting", BigInteger, nullable=False),
    Column("oldest_us", BigInteger),
    Column("reasons", String, nullable=False),
    Column("told_us", BigInteger, nullable=False),
)
"""The tickets of one queue that need the same, as routing last told of them (`told_us`): it tells anew
when the reasons change, not with every ticket. `line` names queue and needs, as `routed.line` does."""

ROUTING_LOG = Table(
    "routing_log",
    METADATA,
    Column("stream_id", String, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("ticket_id", String),
    Column("time_us", BigInteger, nullable=False),
)
"""Where in `history` the events on tickets and notifications lie, by time and by ticket."""

GIVEN = Table(
    "given",
    METADATA,
    Column("agent", String, primary_key=True),
    Column("last_us", BigInteger, nullable=False),
    Column("times", BigInteger, nullable=False),
)
"""When routing last gave or offered the agent a ticket, and how often it has."""

Index("routing_log_time", ROUTING_LOG.c.time_us)
Index("routing_log_ticket", ROUTING_LOG.c.ticket_id)

_ON_TICKETS: Final = (
    routing.TicketRouted,
    routing.OfferEnded,
    routing.TicketTakenBack,
    routing.HandOverLimitReached,
)
_LOGGED: Final = (*_ON_TICKETS, routing.AgentNotified)


@dataclass(slots=True)
class _Routed:
    """One row of `routed`, its fields in the order of the columns."""

    ticket_id: str
    sequence: int = 0
    outcome: str = ""
    agent: str | None = None
    queue: str | None = None
    line: str | None = None
    units: int = 1
    reasons: str = "[]"
    rule_version: str | None = None
    decided_us: int | None = None
    until_us: int | None = None


_values = attrgetter(*(field.name for field in fields(_Routed)))
_save_routed = Save(ROUTED)
_save_lines = Save(LINES)
_save_log = Save(ROUTING_LOG, keep=True)
_save_given = Save(GIVEN, greatest=["last_us"], add=["times"])


class RoutingView:
    """Keeps the four tables. Each row depends on one stream, or adds up."""

    def apply(self, connection: Connection, envelopes: Sequence[EventEnvelope]) -> None:
        """Fold the events of `routing.decisions`, in order per stream."""
        decisions = [e for e in envelopes if isinstance(e.event, _ON_TICKETS)]
        _fold_tickets(connection, decisions)
        _log(connection, [e for e in envelopes if isinstance(e.event, _LOGGED)])
        _give(connection, decisions)
        lines = {
            e.stream_id: _line_row(e)
            for e in envelopes
            if isinstance(e.event, routing.WaitReasonsChanged)
            and e.stream_id.startswith(NEEDS_PREFIX)
        }
        _save_lines(connection, [lines[key] for key in sorted(lines)])


def line_of(queue: str | None, needs: routing.TicketNeeds | None) -> str | None:
    """Queue and needs as text: equal for tickets that wait in the same line."""
    if queue is None or needs is None:
        return None
    return clean(orjson.dumps([queue, needs.model_dump(mode="json")]).decode())


def _fold_tickets(connection: Connection, envelopes: Sequence[EventEnvelope]) -> None:
    ids = sorted({_ticket(e) for e in envelopes})
    if not ids:
        return
    query = select(ROUTED).where(ROUTED.c.ticket_id.in_(ids))
    states = {row[0]: _Routed(*row) for row in connection.execute(query)}
    for e in envelopes:
        state = states.setdefault(_ticket(e), _Routed(_ticket(e)))
        state.sequence = e.sequence
        _change(state, e)
    _save_routed(connection, [_values(states[ticket_id]) for ticket_id in ids])


def _change(state: _Routed, envelope: EventEnvelope) -> None:
    event: Any = envelope.event
    if isinstance(event, routing.TicketRouted):
        state.outcome, state.agent = event.outcome, _clean(event.agent)
        state.queue, state.line = _clean(event.queue), line_of(event.queue, event.needs)
        state.units = big(event.needs.units) if event.needs else 1
        state.reasons, state.rule_version = _reasons(event.rejected), clean(event.rule_version)
        state.decided_us = microseconds(envelope.time)
        state.until_us = microseconds(event.offer_until) if event.offer_until else None
    elif isinstance(event, routing.OfferEnded):
        state.outcome, state.agent, state.until_us = event.outcome, clean(event.agent), None
    elif isinstance(event, routing.TicketTakenBack):
        state.outcome, state.agent, state.until_us = "taken_back", clean(event.agent), None


def _log(connection: Connection, envelopes: Sequence[EventEnvelope]) -> None:
    rows = [
        (e.stream_id, e.sequence, _clean(e.event.ticket_id), microseconds(e.time))
        for e in envelopes
    ]
    _save_log(connection, rows)


def _give(connection: Connection, envelopes: Sequence[EventEnvelope]) -> None:
    given: dict[str, tuple[int, int]] = {}
    for e in envelopes:
        if isinstance(e.event, routing.TicketRouted) and e.event.agent is not None:
            agent, time_us = clean(e.event.agent), microseconds(e.time)
            last_us, times = given.get(agent, (time_us, 0))
            given[agent] = (max(last_us, time_us), times + 1)
    _save_given(connection, [(agent, *given[agent]) for agent in sorted(given)])


def _line_row(envelope: EventEnvelope) -> tuple[Any, ...]:
    event = envelope.event
    return (
        envelope.stream_id,
        envelope.sequence,
        clean(event.queue),
        line_of(event.queue, event.needs),
        big(event.waiting),
        microseconds(event.oldest_since) if event.oldest_since else None,
        _reasons(event.reasons),
        microseconds(envelope.time),
    )


def _ticket(envelope: EventEnvelope) -> str:
    return envelope.stream_id.removeprefix(DECISION_PREFIX)


def _reasons(rejected: Sequence[routing.RejectedCount]) -> str:
    counts = [{"reason": count.reason, "agents": count.agents} for count in rejected]
    return clean(orjson.dumps(counts).decode())


def _clean(text: str | None) -> str | None:
    return None if text is None else clean(text)

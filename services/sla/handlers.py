"""The Kafka edge: ticket events in, clock events and commands out, one transaction per poll."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection

from libs.events import Command, CommandEnvelope, EventEnvelope, Priority
from libs.events.commands import ChangePriority, EscalateTicket, UnassignTicket
from libs.events.topics import SLA_EVENTS, TICKETS_EVENTS
from libs.runtime.outbox import Outgoing
from libs.worktime.instants import to_datetime, to_us
from services.sla import store
from services.sla.domain.actions import Deed
from services.sla.domain.book import Book
from services.sla.domain.clocks import terms_of
from services.sla.domain.facts import action_event, deeds_of, event_of, stream_of
from services.sla.domain.state import Clock, Fact
from services.sla.domain.ticket import Cause, TicketClocks, advance
from services.sla.timers.table import Armed

TOPICS: Final = (TICKETS_EVENTS,)
ACTOR: Final = "service:sla"
NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:bitacora:sla")
VERDICTS: Final = frozenset({"warning", "breached", "satisfied", "cancelled"})

SetTimers = Callable[[Sequence[Armed]], None]
"""Told the timers that are set, before the transaction is committed."""


class TicketEvents:
    """Applies ticket events to the clocks of their tickets.

    Imported history runs in its own time: no timers, no commands; what fell due before an event is
    stated when the event comes. `edges_of_imports`: publish every start, pause and resumption of
    imported clocks, not only the verdicts.
    """

    def __init__(
        self, books: store.Books, *, armed: SetTimers, edges_of_imports: bool = False
    ) -> None:
        self._books = books
        self._armed = armed
        self._edges_of_imports = edges_of_imports

    def apply(
        self, connection: Connection, envelopes: Sequence[EventEnvelope], outgoing: Outgoing
    ) -> None:
        """Set-based: one SELECT for all tickets of the poll, one executemany per table."""
        book = self._books.read(connection)
        before = store.load(connection, {envelope.stream_id for envelope in envelopes})
        after: dict[str, TicketClocks] = dict(before)
        past: list[tuple[str, Clock]] = []
        for envelope in envelopes:
            ticket, facts = advance(
                after.get(envelope.stream_id), envelope.event, _cause(envelope), book
            )
            if ticket is None:
                continue
            after[envelope.stream_id] = ticket
            past += [(envelope.stream_id, fact.past) for fact in facts if fact.past is not None]
            if not (ticket.live or self._edges_of_imports):
                facts = [fact for fact in facts if fact.kind in VERDICTS]
            if facts:
                say(outgoing, envelope.stream_id, facts, ticket, book, envelope)
        if past:
            store.keep_past(connection, past)
        self._armed(store.save(connection, before, after))


def say(
    outgoing: Outgoing,
    ticket_id: str,
    facts: Sequence[Fact],
    ticket: TicketClocks,
    book: Book,
    applied: EventEnvelope | None = None,
) -> None:
    """Publish the facts, and what the policies want done because of them. `ticket` is as the facts
    leave it; `applied` is the event that brought them, unless they came by time."""
    for fact in facts:
        cause = applied
        if cause is None or cause.sequence != fact.cause:
            cause = _moved_by(ticket_id, fact.cause, ticket.correlation)
        outgoing.event(
            SLA_EVENTS,
            stream_of(ticket_id),
            event_of(ticket_id, fact, live=ticket.live),
            time=to_datetime(fact.at_us),
            actor=ACTOR,
            cause=cause,
        )
        if ticket.live and fact.kind in {"warning", "breached"}:
            for deed in deeds_of(fact, ticket, terms_of(fact.clock, book)):
                _do(outgoing, ticket_id, fact, deed, cause, ticket.fields.get("agent"))


def _do(
    outgoing: Outgoing,
    ticket_id: str,
    fact: Fact,
    deed: Deed,
    cause: EventEnvelope,
    agent: str | None,
) -> None:
    command = _command_of(deed, fact.clock, agent)
    command_id = None
    if command is not None:
        name = deed.name(ticket_id, fact.clock.metric, fact.clock.activation)
        command_id = str(uuid5(NAMESPACE, name))
        outgoing.command(
            CommandEnvelope(
                command_id=command_id,
                ticket_id=ticket_id,
                command=command,
                actor=ACTOR,
                correlation_id=cause.correlation_id or cause.id,
                causation_id=cause.id,
                traceparent=cause.traceparent,
            )
        )
    outgoing.event(
        SLA_EVENTS,
        stream_of(ticket_id),
        action_event(ticket_id, fact, deed, command_id),
        time=to_datetime(fact.at_us),
        actor=ACTOR,
        cause=cause,
    )


def _command_of(deed: Deed, clock: Clock, agent: str | None) -> Command | None:
    """What intake is asked for. Each command does nothing, or is refused, if the ticket is there
    already by the time it is decided: a person may have been quicker."""
    missed = "target missed" if deed.trigger == "breach" else f"{deed.fraction} % of target used up"
    reason = f"{clock.metric} {missed}"
    match deed.do:
        case "notify":
            return None
        case "raise_priority":
            return ChangePriority(priority=Priority(str(deed.priority)), raise_only=True)
        case "escalate":
            return EscalateTicket(tier=deed.tier, cause="sla", reason=reason)
        case "reroute":
            return UnassignTicket(reason=reason, if_agent=agent)


def _cause(envelope: EventEnvelope) -> Cause:
    return Cause(
        to_us(envelope.time),
        envelope.sequence,
        envelope.actor,
        envelope.correlation_id or envelope.id,
    )


def _moved_by(ticket_id: str, sequence: int, correlation: str) -> EventEnvelope:
    """As much as is kept of an earlier event that moved a clock: what a link to it needs."""
    return EventEnvelope(
        source="",
        type="",
        stream_id=ticket_id,
        sequence=sequence,
        position=0,
        time=datetime.min.replace(tzinfo=UTC),
        recorded_time=datetime.min.replace(tzinfo=UTC),
        actor="",
        correlation_id=correlation,
        causation_id="",
        previous_hash="",
        hash="",
        data=b"",
    )

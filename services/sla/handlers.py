"""The Kafka edge: ticket events in, clock events and escalations out, one transaction per poll."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection

from libs.events import CommandEnvelope, EventEnvelope
from libs.events.commands import EscalateTicket
from libs.events.topics import SLA_EVENTS, TICKETS_EVENTS
from libs.runtime.outbox import Outgoing
from services.sla import store
from services.sla.domain.clocks import Clock, Fact, terms_of
from services.sla.domain.facts import event_of, stream_of
from services.sla.domain.instants import to_datetime, to_us
from services.sla.domain.policy import Book
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
        for envelope in envelopes:
            ticket, facts = advance(
                after.get(envelope.stream_id), envelope.event, _cause(envelope), book
            )
            if ticket is None:
                continue
            after[envelope.stream_id] = ticket
            if not (ticket.live or self._edges_of_imports):
                facts = [fact for fact in facts if fact.kind in VERDICTS]
            if facts:
                say(outgoing, envelope.stream_id, facts, envelope, book, live=ticket.live)
        self._armed(store.save(connection, before, after))


def say(
    outgoing: Outgoing,
    ticket_id: str,
    facts: Sequence[Fact],
    cause: EventEnvelope,
    book: Book,
    *,
    live: bool,
) -> None:
    """Publish the facts, and ask for the escalation that a breach calls for."""
    for fact in facts:
        outgoing.event(
            SLA_EVENTS,
            stream_of(ticket_id),
            event_of(ticket_id, fact, live=live),
            time=to_datetime(fact.at_us),
            actor=ACTOR,
            cause=cause,
        )
        if fact.kind == "breached" and live and terms_of(fact.clock, book).escalates:
            outgoing.command(_escalation(ticket_id, fact.clock, cause))


def _escalation(ticket_id: str, clock: Clock, cause: EventEnvelope) -> CommandEnvelope:
    """The same breach asks only once, however often it is stated."""
    purpose = f"escalate:{ticket_id}:{clock.metric}:{clock.activation}"
    return CommandEnvelope(
        command_id=str(uuid5(NAMESPACE, purpose)),
        ticket_id=ticket_id,
        command=EscalateTicket(cause="sla", reason=f"{clock.metric} target missed"),
        actor=ACTOR,
        correlation_id=cause.correlation_id or cause.id,
        causation_id=cause.id,
        traceparent=cause.traceparent,
    )


def _cause(envelope: EventEnvelope) -> Cause:
    return Cause(
        to_us(envelope.time),
        envelope.sequence,
        envelope.actor,
        envelope.correlation_id or envelope.id,
    )

"""A ticket's events through the clocks of the SLA service, in this process and without a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from libs.events import EventEnvelope
from libs.worktime.instants import to_us
from services.sla.domain.book import Book
from services.sla.domain.proof_document import proofs
from services.sla.domain.state import Clock
from services.sla.domain.ticket import Cause, TicketClocks, advance


class Replay:
    """One ticket under one book. `ticket` is None until it was created; `past` are the activations
    of reply clocks whose place another took."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.ticket: TicketClocks | None = None
        self.past: list[Clock] = []

    def apply(self, envelope: EventEnvelope) -> None:
        """The next event of the ticket's stream. Raises Malformed when it cannot be read."""
        cause = Cause(to_us(envelope.time), envelope.sequence, envelope.actor)
        self.ticket, facts = advance(self.ticket, envelope.event, cause, self.book)
        self.past += [fact.past for fact in facts if fact.past is not None]


def replayed_proofs(
    ticket_id: str, events: Iterable[EventEnvelope], book: Book, as_of_us: int, metric: str | None
) -> dict[str, Any] | None:
    """The proofs that a ticket's events give under these versions; None when it was never created."""
    replay = Replay(book)
    for envelope in events:
        replay.apply(envelope)
    if replay.ticket is None:
        return None
    return proofs(ticket_id, replay.ticket, replay.past, book, as_of_us, metric)

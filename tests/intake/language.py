"""given(events).when(command).then(events): the language of the domain's tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.events import (
    Channel,
    Command,
    CommandEnvelope,
    Event,
    EventEnvelope,
    Status,
    Ticket,
    fold,
)
from libs.events.ticket import Assigned, Requester, StatusChanged, TicketCreated
from services.intake.domain import (
    DecisionContext,
    DomainSettings,
    Refused,
    Requirements,
    decide,
    requirements_of,
)

TICKET = "0197f000-0000-7000-8000-000000000001"
OTHER = "0197f000-0000-7000-8000-000000000002"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ANA = Requester(id="ana", name="Ana", email="ana@example.org")
NOBODY = Requester(id="caller")


def recorded(
    event: Event, sequence: int, *, time: datetime, actor: str = "system"
) -> EventEnvelope:
    """The event as the store would give it, without a proof: the fold does not look at it."""
    return EventEnvelope(
        source="/bitacora/intake",
        type=event.TYPE,
        stream_id=TICKET,
        sequence=sequence,
        position=sequence,
        time=time,
        recorded_time=time,
        actor=actor,
        correlation_id="",
        causation_id="",
        previous_hash="",
        hash="",
        data=b"",
        _event=event,
    )


def folded(events: Sequence[Event], state: Ticket | None = None) -> Ticket | None:
    """The ticket after these events, one minute apart."""
    envelopes = [
        recorded(event, index, time=START + timedelta(minutes=index))
        for index, event in enumerate(events, start=1)
    ]
    return fold(envelopes)


@dataclass(frozen=True)
class Then:
    ticket: Ticket | None
    envelope: CommandEnvelope
    context: DecisionContext

    def answer(self) -> tuple[Event, ...]:
        return decide(self.envelope, self.ticket, self.context)

    def then(self, *events: Event) -> None:
        assert self.answer() == events

    def then_nothing(self) -> None:
        assert self.answer() == ()

    def then_refused(self, code: str, status: int = 409) -> Refused:
        with pytest.raises(Refused) as caught:
            self.answer()
        refused = caught.value
        assert (refused.code, refused.status) == (code, status), refused.detail
        assert refused.detail.endswith("."), "a refusal is a sentence"
        return refused


@dataclass(frozen=True)
class Given:
    events: tuple[Event, ...]
    settings: DomainSettings = field(default_factory=DomainSettings)
    now: datetime = START + timedelta(hours=1)
    requirements: Requirements = field(default_factory=Requirements)

    def requiring(self, *document: dict[str, Any]) -> Given:
        return replace(self, requirements=requirements_of(1, document))

    def under(self, settings: DomainSettings) -> Given:
        return replace(self, settings=settings)

    def at(self, now: datetime) -> Given:
        return replace(self, now=now)

    def when(self, command: Command, actor: str = "agent:7", **around: Any) -> Then:
        envelope = CommandEnvelope("c-1", TICKET, command, actor, **around)
        context = DecisionContext(self.now, 1001, self.settings, self.requirements)
        return Then(folded(self.events), envelope, context)


def given(*events: Event) -> Given:
    return Given(events)


# ------------------------------------------------------------------ histories, named by their state

CREATED = TicketCreated(number=1000, subject="No sound", requester=ANA, channel=Channel.API)
ASSIGNED = Assigned(group="audio", agent="7")
OPENED = StatusChanged(status=Status.OPEN, previous=Status.NEW)
IMPORTED = TicketCreated(
    number=1000,
    subject="INC0001",
    requester=NOBODY,
    channel=Channel.API,
    imported_from="servicenow",
)


def to(status: Status, previous: Status = Status.OPEN) -> StatusChanged:
    return StatusChanged(status=status, previous=previous)


A_NEW_TICKET = (CREATED,)
AN_OPEN_TICKET = (CREATED, ASSIGNED, OPENED)
A_PENDING_TICKET = (*AN_OPEN_TICKET, to(Status.PENDING))
AN_ON_HOLD_TICKET = (*AN_OPEN_TICKET, to(Status.ON_HOLD))
A_SOLVED_TICKET = (*AN_OPEN_TICKET, to(Status.SOLVED))
A_CLOSED_TICKET = (*A_SOLVED_TICKET, to(Status.CLOSED, Status.SOLVED))
AN_IMPORTED_TICKET = (IMPORTED,)
A_CLOSED_IMPORT = (IMPORTED, to(Status.CLOSED, Status.NEW))
SOLVED_AT = START + timedelta(minutes=4)

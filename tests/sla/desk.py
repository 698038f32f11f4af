"""A desk for tests: ticket streams as they come from Kafka, and short words for what happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from libs.events import Channel, Event, EventEnvelope, Priority, Status
from libs.events import ticket as t
from libs.events.chain import GENESIS
from libs.runtime.mapper import envelope_of, record_event
from libs.worktime.calendar import calendar_of
from libs.worktime.instants import FIRST_US, to_datetime, to_us
from libs.worktime.timeline import CalendarVersion
from services.sla.defaults import CALENDARS, POLICIES
from services.sla.domain.book import Book
from services.sla.domain.definitions import policy_set_of
from services.sla.domain.state import Fact
from services.sla.domain.ticket import Cause, TicketClocks, advance, expire

MONDAY = datetime(2026, 6, 1, 7, 0, tzinfo=UTC)
"""A Monday, 09:00 in Madrid: the business calendar opens."""


def at(text: str, day: datetime = MONDAY) -> datetime:
    """`"10:30"` UTC on the Monday, `"+2 10:30"` two days later."""
    days, _, clock = text.rpartition(" ")
    hour, minute, *second = (int(part) for part in clock.split(":"))
    instant = day.replace(hour=hour, minute=minute, second=second[0] if second else 0)
    return instant + timedelta(days=int(days or 0))


def created(**values: Any) -> t.TicketCreated:
    return t.TicketCreated(
        **{
            "number": 1,
            "subject": "Printer on fire",
            "requester": t.Requester(id="r1"),
            "channel": "email",
            "priority": "critical",
            **values,
        }
    )


def reply(visibility: t.Visibility = "public", author: t.AuthorKind = "agent") -> t.MessageAdded:
    return t.MessageAdded(
        message_id="m",
        author=author,
        author_id="7",
        visibility=visibility,
        body="Hello",
        channel=Channel.EMAIL,
    )


def status(new: str, previous: str = "open") -> t.StatusChanged:
    return t.StatusChanged(status=Status(new), previous=Status(previous))


def priority(new: str, previous: str = "critical") -> t.PriorityChanged:
    return t.PriorityChanged(priority=Priority(new), previous=Priority(previous))


def activated() -> t.ImportedTicketActivated:
    return t.ImportedTicketActivated()


def book_of(*policies: dict[str, Any], calendars: tuple[dict[str, Any], ...] = CALENDARS) -> Book:
    """Version 1 of these policies (the default ones without any) and calendars."""
    made = {entry["id"]: calendar_of(entry, 1) for entry in calendars}
    policy_set = policy_set_of(
        policies or POLICIES, version=1, effective_from_us=FIRST_US, calendars=made
    )
    versions = {name: (CalendarVersion(FIRST_US, entry),) for name, entry in made.items()}
    return Book((policy_set,), versions)


def policy(**values: Any) -> dict[str, Any]:
    """One hour round the clock for everything, unless told otherwise."""
    target = {"target_s": 3600, "calendar": "always"}
    every = dict.fromkeys(("low", "medium", "high", "critical"), target)
    targets = {"first_reply": every, "requester_wait": every}
    return {"id": "p", "when": {}, "targets": targets, **values}


class Case:
    """given(events).when(event).then(facts) over the pure domain: `Case().on("10:00", created())`."""

    def __init__(self, book: Book | None = None) -> None:
        self.book = book or book_of()
        self.ticket: TicketClocks | None = None
        self.facts: list[Fact] = []
        self.sequence = 0

    def on(self, when: str, event: Event, actor: str = "system") -> Case:
        return self.at_us(to_us(at(when)), event, actor)

    def at_us(self, instant_us: int, event: Event, actor: str = "system") -> Case:
        self.sequence += 1
        cause = Cause(instant_us, self.sequence, actor)
        self.ticket, self.facts = advance(self.ticket, event, cause, self.book)
        return self

    def wait(self, until: str) -> Case:
        """The timers fire."""
        return self.until_us(to_us(at(until)))

    def until_us(self, instant_us: int) -> Case:
        assert self.ticket is not None
        self.ticket, self.facts = expire(self.ticket, instant_us, self.book)
        return self

    def said(self, metric: str | None = None) -> list[tuple[str, str]]:
        """The last step's facts: kind and instant."""
        return [
            (fact.kind, _short(fact.at_us))
            for fact in self.facts
            if metric is None or fact.clock.metric == metric
        ]

    def clock(self, metric: str) -> Any:
        assert self.ticket is not None
        return next(clock for clock in self.ticket.clocks if clock.metric == metric)

    def due(self, metric: str) -> str | None:
        due_us = self.clock(metric).due_us
        return None if due_us is None else _short(due_us)


def _short(instant_us: int) -> str:
    instant = to_datetime(instant_us)
    days = (instant.date() - MONDAY.date()).days
    return (f"+{days} " if days else "") + instant.strftime(
        "%H:%M:%S" if instant.second else "%H:%M"
    )


class Stream:
    """The stream of one ticket, as its consumers get it."""

    def __init__(self, name: str = "ticket") -> None:
        self.id = str(uuid5(NAMESPACE_URL, name))
        self.envelopes: list[EventEnvelope] = []

    def add(self, when: str | datetime, event: Event, actor: str = "system") -> EventEnvelope:
        time = at(when) if isinstance(when, str) else when
        frame = record_event(
            event,
            stream_id=self.id,
            sequence=len(self.envelopes) + 1,
            time=time,
            recorded_time=time,
            actor=actor,
            correlation_id="conversation",
            causation_id="",
            traceparent=None,
            previous_hash=self.envelopes[-1].hash if self.envelopes else GENESIS,
        )
        envelope = envelope_of(
            source="/bitacora/intake",
            type_name=frame.type,
            stream_id=frame.stream_id,
            sequence=frame.sequence,
            position=len(self.envelopes) + 1,
            meta=frame.meta,
            data=frame.data,
        )
        self.envelopes.append(envelope)
        return envelope

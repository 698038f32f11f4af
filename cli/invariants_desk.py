"""The invariants of `bitacora verify` that compare the services' events with each other::

    I6   no clock breaches before it is due
    I7   routing gives no agent more than the agent has capacity for

Only what the desk did itself is judged: a person may give an agent too much, a ticket that was
pending comes back to its agent, a capacity can be cut. Routing hears of that a little later, and what
it decided before it could know is excused by as much as it could not know. What it had heard of is
no excuse: by a decision whose cause came later on the same partition. Imported tickets are left out until
they are activated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cli.invariants import SHOWN, Check, event_of
from libs.events import EventEnvelope, Status
from libs.events.agent import AgentCapacityChanged, AgentRegistered
from libs.events.routing import TicketRouted
from libs.events.sla import SlaBreached
from libs.events.ticket import (
    Assigned,
    ImportedTicketActivated,
    StatusChanged,
    TicketCreated,
    TicketMerged,
    Unassigned,
)
from libs.runtime.relay import partition_of

WORKING: Final = (Status.NEW, Status.OPEN)

PARTS: Final = 24
"""Streams that are equal by this share a partition of any topic whose number of partitions divides
it: of one that had 6 and was given 12 as well."""


@dataclass(slots=True)
class Decision:
    """`cause` is the id of the event that made routing decide; `number` counts all its decisions, those
    for nobody included."""

    at: datetime
    agent: str
    units: int
    cause: str
    number: int


@dataclass(slots=True)
class Held:
    """A ticket as far as it uses capacity; `units` are those of the last decision on it.

    `unasked`: the event since which it uses the capacity of somebody whom routing did not choose then.
    """

    status: Status
    agent: str | None = None
    units: int = 1
    unasked: EventEnvelope | None = None

    @property
    def user(self) -> str | None:
        return self.agent if self.status in WORKING else None


@dataclass(slots=True)
class Heard:
    """Part of the topic → (number of a decision, position up to which routing had heard by then)."""

    _told: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def note(self, part: int, position: int, number: int) -> None:
        """The event at this position made routing take its decision `number`: it had heard of that
        one, and of all before it on the same partition."""
        told = self._told.setdefault(part, [])
        if not told or position > told[-1][1]:
            told.append((number, position))

    def of(self, envelope: EventEnvelope, number: int) -> bool:
        """True when routing had certainly heard of this event by its decision `number`."""
        part, position = _place(envelope)
        told = self._told.get(part, [])
        before = bisect_right(told, number, key=lambda one: one[0])
        return before > 0 and told[before - 1][1] >= position


@dataclass(slots=True)
class DeskChecks:
    """`take` every stored event, each topic in order of position; then ask for the checks."""

    early: list[str] = field(default_factory=list)
    breaches: int = 0
    capacities: dict[str, list[tuple[datetime, int]]] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    _imported: dict[str, Held] = field(default_factory=dict)
    _activated: dict[str, Held] = field(default_factory=dict)
    """As the ticket was then."""
    _changes: list[EventEnvelope] = field(default_factory=list)
    _causes: list[str] = field(default_factory=list)

    def take(self, envelope: EventEnvelope) -> None:
        event = event_of(envelope)
        if isinstance(event, SlaBreached):
            self.breaches += 1
            if event.live and envelope.recorded_time < event.due:
                self.early.append(f"{envelope.id}: due {event.due}, said {envelope.recorded_time}")
        elif isinstance(event, AgentRegistered | AgentCapacityChanged):
            agent = envelope.stream_id.removeprefix("agent:")
            known = self.capacities.setdefault(agent, [])
            known.append((envelope.recorded_time, event.capacity))
        elif isinstance(event, TicketRouted):
            self._causes.append(envelope.causation_id)
            if event.agent is not None:
                self.decisions[event.decision_id] = Decision(
                    envelope.recorded_time,
                    event.agent,
                    event.needs.units if event.needs else 1,
                    envelope.causation_id,
                    len(self._causes),
                )
        elif isinstance(event, TicketCreated) and event.imported_from is not None:
            self._imported[envelope.stream_id] = Held(event.status, event.agent)
        elif isinstance(event, ImportedTicketActivated):
            if (held := self._imported.pop(envelope.stream_id, None)) is not None:
                self._activated[envelope.stream_id] = held
                self._changes.append(envelope)
        elif (change := _HOLDING.get(type(event))) is not None:
            if (held := self._imported.get(envelope.stream_id)) is not None:
                change(held, event)
            else:
                self._changes.append(envelope)

    def clocks(self) -> Check:
        """I6."""
        check = Check("I6", "no clock breaches before it is due", ok=not self.early)
        check.figures["breaches"] = self.breaches
        check.problems = self.early[:SHOWN]
        return check

    def capacity(self) -> Check:
        """I7. Tickets' events are replayed in the order in which they were recorded."""
        check = Check("I7", "routing keeps within capacity", ok=True)
        behind = 2 * self._behind()  # an event may wait a poll longer than any that made it decide
        heard = self._heard()
        tickets: dict[str, Held] = {}
        users: dict[str, dict[str, Held]] = {}
        judged = 0
        for envelope in self._changes:
            event = event_of(envelope)
            held = tickets.setdefault(envelope.stream_id, Held(Status.NEW))
            before = held.user
            self._change(held, envelope.stream_id, event)
            decision = self._decision(event)
            if decision is not None:
                held.units = decision.units
            agent = held.user
            if before is not None and agent != before:
                del users[before][envelope.stream_id]
            if agent is None or (agent == before and decision is None):
                continue
            users.setdefault(agent, {})[envelope.stream_id] = held
            held.unasked = envelope if decision is None else None
            if decision is None or agent == before or agent not in self.capacities:
                continue
            judged += 1
            allowed = self._capacity(agent, decision.at, envelope.recorded_time)
            load = sum(one.units for one in users[agent].values())
            unknown = sum(
                one.units
                for one in users[agent].values()
                if one.unasked is not None
                and one.unasked.recorded_time >= decision.at - behind
                and not heard.of(one.unasked, decision.number)
            )
            if load - unknown > allowed:
                check.problems.append(f"{envelope.id}: {agent} has {load} of {allowed}")
        check.figures["assignments by routing"] = judged
        check.ok = not check.problems
        del check.problems[SHOWN:]
        return check

    def _change(self, held: Held, ticket: str, event: object) -> None:
        if isinstance(event, ImportedTicketActivated):
            was = self._activated[ticket]
            held.status, held.agent = was.status, was.agent
        else:
            _HOLDING[type(event)](held, event)

    def _behind(self) -> timedelta:
        """How far routing was behind the tickets' events at most when it decided because of one."""
        recorded = {envelope.id: envelope.recorded_time for envelope in self._changes}
        lags = [
            one.at - recorded[one.cause] for one in self.decisions.values() if one.cause in recorded
        ]
        return max(lags, default=timedelta())

    def _decision(self, event: object) -> Decision | None:
        if not isinstance(event, Assigned) or event.decision_id is None:
            return None
        found = self.decisions.get(event.decision_id)
        return found if found is not None and found.agent == event.agent else None

    def _heard(self) -> Heard:
        places = {envelope.id: _place(envelope) for envelope in self._changes}
        heard = Heard()
        for number, cause in enumerate(self._causes, start=1):
            if cause in places:
                heard.note(*places[cause], number)
        return heard

    def _capacity(self, agent: str, since: datetime, until: datetime) -> int:
        """The greatest capacity that the agent had in this time: intake may carry out a later
        decision, made after the capacity was raised, before an earlier one."""
        known = self.capacities[agent]
        before = [capacity for at, capacity in known if at < since]
        meanwhile = [capacity for at, capacity in known if since <= at <= until]
        return max([*before[-1:], *meanwhile], default=0)


def _place(envelope: EventEnvelope) -> tuple[int, int]:
    return partition_of(envelope.stream_id.encode(), PARTS), envelope.position


def _created(held: Held, event: TicketCreated) -> None:
    held.status, held.agent = event.status, event.agent


def _assigned(held: Held, event: Assigned) -> None:
    held.agent = event.agent


def _unassigned(held: Held, _: Unassigned) -> None:
    held.agent = None


def _status(held: Held, event: StatusChanged) -> None:
    held.status = event.status


def _merged(held: Held, _: TicketMerged) -> None:
    held.agent = None


_HOLDING: Final[dict[type, Callable[[Held, Any], None]]] = {
    TicketCreated: _created,
    Assigned: _assigned,
    Unassigned: _unassigned,
    StatusChanged: _status,
    TicketMerged: _merged,
}

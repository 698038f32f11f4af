"""I6 and I7 find what they are there to find, and excuse what people did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from cli.invariants_desk import DeskChecks
from libs.events import Event, Status
from libs.events.agent import AgentRegistered
from libs.events.routing import TicketRouted
from libs.events.sla import SlaBreached
from libs.events.ticket import Assigned, StatusChanged, Unassigned
from tests.routing.house import T1, T2, T3, created, envelope

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Story:
    """Events a second apart; decisions are heard of at the end, as `verify` reads them."""

    def __init__(self) -> None:
        self.checks = DeskChecks()
        self._number = count(1)
        self._late: list[tuple[str, Event, datetime]] = []
        self._at = START

    def tell(self, stream: str, *events: Event) -> None:
        for event in events:
            self._at += timedelta(seconds=1)
            self.checks.take(envelope(stream, next(self._number), event, self._at))

    def routed(self, ticket: str, agent: str) -> None:
        self.assigned(ticket, agent, self.decided(ticket, agent))

    def assigned(self, ticket: str, agent: str, decision: str) -> None:
        self.tell(ticket, Assigned(agent=agent, decision_id=decision))

    def decided(self, ticket: str, agent: str) -> str:
        """What intake has not heard of yet."""
        decision = f"decision {next(self._number)}"
        record = TicketRouted(
            decision_id=decision,
            ticket_id=ticket,
            outcome="assigned",
            agent=agent,
            trigger="ticket_created",
            rule_version="1",
        )
        self._late.append((f"decision:{ticket}", record, self._at))
        return decision

    def problems(self) -> list[str]:
        for stream, record, at in self._late:
            self.checks.take(envelope(stream, next(self._number), record, at))
        return self.checks.capacity().problems


def story(capacity: int = 1) -> Story:
    made = Story()
    made.tell("agent:ana", AgentRegistered(name="Ana", capacity=capacity))
    for number, ticket in enumerate((T1, T2, T3), start=1):
        made.tell(ticket, created(number))
    return made


def test_more_than_the_capacity_is_found() -> None:
    told = story()
    told.routed(T1, "ana")
    told.routed(T2, "ana")
    [problem] = told.problems()
    assert T2 in problem
    assert "ana has 2 of 1" in problem


def test_room_that_was_freed_may_be_used_again() -> None:
    told = story()
    told.routed(T1, "ana")
    told.tell(T1, StatusChanged(status=Status.PENDING, previous=Status.OPEN))
    told.routed(T2, "ana")
    told.tell(T2, Unassigned(previous_agent="ana"))
    told.routed(T3, "ana")
    assert told.problems() == []
    assert told.checks.capacity().figures == {"assignments by routing": 3}


def test_what_a_person_did_is_excused_until_there_is_room_again() -> None:
    told = story()
    told.tell(T1, Assigned(agent="ana"))
    told.routed(T2, "ana")  # asked for before the person was faster
    assert told.problems() == []
    told.tell(T1, Unassigned(previous_agent="ana"))
    told.tell(T2, Unassigned(previous_agent="ana"))
    told.routed(T1, "ana")
    told.routed(T3, "ana")
    [problem] = told.problems()
    assert T3 in problem


def test_what_was_decided_before_a_ticket_came_back_is_excused() -> None:
    told = story(capacity=2)
    told.routed(T1, "ana")
    told.tell(T1, StatusChanged(status=Status.PENDING, previous=Status.OPEN))
    asked = [(ticket, told.decided(ticket, "ana")) for ticket in (T2, T3)]
    told.tell(T1, StatusChanged(status=Status.OPEN, previous=Status.PENDING))
    for ticket, decision in asked:  # the first one still fits, the second one no longer
        told.assigned(ticket, "ana", decision)
    assert told.problems() == []


def test_what_came_back_long_ago_is_no_excuse() -> None:
    told = story()
    told.routed(T1, "ana")
    told.tell(T1, StatusChanged(status=Status.PENDING, previous=Status.OPEN))
    told.tell(T1, StatusChanged(status=Status.OPEN, previous=Status.PENDING))
    told.tell(T3, StatusChanged(status=Status.OPEN, previous=Status.NEW))
    told.routed(T2, "ana")
    [problem] = told.problems()
    assert "ana has 2 of 1" in problem


def test_a_breach_before_its_time_is_found() -> None:
    checks = DeskChecks()
    for sequence, early_s in enumerate((0, 60), start=1):
        breach = SlaBreached(
            ticket_id=T1,
            metric="first_reply",
            policy="p",
            policy_version=1,
            calendar="c",
            calendar_version=1,
            due=START + timedelta(seconds=early_s),
            target_s=60,
        )
        checks.take(envelope(f"sla:{T1}", sequence, breach, START))
    found = checks.clocks()
    assert (found.ok, found.figures) == (False, {"breaches": 2})
    assert len(found.problems) == 1

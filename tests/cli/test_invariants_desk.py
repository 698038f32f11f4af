"""I6 and I7 find what they are there to find, and excuse what people did."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from cli.invariants import Effects, check_effects, note_effects
from cli.invariants_desk import DeskChecks
from libs.events import Event, Status
from libs.events.agent import AgentCapacityChanged, AgentRegistered
from libs.events.routing import TicketRouted
from libs.events.sla import SlaBreached
from libs.events.ticket import (
    Assigned,
    ImportedTicketActivated,
    StatusChanged,
    Unassigned,
)
from tests.routing.house import T1, T2, T3, created, envelope, tid

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Story:
    """Events a second apart; decisions are heard of at the end, as `verify` reads them."""

    def __init__(self) -> None:
        self.checks = DeskChecks()
        self._number = count(1)
        self._late: list[tuple[str, Event, datetime, str]] = []
        self._at = START
        self.last = ""
        """The id of the last event."""

    def tell(self, stream: str, *events: Event) -> None:
        for event in events:
            self._at += timedelta(seconds=1)
            made = envelope(stream, next(self._number), event, self._at)
            self.last = made.id
            self.checks.take(made)

    def later(self, seconds: int) -> None:
        self._at += timedelta(seconds=seconds)

    def routed(self, ticket: str, agent: str) -> None:
        self.assigned(ticket, agent, self.decided(ticket, agent))

    def assigned(self, ticket: str, agent: str, decision: str) -> None:
        self.tell(ticket, Assigned(agent=agent, decision_id=decision))

    def decided(self, ticket: str, agent: str, cause: str = "") -> str:
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
        self._late.append((f"decision:{ticket}", record, self._at, cause))
        return decision

    def problems(self) -> list[str]:
        for stream, record, at, cause in self._late:
            self.checks.take(envelope(stream, next(self._number), record, at, cause=cause))
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


@pytest.mark.parametrize("heard", [True, False])
def test_what_routing_had_heard_of_is_no_excuse_however_late_it_was_once(*, heard: bool) -> None:
    told = story()
    told.tell(T3, Assigned(agent="luis"))  # routing is away, and hears of it late
    late = told.last
    told.tell(T1, Assigned(agent="ana"))
    told.tell(T1, StatusChanged(status=Status.OPEN, previous=Status.NEW))
    came_back = told.last
    told.later(seconds=3_600)
    told.decided(T3, "luis", late)
    told.assigned(T2, "ana", told.decided(T2, "ana", came_back if heard else ""))
    assert len(told.problems()) == heard


def test_what_is_decided_before_more_capacity_and_done_after_it_is_judged_by_that() -> None:
    told = story()
    first = told.decided(T1, "ana")
    told.tell("agent:ana", AgentCapacityChanged(capacity=2, previous=1))
    told.routed(T2, "ana")
    told.assigned(T1, "ana", first)
    assert told.problems() == []


def test_an_imported_ticket_counts_once_it_is_activated() -> None:
    told = story()
    imported = tid(9)
    told.tell(imported, created(9, imported_from="old desk", external_ref="9", agent="ana"))
    told.routed(T1, "ana")
    told.tell(T1, Unassigned(previous_agent="ana"))
    told.tell(imported, StatusChanged(status=Status.OPEN, previous=Status.NEW))
    told.tell(imported, ImportedTicketActivated())
    told.later(seconds=60)
    told.routed(T2, "ana")
    [problem] = told.problems()
    assert T2 in problem


def test_a_ticket_that_routing_gives_away_though_somebody_has_it_is_found() -> None:
    effects = Effects()
    given = Assigned(agent="ana", decision_id="d1")
    events = (created(1), given, Assigned(agent="luis"), Assigned(agent="ana", decision_id="d2"))
    for sequence, event in enumerate(events, start=1):
        note_effects(effects, envelope(T1, sequence, event, START))
    [problem] = check_effects(effects, Counter()).problems
    assert f"{T1}:4" in problem
    again = (Unassigned(previous_agent="ana"), Assigned(agent="luis", decision_id="d3"))
    for sequence, event in enumerate(again, start=5):
        note_effects(effects, envelope(T1, sequence, event, START))
    assert len(effects.taken_over) == 1


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

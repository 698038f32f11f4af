"""No ticket is lost and none is a hot potato: taking back, hand-over limit, clocks that jump."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from libs.events import EventEnvelope, Status
from libs.events.agent import OutOfOffice, Skill
from libs.events.commands import EscalateTicket, UnassignTicket
from libs.events.routing import HandOverLimitReached, TicketTakenBack, WaitReasonsChanged
from libs.events.sla import CalendarDefined, ClockEvent, ClockSatisfied, ClockStarted
from libs.events.ticket import Assigned, CategoryChanged, Escalated
from services.routing.domain.agent import (
    RetireAgent,
    SetCapacity,
    SetPresence,
    SetSkills,
)
from services.routing.domain.agent_commands import SetOutOfOffice, SetWorkingHours
from services.routing.domain.rules import QueueRule, RoutingRules, TakeBack
from tests.routing.floors import EARLY
from tests.routing.house import START, T1, T2, T3, House, agent_of, created, envelope


def away(start_s: float, end_s: float) -> SetOutOfOffice:
    """Out of office between these, in seconds after START."""
    start, end = (START + timedelta(seconds=s) for s in (start_s, end_s))
    return SetOutOfOffice((OutOfOffice(start=start, end=end),))


def clock_shows(house: House, when: datetime) -> None:
    house.clock.advance((when - house.clock.now()).total_seconds())


def taken_back(house: House) -> list[tuple[str, str]]:
    house.commands()
    return [(f.agent, f.reason) for f in house.facts if isinstance(f, TicketTakenBack)]


# --------------------------------------------------------------------------------- taking back


def test_who_is_out_of_office_longer_than_the_grace_time_gives_the_tickets_back(
    house: House,
) -> None:
    house.agent("ana", 2)
    house.ticket(T1)
    house.answer()
    house.agent("luis", 1)
    house.change("ana", away(100, 9_000))
    clock_shows(house, START + timedelta(seconds=100 + 899))
    house.sweep()
    house.answer()
    assert house.holder(T1) == "ana"
    house.clock.advance(1)
    house.sweep()
    house.answer()
    assert house.holder(T1) == "luis"
    assert taken_back(house) == [("ana", "out_of_office")]
    assert ("ana", "taken_back") in house.told()
    assert house.work(T1).hand_overs == 0  # nobody passed it on


def test_who_is_back_within_the_grace_time_keeps_them(house: House) -> None:
    house.agent("ana", 2)
    house.ticket(T1)
    house.answer()
    house.change("ana", away(100, 500))
    for _ in range(20):
        house.clock.advance(100)
        house.sweep()
        house.answer()
    assert house.holder(T1) == "ana"
    assert taken_back(house) == []


def test_what_is_assigned_by_hand_to_somebody_long_out_of_office_is_taken_back_at_once(
    house: House,
) -> None:
    house.agent("ana", 2)
    house.agent("luis", 1)
    house.change("luis", SetPresence("away"))
    house.change("ana", away(0, 9_000))
    house.clock.advance(2_000)
    house.ticket(T1)
    house.intake.assign(T1, "ana")
    house.deliver()
    house.answer()
    assert house.holder(T1) is None
    assert taken_back(house) == [("ana", "out_of_office")]


def test_offline_agents_keep_their_tickets_unless_the_rules_say_for_how_long(house: House) -> None:
    house.put_rules(RoutingRules(take_back=TakeBack(offline_s=60)))
    house.agent("ana", 2)
    house.ticket(T1)
    house.answer()
    house.change("ana", SetPresence("offline"))
    house.clock.advance(59)
    house.sweep()
    assert taken_back(house) == []
    house.clock.advance(1)
    house.sweep()
    assert taken_back(house) == [("ana", "offline")]


def test_the_agent_goes_offline_between_the_command_and_the_assignment(house: House) -> None:
    """Fault 34, with the two events of a first assignment in one poll."""
    house.agent("ana", 2)
    house.ticket(T1)
    [asked] = house.commands()
    house.agent("luis", 1)
    house.change("ana", SetPresence("offline"))
    house.intake.decide(asked)
    assert [type(e.event).__name__ for e in house.intake.events] == ["Assigned", "StatusChanged"]
    house.deliver()
    assert taken_back(house) == [("ana", "unavailable")]
    [back] = [c for c in house.asked if isinstance(c.command, UnassignTicket)]
    house.intake.decide(back)
    house.answer()
    assert house.holder(T1) == "luis"
    assert house.loads() == {"luis": 1}


def test_an_agent_is_told_of_an_assignment_also_when_its_status_changes_with_it(
    house: House,
) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.answer()
    assert house.told() == [("ana", "assigned")]


def test_the_tickets_of_one_who_leaves_come_back_pending_ones_when_they_reopen(
    house: House,
) -> None:
    house.agent("ana", 3)
    house.ticket(T1)
    house.ticket(T2)
    house.answer()
    house.intake.status(T2, Status.PENDING)
    house.ticket(T3)
    house.change("ana", RetireAgent())  # T3 is asked for her, and not answered yet
    house.agent("luis", 5)
    house.answer()
    assert [house.holder(t) for t in (T1, T2, T3)] == ["luis", "ana", "luis"]
    house.intake.status(T2, Status.OPEN)
    house.deliver()
    house.answer()
    assert house.holder(T2) == "luis"


# --------------------------------------------------------------------------- tiers and hand-overs


def test_an_escalated_ticket_leaves_an_agent_who_does_not_work_in_that_tier(house: House) -> None:
    house.agent("ana", 2)
    house.agent("expert", 1, tiers=(2,))
    house.ticket(T1)
    house.answer()
    assert house.holder(T1) == "ana"
    house.intake.record(T1, Escalated(tier=2, previous_tier=1, cause="manual"))
    house.intake.record(T1, CategoryChanged(category="vpn"))  # in the same poll, and later
    house.deliver()
    house.answer()
    assert house.holder(T1) == "expert"
    assert taken_back(house) == [("ana", "escalated")]


def test_a_ticket_that_is_escalated_while_it_is_assigned_does_not_stay(house: House) -> None:
    house.agent("ana", 2)
    house.agent("expert", 1, tiers=(2,))
    house.ticket(T1)
    house.intake.record(T1, Escalated(tier=2, previous_tier=1, cause="manual"))
    house.answer()
    assert house.holder(T1) == "expert"


def test_too_many_hand_overs_escalate_and_tell_the_lead(house: House) -> None:
    house.agent("boss", 0, lead_of=("front",))
    house.agent("other_boss", 0, lead_of=("back",))
    house.agent("expert", 1, tiers=(2,))
    for name in ("a", "b", "c", "d"):
        house.agent(name, 0, groups=("front",))
    house.ticket(T1)
    for name in ("a", "b", "c"):
        house.intake.assign(T1, name)
        house.deliver()
    assert [c for c in house.commands() if isinstance(c.command, EscalateTicket)] == []
    house.intake.assign(T1, "d")
    house.deliver()
    house.answer()
    [limit] = [f for f in house.facts if isinstance(f, HandOverLimitReached)]
    assert (limit.hand_overs, limit.limit, limit.leads) == (3, 3, ("boss",))
    assert [agent for agent, kind in house.told() if kind == "hand_over_limit"] == ["boss"]
    assert house.intake.tickets[T1].tier == 2
    assert house.holder(T1) == "expert"


# ------------------------------------------------------------------------------------- affinity


@pytest.mark.parametrize("there", [True, False])
def test_a_reopened_ticket_returns_to_its_solver_if_there_with_room(
    house: House, there: bool
) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.answer()
    house.intake.status(T1, Status.SOLVED)
    house.deliver()
    house.agent("luis", 5)
    if not there:
        house.change("luis", SetPresence("away"))
        house.ticket(T2)  # fills ana's only unit
        house.answer()
        house.change("luis", SetPresence("online"))
    house.intake.status(T1, Status.OPEN)
    house.deliver()
    house.answer()
    assert house.holder(T1) == ("ana" if there else "luis")
    assert house.loads()["ana"] == 1


# ---------------------------------------------------------------------------- what changes a wait


def of_clock(
    house: House, ticket_id: str, number: int, event: type[ClockEvent], **how: Any
) -> EventEnvelope:
    made = event(
        ticket_id=ticket_id,
        metric="first_reply",
        policy="p",
        policy_version=1,
        calendar="c",
        calendar_version=1,
        **how,
    )
    stream = f"clock:{ticket_id}"
    return envelope(stream, number, made, house.clock.now(), source="/bitacora/sla")


def clock(house: House, *what: Any, **how: Any) -> None:
    house.apply(of_clock(house, *what, **how))


def test_a_calendar_that_the_sla_service_says_changes_nothing_here(house: House) -> None:
    house.agent("ana", 0)
    house.ticket(T1)
    house.commands()
    before = len(house.facts)
    defined = CalendarDefined(calendar="desk", version=1, zone="Europe/Madrid")
    house.apply(envelope("calendar:desk", 1, defined, house.clock.now(), source="/bitacora/sla"))
    assert house.commands() == []
    assert len(house.facts) == before
    house.change("ana", SetCapacity(1))
    house.answer()
    assert house.holder(T1) == "ana"


def test_the_nearest_due_goes_first_and_a_clock_that_ends_gives_the_place_up(
    house: House,
) -> None:
    house.put_rules(RoutingRules(queues=(QueueRule(name="q", order="sla"),)))
    house.agent("ana", 0)
    for ticket_id in (T1, T2, T3):
        house.ticket(ticket_id)
    soon, later = (START + timedelta(minutes=m) for m in (10, 50))
    clock(house, T3, 1, ClockStarted, at=START, target_s=600, due=soon)
    clock(house, T2, 1, ClockStarted, at=START, target_s=3_000, due=later)
    clock(house, T3, 2, ClockSatisfied, at=START, elapsed_s=1, target_s=600, breached=False)
    house.change("ana", SetCapacity(1))
    assert [c.ticket_id for c in house.commands()] == [T2]


def test_a_clock_that_starts_with_its_ticket_is_not_why_it_is_looked_at(house: House) -> None:
    house.agent("ana", 1)
    house.intake.record(T1, created(1))
    due = START + timedelta(minutes=10)
    started = of_clock(house, T1, 1, ClockStarted, at=START, target_s=600, due=due)
    house.apply(*house.intake.events, started)
    [asked] = house.commands()
    assert (house.decisions[0].trigger, asked.causation_id) == ("ticket_created", f"{T1}:1")


def test_a_waiting_ticket_of_another_category_goes_to_who_can_do_that(house: House) -> None:
    house.agent("expert", 1, skills=(Skill(name="vpn", level=1),))
    house.agent("other", 0, skills=(Skill(name="billing", level=1),))
    house.ticket(T1, category="billing")
    assert house.commands() == []
    house.intake.record(T1, CategoryChanged(category="vpn"))
    house.deliver()
    assert [agent_of(c) for c in house.commands()] == ["expert"]
    assert house.decisions[-1].trigger == "category_changed"


def test_why_tickets_wait_is_told_anew_when_time_alone_changes_it(house: House) -> None:
    house.agent("ana", 0)
    house.change("ana", SetWorkingHours(EARLY))
    house.ticket(T1)
    house.sweep()
    clock_shows(house, START.replace(hour=12))
    house.sweep()
    house.commands()
    told = [f for f in house.facts if isinstance(f, WaitReasonsChanged)]
    assert [[r.reason for r in fact.reasons] for fact in told] == [["no_capacity"], ["off_hours"]]


def test_what_nobody_in_the_house_knows_is_asked_for_once_somebody_learns_it(
    house: House,
) -> None:
    house.put_rules(RoutingRules(unknown_skills_required=True))
    house.agent("ana", 1)
    house.ticket(T1, category="quantum")
    assert house.commands() == []
    assert [r.reason for r in house.decisions[-1].rejected] == ["skill"]
    house.change("ana", SetSkills((Skill(name="quantum", level=1),)))
    assert [agent_of(c) for c in house.commands()] == ["ana"]


# ------------------------------------------------------------------------------------ the clock


def test_a_clock_that_jumps_forward_and_back_leaves_nobody_off_duty(house: House) -> None:
    house.agent("ana", 1)
    house.change("ana", SetWorkingHours(EARLY))
    clock_shows(house, START.replace(hour=18))
    house.sweep()
    house.ticket(T1)
    assert house.commands() == []
    clock_shows(house, START.replace(hour=10))
    house.sweep()
    assert [c.ticket_id for c in house.commands()] == [T1]


def test_a_clock_that_is_set_back_does_not_hold_up_what_was_asked(house: House) -> None:
    clock_shows(house, START + timedelta(days=1))
    house.agent("ana", 1)
    house.ticket(T1)
    house.commands()
    clock_shows(house, START)
    house.ticket(T2)
    house.intake.decide(house.asked[0])
    house.deliver()
    house.intake.status(T1, Status.SOLVED)
    house.deliver()
    house.answer()
    assert house.holder(T2) == "ana"


def test_what_a_group_gets_while_it_is_asked_for_is_decided_anew(house: House) -> None:
    house.agent("ana", 2)
    house.agent("insider", 1, groups=("billing",))
    house.ticket(T1)
    [asked] = house.commands()
    assert agent_of(asked) == "ana"
    house.intake.record(T1, Assigned(group="billing"))
    house.intake.decide(asked)
    house.deliver()
    house.clock.advance(1)
    house.sweep()
    house.answer()
    assert house.holder(T1) == "insider"

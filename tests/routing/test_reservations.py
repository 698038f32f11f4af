"""What becomes of an assignment that intake refuses, does not answer, or answers late."""

from __future__ import annotations

from libs.events import Status
from libs.events.ticket import Unassigned
from services.routing.domain.agent import RetireAgent, SetGroups, SetPresence
from tests.routing.house import T1, T2, House, agent_of, created, tid


def test_a_refusal_frees_the_unit_for_the_next_and_the_ticket_comes_back(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.ticket(T2)
    [asked] = house.commands()
    house.intake.assign(T1, "by hand")
    house.intake.decide(asked)
    house.deliver(events=0)  # the rejection overtakes the events that explain it
    [following] = house.commands()
    assert following.ticket_id == T2
    house.intake.decide(following)
    house.deliver()
    assert house.commands() == []
    assert house.work(T1).agent == "by hand"

    house.intake.record(T1, Unassigned(previous_agent="by hand"))
    house.deliver()
    house.intake.status(T2, Status.SOLVED)
    house.deliver()
    assert [c.ticket_id for c in house.commands()] == [T1]


def test_a_refused_ticket_that_still_looks_eligible_is_tried_again_later(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    [asked] = house.commands()
    house.intake._reject(asked, "not_assignable")
    house.deliver()
    assert house.commands() == []
    house.sweep()
    assert house.commands() == []
    house.clock.advance(1)
    house.sweep()
    [again] = house.commands()
    assert (again.ticket_id, again.command_id != asked.command_id) == (T1, True)


def test_an_assignment_by_hand_does_not_answer_our_own_command(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.ticket(T2)
    [asked] = house.commands()
    house.intake.assign(T1, "by hand")
    house.deliver()
    assert house.commands() == []  # ana's unit is kept: T1 may be free again when ours is decided
    house.intake.decide(asked)
    house.deliver()
    assert [c.ticket_id for c in house.commands()] == [T2]


def test_silence_is_asked_again_with_another_id_and_the_same_agent(house: House) -> None:
    house.agent("ana", 1, groups=("g1",))
    house.agent("luis", 1)
    house.ticket(T1)
    [first] = house.commands()
    house.change("ana", SetGroups(("g2",)))
    house.clock.advance(59)
    assert house.sweep() == 0
    house.clock.advance(1)
    assert house.sweep() == 1
    [second] = house.commands()
    assert second.command_id != first.command_id
    assert agent_of(second) == agent_of(first)
    assert house.loads() == {"ana": 1}

    # Both are decided in the end: one holder, and nothing is freed before its time.
    house.intake.decide(first)
    house.intake.decide(second)
    house.deliver(events=0)
    assert house.loads() == {"ana": 1}
    house.answer()
    assert house.holder(T1) == "ana"
    assert house.loads() == {"ana": 1}
    house.clock.advance(120)
    house.sweep()
    assert house.commands() == []
    assert house.work(T1).reservation is None


def test_what_was_asked_twice_and_given_once_keeps_the_unit_for_the_second(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    [first] = house.commands()
    house.clock.advance(60)
    house.sweep()
    [second] = house.commands()
    house.intake.decide(first)
    house.intake.record(T1, Unassigned(previous_agent="ana"))
    house.ticket(T2)
    assert house.commands() == []  # neither T1 for somebody else, nor T2 for ana
    house.intake.decide(second)
    house.answer()
    assert house.loads() == {"ana": 1}
    assert house.holder(T1) == "ana"


def test_silence_about_an_agent_who_left_keeps_the_unit_until_intake_has_spoken(
    house: House,
) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    [first] = house.commands()
    house.agent("luis", 1)
    house.change("ana", SetPresence("offline"))
    house.clock.advance(60)
    house.sweep()
    [second] = house.commands()
    assert agent_of(second) == "ana"
    assert house.loads() == {"ana": 1}

    house.intake.decide(first)  # late, but accepted: nothing else had been given to her meanwhile
    house.intake.decide(second)
    house.deliver()
    house.answer()
    assert house.holder(T1) == "luis"
    assert house.loads() == {"luis": 1}


def test_silence_about_a_ticket_that_somebody_else_has_is_asked_again(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.commands()  # the command never reaches intake: it was parked
    house.intake.assign(T1, "by hand")
    house.deliver()
    house.clock.advance(60)
    house.sweep()
    house.answer()
    assert house.loads() == {"by hand": 1}
    assert house.work(T1).reservation is None


def test_the_same_occasion_twice_makes_two_commands(house: House) -> None:
    """What time brings within a transaction that is about something else has ids of its own."""
    house.agent("ana", 1)
    house.agent("luis", 1)
    house.change("luis", SetPresence("away"))
    house.ticket(T1)
    for number in range(3):
        house.intake._reject(house.commands()[-1], "not_assignable")
        house.deliver()
        house.clock.advance(2**number)
        house.ticket(tid(100 + number), status="solved")
    assert len({c.command_id for c in house.asked if c.ticket_id == T1}) == len(house.asked)


def test_what_is_asked_again_while_the_ticket_is_taken_back_keeps_its_unit(house: House) -> None:
    """Intake is slow with commands, and a person gives the ticket to somebody who has left."""
    house.agent("ana", 1)
    house.agent("gone", 1)
    house.change("gone", SetPresence("away"))
    house.ticket(T1)
    house.ticket(T2, priority="critical")
    house.change("gone", RetireAgent())
    house.intake.assign(T1, "gone")
    house.deliver()
    house.clock.advance(61)
    house.sweep()
    for asked in house.commands():
        house.intake.decide(asked)
        house.deliver()
        assert house.loads()["ana"] <= 1
    house.answer()
    assert house.intake.held() == {"ana": 1}


def test_a_take_back_that_was_asked_for_before_ends_no_reservation(house: House) -> None:
    house.agent("ana", 1)
    house.agent("gone", 1)
    house.change("gone", SetPresence("away"))
    house.intake.record(T1, created(1))
    house.intake.assign(T1, "gone")
    house.change("gone", RetireAgent())
    house.deliver()
    [back] = house.commands()
    house.intake.record(T1, Unassigned(previous_agent="gone"))
    house.deliver()
    [given] = house.commands()
    assert agent_of(given) == "ana"
    house.ticket(T2, priority="critical")
    house.intake.assign(T1, "gone")
    house.deliver()
    house.intake.decide(back)
    house.deliver()
    assert house.work(T2).reservation is None  # ana's unit belongs to T1 as yet
    house.intake.decide(given)
    house.answer()
    assert house.intake.held() == {"ana": 1}

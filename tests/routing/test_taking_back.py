"""Taking back ends: it is asked for until it is done, and no ticket goes to and fro for ever."""

from __future__ import annotations

from datetime import timedelta

from libs.events import CommandEnvelope, Event, Status
from libs.events.agent import Skill
from libs.events.commands import EscalateTicket, UnassignTicket
from libs.events.rejection import CommandRejected
from libs.events.routing import SkillNeed, TicketTakenBack
from libs.events.sla import SlaWarning
from libs.events.ticket import Assigned, CategoryChanged, Escalated
from services.routing.domain.agent import RetireAgent, SetPresence
from services.routing.domain.conditions import Condition
from services.routing.domain.rules import Overflow, QueueRule, RoutingRules
from tests.routing.house import START, T1, House, agent_of, created, envelope


def reasons(house: House) -> list[tuple[str, str]]:
    house.commands()
    return [(f.agent, f.reason) for f in house.facts if isinstance(f, TicketTakenBack)]


def asked_back(house: House) -> list[CommandEnvelope]:
    return [c for c in house.commands() if isinstance(c.command, UnassignTicket)]


def later(house: House, seconds: float) -> None:
    house.clock.advance(seconds)
    house.sweep()


def test_the_tier_of_the_queue_counts_like_that_of_the_ticket(house: House) -> None:
    house.put_rules(RoutingRules(queues=(QueueRule(name="hard", tier=2),)))
    house.agent("expert", 2, tiers=(2,))
    house.ticket(T1)
    house.answer()
    assert house.holder(T1) == "expert"
    assert reasons(house) == []


def test_what_the_overflow_gives_in_a_queue_of_another_group_stays(house: House) -> None:
    house.put_rules(
        RoutingRules(
            queues=(
                QueueRule(name="b", when=Condition(group=("b",)), tier=3),
                QueueRule(
                    name="a",
                    group="a",
                    overflow=Overflow(groups=("b",)),
                    skills=(SkillNeed(name="vpn", importance="low"),),
                    optional_timeout_s=60,
                ),
            )
        )
    )
    house.agent("helper", 2, groups=("b",))
    house.ticket(T1)
    house.answer()
    later(house, 61)
    house.answer()
    assert house.holder(T1) == "helper"
    assert reasons(house) == []


def test_a_ticket_escalated_while_pending_leaves_tier_1_when_it_is_worked_on_again(
    house: House,
) -> None:
    house.agent("ana", 2)
    house.agent("expert", 1, tiers=(2,))
    house.ticket(T1)
    house.answer()
    house.intake.status(T1, Status.PENDING)
    house.deliver()
    house.intake.record(T1, Escalated(tier=2, previous_tier=1, cause="manual"))
    house.deliver()
    assert reasons(house) == []
    house.intake.status(T1, Status.OPEN)
    house.deliver()
    house.answer()
    assert house.holder(T1) == "expert"
    assert reasons(house) == [("ana", "escalated")]


def test_a_person_may_keep_an_escalated_ticket_in_tier_1(house: House) -> None:
    house.agent("ana", 2)
    house.intake.record(T1, *_escalated_and_given("ana"))
    house.deliver()
    for status in (Status.PENDING, Status.OPEN):
        house.intake.status(T1, status)
        house.deliver()
    assert reasons(house) == []


def _escalated_and_given(agent: str) -> tuple[Event, ...]:
    escalated = Escalated(tier=2, previous_tier=1, cause="manual")
    return (created(1), escalated, Assigned(agent=agent))


def test_what_is_recategorized_while_it_is_assigned_goes_to_who_knows_that(house: House) -> None:
    house.agent("ana", 2, skills=(Skill(name="vpn", level=1),))
    house.agent("luis", 1, skills=(Skill(name="billing", level=1),))
    house.ticket(T1, category="vpn")
    [asked] = house.commands()
    assert agent_of(asked) == "ana"
    house.intake.record(T1, CategoryChanged(category="billing"))
    house.intake.decide(asked)
    house.deliver()
    house.answer()
    assert house.holder(T1) == "luis"
    assert reasons(house) == [("ana", "needs_changed")]
    house.intake.record(T1, CategoryChanged(category="vpn"))  # an agent has it: it stays
    house.deliver()
    house.answer()
    assert house.holder(T1) == "luis"


def test_intake_is_asked_again_to_take_a_ticket_back(house: House) -> None:
    house.agent("ana", 2)
    house.ticket(T1)
    house.answer()
    house.change("ana", RetireAgent())
    [first] = asked_back(house)
    later(house, 59)
    assert asked_back(house) == []
    later(house, 1)
    [second] = asked_back(house)
    assert second.command_id != first.command_id
    later(house, 100)
    assert asked_back(house) == []
    rejected = CommandRejected(
        command_id=second.command_id,
        command_type=second.type,
        ticket_id=T1,
        code="not_now",
        detail="not now",
    )
    house.apply(envelope(second.command_id, 1, rejected, house.clock.now()))
    assert asked_back(house) == []  # not at once
    later(house, 4)
    [third] = asked_back(house)
    house.intake.decide(third)
    house.deliver()
    house.agent("luis", 1)
    house.answer()
    assert house.holder(T1) == "luis"
    assert reasons(house) == [("ana", "retired")]  # on record once
    later(house, 10_000)
    assert asked_back(house) == []


def test_intake_is_not_asked_again_once_there_is_no_reason(house: House) -> None:
    house.agent("ana", 2)
    house.ticket(T1)
    [asked] = house.commands()
    house.change("ana", SetPresence("offline"))
    house.intake.decide(asked)
    house.deliver()
    assert len(asked_back(house)) == 1
    house.change("ana", SetPresence("online"))
    later(house, 61)
    assert asked_back(house) == []
    assert house.work(T1).taking_back is None


def test_an_escalation_is_asked_again_for_the_same_tier(house: House) -> None:
    house.put_rules(RoutingRules(hand_over_limit=1))
    for name in ("a", "b"):
        house.agent(name, 0)
    house.ticket(T1)
    for name in ("a", "b"):
        house.intake.assign(T1, name)
        house.deliver()
    [first] = house.commands()
    later(house, 60)
    [second] = house.commands()
    assert isinstance(first.command, EscalateTicket)
    assert first.command == second.command
    assert first.command_id != second.command_id
    assert first.command.tier == 2
    for command in (first, second):
        house.intake.decide(command)
    house.deliver()
    assert house.work(T1).tier == 2
    assert house.work(T1).escalating is None


def test_a_ticket_taken_back_three_times_within_an_hour_stays(house: House) -> None:
    house.agent("boss", 0, lead_of=("front",))
    house.agent("ana", 1)
    house.ticket(T1)
    for _ in range(4):
        [asked] = house.commands()
        house.change("ana", SetPresence("offline"))
        house.intake.decide(asked)
        house.deliver()
        house.answer()
        house.change("ana", SetPresence("online"))
    assert house.holder(T1) == "ana"
    assert reasons(house) == [("ana", "unavailable")] * 3
    house.intake.record(T1, CategoryChanged(category="vpn"))
    house.deliver()
    assert [agent for agent, kind in house.told() if kind == "hand_over_limit"] == ["boss"]
    house.change("ana", RetireAgent())  # nobody is left with a ticket for that
    assert reasons(house)[3:] == [("ana", "retired")]


def test_a_warning_of_the_clock_puts_on_record_why_the_ticket_waits_now(house: House) -> None:
    house.agent("ana", 0)
    house.ticket(T1)
    warning = SlaWarning(
        ticket_id=T1,
        metric="first_reply",
        policy="p",
        policy_version=1,
        calendar="c",
        calendar_version=1,
        at=START,
        fraction=80,
        due=START + timedelta(minutes=10),
    )
    for number in (1, 2, 3):
        house.change("ana", SetPresence("online" if number == 1 else "away"))
        house.apply(
            envelope(f"clock:{T1}", number, warning, house.clock.now(), source="/bitacora/sla")
        )
    house.commands()
    assert [d.trigger for d in house.decisions] == ["ticket_created", "sla_warning"]
    assert [c.reason for c in house.decisions[-1].rejected] == ["away"]

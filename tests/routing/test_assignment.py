"""The way from a ticket to its agent, given/when/then, on every database."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from libs.events import Priority, Status
from libs.events.agent import Skill
from libs.events.commands import AssignTicket, UnassignTicket
from libs.events.routing import SkillNeed, WaitReasonsChanged
from libs.events.ticket import (
    Assigned,
    CategoryChanged,
    ImportedTicketActivated,
    PriorityChanged,
    StatusChanged,
    TicketMerged,
    Unassigned,
)
from libs.runtime.errors import Rejected
from libs.runtime.outbox import Outgoing, RawMessage
from services.routing.domain.agent import (
    RetireAgent,
    SetCapacity,
    SetPresence,
    SetSkills,
)
from services.routing.domain.needs import Needs, needs_of
from services.routing.domain.rules import QueueRule, RoutingRules
from tests.routing.house import (
    START,
    T1,
    T2,
    T3,
    T4,
    House,
    agent_of,
    created,
    envelope,
    tid,
)


def test_a_ticket_goes_to_the_agent_with_most_spare_capacity(house: House) -> None:
    house.agent("ana", 2)
    house.agent("luis", 3)

    house.ticket(T1)

    [asked] = house.commands()
    assert asked.ticket_id == T1
    assert asked.actor == "service:routing"
    assert asked.causation_id == f"{T1}:1"
    command = asked.command
    assert isinstance(command, AssignTicket)
    assert (command.agent, command.if_unassigned) == ("luis", True)
    [decision] = house.decisions
    assert decision.decision_id == command.decision_id
    assert decision.command_id == asked.command_id
    assert (decision.outcome, decision.trigger) == ("assigned", "ticket_created")
    assert [(c.agent, c.score) for c in decision.candidates] == [("luis", 3.0), ("ana", 2.0)]


def test_equal_agents_are_told_apart_by_level_then_load_then_id(house: House) -> None:
    house.agent("b", 2, skills=(Skill(name="vpn", level=3),))
    house.agent("a", 2, skills=(Skill(name="vpn", level=3),))
    house.agent("c", 2, skills=(Skill(name="vpn", level=9),))

    for ticket_id in (T1, T2, T3):
        house.ticket(ticket_id, category="vpn")
        house.answer()

    assert [house.holder(t) for t in (T1, T2, T3)] == ["c", "a", "b"]


def test_skill_language_tier_channel_and_group_decide_who_can(house: House) -> None:
    house.agent("skilled", skills=(Skill(name="vpn", level=1),), languages=("es",))
    house.agent("speaks_russian", 9, languages=("ru",))
    house.agent("expert", 9, tiers=(3,))
    house.agent("phone_only", 9, channels=("phone",))
    house.agent("away", 9)
    house.change("away", SetPresence("away"))

    house.ticket(T1, category="vpn", language="es-MX")
    house.answer()
    assert house.holder(T1) == "skilled"

    house.ticket(T2, category="vpn", language="es")
    assert house.commands() == []
    nobody = house.decisions[-1]
    assert (nobody.outcome, nobody.required_skills) == ("nobody", ("vpn",))
    assert {c.reason: c.agents for c in nobody.rejected} == {
        "away": 1, "channel": 1, "language": 1, "no_capacity": 1, "skill": 4, "tier": 1,
    }  # fmt: skip


def test_a_skill_that_nobody_has_is_not_asked_for_unless_the_rules_say_so(
    database_url: str,
) -> None:
    strict = House(database_url, rules=RoutingRules(unknown_skills_required=True))
    strict.agent("ana")
    strict.ticket(T1, category="unheard of")
    assert strict.commands() == []
    assert strict.decisions[-1].rule_version == "0"
    strict.change("ana", SetSkills((Skill(name="unheard of", level=1),)))
    assert [c.ticket_id for c in strict.commands()] == [T1]
    strict.close()

    relaxed = House(database_url)
    relaxed.agent("ana")
    relaxed.ticket(T1, category="unheard of")
    assert [c.ticket_id for c in relaxed.commands()] == [T1]
    relaxed.close()


def test_the_last_one_with_a_skill_leaves_and_its_tickets_go_to_the_others(house: House) -> None:
    house.agent("expert", 0, skills=(Skill(name="vpn", level=5),))
    house.agent("ana")
    house.ticket(T1, category="vpn")
    assert house.commands() == []
    house.change("expert", RetireAgent())
    assert [c.ticket_id for c in house.commands()] == [T1]


def test_the_group_of_the_ticket_is_kept_and_binding(house: House) -> None:
    house.agent("outsider", 9)
    house.agent("insider", 0, groups=("billing", "all"))
    house.intake.record(T1, created(), Assigned(group="all"))
    house.deliver()
    assert house.commands() == []
    assert house.decisions[-1].trigger == "ticket_in_group"
    assert [c.reason for c in house.decisions[-1].rejected] == ["no_capacity", "not_in_group"]
    house.change("insider", SetCapacity(1))
    [asked] = house.commands()
    assert isinstance(asked.command, AssignTicket)
    assert (asked.command.agent, asked.command.group) == ("insider", "all")


def test_capacity_counts_reservations_and_open_tickets_but_not_pending_ones(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.ticket(T2)
    assert [c.ticket_id for c in house.commands()] == [T1]
    assert house.loads() == {"ana": 1}

    house.intake.decide(house.asked[0])
    house.deliver()
    assert house.commands() == []
    assert house.loads() == {"ana": 1}

    house.intake.status(T1, Status.PENDING)
    house.deliver()
    assert [c.ticket_id for c in house.commands()] == [T2]
    assert house.decisions[-1].trigger == "agent_freed"


def test_a_freed_agent_pulls_by_priority_then_by_wait_never_the_newest(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.answer()
    house.ticket(T2, category="later the same")
    house.ticket(T3)
    house.ticket(T4, priority="high")

    order = []
    for _ in range(3):
        [held] = [t for t in house.intake.tickets if house.intake.held() and house.holder(t)
                  and house.intake.tickets[t].status is Status.OPEN]  # fmt: skip
        house.intake.status(held, Status.SOLVED)
        house.deliver()
        house.answer()
        order.append(next(t for t in house.intake.tickets if house.intake.tickets[t].status
                          is Status.OPEN))  # fmt: skip
    assert order == [T4, T2, T3]


def test_a_ticket_that_comes_back_keeps_its_place(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.answer()
    house.ticket(T2)
    house.change("ana", SetPresence("away"))
    house.intake.record(T1, Unassigned(previous_agent="ana"))
    house.deliver()
    assert house.commands() == []
    house.change("ana", SetPresence("online"))
    assert [c.ticket_id for c in house.commands()] == [T1]


def test_more_capacity_pulls_as_many_as_there_is_room_for(house: House) -> None:
    house.agent("ana", 0)
    for number in range(1, 131):
        house.ticket(tid(number), category=f"c{number % 3}")
    assert house.commands() == []
    house.change("ana", SetCapacity(120))
    assert [c.ticket_id for c in house.commands()] == [tid(n) for n in range(1, 121)]


def test_nobody_is_recorded_once_until_the_reasons_change(house: House) -> None:
    house.agent("ana", 1)
    house.change("ana", SetPresence("offline"))
    house.ticket(T1)
    house.intake.record(T1, PriorityChanged(priority=Priority.HIGH, previous=Priority.MEDIUM))
    house.deliver()
    house.sweep()
    house.commands()
    assert [d.outcome for d in house.decisions] == ["nobody"]
    house.change("ana", SetPresence("away"))
    house.sweep()
    house.sweep()
    house.commands()
    told = [fact for fact in house.facts if isinstance(fact, WaitReasonsChanged)]
    assert [[c.reason for c in fact.reasons] for fact in told] == [["offline"], ["away"]]
    assert [fact.waiting for fact in told] == [1, 1]
    house.change("ana", SetPresence("online"))
    house.answer()
    house.sweep()
    house.commands()
    gone = house.facts[-1]
    assert isinstance(gone, WaitReasonsChanged)
    assert (gone.waiting, gone.oldest_since, gone.reasons) == (0, None, ())


def test_without_any_agent_the_record_says_so(house: House) -> None:
    house.ticket(T1)
    house.commands()
    assert [c.reason for c in house.decisions[-1].rejected] == ["no_agents"]
    house.agent("ana")
    assert [c.ticket_id for c in house.commands()] == [T1]


def test_tickets_of_an_agent_who_leaves_the_house_are_taken_back(house: House) -> None:
    house.agent("ana", 2)
    house.ticket(T1)
    house.answer()
    house.agent("luis", 1)
    house.change("ana", RetireAgent())
    [taken] = house.commands()
    assert isinstance(taken.command, UnassignTicket)
    house.intake.decide(taken)
    house.deliver()
    house.answer()
    assert house.holder(T1) == "luis"


@pytest.mark.parametrize(
    "event",
    [
        StatusChanged(status=Status.SOLVED, previous=Status.NEW),
        StatusChanged(status=Status.PENDING, previous=Status.NEW),
        TicketMerged(into=T2),
        Assigned(agent="somebody"),
    ],
)
def test_what_is_not_eligible_is_not_offered(house: House, event: Assigned) -> None:
    house.ticket(T1)
    house.intake.record(T1, event)
    house.deliver()
    house.agent("ana", 5)
    house.sweep()
    assert house.commands() == []


def test_imported_history_is_kept_and_left_alone_until_it_is_activated(house: House) -> None:
    house.agent("ana", 5)
    house.ticket(T1, imported_from="elsewhere", group="old group")
    house.intake.record(T1, CategoryChanged(category="vpn"))
    house.intake.record(T1, Assigned(group="g", agent="ana"), Unassigned())
    house.deliver()
    house.sweep()
    assert house.commands() == []
    assert house.decisions == []
    assert house.loads() == {}
    house.clock.advance(100)
    house.intake.record(T1, ImportedTicketActivated())
    house.deliver()
    [asked] = house.commands()
    assert asked.ticket_id == T1
    assert house.decisions[-1].trigger == "ticket_activated"
    assert house.work(T1).eligible_since == house.clock.now()


def test_a_rolled_back_change_of_an_agent_leaves_no_trace(house: House) -> None:
    house.agent("ana", 1)

    def fails(connection: Connection, outgoing: Outgoing) -> None:
        house.desk.change_agent("ana", SetCapacity(5), "system")(connection, outgoing)
        raise Rejected("no", "rolled back")

    with pytest.raises(Rejected):
        house.store.write_now(fails)
    house.change("ana", SetCapacity(2))
    for number in range(1, 5):
        house.ticket(tid(number))
    assert len(house.commands()) == 2


def test_the_same_events_again_after_a_rollback_ask_the_same(house: House) -> None:
    house.agent("ana", 1)
    event = envelope(T1, 1, created(1), START)

    def fails(connection: Connection, outgoing: Outgoing) -> None:
        house.handler.apply(connection, [event], outgoing)
        asked = next(m for m in outgoing.pending if isinstance(m, RawMessage))
        assert isinstance(asked, RawMessage)
        seen.append(asked.headers)
        raise Rejected("no", "rolled back")

    seen: list[object] = []
    for _ in range(2):
        with pytest.raises(Rejected):
            house.store.write_now(fails)
    assert seen[0] == seen[1]


def test_new_rules_hold_at_once_for_what_waits(database_url: str) -> None:
    house = House(database_url)
    house.agent("ana", 0, skills=(Skill(name="vpn", level=1),))
    house.agent("luis", 1)
    house.ticket(T1, category="vpn")
    assert house.commands() == []
    house.put_rules(RoutingRules(category_is_skill=False))
    assert [(c.ticket_id, agent_of(c)) for c in house.commands()] == [(T1, "luis")]
    assert (house.decisions[-1].rule_version, house.decisions[-1].trigger) == ("1", "rules_changed")
    house.close()


def test_needs_of_any_length_have_a_key_that_fits_and_are_read_back(house: House) -> None:
    house.put_rules(
        RoutingRules(
            queues=(
                QueueRule(
                    name="long",
                    group="g" * 200,
                    skills=tuple(SkillNeed(name=f"{n}" * 100, importance="low") for n in range(9)),
                ),
            )
        )
    )
    house.ticket(T1, category="c" * 200)
    house.sweep()
    house.commands()
    record = house.decisions[-1]
    [told] = [fact for fact in house.facts if isinstance(fact, WaitReasonsChanged)]
    assert record.needs == told.needs
    _, needs = needs_of(house.work(T1), RoutingRules())
    assert Needs.of(needs.document) == needs
    house.agent("ana", 9, groups=("g" * 200,), skills=(Skill(name="c" * 200, level=1),))
    house.answer()
    house.sweep()
    house.commands()
    assert isinstance(house.facts[-1], WaitReasonsChanged)
    assert house.facts[-1].waiting == 0
    assert house.facts[-1].needs == told.needs


def test_a_language_that_is_none_asks_for_none(house: House) -> None:
    house.agent("ana", 1, languages=("es",))
    house.ticket(T1, language="-")
    assert [c.ticket_id for c in house.commands()] == [T1]


def test_an_id_is_the_same_with_and_without_the_space_around_it(house: House) -> None:
    with pytest.raises(Rejected) as refused:
        house.agent("ana ", 1)
    assert refused.value.code == "invalid_agent"

"""Offers: accepted, declined, let pass, late, somebody else's, overtaken; no ticket is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from libs.events import Status
from libs.events.agent import Skill
from libs.events.routing import OfferEnded, WaitReasonsChanged
from libs.events.ticket import CategoryChanged
from libs.runtime.errors import Rejected
from services.routing.domain.agent import RetireAgent, SetPresence
from services.routing.domain.rules import Offers, QueueRule, RoutingRules
from services.routing.views.answers import lines_view
from tests.routing.house import T1, T2, House, agent_of

RULES = RoutingRules(
    queues=(QueueRule(name="live", mode="offer"),),
    offers=Offers(timeout_s=30, decline_pause_s=100, misses_to_away=2),
)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    made = House(database_url, rules=RULES)
    yield made
    made.close()


def ended(house: House) -> list[tuple[str, str]]:
    house.commands()
    return [(fact.agent, fact.outcome) for fact in house.facts if isinstance(fact, OfferEnded)]


def test_what_is_accepted_is_asked_of_intake_and_nothing_before(house: House) -> None:
    house.agent("ana")
    house.ticket(T1)
    assert house.commands() == []
    assert (house.decisions[-1].outcome, house.decisions[-1].agent) == ("offered", "ana")
    assert house.loads() == {"ana": 1}
    assert house.told() == [("ana", "offered")]
    [offer] = house.offers("ana")
    assert house.reply(offer, "accepted").state == "accepted"
    house.answer()
    assert house.holder(T1) == "ana"
    assert house.intake.tickets[T1].sequence == 3
    assert ended(house) == [("ana", "accepted")]


def test_accepting_twice_asks_once_and_changing_ones_mind_is_refused(house: House) -> None:
    house.agent("ana")
    house.ticket(T1)
    [offer] = house.offers("ana")
    house.reply(offer, "accepted")
    assert house.reply(offer, "accepted").state == "accepted"
    with pytest.raises(Rejected, match="accepted already") as refused:
        house.reply(offer, "declined")
    assert refused.value.code == "offer_ended"
    assert len(house.commands()) == 1


def test_an_answer_after_the_time_out_is_refused_and_the_next_one_keeps_the_offer(
    house: House,
) -> None:
    house.agent("ana", 2)
    house.agent("luis")
    house.ticket(T1)
    [offer] = house.offers("ana")
    house.clock.advance(30)
    with pytest.raises(Rejected, match="ran out") as refused:
        house.reply(offer, "accepted")  # before any sweep: the answer itself finds it is too late
    assert refused.value.code == "offer_ended"
    house.sweep()
    [following] = house.offers("luis")
    assert ended(house) == [("ana", "timed_out")]
    with pytest.raises(Rejected, match="ran out"):
        house.reply(offer, "declined")
    house.reply(following, "accepted")
    house.answer()
    assert house.holder(T1) == "luis"


def test_somebody_elses_offer_and_one_that_never_was_are_refused(house: House) -> None:
    house.agent("ana", 2)
    house.agent("luis")
    house.ticket(T1)
    [offer] = house.offers("ana")
    with pytest.raises(Rejected) as refused:
        house.reply(offer, "accepted", "luis")
    assert (refused.value.code, refused.value.status) == ("not_your_offer", 403)
    with pytest.raises(Rejected) as refused:
        house.store.write_now(house.desk.answer_offer("no such", "ana", "accepted"))
    assert (refused.value.code, refused.value.status) == ("unknown_offer", 404)
    assert house.offers("ana") == [offer]


def test_who_declines_is_passed_over_and_asked_again_after_the_pause(house: House) -> None:
    house.agent("ana", 2)
    house.agent("luis", 1)
    house.ticket(T1)
    house.reply(house.offers("ana")[0], "declined")
    assert house.offers("ana") == []
    house.reply(house.offers("luis")[0], "declined")
    assert house.commands() == []
    assert house.work(T1).waiting
    assert [r.reason for r in house.decisions[-1].rejected] == ["declined"]
    house.clock.advance(99)
    house.sweep()
    assert house.offers("ana") == []
    house.clock.advance(1)
    house.sweep()
    assert len(house.offers("ana")) == 1


def test_a_line_whose_first_ticket_everybody_declined_says_so(house: House) -> None:
    house.agent("ana")
    house.ticket(T1)
    house.reply(house.offers("ana")[0], "declined")
    house.sweep()
    house.commands()
    told = [fact for fact in house.facts if isinstance(fact, WaitReasonsChanged)]
    assert [[c.reason for c in fact.reasons] for fact in told] == [["declined"]]
    view = house.desk.looking(lambda _, floor, now: lines_view(floor, now))
    answer, _ = house.store.write_now(view)
    assert answer["lines"][0]["reasons"] == [{"reason": "declined", "agents": 1}]


def test_offers_and_pauses_end_in_time_though_the_clock_was_set_back(house: House) -> None:
    house.agent("ana")
    house.agent("luis")
    house.ticket(T1)
    house.reply(house.offers("ana")[0], "declined")
    house.clock.advance(-86_400)
    house.sweep()
    house.clock.advance(30)
    house.sweep()
    assert ended(house) == [("ana", "declined"), ("luis", "timed_out")]
    house.clock.advance(70)
    house.sweep()
    assert len(house.offers("ana")) == 1


def test_who_declined_one_is_offered_another(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.reply(house.offers("ana")[0], "declined")
    house.ticket(T2)
    assert [offer.ticket_id for offer in house.offers("ana")] == [T2]


def test_who_lets_offers_pass_is_set_away_and_told(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.ticket(T2)
    for _ in range(2):
        assert len(house.offers("ana")) == 1
        house.clock.advance(30)
        house.sweep()
    assert house.offers("ana") == []
    with house.store.database.reading() as connection:
        agent = house.tables.agent(connection, "ana")
    assert agent is not None
    assert (agent.presence, agent.presence_reason) == ("away", "missed_offers")
    assert ("ana", "presence_lowered") in house.told()
    house.clock.advance(100)
    house.change("ana", SetPresence("online"))
    assert len(house.offers("ana")) == 1
    house.clock.advance(30)
    house.sweep()
    assert len(house.offers("ana")) == 1  # the count began anew


def test_who_went_home_with_an_offer_open_stays_offline(house: House) -> None:
    house.put_rules(RULES.model_copy(update={"offers": Offers(timeout_s=30, misses_to_away=1)}))
    house.agent("ana", 1)
    house.ticket(T1)
    house.change("ana", SetPresence("offline"))
    house.clock.advance(30)
    house.sweep()
    with house.store.database.reading() as connection:
        agent = house.tables.agent(connection, "ana")
    assert agent is not None
    assert agent.presence == "offline"


def test_the_offer_of_one_who_leaves_the_house_goes_to_the_next(house: House) -> None:
    house.agent("ana", 2)
    house.agent("luis", 1)
    house.ticket(T1)
    [offer] = house.offers("ana")
    house.change("ana", RetireAgent())
    with pytest.raises(Rejected) as refused:
        house.reply(offer, "accepted")
    assert refused.value.code == "offer_ended"
    assert [o.ticket_id for o in house.offers("luis")] == [T1]
    house.clock.advance(30)
    house.sweep()
    assert ended(house)[-1] == ("luis", "timed_out")


@pytest.mark.parametrize("how", ["solved", "assigned", "to_ana"])
def test_an_offer_that_was_overtaken_is_withdrawn(house: House, how: str) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    [offer] = house.offers("ana")
    if how == "solved":
        house.intake.status(T1, Status.SOLVED)
    else:
        house.intake.assign(T1, "ana" if how == "to_ana" else "by hand")
    house.deliver()
    assert house.offers("ana") == []
    assert ended(house) == [("ana", "withdrawn")]
    with pytest.raises(Rejected, match="needs nobody") as refused:
        house.reply(offer, "accepted")
    assert refused.value.code == "offer_ended"
    assert house.loads().get("ana", 0) == (how == "to_ana")


def test_an_offer_of_what_has_become_something_else_goes_to_who_can_do_it(house: House) -> None:
    house.agent("ana", 3)
    house.agent("expert", 1, skills=(Skill(name="vpn", level=3),))
    house.ticket(T1)
    assert len(house.offers("ana")) == 1
    house.intake.record(T1, CategoryChanged(category="vpn"))
    house.deliver()
    assert house.offers("ana") == []
    assert [o.ticket_id for o in house.offers("expert")] == [T1]
    assert ended(house) == [("ana", "withdrawn")]


def test_an_accepted_offer_that_intake_refuses_comes_back(house: House) -> None:
    house.agent("ana", 1)
    house.ticket(T1)
    house.reply(house.offers("ana")[0], "accepted")
    [asked] = house.commands()
    assert agent_of(asked) == "ana"
    house.intake._reject(asked, "group_changed")
    house.deliver()
    house.clock.advance(1)
    house.sweep()
    assert [o.ticket_id for o in house.offers("ana")] == [T1]

"""Offers that cannot stand any more end at once, and the next one is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from libs.events.commands import AssignTicket
from libs.events.routing import OfferEnded
from services.routing.domain.agent_commands import RetireAgent, SetGroups, SetPresence
from services.routing.domain.rules import Offers, QueueRule, RoutingRules
from tests.routing.house import T1, House

OFFERING = RoutingRules(
    queues=(QueueRule(name="chats", mode="offer"),), offers=Offers(timeout_s=86_400)
)
ONLY_BACK = OFFERING.model_copy(
    update={"queues": (QueueRule(name="chats", mode="offer", group="back"),)}
)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """T1 is offered to ana; luis is the next."""
    made = House(database_url, rules=OFFERING)
    made.agent("ana", 2, groups=("front",))
    made.agent("luis", 1, groups=("front", "back"))
    made.ticket(T1)
    assert _offered(made) == "ana"
    yield made
    made.close()


def _offered(house: House) -> str | None:
    asked = house.work(T1).reservation
    return asked.agent if asked and asked.kind == "offer" else None


def _ended(house: House) -> list[tuple[str, str]]:
    house.commands()
    return [(f.agent, f.outcome) for f in house.facts if isinstance(f, OfferEnded)]


@pytest.mark.parametrize(
    "command", [SetPresence("away"), SetPresence("offline"), RetireAgent()], ids=repr
)
def test_an_agent_who_goes_is_not_waited_for(
    house: House, command: SetPresence | RetireAgent
) -> None:
    house.change("ana", command)
    assert _offered(house) == "luis"
    assert _ended(house) == [("ana", "withdrawn")]


def test_rules_that_the_agent_no_longer_fits_end_the_offer(house: House) -> None:
    house.put_rules(ONLY_BACK)
    assert _offered(house) == "luis"
    assert _ended(house) == [("ana", "withdrawn")]


def test_rules_that_change_nothing_for_the_offer_let_it_stand(house: House) -> None:
    house.put_rules(OFFERING.model_copy(update={"hand_over_limit": 7}))
    assert _offered(house) == "ana"
    assert _ended(house) == []


def test_who_accepts_after_a_move_gets_the_ticket_in_its_new_group(house: House) -> None:
    house.change("ana", SetGroups(("front", "back")))
    house.intake.assign(T1, None, "back")
    house.deliver()
    asked = house.work(T1).reservation
    assert asked is not None
    assert (asked.agent, asked.kind) == ("ana", "offer")
    house.store.write_now(house.desk.answer_offer(asked.decision_id, "ana", "accepted"))
    [command] = house.commands()
    assert isinstance(command.command, AssignTicket)
    assert (command.command.group, command.command.if_group) == ("back", "back")

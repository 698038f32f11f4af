"""The best that anybody could do in a simulated day: nobody is better, and no bound is above it."""

from __future__ import annotations

import pytest

from bench.routing_day import WAYS
from bench.routing_history import Incident, roster_of, rules_of
from bench.routing_worlds import START, World, bound_s, optimum_s, world
from services.routing.domain.agent import Agent
from services.routing.domain.rules import RoutingRules
from services.routing.domain.simulation import figures_of, simulate
from services.routing.domain.work import Work


def agent(name: str, *skills: str) -> Agent:
    return Agent(name, skills=dict.fromkeys(skills, 5), capacity=1, presence="online")


def test_the_optimum_of_a_day_that_can_be_seen_through() -> None:
    mail, vpn = "category 0", "category 1"
    team = (agent("both", mail, vpn), agent("one", mail))
    day = World(team, ((0, mail), (0, vpn), (0, vpn), (1, mail)), steps=2, per_slot=1)
    assert optimum_s(day) == [0, 0, 0, 600]
    assert bound_s(day) == pytest.approx(150)


@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_is_better_than_the_optimum_nor_the_bound_above_it(seed: int) -> None:
    day = world(seed, 0.95, slots=12, per_slot=1, agents=8)
    best = sum(optimum_s(day)) / len(day.tickets)
    assert bound_s(day) <= best + 1e-6
    for policy, strategy in WAYS.values():
        found = figures_of(simulate(day.plan(RoutingRules(strategy=strategy)), policy))
        assert found.waits.mean_s >= best - 1e-6


def test_what_a_past_teaches() -> None:
    def solved(number: int, location: str, group: str, person: str) -> Incident:
        facts = {"category": "mail", "subcategory": "quota", "location": location}
        return Incident(f"i{number}", START, facts, group, group, person, START, START)

    past = [solved(n, "north", "desk", "ana") for n in range(6)]
    past += [solved(n, "south", "field", "?") for n in range(6, 11)]
    roster = {one.id: (one.groups, one.capacity) for one in roster_of(past)}
    assert roster == {"ana": (("desk",), 6), "somebody of field": (("field",), 5)}
    rules = rules_of(past)

    def group_at(location: str, category: str = "mail") -> str | None:
        custom = {"location": location}
        work = Work("t", category=category, subcategory="quota", custom_fields=custom)
        return rules.queue_for(work).group

    assert (group_at("north"), group_at("south"), group_at("west")) == ("desk", "field", "desk")
    assert group_at("south", category="vpn") == "desk"

"""Who gets what on the floor: optimal, in order, and the same whoever came first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations, product
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from libs.events import Priority, Status
from libs.events.base import Channel
from libs.events.routing import SkillNeed
from services.routing.domain import Agent, Work
from services.routing.domain.conditions import Condition
from services.routing.domain.floor import Floor, kinds
from services.routing.domain.rules import Overflow, QueueRule, RoutingRules, SkillRule, Strategy
from tests.routing.floors import (
    EARLY,
    FEATURES,
    NOW,
    agent,
    agents,
    floor_of,
    plain_agent,
    plain_ticket,
    rule_sets,
    ticket,
    tickets,
)
from tests.routing.naive import Naive

HOUR = timedelta(hours=1)
SIMPLE = RoutingRules(keep_specialists=False)


def settled(floor: Floor) -> dict[str, str]:
    """Ticket → agent."""
    return {match.ticket.id: match.agent for match in floor.settle(NOW)}


def houses(
    agents_max: int = 5, tickets_max: int = 8
) -> st.SearchStrategy[tuple[list[Agent], list[Work]]]:
    """Agents who know some skills, and tickets that need one of them."""
    names = st.integers(1, agents_max).map(lambda n: [f"a{i}" for i in range(n)])
    ids = st.integers(1, tickets_max).map(lambda n: [f"t{i}" for i in range(n)])
    features = st.just(("skills",))

    def plain(
        drawn: tuple[list[Agent], list[Work], tuple[str, ...]],
    ) -> tuple[list[Agent], list[Work]]:
        some, works, wanted = drawn
        return (
            [plain_agent(a, wanted) for a in some],
            [replace(plain_ticket(w, wanted), tags=(), solved_by=None) for w in works],
        )

    return st.tuples(
        names.flatmap(lambda ns: st.tuples(*map(agents, ns)).map(list)),
        ids.flatmap(lambda ns: st.tuples(*map(tickets, ns)).map(list)),
        features,
    ).map(plain)


def naive_of(rules: RoutingRules, some: list[Agent], works: list[Work]) -> Naive:
    return Naive(rules, tuple(some), tuple(works), NOW)


def edges(naive: Naive) -> np.ndarray[tuple[int, int], np.dtype[np.int8]]:
    """Ticket by unit of capacity: 1 where the one can be given the other."""
    units = [a for a in naive.agents for _ in range(a.capacity)]
    rows = [[not naive.reasons(a, w) for a in units] for w in naive.works]
    return np.array(rows, np.int8).reshape(len(naive.works), len(units))


@given(houses())
@settings(max_examples=60, deadline=None)
def test_as_many_as_can_be_served_are_served(house: tuple[list[Agent], list[Work]]) -> None:
    some, works = house
    naive = naive_of(SIMPLE, some, works)
    given_out = settled(floor_of(SIMPLE, agents=some, works=works))
    if len(works) <= sum(a.capacity for a in some):  # else some are left for a second batch
        matched = maximum_bipartite_matching(csr_matrix(edges(naive)), perm_type="column")
        assert len(given_out) == int((matched >= 0).sum())


def cheapness(naive: Naive, given_out: dict[str, str]) -> tuple[int, float]:
    """What is to be small: first the tiers of those who get something, then the strategy's cost."""
    by_id = {a.id: a for a in naive.agents}
    load = dict.fromkeys(by_id, 0)
    tiers, cost = 0, 0.0
    for name in given_out.values():
        one = by_id[name]
        tiers += max(one.tiers)
        if naive.rules.strategy == "most_spare":
            cost += load[name] - one.capacity
        else:
            cost += load[name] * 10_000 // max(one.capacity, 1)
        load[name] += 1
    return tiers, cost


@pytest.mark.parametrize("strategy", ["most_spare", "lowest_share"])
@given(
    house=houses(agents_max=4, tickets_max=4),
    tiers=st.tuples(*[st.sampled_from(((1,), (1, 2)))] * 4),
)
@settings(max_examples=60, deadline=None)
def test_no_other_way_to_serve_the_same_tickets_is_cheaper(
    strategy: Strategy, house: tuple[list[Agent], list[Work]], tiers: tuple[tuple[int, ...], ...]
) -> None:
    rules = RoutingRules(keep_specialists=False, strategy=strategy)
    some = [replace(a, tiers=t) for a, t in zip(house[0], tiers, strict=False)]
    naive = naive_of(rules, some, house[1])
    given_out = settled(floor_of(rules, agents=some, works=house[1]))
    served = [w for w in house[1] if w.id in given_out]
    if len(house[1]) > sum(a.capacity for a in some):
        return  # more than one batch
    best = min(
        cheapness(naive, {w.id: a.id for w, a in zip(served, chosen, strict=True)})
        for chosen in product(some, repeat=len(served))
        if all(not naive.reasons(a, w) for w, a in zip(served, chosen, strict=True))
        and all(chosen.count(a) <= a.capacity for a in chosen)
    )
    assert cheapness(naive, given_out) == pytest.approx(best)


@given(
    st.data(),
    rule_sets,
    st.sets(st.sampled_from(FEATURES), max_size=4),
    st.integers(2, 5),
    st.integers(2, 7),
)
@settings(max_examples=60, deadline=None)
def test_who_came_onto_the_floor_first_makes_no_difference(
    data: st.DataObject, rules: RoutingRules, features: set[str], people: int, waiting: int
) -> None:
    some = [plain_agent(data.draw(agents(f"a{n}")), features) for n in range(people)]
    works = [plain_ticket(data.draw(tickets(f"t{n}")), features) for n in range(waiting)]
    first = settled(floor_of(rules, agents=some, works=works))
    turned = floor_of(
        rules, agents=data.draw(st.permutations(some)), works=data.draw(st.permutations(works))
    )
    assert settled(turned) == first


def test_the_best_of_each_come_out_whatever_the_order() -> None:
    """Equals are told apart by id, in batches too."""
    some = [agent(name, 2) for name in "abc"]
    works = [ticket(f"t{n}", n) for n in range(3)]
    answers = {
        tuple(sorted(settled(floor_of(SIMPLE, agents=order, works=works)).items()))
        for order in permutations(some)
    }
    assert len(answers) == 1


# ------------------------------------------------------------------------------------ declines


@given(st.lists(st.sets(st.sampled_from("abcde"), max_size=5), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_ticket_that_some_have_declined_goes_to_the_others(declined: list[set[str]]) -> None:
    some = [agent(name, 9 - n) for n, name in enumerate("abcde")]
    works = [
        ticket(f"t{n}", n, declined=dict.fromkeys(sorted(names), NOW + HOUR))
        for n, names in enumerate(declined)
    ]
    given_out = settled(floor_of(SIMPLE, agents=some, works=works))
    for work, names in zip(works, declined, strict=True):
        assert (work.id in given_out) == (len(names) < len(some))
        assert given_out.get(work.id) not in names


def test_who_declined_is_asked_again_after_the_pause() -> None:
    floor = floor_of(SIMPLE, agents=[agent("a")])
    floor.put_work(ticket("t", declined={"a": NOW + HOUR}), NOW)
    assert floor.settle(NOW) == []
    almost = NOW + HOUR - timedelta(seconds=1)
    floor.advance(almost)
    assert floor.settle(almost) == []
    floor.advance(NOW + HOUR)
    assert [match.agent for match in floor.settle(NOW + HOUR)] == ["a"]


def test_a_preferred_agent_is_found_among_many_better_ones() -> None:
    some = [agent(name, 9) for name in "abcdef"] + [agent("z", 1)]
    works = [ticket("t1", solved_by="z"), ticket("t2", 1)]
    assert settled(floor_of(SIMPLE, agents=some, works=works))["t1"] == "z"
    alone = floor_of(SIMPLE, agents=some, works=works[:1])
    [match] = alone.settle(NOW)
    assert match.agent == "z"


def test_a_record_names_the_chosen_one_among_more_than_it_lists() -> None:
    some = [agent(f"a{n:02}", 9) for n in range(40)] + [agent("z", 1)]
    [match] = floor_of(SIMPLE, agents=some, works=[ticket("t", solved_by="z")]).settle(NOW)
    assert match.agent == "z"
    assert "z" in {c.agent for c in match.decision.candidates if not c.rejected}


# ----------------------------------------------------------------------------------- specialists


def test_a_specialist_gets_plain_work_once_the_work_of_specialists_is_given_out() -> None:
    floor = floor_of(
        RoutingRules(), agents=[agent("x", 3, tiers=(1, 2)), agent("busy", 0)],
        works=[ticket("special", tier=2), ticket("plain")],
    )  # fmt: skip
    assert settled(floor) == {"special": "x", "plain": "x"}


def test_a_specialist_gets_plain_work_once_the_work_of_specialists_has_gone() -> None:
    special = ticket("special", tier=2, channel=Channel.PHONE)
    rules = RoutingRules(weights={Channel.PHONE: 3})
    floor = floor_of(
        rules, agents=[agent("x", 3, tiers=(1, 2)), agent("busy", 0)],
        works=[ticket("held", agent="x"), special, ticket("plain")],
    )  # fmt: skip
    assert settled(floor) == {}
    decision = floor.explain("plain", NOW)
    assert decision is not None
    assert {r.reason: r.agents for r in decision.rejected} == {
        "kept_for_specialists": 1,
        "no_capacity": 1,
    }
    floor.put_work(replace(special, status=Status.SOLVED), NOW)
    assert settled(floor) == {"plain": "x"}


@pytest.mark.parametrize(
    ("person", "work", "held"),
    [
        ({"capacity": 2}, {"channel": Channel.PHONE}, ()),
        ({"channel_limits": {Channel.CHAT: 0}}, {"channel": Channel.CHAT}, ()),
        ({"channel_limits": {Channel.CHAT: 1}}, {"channel": Channel.CHAT}, (Channel.CHAT,)),
        ({}, {"declined": {"x": NOW + HOUR}}, ()),
    ],
    ids=["too_large", "never_that_channel", "channel_full", "declined"],
)
def test_no_specialist_is_kept_for_work_that_will_not_be_theirs(
    person: dict[str, Any], work: dict[str, Any], held: tuple[Channel, ...]
) -> None:
    someone = agent("x", **{"capacity": 4, "tiers": (1, 2), **person})
    floor = floor_of(
        RoutingRules(weights={Channel.PHONE: 3}), agents=[someone, agent("busy", 0)],
        works=[*(ticket("held", agent="x", channel=c) for c in held),
               ticket("special", tier=2, **work), ticket("plain", channel=Channel.EMAIL)],
    )  # fmt: skip
    assert settled(floor) == {"plain": "x"}


def test_a_specialist_whose_channel_fills_up_by_hand_gets_plain_work() -> None:
    chat = ticket("special", tier=2, channel=Channel.CHAT)
    x = agent("x", 3, tiers=(1, 2), channel_limits={Channel.CHAT: 1})
    rules = RoutingRules(weights={Channel.CHAT: 3})
    works = [ticket("held", agent="x"), chat, ticket("plain")]
    floor = floor_of(rules, agents=[x, agent("busy", 0)], works=works)
    assert settled(floor) == {}
    floor.put_work(replace(ticket("by_hand", channel=Channel.CHAT), agent="x"), NOW)
    floor.put_work(ticket("held", status=Status.SOLVED), NOW)
    floor.put_agent(replace(x, capacity=4), NOW)
    assert settled(floor) == {"plain": "x"}


def test_who_declined_all_that_is_left_is_kept_no_more() -> None:
    rules = RoutingRules(weights={Channel.PHONE: 2})
    special = ticket("s1", tier=2, channel=Channel.PHONE)
    works = [
        ticket("held", agent="x"), special, ticket("plain"),
        replace(special, id="s2", declined={"x": NOW + HOUR}),
    ]  # fmt: skip
    floor = floor_of(rules, agents=[agent("x", 2, tiers=(1, 2)), agent("busy", 0)], works=works)
    assert settled(floor) == {}
    floor.put_work(replace(special, status=Status.SOLVED), NOW)
    assert settled(floor) == {"plain": "x"}


# ------------------------------------------------------------------------------------- overflow


def test_a_group_given_by_hand_is_not_widened_by_the_overflow() -> None:
    queue = QueueRule(name="q", group="front", overflow=Overflow(groups=("back",), after_s=10))
    works = [ticket("own", -60), ticket("by_hand", -60, group="night")]
    helper = agent("b", 2, groups=("back",))
    assert settled(floor_of(RoutingRules(queues=(queue,)), agents=[helper], works=works)) == {
        "own": "b"
    }


# ---------------------------------------------------------------------------------------- order


@given(st.integers(0, 3), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_with_ageing_nothing_starves(rank: int, every_s: int) -> None:
    """One agent, who is given a ticket each `every_s`, while more urgent ones never end: the old one
    is served after at most three ageings."""
    ageing_s = 600
    rules = RoutingRules(queues=(QueueRule(name="q", ageing_s=ageing_s),))
    priority = (Priority.CRITICAL, Priority.HIGH, Priority.MEDIUM, Priority.LOW)[rank]
    floor = floor_of(rules, agents=[agent("a", 1)])
    floor.put_work(ticket("old", priority=priority), NOW)
    now = NOW
    floor.put_agent(agent("a", 0), now)
    for number in range(rank * ageing_s // every_s + 2):
        floor.put_work(ticket(f"new{number:05}", number * every_s, priority=Priority.CRITICAL), now)
        floor.put_agent(agent("a", 1), now)
        [match] = floor.settle(now)
        if match.ticket.id == "old":
            break
        floor.put_work(replace(ticket(match.ticket.id), status=Status.SOLVED), now)
        now += timedelta(seconds=every_s)
        floor.advance(now)
    else:
        pytest.fail("the old one starves")
    assert now - NOW <= timedelta(seconds=rank * ageing_s + every_s)


def test_by_sla_the_breached_go_first_then_the_nearest_due_then_those_without() -> None:
    rules = RoutingRules(queues=(QueueRule(name="q", order="sla", ageing_s=3_600),))
    dues = {"late": 50, "breached": -5, "soon": 10}
    works = [
        ticket(name, dues={"first_reply": NOW + timedelta(minutes=minutes)})
        for name, minutes in dues.items()
    ]
    floor = floor_of(rules, works=[ticket("none"), *works])
    assert [w.id for w in floor.in_order()] == ["breached", "soon", "late", "none"]
    floor.put_agent(agent("a", 2), NOW)
    assert set(settled(floor)) == {"breached", "soon"}


def test_kinds_that_nothing_waits_as_are_forgotten_and_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kinds, "KINDS_MAX", 10)
    queue = QueueRule(name="q", group="front", overflow=Overflow(groups=("back",)))
    floor = floor_of(RoutingRules(queues=(queue,)), agents=[agent("a", 0)])
    floor.put_work(ticket("waits", category="a"), NOW)
    for number in range(100):
        floor.put_work(ticket("changes", language=f"{number:03}"), NOW)
        assert floor.settle(NOW) == []
        assert len(list(floor.kinds)) < 30
    floor.put_agent(agent("b", 2, groups=("back",)), NOW)
    assert settled(floor) == {"waits": "b", "changes": "b"}


def test_a_ticket_that_changes_very_often_has_one_timer() -> None:
    queue = QueueRule(name="q", optional_timeout_s=60)
    skill = SkillRule(when=Condition(), skills=(SkillNeed(name="vpn", importance="low"),))
    rules = RoutingRules(
        queues=(queue,), skills=(skill,), unknown_skills_required=True, affinity=False
    )
    floor = floor_of(rules, agents=[agent("a"), agent("b")])
    declined = {"b": NOW + timedelta(seconds=30), "a": NOW + timedelta(seconds=90)}
    for priority in [Priority.LOW, Priority.HIGH] * 50:
        floor.put_work(ticket("t", priority=priority, declined=declined), NOW)
        floor.put_work(ticket("t", status=Status.PENDING), NOW)
    floor.put_work(ticket("t", declined=declined), NOW)
    assert len(floor._timers) == 1
    given_at = []
    for second in (30, 59, 60):
        now = NOW + timedelta(seconds=second)
        floor.advance(now)
        given_at += [(second, match.agent) for match in floor.settle(now)]
    assert given_at == [(60, "b")]


def test_duty_that_changes_very_often_leaves_no_more_than_one_timer() -> None:
    floor = floor_of(SIMPLE)
    for number in range(200):
        floor.put_agent(agent("a", number % 7, working_hours=EARLY), NOW)
    assert len(floor._timers) == 1

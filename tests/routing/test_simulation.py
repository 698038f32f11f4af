"""Simulated days: what is measured is what happened, and every policy keeps the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from libs.events.agent import OutOfOffice, Shift, WorkingHours
from libs.events.base import Channel, Priority
from services.routing.domain import Agent, Work
from services.routing.domain.rules import (
    Offers,
    QueueRule,
    RoutingRules,
    TakeBack,
    VersionedRules,
)
from services.routing.domain.simulation import (
    POLICIES,
    Answer,
    Arrival,
    Plan,
    Policy,
    figures_of,
    simulate,
)
from services.routing.domain.simulation.plan import Outcome
from tests.routing.floors import NOW

MINUTE = timedelta(minutes=1)
END = NOW + timedelta(hours=8)
EVERY: tuple[Policy, ...] = tuple(POLICIES)
OFFERED = RoutingRules(
    queues=(QueueRule(name="default", mode="offer"),),
    offers=Offers(timeout_s=30, decline_pause_s=300),
)


def came(number: int, minute: float, handle_min: float = 10, **facts: Any) -> Arrival:
    work = Work(id=f"t{number}", number=number, **facts)
    return Arrival(NOW + minute * MINUTE, work, handle_min * 60)


def agent(name: str, capacity: int = 1, **values: Any) -> Agent:
    return Agent(name, capacity=capacity, presence="online", presence_since=NOW, **values)


def day(
    arrivals: Sequence[Arrival],
    agents: Sequence[Agent],
    rules: RoutingRules | None = None,
    policy: Policy = "floor",
    **values: Any,
) -> Outcome:
    versioned = VersionedRules(1, rules or RoutingRules())
    return simulate(Plan(NOW, END, versioned, arrivals, agents, **values), policy)


def waits(outcome: Outcome) -> list[float]:
    return [story.wait_s(outcome.ended) / 60 for story in outcome.stories]


@pytest.mark.parametrize("policy", EVERY)
def test_who_is_freed_takes_the_longest_waiting(policy: Policy) -> None:
    outcome = day([came(1, 0), came(2, 1), came(3, 2)], [agent("ana")], policy=policy)
    assert waits(outcome) == [0, 9, 18]
    found = figures_of(outcome, target_s=600)
    assert (found.waits.mean_s, found.waits.p50_s, found.waits.max_s) == (540, 540, 1080)
    assert found.waits.late == pytest.approx(1 / 3)
    assert found.utilization == pytest.approx(30 / (8 * 60))
    assert found.agents["ana"].given == 3
    assert found.solved == 3


@pytest.mark.parametrize("policy", EVERY)
def test_a_shift_that_begins_brings_its_agent(policy: Policy) -> None:
    hours = WorkingHours(zone="UTC", week={"mon": (Shift(start="10:00", end="16:00"),)})
    outcome = day([came(1, 0)], [agent("ana", working_hours=hours)], policy=policy)
    assert waits(outcome) == [60]
    assert outcome.staff[0].on_duty_s == 6 * 3600


def test_the_day_goes_on_until_everybody_was_served() -> None:
    hours = WorkingHours(zone="UTC", week={"tue": (Shift(start="09:00", end="10:00"),)})
    outcome = day([came(1, 0)], [agent("ana", working_hours=hours)])
    assert waits(outcome) == [24 * 60]
    assert outcome.staff[0].busy_s == 0, "what is done after the end does not count"


def test_a_ticket_that_nobody_can_take_is_told_as_never_served() -> None:
    rules = RoutingRules(unknown_skills_required=True)
    outcome = day([came(1, 0, category="vpn")], [agent("ana")], rules)
    found = figures_of(outcome, target_s=60)
    assert (found.waits.unserved, found.waits.late) == (1, 1.0)
    assert found.waits.max_s == (outcome.ended - NOW).total_seconds() >= 8 * 3600
    assert found.idle == ("ana",)


def test_an_offer_that_is_declined_or_missed_goes_to_the_next() -> None:
    said = {"ana": Answer("declined", 5), "bo": Answer("missed"), "cy": Answer("accepted", 10)}
    outcome = day(
        [came(1, 0)],
        [agent("ana", 3), agent("bo", 2), agent("cy", 1)],
        OFFERED,
        answers=lambda _ticket, name, _before: said[name],
    )
    assert outcome.stories[0].agent == "cy"
    assert waits(outcome) == [(5 + 30 + 10) / 60]
    assert figures_of(outcome).offers == 3


def test_who_goes_out_of_office_hands_over_what_is_left() -> None:
    out = OutOfOffice(start=NOW + 4 * MINUTE, end=END)
    rules = RoutingRules(take_back=TakeBack(out_of_office_s=120))
    outcome = day([came(1, 0)], [agent("ana", 2, out_of_office=(out,)), agent("bo")], rules)
    story = outcome.stories[0]
    assert (story.agent, story.hand_overs) == ("bo", 1)
    assert story.done == NOW + 10 * MINUTE
    assert [staff.busy_s for staff in outcome.staff] == [360, 240]


def test_a_channel_weighs_as_the_rules_say() -> None:
    rules = RoutingRules(weights={Channel.CHAT: 2})
    outcome = day(
        [came(1, 0, channel=Channel.CHAT), came(2, 1, channel=Channel.CHAT)],
        [agent("ana", capacity=3)],
        rules,
    )
    assert waits(outcome) == [0, 9]


def test_agents_change_during_the_day() -> None:
    away = replace(agent("ana"), presence="away")
    outcome = day([came(1, 0)], [away], changes=[(NOW + 7 * MINUTE, agent("ana"))])
    assert waits(outcome) == [7]
    assert outcome.staff[0].on_duty_s == 8 * 3600 - 7 * 60


def test_greedy_takes_the_longest_idle_and_round_robin_the_next() -> None:
    team = [agent("ana"), agent("bo"), agent("cy")]
    arrivals = [came(1, 0, 1), came(2, 5, 1), came(3, 10, 1), came(4, 15, 1)]
    greedy = day(arrivals, team, policy="greedy_idle")
    robin = day(arrivals, team, policy="round_robin")
    assert [story.agent for story in greedy.stories] == ["ana", "bo", "cy", "ana"]
    assert [story.agent for story in robin.stories] == ["ana", "bo", "cy", "ana"]
    again = day([came(1, 0, 60), *arrivals[1:3], came(4, 30, 1)], team, policy="greedy_idle")
    assert [story.agent for story in again.stories] == ["ana", "bo", "cy", "bo"]


def test_least_flexible_keeps_who_can_do_more() -> None:
    skills = {"vpn": 5, "mail": 5, "wifi": 5}
    team = [agent("broad", 3, skills=skills), agent("narrow", 1, skills={"mail": 5})]
    arrivals = [came(1, 0, category="mail"), came(2, 1, category="vpn")]
    spare = day(arrivals, team, RoutingRules(strategy="most_spare"))
    kept = day(arrivals, team, RoutingRules(strategy="least_flexible"))
    assert [story.agent for story in spare.stories] == ["broad", "broad"]
    assert [story.agent for story in kept.stories] == ["narrow", "broad"]


def test_least_flexible_shares_work_among_equals() -> None:
    team = [agent("ana", 4), agent("bo", 4)]
    together = day([came(n, 0) for n in range(1, 7)], team, RoutingRules(strategy="least_flexible"))
    apart = day([came(n, n) for n in range(1, 7)], team, RoutingRules(strategy="least_flexible"))
    for outcome in (together, apart):
        assert [staff.given for staff in outcome.staff] == [3, 3]


def test_only_arrivals_inside_count() -> None:
    outcome = day([came(1, -5), came(2, 0), came(3, 480)], [agent("ana")])
    assert [story.id for story in outcome.stories] == ["t2"]


ARRIVALS = st.lists(
    st.builds(
        lambda minute, handle, category, priority: (minute, handle, category, priority),
        st.integers(0, 400),
        st.integers(1, 60),
        st.sampled_from(["vpn", "mail", None]),
        st.sampled_from(list(Priority)),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(
    rows=ARRIVALS,
    policy=st.sampled_from(EVERY),
    capacities=st.lists(st.integers(0, 3), min_size=2, max_size=2),
)
def test_any_day(rows: list[Any], policy: Policy, capacities: list[int]) -> None:
    """Nobody holds more than the capacity, and nobody waits while somebody able has room."""
    arrivals = [
        came(n, minute, handle, category=category, priority=priority)
        for n, (minute, handle, category, priority) in enumerate(rows, start=1)
    ]
    team = [
        agent("ana", capacities[0], skills={"vpn": 3, "mail": 1}),
        agent("bo", capacities[1], skills={"mail": 5}),
    ]
    outcome = day(arrivals, team, policy=policy)
    for one in team:
        spans = [(s.given, s.done) for s in outcome.stories if s.agent == one.id]
        moments = sorted({at for span in spans for at in span if at is not None})
        for at in moments:
            assert _held(spans, at) <= one.capacity
    categories = {arrival.work.id: arrival.work.category for arrival in arrivals}
    for story in outcome.stories:
        able = [a for a in team if categories[story.id] in {None, *a.skills}]
        until = story.given or outcome.ended
        for one in able:
            spans = [(s.given, s.done) for s in outcome.stories if s.agent == one.id]
            moments = sorted({story.arrived, until, *(d for _, d in spans if d)})
            for since, _ in pairwise(m for m in moments if story.arrived <= m <= until):
                assert _held(spans, since) >= one.capacity, (story, one.id, since)


def _held(spans: Sequence[tuple[datetime | None, datetime | None]], at: datetime) -> int:
    return sum(
        given is not None and given <= at and (done is None or at < done) for given, done in spans
    )

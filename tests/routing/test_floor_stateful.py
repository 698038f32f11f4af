"""A random floor, judged after every settling by the naive one (tests/routing/naive.py).

Pure: no database, no intake. Whatever happens to agents and tickets, and however time goes by, no
ticket waits while somebody could be given it, nobody is given a later one first, nobody is given more
than there is room for, and every reason told is the true one.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from libs.events import Priority, Status
from services.routing.domain import Agent, Work, duty
from services.routing.domain import work as works_
from services.routing.domain.instants import micros
from services.routing.domain.rules import RoutingRules
from services.routing.domain.work import Reservation
from services.routing.views.answers import idle_view
from tests.routing.floors import (
    FEATURES,
    GROUPS,
    NOW,
    SKILLS,
    agents,
    floor_of,
    plain_agent,
    plain_ticket,
    rule_sets,
    tickets,
)
from tests.routing.naive import Naive

AGENTS = ("a", "b", "c", "d")
SOAK = int(os.environ.get("BITACORA_TEST_SOAK", "1"))
"""How many times as many examples as usual: BITACORA_TEST_SOAK=20 is a soak of minutes."""

agent_changes = st.sampled_from(AGENTS).flatmap(agents)
picks = st.integers(0, 10_000)


class FloorMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.features: set[str] = set()
        self.rule_set = RoutingRules()
        self.floor = floor_of(self.rule_set)
        self.agents: dict[str, Agent] = {}
        self.works: dict[str, Work] = {}
        self.excused: set[str] = set()
        """Agents who may hold more than they have room for."""

    @initialize(
        rules=rule_sets,
        features=st.sets(st.sampled_from(FEATURES), max_size=4),
        there=st.tuples(*map(agents, AGENTS[:3])),
    )
    def begin(self, rules: RoutingRules, features: set[str], there: tuple[Agent, ...]) -> None:
        self.rule_set = rules
        self.features = features
        self.floor = floor_of(rules)
        for agent in there:
            self.put_agent(agent)

    # -- agents

    @rule(agent=agent_changes)
    def put_agent(self, agent: Agent) -> None:
        before = self.agents.get(agent.id)
        if before is not None and before.retired:
            return
        agent = plain_agent(agent, self.features)
        if before is not None and (
            agent.capacity < before.capacity or agent.channel_limits != before.channel_limits
        ):
            self.excused.add(agent.id)
        since = replace(agent, presence_since=self.now)
        self.agents[agent.id] = since
        self.floor.put_agent(since, self.now)

    @rule(agent_id=st.sampled_from(AGENTS))
    def retire(self, agent_id: str) -> None:
        if agent_id == "d" and agent_id in self.agents:
            gone = replace(self.agents[agent_id], retired=True, presence="offline")
            self.agents[agent_id] = gone
            self.floor.put_agent(gone, self.now)

    # -- tickets

    @rule(data=st.data(), count=st.integers(1, 6))
    def come(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            came = data.draw(tickets(f"t{len(self.works):03}", self.now))
            self._put(plain_ticket(came, self.features))

    @rule(
        pick=picks,
        changes=st.fixed_dictionaries(
            {},
            optional={
                "priority": st.sampled_from(Priority),
                "category": st.sampled_from((*SKILLS, None)),
                "tier": st.sampled_from((1, 2, 3)),
                "group": st.sampled_from((None, *GROUPS)),
                "tags": st.sampled_from(((), ("hard",))),
            },
        ),
    )
    def edit(self, pick: int, changes: dict[str, Any]) -> None:
        work = self._pick(pick)
        if work is not None:
            self._put(plain_ticket(replace(work, **changes), self.features))

    @rule(pick=picks, status=st.sampled_from((Status.SOLVED, Status.PENDING, Status.OPEN)))
    def change_status(self, pick: int, status: Status) -> None:
        work = self._pick(pick)
        if work is None:
            return
        after = replace(work, status=status)
        if after.holder and not work.holder:
            self.excused.add(after.holder)
        if status is Status.OPEN and work.status is not Status.OPEN and work.agent is None:
            after = replace(after, waiting_since=self.now)
        self._put(after)

    @rule(pick=picks, agent_id=st.sampled_from((*AGENTS, "stranger", None)))
    def assign_by_hand(self, pick: int, agent_id: str | None) -> None:
        work = self._pick(pick)
        if work is not None and work.status not in works_.SETTLED:
            if agent_id is not None:
                self.excused.add(agent_id)
            after = replace(work, agent=agent_id)
            if agent_id is None:
                after = replace(after, waiting_since=self.now)
            self._put(after)

    @rule(pick=picks, answer=st.sampled_from(("taken", "declined", "refused")))
    def answer(self, pick: int, answer: str) -> None:
        reserved = [work for work in self.works.values() if work.reservation]
        if not reserved:
            return
        work = reserved[pick % len(reserved)]
        asked = work.reservation
        assert asked is not None
        if answer == "taken":
            self._put(replace(work, agent=asked.agent, reservation=None, status=Status.OPEN))
        elif answer == "declined":
            until = self.now + timedelta(seconds=self.rule_set.offers.decline_pause_s)
            self._put(works_.decline(work, asked.agent, until, self.now))
        else:
            refused = works_.refuse(work, asked.command_id, self.now + timedelta(seconds=1))
            assert refused is not None
            self._put(refused)

    # -- time

    @rule(seconds=st.sampled_from((1, 59, 60, 121, 600, 3_600)))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self._advance()

    @rule()
    def settle(self) -> None:
        self._advance()
        given = []
        before = dict(self.works)
        for match in self.floor.settle(self.now):
            work = self.works[match.ticket.id]
            assert work.waiting
            assert match.decision.agent == match.agent
            named = {c.agent: c.rejected for c in match.decision.candidates}
            assert named[match.agent] == ()
            asked = Reservation(match.agent, None, "c", "d", self.now + timedelta(days=1))
            self._put(works_.reserve(work, asked))
            given.append(self.works[work.id])
        self._judge(given, before)

    def teardown(self) -> None:
        self.settle()

    # -- judging

    def _judge(self, given: list[Work], before: dict[str, Work]) -> None:
        naive = self._naive()
        assert naive.unserved() == []
        assert naive.robbed(given) == []
        then = replace(naive, works=tuple(before.values()))
        for work in given:
            asked = work.reservation
            assert asked is not None
            agent = self.agents[asked.agent]
            room = {"no_capacity", "channel_full", "kept_for_specialists"}
            assert not then.reasons(agent, before[work.id]) - room
            if agent.id not in self.excused:
                assert naive.load(agent) <= agent.capacity
                for channel, limit in agent.channel_limits.items():
                    assert naive.on_channel(agent, channel) <= limit
        self._judge_columns(naive)
        for work in naive.waiting:
            self._judge_reasons(naive, work)
        for agent in self.agents.values():
            self._judge_idle(naive, agent)

    def _judge_columns(self, naive: Naive) -> None:
        columns = self.floor.columns
        for agent in naive.agents:
            place = columns.places[agent.id]
            assert columns.load[place] == naive.load(agent)
            off = duty.off_duty(agent, self.now)
            assert agent.retired or (columns.duty[place] == 0) == (off is None)
        assert set(self.floor.waiting) == {work.id for work in naive.waiting}
        by_line = {t.id for kind in self.floor.lines() for t in kind.line}
        assert by_line == set(self.floor.waiting)

    def _judge_reasons(self, naive: Naive, work: Work) -> None:
        decision = self.floor.explain(work.id, self.now)
        assert decision is not None
        assert decision.agent is None
        assert {r.reason: r.agents for r in decision.rejected} == naive.counts(work)
        for candidate in decision.candidates:
            told = set(candidate.rejected)
            assert told == naive.reasons(self.agents[candidate.agent], work)
        assert len(decision.candidates) == len(naive.present)

    def _judge_idle(self, naive: Naive, agent: Agent) -> None:
        told = idle_view(self.floor, self.now, agent)
        off = duty.off_duty(agent, self.now)
        assert told["load"] == naive.load(agent)
        assert told["verdict"] != "free"
        if agent.retired:
            assert told["verdict"] == "retired"
        elif off is not None:
            assert (told["verdict"], told["off_duty_reason"]) == ("off_duty", off)
        else:
            assert (told["verdict"] == "full") == (naive.load(agent) >= agent.capacity)
        for kind in told["kinds"] if not agent.retired else ():
            [line] = [
                k for k in self.floor.lines()
                if k.queue.name == kind["queue"] and k.needs.public().model_dump() == kind["needs"]
            ]  # fmt: skip
            works = [self.works[t.id] for t in line.line]
            asked = naive.asked(works[0])
            expected = naive.lacks_fit(agent, naive.served_as(asked))
            if not expected:
                expected = naive.lacks_room(agent, asked[1])
                if "channel_full" in expected:
                    expected = {"channel_full"}
            if not expected and naive.kept(agent, asked[1]):
                expected = {"kept_for_specialists"}
            assert set(kind["reasons"]) == expected
            assert kind["waiting"] == len(works)
            assert kind["declined"] == sum(naive.declined(agent, work) for work in works)

    # -- helpers

    def _naive(self) -> Naive:
        return Naive(
            self.rule_set, tuple(self.agents.values()), tuple(self.works.values()), self.now
        )

    def _advance(self) -> None:
        for ticket_id in self.floor.advance(self.now).tickets:
            work = self.works[ticket_id]
            if work.retry_at is not None and work.retry_at <= self.now:
                self._put(works_.retry(work))
        upcoming = self.floor.next_due()
        assert upcoming is None or micros(upcoming) > micros(self.now)

    def _put(self, work: Work) -> None:
        self.works[work.id] = work
        self.floor.put_work(work, self.now)

    def _pick(self, number: int) -> Work | None:
        works = list(self.works.values())
        return works[number % len(works)] if works else None


@pytest.mark.timeout(600 * SOAK)  # what fails is made smaller for minutes, before it is told
def test_the_floor_does_as_the_naive_one_says() -> None:
    run_state_machine_as_test(
        FloorMachine,
        settings=settings(
            max_examples=80 * SOAK,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

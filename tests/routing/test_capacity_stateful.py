"""A random desk: whatever happens in whatever order, capacity is kept and no ticket is forgotten.

A small intake (tests/routing/house.py) decides what routing asks for. Commands, events and
rejections are delivered late, in pieces, and out of step with each other; people assign by hand.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libs.events import CommandEnvelope, Status, Ticket
from libs.events.agent import Skill
from libs.events.commands import AssignTicket
from libs.events.ticket import CategoryChanged, Escalated, PriorityChanged, Unassigned
from services.routing.domain import Work
from services.routing.domain.agent import (
    Agent,
    AgentCommand,
    RegisterAgent,
    RetireAgent,
    SetCapacity,
    SetLanguages,
    SetPresence,
    SetSkills,
)
from tests.routing.house import House, created

SKILLS = ("billing", "vpn")
AGENTS = ("a", "b", "c")
WORKING = (Status.NEW, Status.OPEN)

agent_ids = st.sampled_from(AGENTS)
categories = st.sampled_from((*SKILLS, "rare", None))
languages = st.sampled_from(("es", "ru", None))
priorities = st.sampled_from(("low", "medium", "high", "critical"))
skill_sets = st.sets(st.sampled_from(SKILLS)).map(
    lambda names: tuple(Skill(name=name, level=3) for name in sorted(names))
)
spoken = st.sampled_from(((), ("es",), ("ru", "es")))
pieces = st.sampled_from((0, 1, 2, None))
presences = st.sampled_from(("online", "online", "away", "offline"))


class Desk(RuleBasedStateMachine):
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.house = House(self.url)
        self.agents: dict[str, Agent] = {}
        self.queue: list[CommandEnvelope] = []
        self.asked: list[CommandEnvelope] = []
        self.excused: set[str] = set()
        """Agents who may hold more than their capacity: by hand, by a reopening, or by a cut."""

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.house.close()

    # -- what may happen

    @rule(
        agent=agent_ids,
        capacity=st.integers(0, 3),
        skills=skill_sets,
        languages=spoken,
        tiers=st.sampled_from(((1,), (1, 2))),
    )
    def register(self, agent: str, **values: Any) -> None:
        if agent not in self.agents:
            self._change(agent, RegisterAgent(agent, **values))
            self._change(agent, SetPresence("online"))

    @initialize(capacity=st.integers(1, 2))
    def two_agents(self, capacity: int) -> None:
        self.register("a", capacity=capacity)
        self.register("b", capacity=1, skills=(Skill(name="vpn", level=5),))

    @rule(agent=agent_ids, presence=presences)
    def set_presence(self, agent: str, presence: Any) -> None:
        self._change_known(agent, SetPresence(presence))

    @rule(agent=agent_ids, capacity=st.integers(0, 3))
    def set_capacity(self, agent: str, capacity: int) -> None:
        if agent in self.agents and capacity < self.agents[agent].capacity:
            self.excused.add(agent)
        self._change_known(agent, SetCapacity(capacity))

    @rule(agent=agent_ids, skills=skill_sets)
    def learn(self, agent: str, skills: tuple[Skill, ...]) -> None:
        self._change_known(agent, SetSkills(skills))

    @rule(agent=agent_ids, languages=spoken)
    def speak(self, agent: str, languages: tuple[str, ...]) -> None:
        self._change_known(agent, SetLanguages(languages))

    @rule(agent=st.just("c"))
    def retire(self, agent: str) -> None:
        self._change_known(agent, RetireAgent())

    @rule(count=st.integers(1, 3), category=categories, language=languages, priority=priorities)
    def create(self, count: int, **values: Any) -> None:
        for _ in range(count):
            self.house.clock.advance(1)
            number = len(self.house.intake.tickets) + 1
            ticket_id = str(uuid5(NAMESPACE_URL, f"ticket {number}"))
            self.house.intake.record(ticket_id, created(number, **values))

    @rule(rounds=st.integers(1, 2))
    def all_flows(self, rounds: int) -> None:
        for _ in range(rounds):
            self.intake_decides(None)
            self.routing_hears(None, None)

    @rule(count=pieces)
    def intake_decides(self, count: int | None) -> None:
        now, self.queue = self.queue[:count], self.queue[len(self.queue[:count]) :]
        for command in now:
            self.house.intake.decide(command)

    @rule(events=pieces, rejections=pieces)
    def routing_hears(self, events: int | None, rejections: int | None) -> None:
        self.house.deliver(events=events, rejections=rejections)
        self._look()

    @rule(data=st.data(), agent=agent_ids)
    def assign_by_hand(self, data: st.DataObject, agent: str) -> None:
        ticket = self._pick(data)
        if ticket is not None and ticket.status in WORKING and ticket.agent != agent:
            self.excused.add(agent)
            self.house.intake.assign(ticket.id, agent)

    @rule(data=st.data())
    def unassign(self, data: st.DataObject) -> None:
        ticket = self._pick(data)
        if ticket is not None and ticket.agent is not None and ticket.status in WORKING:
            self.house.intake.record(ticket.id, Unassigned(previous_agent=ticket.agent))

    @rule(data=st.data(), status=st.sampled_from(("solved", "pending", "open")))
    def change_status(self, data: st.DataObject, status: str) -> None:
        ticket = self._pick(data)
        if ticket is None or ticket.status == status:
            return
        if status == "open" and ticket.agent is not None:
            self.excused.add(ticket.agent)  # a reply brings the ticket back to whoever holds it
        if status == "open" and ticket.agent is None:
            # Our own command may be accepted on a pending ticket, and opened by its requester.
            self.excused.update(AGENTS)
        self.house.intake.status(ticket.id, Status(status))

    @rule(data=st.data(), category=categories, priority=priorities)
    def edit(self, data: st.DataObject, category: str | None, priority: Any) -> None:
        ticket = self._pick(data)
        if ticket is None:
            return
        self.house.intake.record(
            ticket.id,
            CategoryChanged(category=category),
            PriorityChanged(priority=priority, previous=ticket.priority),
        )
        if ticket.tier == 1 and priority == "critical":
            self.house.intake.record(ticket.id, Escalated(tier=2, previous_tier=1, cause="manual"))

    @rule(seconds=st.sampled_from((1, 5, 61)))
    @precondition(lambda self: self.house.intake.tickets)
    def time_passes(self, seconds: int) -> None:
        self.house.clock.advance(seconds)
        self.house.sweep()
        self._look()

    # -- what must hold

    @invariant()
    def nobody_is_over_capacity_except_by_hand(self) -> None:
        held = self.house.intake.held()
        for agent in self.agents.values():
            if agent.id not in self.excused:
                assert held.get(agent.id, 0) <= agent.capacity

    @invariant()
    def every_command_has_its_own_id(self) -> None:
        assert len({c.command_id for c in self.asked}) == len(self.asked)

    @invariant()
    def nobody_waits_while_somebody_has_room(self) -> None:
        """As far as routing has heard: not sooner or later, but after every transaction."""
        waiting = [work for work in self.house.works() if work.waiting]
        loads = self.house.loads() if waiting else {}
        for work in waiting:
            for agent in self.agents.values():
                room = loads.get(agent.id, 0) < agent.capacity
                assert not (room and self._able(agent, work)), (work, agent)

    def settle(self) -> None:
        """Everything is delivered and answered, and all time-outs have passed."""
        for _ in range(20):
            self._look()
            while self.queue or self.house.intake.events or self.house.intake.rejections:
                self.intake_decides(None)
                self.routing_hears(None, None)
            self.house.clock.advance(3_600)
            self.house.sweep()
            self._look()
            if not self.queue:
                break
        assert not self.queue, "routing does not come to rest"
        loads = self.house.loads()
        truth = self.house.intake.held()
        assert {a: n for a, n in loads.items() if n} == {a: n for a, n in truth.items() if n}
        for ticket in self.house.intake.tickets.values():
            if ticket.agent is None and ticket.status in WORKING:
                assert self.house.work(ticket.id).waiting
                takers = [
                    a.id
                    for a in self.agents.values()
                    if self._able(a, ticket) and truth.get(a.id, 0) < a.capacity
                ]
                assert not takers, f"{ticket.id} waits while {takers} have room"

    # -- helpers

    def _change_known(self, agent: str, command: AgentCommand) -> None:
        if agent in self.agents and not self.agents[agent].retired:
            self._change(agent, command)

    def _change(self, agent: str, command: AgentCommand) -> None:
        before = self.agents.get(agent)
        self.agents[agent] = after = self.house.change(agent, command)
        assert before is None or after.sequence in (before.sequence, before.sequence + 1)
        self._look()

    def _pick(self, data: st.DataObject) -> Ticket | None:
        tickets = [t for t in self.house.intake.tickets.values() if t.status != Status.CLOSED]
        return data.draw(st.sampled_from(tickets)) if tickets else None

    def _look(self) -> None:
        """Check what the last transaction of routing asked for, and pass it on to intake."""
        asked = self.house.commands()
        if not asked:
            return
        works = {work.id: work for work in self.house.works()}
        loads = self.house.loads()
        waiting = [work for work in works.values() if work.waiting]
        for envelope in asked:
            command = envelope.command
            if not isinstance(command, AssignTicket) or command.agent is None:
                continue
            agent, work = self.agents[command.agent], works[envelope.ticket_id]
            again = work.reservation is not None and work.reservation.asks > 1
            assert agent.presence == "online"
            assert not agent.retired
            assert self._able(agent, work)
            if again:
                continue  # its unit was given to it before
            assert loads[agent.id] <= agent.capacity
            if agent.tiers == (1,):  # specialists take their own work first, however plain
                assert not [w for w in waiting if _before(w, work) and self._able(agent, w)]
        self.queue += asked
        self.asked += asked

    def _able(self, agent: Agent, ticket: Ticket | Work) -> bool:
        known = {s for a in self.agents.values() if not a.retired for s in a.skills}
        return (
            agent.presence == "online"
            and (ticket.category not in known or ticket.category in agent.skills)
            and (not ticket.language or not agent.languages or ticket.language in agent.languages)
            and ticket.tier in agent.tiers
            and (ticket.group is None or ticket.group in agent.groups)
        )


def _before(left: Work, right: Work) -> bool:
    assert left.eligible_since
    assert right.eligible_since
    return (left.rank, left.eligible_since, left.id) < (right.rank, right.eligible_since, right.id)


def test_capacity_is_kept_and_no_ticket_is_forgotten(database_url: str) -> None:
    class OnThisDatabase(Desk):
        url = database_url

    quick = database_url.startswith("sqlite")
    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=30 if quick else 10,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

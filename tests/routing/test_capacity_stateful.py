"""A random house: whatever happens in whatever order, capacity is kept and no ticket is forgotten.

A small intake (tests/routing/house.py) decides what routing asks for. Commands, events and
rejections are delivered late, in pieces, and out of step with each other; people assign by hand;
agents accept, decline, answer late or not at all, go on holiday and leave; the rules change; the
clock jumps; two routing processes take turns on one database, and transactions are rolled back.

After every transaction the naive floor (tests/routing/naive.py) is the judge. BITACORA_TEST_SOAK=20
makes twenty times as many examples.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection

from libs.events import CommandEnvelope, Status, Ticket
from libs.events.agent import OutOfOffice, Skill
from libs.events.commands import AssignTicket
from libs.events.routing import TicketRouted
from libs.events.ticket import Assigned, CategoryChanged, Escalated, PriorityChanged, Unassigned
from libs.runtime.errors import Rejected
from libs.runtime.outbox import Outgoing
from services.routing.domain import Work
from services.routing.domain.agent import (
    Agent,
    AgentCommand,
    RegisterAgent,
    RetireAgent,
    SetCapacity,
    SetGroups,
    SetLanguages,
    SetPresence,
    SetSkills,
)
from services.routing.domain.agent_commands import SetOutOfOffice, SetWorkingHours
from services.routing.domain.floor import Floor
from services.routing.domain.rules import RoutingRules
from services.routing.domain.work import ROUTER
from tests.routing.floors import EARLY, LATE
from tests.routing.house import House, created
from tests.routing.naive import Naive
from tests.routing.varied import (
    AGENTS,
    RULE_SETS,
    WEIGHTS,
    agent_ids,
    categories,
    channels,
    groups,
    languages,
    picks,
    pieces,
    presences,
    priorities,
    skill_sets,
    spoken,
)

WORKING = (Status.NEW, Status.OPEN)
SOAK = int(os.environ.get("BITACORA_TEST_SOAK", "1"))


class RolledBack(Exception):
    pass


class Desk(RuleBasedStateMachine):
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.house = House(self.url, rules=RULE_SETS[0], processes=2)
        self.in_force = RULE_SETS[0]
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

    # -- agents

    @initialize(capacity=st.integers(1, 3), rules=st.sampled_from(RULE_SETS))
    def two_agents(self, capacity: int, rules: RoutingRules) -> None:
        self.change_rules(rules)
        both = ("front", "back")
        self.register("a", capacity=capacity, groups=both)
        self.register("b", capacity=2, groups=both, skills=(Skill(name="vpn", level=5),))

    @rule(
        agent=agent_ids,
        capacity=st.integers(0, 4),
        skills=skill_sets,
        languages=spoken,
        groups=groups,
        tiers=st.sampled_from(((1,), (1, 2))),
    )
    def register(self, agent: str, **values: Any) -> None:
        if agent not in self.agents:
            self._change(agent, RegisterAgent(agent, **values))
            self._change(agent, SetPresence("online"))

    @rule(agent=agent_ids, presence=presences)
    def set_presence(self, agent: str, presence: Any) -> None:
        self._change_known(agent, SetPresence(presence))

    @rule(agent=agent_ids, capacity=st.integers(0, 4))
    def set_capacity(self, agent: str, capacity: int) -> None:
        if agent in self.agents and capacity < self.agents[agent].capacity:
            self.excused.add(agent)
        self._change_known(agent, SetCapacity(capacity))

    @rule(agent=agent_ids, skills=skill_sets, spoken=spoken, groups=groups)
    def learn(self, agent: str, skills: tuple[Skill, ...], spoken: Any, groups: Any) -> None:
        for command in (SetSkills(skills), SetLanguages(spoken), SetGroups(groups)):
            self._change_known(agent, command)

    @rule(agent=agent_ids, start_s=st.sampled_from((-60, 0, 30)), length_s=st.integers(61, 400))
    def go_on_holiday(self, agent: str, start_s: int, length_s: int) -> None:
        start = self.house.clock.now() + timedelta(seconds=start_s)
        period = OutOfOffice(start=start, end=start + timedelta(seconds=length_s))
        self._change_known(agent, SetOutOfOffice((period,)))

    @rule(agent=agent_ids, hours=st.sampled_from((None, EARLY, LATE)))
    def set_hours(self, agent: str, hours: Any) -> None:
        self._change_known(agent, SetWorkingHours(hours))

    @rule(agent=st.just("c"))
    def retire(self, agent: str) -> None:
        self._change_known(agent, RetireAgent())

    @rule(pick=picks, said=st.sampled_from(("accepted", "declined")), who=agent_ids)
    def answer_an_offer(self, pick: int, said: Any, who: str) -> None:
        """Any offer that ever was, by its own agent mostly."""
        offers = self.house.all_offers()
        offers = [o for o in offers if o.state == "open"] or offers
        if not offers:
            return
        offer = offers[pick % len(offers)]
        agent = who if pick % 5 == 0 else offer.agent
        code = None
        try:
            answered = self.house.reply(offer, said, agent)
        except Rejected as refused:
            code = refused.code
        self._look(settled=code is None)
        if code is None:
            assert (answered.state, answered.agent) == (said, agent)
        else:
            others = {"not_your_offer"} if agent != offer.agent else set()
            assert code in {"offer_ended", "agent_retired", *others}

    # -- tickets

    @rule(
        count=st.integers(1, 3),
        category=categories,
        language=languages,
        priority=priorities,
        channel=channels,
    )
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
        heard = self.house.deliver(events=events, rejections=rejections)
        self._look(settled=heard)

    @rule(pick=picks, agent=agent_ids)
    def assign_by_hand(self, pick: int, agent: str) -> None:
        ticket = self._pick(pick)
        if ticket is not None and ticket.status in WORKING and ticket.agent != agent:
            self.excused.add(agent)
            self.house.intake.assign(ticket.id, agent)

    @rule(pick=picks, group=st.sampled_from((None, "front", "back")))
    def unassign(self, pick: int, group: str | None) -> None:
        ticket = self._pick(pick)
        if ticket is not None and ticket.agent is not None and ticket.status in WORKING:
            self.house.intake.record(ticket.id, Unassigned(previous_agent=ticket.agent))
            if group is not None:
                self.house.intake.record(ticket.id, Assigned(group=group))

    @rule(pick=picks, status=st.sampled_from(("solved", "pending", "open")))
    def change_status(self, pick: int, status: str) -> None:
        ticket = self._pick(pick)
        if ticket is None or ticket.status == status:
            return
        if status == "open" and ticket.agent is not None:
            self.excused.add(ticket.agent)  # a reply brings the ticket back to whoever holds it
        if status == "open" and ticket.agent is None and ticket.status not in WORKING:
            # Our own command may be accepted on a pending ticket, and opened by its requester.
            self.excused.update(AGENTS)
        self.house.intake.status(ticket.id, Status(status))

    @rule(pick=picks, category=categories, priority=priorities)
    def edit(self, pick: int, category: str | None, priority: Any) -> None:
        ticket = self._pick(pick)
        if ticket is None:
            return
        self.house.intake.record(
            ticket.id,
            CategoryChanged(category=category),
            PriorityChanged(priority=priority, previous=ticket.priority),
        )
        if ticket.tier == 1 and priority == "critical":
            self.house.intake.record(ticket.id, Escalated(tier=2, previous_tier=1, cause="manual"))

    # -- time, rules, processes

    @rule(seconds=st.sampled_from((1, 5, 31, 61, 100, 1_000, 4_000)))
    @precondition(lambda self: self.house.intake.tickets)
    def time_passes(self, seconds: int) -> None:
        self.house.clock.advance(seconds)
        self._sweep()

    @rule(seconds=st.sampled_from((-4_000, -100, -2, 40_000)))
    def the_clock_jumps(self, seconds: int) -> None:
        self.house.clock.advance(seconds)
        self._sweep()

    @rule(rules=st.sampled_from(RULE_SETS))
    def change_rules(self, rules: RoutingRules) -> None:
        self.in_force = rules
        self.house.put_rules(rules)
        self._look()

    @rule(process=st.integers(0, 1))
    def another_process_goes_on(self, process: int) -> None:
        self.house.turn(process)

    @rule(what=st.sampled_from(("events", "agent", "sweep", "rules", "offer")), pick=picks)
    def a_transaction_is_rolled_back(self, what: str, pick: int) -> None:
        offers = self.house.all_offers()

        def fails(connection: Connection, outgoing: Outgoing) -> None:
            desk = self.house.desk
            if what == "events" and self.house.intake.events:
                desk.apply(connection, self.house.intake.events, outgoing)
            elif what == "agent":
                desk.change_agent("a", SetCapacity(pick % 5), "system")(connection, outgoing)
            elif what == "rules":
                rules = RULE_SETS[pick % 3]
                desk.put_rules(rules, "system", None, None)(connection, outgoing)
            elif what == "offer" and offers:
                offer = offers[pick % len(offers)]
                answer = desk.answer_offer(offer.id, offer.agent, "declined")
                with suppress(Rejected):
                    answer(connection, outgoing)
            else:
                desk.sweep(connection, outgoing)
            raise RolledBack

        with suppress(RolledBack):
            self.house.store.write_now(fails)

    # -- what must hold

    @invariant()
    def nobody_is_over_capacity_except_by_hand(self) -> None:
        held = self._held()
        for agent in self.agents.values():
            if agent.id not in self.excused:
                assert held.get(agent.id, 0) <= agent.capacity

    @invariant()
    def every_command_has_its_own_id(self) -> None:
        assert len({c.command_id for c in self.asked}) == len(self.asked)

    @invariant()
    def a_ticket_is_asked_for_one_agent_at_a_time(self) -> None:
        """As long as intake has not decided, nobody else is asked for."""
        under_way: dict[str, set[str | None]] = {}
        for asked in self.queue:
            if isinstance(asked.command, AssignTicket):
                under_way.setdefault(asked.ticket_id, set()).add(asked.command.agent)
        assert all(len(agents) == 1 for agents in under_way.values())

    def settle(self) -> None:
        """Everything is delivered and answered, offers are accepted, and all time-outs have passed."""
        for _ in range(30):
            self._look(settled=False)
            while self._accept_all() or self.queue or self.house.intake.events or (
                self.house.intake.rejections
            ):  # fmt: skip
                self.intake_decides(None)
                self.routing_hears(None, None)
            self.house.clock.advance(3_600)
            self._sweep()
            works = self.house.works()
            if not self.queue and not any(work.reservation or work.retry_at for work in works):
                break
        else:
            raise AssertionError("routing does not come to rest")
        held = self._held()
        assert {a: n for a, n in self.house.loads().items() if n} == held
        waiting = {work.id for work in works if work.waiting}
        for ticket in self.house.intake.tickets.values():
            lost = ticket.agent is None and ticket.status in WORKING and ticket.id not in waiting
            assert not lost, f"{ticket.id} is forgotten"
        for process in range(2):
            self.house.turn(process)
            self._sweep()

    # -- helpers

    def _held(self) -> dict[str, int]:
        """Agent → units of the tickets that intake says they hold and work on."""
        held: dict[str, int] = {}
        for ticket in self.house.intake.tickets.values():
            if ticket.agent and ticket.status in WORKING:
                held[ticket.agent] = held.get(ticket.agent, 0) + WEIGHTS.get(ticket.channel, 1)
        return held

    def _open_offers(self) -> list[Any]:
        return [offer for offer in self.house.all_offers() if offer.state == "open"]

    def _accept_all(self) -> int:
        """How many offers were accepted; those of agents who have left run out."""
        accepted = 0
        for offer in self._open_offers():
            with suppress(Rejected):
                self.house.reply(offer, "accepted")
                accepted += 1
        self._look(settled=False)
        return accepted

    def _sweep(self) -> None:
        self.house.sweep()
        self._look()

    def _change_known(self, agent: str, command: AgentCommand) -> None:
        if agent in self.agents and not self.agents[agent].retired:
            self._change(agent, command)

    def _change(self, agent: str, command: AgentCommand) -> None:
        self.house.change(agent, command)
        self._look()

    def _pick(self, number: int) -> Ticket | None:
        tickets = [t for t in self.house.intake.tickets.values() if t.status != Status.CLOSED]
        return tickets[number % len(tickets)] if tickets else None

    def _look(self, *, settled: bool = True) -> None:
        """Check what the last transaction of routing has left, and pass its commands to intake."""
        self.agents = {agent.id: agent for agent in self.house.agents()}
        naive = self._judge(settled=settled)
        told = len(self.house.facts)
        asked = self.house.commands()
        by_id = {work.id: work for work in naive.works}
        for envelope in asked:
            work, command = by_id[envelope.ticket_id], envelope.command
            assert envelope.actor == ROUTER
            if isinstance(command, AssignTicket) and command.agent is not None:
                self._check_assignment(naive, work, self.agents[command.agent])
        for fact in self.house.facts[told:]:
            if isinstance(fact, TicketRouted) and fact.agent is not None:
                self._check_room(naive, by_id[fact.ticket_id], fact)
        self.queue += asked
        self.asked += asked

    def _check_assignment(self, naive: Naive, work: Work, agent: Agent) -> None:
        assert work.reservation is not None
        assert work.reservation.agent == agent.id
        if agent.id not in self.excused:
            assert naive.load(agent) <= agent.capacity

    def _check_room(self, naive: Naive, work: Work, given: TicketRouted) -> None:
        """Whoever is given a ticket, offered or asked for the first time, has room for it as far as
        routing knows, whatever people have done to the agent before."""
        kept = work.reservation
        if kept is not None and kept.decision_id == given.decision_id and kept.asks == 1:
            agent = self.agents[kept.agent]
            assert naive.load(agent) <= agent.capacity

    def _judge(self, *, settled: bool = True) -> Naive:
        """The floor is what the tables say, and has given out what can be given out."""
        works = tuple(work for work in self.house.works() if work.live and work.sequence)
        agents = tuple(self.agents.values())
        naive = Naive(self.in_force, agents, works, self.house.clock.now())
        columns = self._floor().columns
        for agent in agents:
            place = columns.places[agent.id]
            assert columns.load[place] == naive.load(agent)
        assert set(self._floor().waiting) == {work.id for work in naive.waiting}
        if settled:
            assert naive.unserved() == []
        return naive

    def _floor(self) -> Floor:
        def look(_: Connection, floor: Floor, __: Any) -> Floor:
            return floor

        return self.house.store.write_now(self.house.desk.looking(look))[0]


@pytest.mark.timeout(600 * SOAK)  # what fails is made smaller for minutes, before it is told
def test_capacity_is_kept_and_no_ticket_is_forgotten(database_url: str) -> None:
    class OnThisDatabase(Desk):
        url = database_url

    quick = database_url.startswith("sqlite")
    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=(20 if quick else 6) * SOAK,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

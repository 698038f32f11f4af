"""Two routing processes on PostgreSQL, killed and started again under load; an agent who goes while
a ticket is being assigned.

What must hold is read from `tickets.events`, in the order in which intake has decided: at no point
does an agent hold more open tickets than their capacity, and no ticket that somebody holds is given
to another by routing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from cli.system import Options
from libs.events import EventEnvelope, Status, Ticket, decode_event, evolve
from libs.events.ticket import Assigned
from libs.events.topics import TICKETS_EVENTS
from libs.runtime.localserver import free_port
from tests.backends.shared import ROOT
from tests.e2e.desk import Desk, databases_of_their_own, running, until
from tests.faults.work import published

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults-routing"),
]

CAPACITIES: Final = {"a": 1, "b": 2, "c": 3, "d": 4}
TICKETS: Final = 48


class Second:
    """Another routing process on the same database and group."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        port = free_port()
        environment = {
            **self.desk.system._environment(
                "routing", port, self.desk.state.database_urls["routing"]
            ),
            "BITACORA_KAFKA_BOOTSTRAP_SERVERS": self.desk.state.bootstrap,
            "BITACORA_KAFKA_EMBEDDED": "true",
        }
        self.url = f"http://127.0.0.1:{port}"
        with (self.desk.data_dir / "logs" / "routing-2.log").open("ab") as log:
            command = [sys.executable, "-m", "services.routing"]
            self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=log)
        until(self._ready, "the second process is ready")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready").is_success
        except httpx.TransportError:
            return False


@contextmanager
def second_process(desk: Desk) -> Iterator[Second]:
    second = Second(desk)
    try:
        second.start()
        yield second
    finally:
        second.kill()


def hire(desk: Desk, agent: str, capacity: int, presence: str = "online") -> None:
    path = f"/v1/agents/{agent}"
    desk.send("routing", "PUT", path, name=agent, capacity=capacity)
    desk.send("routing", "PUT", f"{path}/presence", presence=presence)


def solve(desk: Desk, ticket: str) -> None:
    command: dict[str, Any] = {
        "command_id": str(uuid4()),
        "ticket_id": ticket,
        "type": "ChangeStatus",
        "actor": "system",
        "data": {"status": "solved"},
    }
    answer = desk.send("intake", "POST", "/v1/commands/batch", commands=[command])
    assert answer["results"][0]["status"] != "rejected", answer


def holder(desk: Desk, ticket: str) -> str | None:
    found = desk.get("intake", f"/v1/tickets/{ticket}")
    return found["agent"] if found else None


def log(desk: Desk) -> list[EventEnvelope]:
    """Every ticket event, in the order of intake's log, each once."""
    found: dict[int, EventEnvelope] = {}
    for record in published(desk.state.bootstrap, [TICKETS_EVENTS]):
        envelope = decode_event(record.value, list(record.headers))
        assert isinstance(envelope, EventEnvelope)
        found[envelope.position] = envelope
    return [found[position] for position in sorted(found)]


def check_log(desk: Desk) -> None:
    """Capacity is kept and nobody's ticket is given to another, at every point of the log."""
    tickets: dict[str, Ticket] = {}
    for envelope in log(desk):
        before = tickets.get(envelope.stream_id)
        event = envelope.event
        if isinstance(event, Assigned) and event.decision_id is not None:
            assert before is not None
            assert before.agent is None, f"{envelope.id} was {before.agent}'s"
        tickets[envelope.stream_id] = evolve(before, envelope)
        held = Counter(
            t.agent for t in tickets.values() if t.status in {Status.NEW, Status.OPEN} and t.agent
        )
        for agent, count in held.items():
            assert count <= CAPACITIES[agent], f"{agent} holds {count} after {envelope.id}"


class Load(threading.Thread):
    """People who write tickets, and agents who solve what they hold."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.tickets: list[str] = []
        self.solved: set[str] = set()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for number in range(TICKETS):
                self.tickets.append(self.desk.create(f"ticket {number}"))
                self.solve_some()
            until(self.all_solved, "every ticket gets an agent, who solves it", 90)
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.failure = error

    def solve_some(self) -> None:
        for ticket in self.tickets:
            if ticket not in self.solved and holder(self.desk, ticket):
                solve(self.desk, ticket)
                self.solved.add(ticket)
                return

    def all_solved(self) -> bool:
        self.solve_some()
        return len(self.solved) == TICKETS


@pytest.mark.postgres
def test_two_routing_processes_are_killed_again_and_again_under_load(
    postgres_server: str, tmp_path: Path
) -> None:
    """Fault 35."""
    with ExitStack() as stack:
        stack.enter_context(databases_of_their_own(postgres_server))
        desk = stack.enter_context(running(Options(data_dir=tmp_path, port_base=0)))
        second = stack.enter_context(second_process(desk))
        for agent, capacity in CAPACITIES.items():
            hire(desk, agent, capacity)
        load = Load(desk)
        load.start()
        for round_ in range(3):
            done = len(load.solved)
            until(
                lambda done=done: len(load.solved) >= done + 5 or not load.is_alive(),  # type: ignore[misc]
                "work goes on",
            )
            if round_ % 2:
                second.kill()
                second.start()
            else:
                pid = desk.signal("routing")
                desk.restarted("routing", pid)
        load.join()
        assert load.failure is None
        queue = until(lambda: desk.get("routing", "/v1/queue"), "routing answers")
        assert (queue["waiting"], queue["reserved"], queue["refused"]) == (0, 0, 0)
        agents = desk.get("routing", "/v1/agents")["agents"]
        assert {agent["load"] for agent in agents} == {0}
        check_log(desk)
        desk.verified()


def test_an_agent_who_goes_while_a_ticket_is_assigned_does_not_keep_it(tmp_path: Path) -> None:
    """Fault 34: intake stands still while the agent goes."""
    with running(Options(data_dir=tmp_path, port_base=0)) as desk:
        hire(desk, "a", 1, "offline")
        ticket = desk.create("who takes it?")
        until(lambda: desk.get("routing", "/v1/queue")["waiting"], "it waits")
        pid = desk.signal("intake", signal.SIGSTOP)
        try:
            desk.send("routing", "PUT", "/v1/agents/a/presence", presence="online")
            until(lambda: desk.get("routing", "/v1/queue")["reserved"], "it is asked for")
            desk.send("routing", "PUT", "/v1/agents/a/presence", presence="offline")
            hire(desk, "b", 2)
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: holder(desk, ticket) == "b", "it goes to the other one")
        assert desk.types(ticket) == [
            "TicketCreated", "Assigned", "StatusChanged", "Unassigned", "Assigned",
        ]  # fmt: skip
        told = desk.get("routing", f"/v1/decisions/{ticket}")["decisions"]
        backs = [d["reason"] for d in told if d["type"] == "bitacora.TicketTakenBack.v1"]
        assert backs == ["unavailable"]
        desk.verified()

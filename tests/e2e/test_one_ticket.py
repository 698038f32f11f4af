"""Tickets on their whole way through all services as real processes, on both stacks.

The clock runs 600 times as fast and began on a Monday at eight in the morning (UTC): a business hour
takes six seconds, the quarter of an hour that a critical ticket's first reply may take 1.5 seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic_core import from_json

from cli.system import Options
from libs.events import CommandEnvelope, Priority, encode_command
from libs.events.commands import ChangePriority
from libs.events.topics import TICKETS_COMMANDS, TICKETS_REJECTIONS
from libs.runtime.clock import AcceleratedClock, RealClock
from tests.e2e.desk import Desk, databases_of_their_own, running, shared_kafka, until
from tests.faults.work import published

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)
RATE = 600


@pytest.fixture(
    params=["embedded", pytest.param("cluster", marks=[pytest.mark.kafka, pytest.mark.postgres])]
)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """Embedded broker and SQLite, or Apache Kafka and PostgreSQL."""
    with ExitStack() as stack:
        kafka = "embedded"
        if request.param == "cluster":
            kafka = stack.enter_context(shared_kafka(request.getfixturevalue("backends")))
            server = request.getfixturevalue("postgres_server")
            stack.enter_context(databases_of_their_own(server))
        clock = str(AcceleratedClock(MONDAY, RealClock().now(), RATE))
        options = Options(data_dir=tmp_path, kafka=kafka, clock=clock, port_base=0)
        yield stack.enter_context(running(options))


def test_the_ways_of_tickets(desk: Desk) -> None:
    """One desk, because it takes longer to start than all of this takes."""
    _hire(desk, "ana", capacity=1)
    solved = _assigned_answered_and_solved(desk)
    _a_freed_agent_pulls_who_waits_longest(desk)
    _a_breach_escalates(desk)
    _a_refused_command_says_so(desk, solved)
    _history_at_any_point(desk, solved)
    desk.verified()


def _hire(desk: Desk, agent: str, *, capacity: int) -> None:
    person = {"id": agent, "name": agent.title(), "groups": ["support"], "tiers": [1, 2, 3]}
    desk.send("routing", "POST", "/v1/agents", "system", **person, capacity=capacity)
    desk.send("routing", "PUT", f"/v1/agents/{agent}/presence", presence="online")


def _holder(desk: Desk, ticket: str) -> str | None:
    return desk.reported(ticket).get("agent")


def _solve(desk: Desk, ticket: str, agent: str) -> None:
    desk.send(
        "intake", "PUT", f"/v1/tickets/{ticket}/status", actor=f"agent:{agent}", status="solved"
    )


def _assigned_answered_and_solved(desk: Desk) -> str:
    ticket = desk.create("The printer is on fire", priority="low", channel="form")
    until(lambda: _holder(desk, ticket) == "ana", "ana holds it, as reporting sees it")
    desk.send(
        "intake",
        "POST",
        f"/v1/tickets/{ticket}/messages",
        actor="agent:ana",
        author="agent",
        author_id="ana",
        visibility="public",
        body="Please use the extinguisher.",
    )
    _solve(desk, ticket, "ana")
    until(lambda: _clocks(desk, ticket).get("first_reply") == "satisfied", "replied in time")
    until(lambda: _clocks(desk, ticket).get("requester_wait") == "satisfied", "solved in time")
    desk.await_reported([ticket])
    reported = desk.reported(ticket)
    assert (reported["status"], reported["breaches"]) == ("solved", 0)
    types = desk.types(ticket)
    assert types[0] == "TicketCreated"
    assert {"Assigned", "MessageAdded", "StatusChanged"} <= set(types)
    (decision,) = (
        d
        for d in desk.get("routing", f"/v1/decisions/{ticket}")["decisions"]
        if d.get("agent") == "ana"
    )
    assert decision
    told = {event["type"].split(".")[1] for event in reported["history"]}
    assert {"TicketCreated", "TicketRouted", "Assigned", "ClockStarted"} <= told
    return ticket


def _clocks(desk: Desk, ticket: str) -> dict[str, str]:
    found = desk.get("sla", f"/v1/clocks/{ticket}") or {"clocks": []}
    return {clock["metric"]: clock["state"] for clock in found["clocks"]}


def _a_freed_agent_pulls_who_waits_longest(desk: Desk) -> None:
    held = desk.create("takes ana's only place", priority="low")
    until(lambda: _holder(desk, held) == "ana", "ana is busy")
    first = desk.create("waits longest", priority="low")
    until(lambda: _queue(desk) == [first], "the first one waits")
    second = desk.create("waits, too", priority="low")
    until(lambda: _queue(desk) == [first, second], "both wait")
    for freed, pulled in ((held, first), (first, second)):
        _solve(desk, freed, "ana")
        until(lambda ticket=pulled: _holder(desk, ticket) == "ana", "ana pulls the next one")  # type: ignore[misc]
    _solve(desk, second, "ana")


def _queue(desk: Desk) -> list[str]:
    return [ticket["id"] for ticket in desk.get("routing", "/v1/queue")["tickets"]]


def _a_breach_escalates(desk: Desk) -> None:
    ticket = desk.create("Nobody answers", priority="critical")
    until(lambda: "Escalated" in desk.types(ticket), "the missed first reply escalates it")
    (escalated,) = (e for e in desk.history(ticket) if "Escalated" in e["type"])
    assert escalated["actor"] == "service:sla"
    assert escalated["data"]["cause"] == "sla"
    until(lambda: desk.reported(ticket).get("breaches") == 1, "reporting counts the breach")
    (clock,) = (
        clock
        for clock in desk.get("sla", f"/v1/clocks/{ticket}")["clocks"]
        if clock["metric"] == "first_reply"
    )
    assert clock["breached"]
    created = datetime.fromisoformat(desk.history(ticket)[0]["time"])
    due = datetime.fromisoformat(clock["due"])
    assert (due - created).total_seconds() == 15 * 60
    assert datetime.fromisoformat(clock["breached_at"]) == due
    _solve(desk, ticket, "ana")


def _a_refused_command_says_so(desk: Desk, ticket: str) -> None:
    nobody = str(uuid4())
    command = CommandEnvelope(
        str(uuid4()), nobody, ChangePriority(priority=Priority.HIGH), "system", source="/test"
    )
    desk.produce([(TICKETS_COMMANDS, *encode_command(command))])

    def refusals() -> list[dict[str, Any]]:
        records = published(desk.state.bootstrap, [TICKETS_REJECTIONS])
        said = [from_json(record.value) for record in records]
        return [one for one in said if one["command_id"] == command.command_id]

    (refusal,) = until(refusals, "the refusal is on the topic")
    assert (refusal["ticket_id"], refusal["code"]) == (nobody, "unknown_ticket")
    assert desk.history(nobody) == []
    assert desk.history(ticket)


def _history_at_any_point(desk: Desk, ticket: str) -> None:
    history = desk.history(ticket)
    assert [event["sequence"] for event in history] == list(range(1, len(history) + 1))
    now = desk.get("intake", f"/v1/tickets/{ticket}")
    shown = desk.cli("tickets", "show", ticket)["ticket"]
    assert (shown["id"], shown["status"]) == (ticket, now["status"])
    first = desk.cli("tickets", "show", ticket, "--sequence", "1")["ticket"]
    assert (first["status"], first["agent"]) == ("new", None)
    whole = desk.cli("tickets", "history", ticket)["events"]
    assert [event["type"] for event in whole] == [event["type"] for event in history]

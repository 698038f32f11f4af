"""`bitacora routing explain` against a real routing service, and an intake that knows the numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.output import FAILED, OK, UNREACHABLE, USAGE
from cli.system import service_url
from libs.events.agent import Skill
from libs.events.base import Status
from libs.runtime.localserver import free_port
from services.intake.app import build_with_desk
from services.intake.config import IntakeSettings
from services.routing.app import build
from services.routing.config import RoutingSettings
from services.routing.domain.rule_text import rules_of
from tests.cli.served import served
from tests.routing.house import House, tid

T2, T3 = tid(2), tid(3)
RULES = {
    "queues": [{"name": "payments", "when": {"category": "refunds"}, "group": "payments"}],
    "skills": [{"when": {"category": "refunds"}, "skills": [{"name": "refunds", "level": 5}]}],
}
Explain = Callable[..., Result]


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Explain]:
    """Runs `bitacora routing explain …` beside a routing service and an intake that listen."""
    for service in ("INTAKE", "ROUTING"):
        monkeypatch.setenv(f"BITACORA_{service}_HTTP_PORT", str(free_port()))
    intake, desk = build_with_desk(IntakeSettings(data_dir=tmp_path))

    def run(*arguments: str) -> Result:
        line = ["routing", "explain", *arguments, "--data-dir", str(tmp_path)]
        return CliRunner().invoke(app, line)

    with served(intake), served(build(RoutingSettings(data_dir=tmp_path))):
        yield run
    desk.events.close()


@pytest.fixture
def house(tmp_path: Path, explain: Explain) -> Iterator[House]:
    """A second routing process on the same database, with a small intake of its own."""
    del explain  # its tables are there, and its service is asked
    made = House(RoutingSettings(data_dir=tmp_path).database_url)
    made.put_rules(rules_of(RULES))
    made.agent("ana", 1, groups=("payments",), skills=(Skill(name="refunds", level=7),))
    made.agent("bo", 2, groups=("payments",), skills=(Skill(name="refunds", level=2),))
    yield made
    made.close()


def numbered_ticket(tmp_path: Path) -> str:
    body = {"subject": "A payment came twice", "requester": {"id": "r"}, "channel": "form"}
    url = service_url("intake", tmp_path) + "/v1/tickets"
    return str(httpx.post(url, json=body).raise_for_status().json()["id"])


def test_why_a_ticket_waits_by_number_or_id(explain: Explain, house: House, tmp_path: Path) -> None:
    first = numbered_ticket(tmp_path)
    house.ticket(first, category="refunds", channel="form", priority="high")
    house.answer()
    house.ticket(T2, category="refunds", channel="form")
    house.answer()
    held = explain("1")
    assert held.exit_code == OK, held.output
    for part in ("is held by agent ana", "Given to payments · agent ana", "spare units: 1"):
        assert part in held.stdout
    assert "refunds at level 5" in held.stdout

    waits = explain(T2)
    assert waits.exit_code == OK, waits.output
    for part in (
        "waits for an agent",
        "place     1 of 1 who need the same",
        "needs     form, tier 1, refunds at level 5, group payments, 1 unit",
        "why       1 agent has no room for more",
        "1 agent lacks a skill asked for, or the level of it",
        "Nobody was free: the ticket waits",
        "because the ticket was created; queue payments; rules version 1",
    ):
        assert part in waits.stdout, waits.stdout
    assert "since 2026-03-02 09:00:02Z" in waits.stdout
    near = waits.stdout.index("Agents who were looked at now, the nearest first")
    assert waits.stdout.index("ana ", near) < waits.stdout.index("bo ", near)

    found = json.loads(explain("#1", "--json").stdout)
    assert (found["ticket_id"], found["state"], found["agent"]) == (first, "held", "ana")
    found = json.loads(explain(T2, "--json").stdout)
    assert (found["state"], found["now"]["position"]) == ("waiting", 1)
    assert [d["outcome"] for d in found["decisions"]] == ["nobody"]


def test_what_waits_and_why_an_agent_has_no_more(explain: Explain, house: House) -> None:
    assert "no ticket waits" in explain("--queue").stderr
    assert "has room, and no ticket waits" in explain("--agent", "ana").stdout
    for ticket_id in (T2, T3):
        house.ticket(ticket_id, category="refunds", channel="form")
        house.answer()
    lines = explain("--queue")
    assert lines.exit_code == OK, lines.output
    for part in ("queue    payments", "waiting  1", T3, "1 agent has no room for more"):
        assert part in lines.stdout
    assert json.loads(explain("--queue", "--json").stdout)["lines"][0]["oldest"] == T3

    full = explain("--agent", "ana")
    assert "has no room: 1 of 1 units are in use" in full.stdout
    unskilled = explain("--agent", "bo")
    assert "none of the waiting tickets can be given to this agent" in unskilled.stdout
    assert "lacks a skill asked for, or the level of it" in unskilled.stdout
    assert json.loads(explain("--agent", "bo", "--json").stdout)["verdict"] == "nothing_fits"

    house.intake.status(T2, Status.SOLVED)
    house.answer()
    assert "is held by agent ana" in explain(T3).stdout
    assert "no ticket waits" in explain("--queue").stderr


def test_what_is_not_there(explain: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted, told in (
        ((T2,), "Routing has not heard of a ticket"),
        (("77",), "There is no ticket number 77"),
        (("--agent", "nobody"), "There is no agent 'nobody'"),
    ):
        unknown = explain(*wanted)
        assert (unknown.exit_code, told in unknown.stderr) == (FAILED, True), unknown.output
    for wrong in ((), (T2, "--queue"), (T2, "--agent", "ana")):
        assert explain(*wrong).exit_code == USAGE
    monkeypatch.setenv("BITACORA_ROUTING_HTTP_PORT", str(free_port()))
    away = explain(T2)
    assert (away.exit_code, "routing does not answer" in away.stderr) == (UNREACHABLE, True)

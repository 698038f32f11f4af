"""`bitacora sla explain` beside intake and the SLA service, without Kafka in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from cli.desk import Desk
from cli.main import app
from cli.output import FAILED, OK, UNREACHABLE, USAGE
from cli.sla.explain import _print
from libs.runtime.localserver import free_port
from libs.worktime.instants import to_us
from services.intake.app import build as build_intake
from services.intake.config import IntakeSettings
from services.sla import store as s
from services.sla.app import build as build_sla
from services.sla.config import SlaSettings
from services.sla.domain.proof_document import proofs
from services.sla.handlers import TicketEvents
from tests.cli.served import served
from tests.sla.desk import Case, at, created, status

Ask = Callable[..., Result]
BODY = {
    "subject": "Printer on fire",
    "requester": {"id": "r1"},
    "channel": "email",
    "priority": "low",
}


class House:
    """Intake and SLA of one directory; `tell` carries a ticket's history from one to the other."""

    def __init__(self, directory: Path, ports: dict[str, int]) -> None:
        self.directory = directory
        self.intake = f"http://127.0.0.1:{ports['intake']}/v1/tickets"
        self.sla = build_sla(SlaSettings(data_dir=directory))
        self.desk = Desk(directory)
        self.heard: dict[str, int] = {}

    def create(self) -> Any:
        return self._send("POST", "", BODY, "requester:r1")

    def move(self, made: Any, status: str) -> None:
        self._send("PUT", f"/{made['id']}/status", {"status": status}, "agent:7")

    def _send(self, method: str, path: str, body: Any, actor: str) -> Any:
        headers = {"X-Bitacora-Actor": actor}
        url = self.intake + path
        answer = httpx.request(method, url, json=body, headers=headers, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()

    def tell(self, ticket_id: str) -> None:
        events = self.desk.history(ticket_id)
        new = events[self.heard.get(ticket_id, 0) :]
        handler = TicketEvents(s.Books(), armed=lambda _: None)
        self.sla.store.write_now(lambda c, out: handler.apply(c, new, out))
        self.heard[ticket_id] = len(events)

    def ask(self, *arguments: str) -> Result:
        line = ["sla", "explain", *arguments, "--data-dir", str(self.directory)]
        return CliRunner().invoke(app, line)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    ports = {"intake": free_port(), "sla": free_port()}
    for name, port in ports.items():
        monkeypatch.setenv(f"BITACORA_{name.upper()}_HTTP_PORT", str(port))
    made = House(tmp_path, ports)
    with ExitStack() as stack:
        stack.enter_context(served(build_intake(IntakeSettings(data_dir=tmp_path))))
        stack.enter_context(served(made.sla))
        stack.enter_context(made.desk)
        made.sla.store.write_now(lambda connection, _: s.seed(connection))
        yield made


def test_a_ticket_is_explained_by_number_and_id(house: House) -> None:
    made = house.create()
    house.move(made, "pending")
    house.move(made, "open")
    house.tell(made["id"])
    shown = house.ask(str(made["number"]))
    assert shown.exit_code == OK, shown.output
    assert "requester_wait" in shown.stdout
    assert "the ticket was pending" in shown.stdout
    assert "event 1 TicketCreated" in shown.stdout
    assert "mon-fri 09:00-13:00 14:00-18:00" in shown.stdout
    assert "every sum and verdict holds" in shown.stderr

    found = json.loads(house.ask(made["id"], "--json").stdout)
    assert found["holds"] is True
    assert {clock["metric"] for clock in found["clocks"]} == {"first_reply", "requester_wait"}
    for clock in found["clocks"]:
        counted = sum(one["length_us"] for one in clock["intervals"] if one["counted"])
        assert clock["elapsed_us"] == clock["sums_us"]["counted"] == counted
        assert clock["started_by"] == f"{made['id']}:1"
    only = json.loads(house.ask(made["id"], "--metric", "first_reply", "--json").stdout)
    assert [clock["metric"] for clock in only["clocks"]] == ["first_reply"]


def test_the_log_says_the_same(house: House) -> None:
    made = house.create()
    house.move(made, "on_hold")
    house.tell(made["id"])
    shown = house.ask(made["id"], "--from-log")
    assert shown.exit_code == OK, shown.output
    assert "replayed from 2 events: every verdict is the same" in shown.stderr
    # An event that the service has not heard of makes the difference.
    house.move(made, "solved")
    shown = house.ask(made["id"], "--from-log", "--json")
    assert shown.exit_code == FAILED
    differences = json.loads(shown.stdout)["from_log"]["differences"]
    assert {"running", "satisfied"} == {differences[0]["recorded"], differences[0]["replayed"]}


def test_a_breach_that_was_taken_back_is_told_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = Case().on("10:00", created()).wait("14:10")
    case.on("13:00", status("pending", "new")).on("13:30", status("open", "pending"))
    case.wait("16:00")
    assert case.ticket is not None
    found = proofs("t", case.ticket, [], case.book, to_us(at("16:00")), "requester_wait")
    _print(found, {})
    shown, told = capsys.readouterr()
    assert "the breach of 2026-06-01T14:00:00Z: event 2" in shown
    assert "dated 2026-06-01T13:00:00Z, came after its timer" in shown
    assert "breached      2026-06-01T14:30:00Z" in shown
    assert "every sum and verdict holds" in told


def test_what_cannot_be_explained(house: House, tmp_path: Path) -> None:
    assert house.ask("77").exit_code == FAILED
    unknown = house.ask("8d3c1c5c-26c6-43e9-ad08-7f2b3b2b2b2b")
    assert (unknown.exit_code, "knows no ticket" in unknown.stderr) == (FAILED, True)
    assert house.ask("1", "--metric", "speed").exit_code == USAGE


def test_nothing_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_SLA_HTTP_PORT", str(free_port()))
    line = ["8d3c1c5c-26c6-43e9-ad08-7f2b3b2b2b2b", "--data-dir", str(tmp_path)]
    assert CliRunner().invoke(app, ["sla", "explain", *line]).exit_code == UNREACHABLE

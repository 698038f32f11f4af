"""`bitacora routing offers` against a real routing service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.output import FAILED, OK
from libs.runtime.localserver import free_port
from services.routing.app import build
from services.routing.config import RoutingSettings
from services.routing.domain.rules import Offers, QueueRule, RoutingRules
from tests.cli.served import served
from tests.routing.house import T1, T2, House

Ask = Callable[..., Result]
YEAR_S = 366 * 86_400
RULES = RoutingRules(
    queues=(QueueRule(name="chats", mode="offer"),), offers=Offers(timeout_s=YEAR_S)
)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Two tickets are offered to ana; then the service itself is asked."""
    settings = RoutingSettings(data_dir=tmp_path, http_port=free_port())
    house = House(settings.database_url)
    house.put_rules(RULES)
    house.agent("ana", 2)
    house.ticket(T1)
    house.ticket(T2)
    house.close()
    monkeypatch.setenv("BITACORA_ROUTING_HTTP_PORT", str(settings.http_port))

    def run(*arguments: str) -> Result:
        line = ["routing", "offers", *arguments, "--data-dir", str(tmp_path)]
        return CliRunner().invoke(app, line)

    with served(build(settings)):
        yield run


def test_offers_are_listed_taken_and_left(ask: Ask) -> None:
    listed = ask("list", "ana", "--json")
    offers = {offer["number"]: offer for offer in json.loads(listed.stdout)["offers"]}
    assert {number: offer["state"] for number, offer in offers.items()} == {1: "open", 2: "open"}

    taken = ask("accept", "ana", offers[1]["id"])
    assert (taken.exit_code, "ticket #1: accepted by ana" in taken.stderr) == (OK, True)
    left = ask("decline", "ana", offers[2]["id"], "--reason", "at lunch", "--json")
    assert json.loads(left.stdout)["state"] == "declined"
    table = ask("list", "ana").stdout
    assert "accepted" in table
    assert "declined" in table

    late = ask("decline", "ana", offers[1]["id"])
    assert late.exit_code == FAILED
    assert "accepted already" in late.stderr


def test_who_and_what_is_not_there(ask: Ask) -> None:
    assert ask("list", "nobody").exit_code == FAILED
    assert ask("accept", "ana", "none").exit_code == FAILED

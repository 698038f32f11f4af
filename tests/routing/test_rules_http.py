"""The rule set over HTTP and from the command line, on a real store."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import MetaData
from typer.testing import CliRunner, Result

from cli.main import app as bitacora
from cli.output import FAILED, OK, UNREACHABLE, USAGE
from libs.events.agent import Skill
from libs.runtime.clock import ManualClock, monotonic_s
from libs.runtime.database import Database
from libs.runtime.http import create_http_app
from libs.runtime.localserver import free_port
from libs.runtime.store import ServiceStore
from services.routing.api import create_router
from services.routing.domain.agent import RegisterAgent, RetireAgent
from services.routing.domain.rule_text import rules_of
from services.routing.domain.rules import RoutingRules
from services.routing.rules_file import parse_rules
from services.routing.store import Desk
from tests.routing.house import T1, House

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
LIVE: Any = {"queues": [{"name": "live", "when": {"channel": "chat"}, "group": "first line"}]}
WRONG: Any = {"queues": [{"name": "a"}, {"name": "b", "when": {"tier": 2}}], "hand_over_limit": 1}


@pytest.fixture
def service(sqlite_url: str) -> Iterator[FastAPI]:
    """A desk with an agent of the first line, and one of another group who has left."""
    metadata, clock = MetaData(), ManualClock(START)
    desk = Desk(metadata, RoutingRules(hand_over_limit=7), clock)
    store = ServiceStore(Database(sqlite_url), metadata, source="/bitacora/routing", clock=clock)
    store.create_tables()
    vpn = (Skill(name="vpn", level=4),)
    for agent, command in (
        ("ana", RegisterAgent("Ana", 1, groups=("first line",), skills=vpn)),
        ("ben", RegisterAgent("Ben", 1, groups=("gone",))),
        ("ben", RetireAgent()),
    ):
        store.write_now(desk.change_agent(agent, command, "system"))

    async def ready() -> list[str]:
        return []

    app = create_http_app("routing", readiness=ready)
    app.include_router(create_router(store, desk))
    yield app
    store.close()


@pytest.fixture
async def http(service: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=service)
    async with httpx.AsyncClient(transport=transport, base_url="http://routing") as client:
        yield client


def codes(answer: httpx.Response) -> list[tuple[str, str, str]]:
    return [(f["level"], f["code"], f["path"]) for f in answer.json()["findings"]]


async def test_the_defaults_hold_until_somebody_puts_rules(http: httpx.AsyncClient) -> None:
    shown = await http.get("/v1/rules")
    assert shown.headers["etag"] == '"0"'
    assert (shown.json()["version"], shown.json()["since"]) == (0, None)
    assert shown.json()["rules"]["hand_over_limit"] == 7
    assert (await http.get("/v1/rules/versions")).json() == {"versions": []}


async def test_rules_are_put_read_and_listed(http: httpx.AsyncClient) -> None:
    made = await http.put(
        "/v1/rules?note=chats%20apart", json=LIVE, headers={"X-Bitacora-Actor": "agent:lead"}
    )
    assert (made.status_code, made.headers["etag"]) == (200, '"1"')
    assert made.json() == {
        "version": 1,
        "actor": "agent:lead",
        "note": "chats apart",
        "since": "2026-03-02T09:00:00Z",
        "findings": [],
    }
    shown = (await http.get("/v1/rules")).json()
    assert shown["rules"]["queues"][0]["when"] == {"channel": ["chat"]}
    # What was read can be put again, and says nothing new.
    again = await http.put("/v1/rules", json=shown["rules"], headers={"If-Match": '"1"'})
    assert again.json()["version"] == 1
    two = await http.put("/v1/rules", json={}, headers={"If-Match": '"1"'})
    assert two.json()["version"] == 2
    listed = (await http.get("/v1/rules/versions")).json()["versions"]
    assert [(v["version"], v["actor"], v["note"]) for v in listed] == [
        (2, "system", None),
        (1, "agent:lead", "chats apart"),
    ]
    assert (await http.get("/v1/rules/versions?before=2&limit=5")).json()["versions"] == listed[1:]
    first = await http.get("/v1/rules?version=1")
    assert (first.headers["etag"], first.json()["rules"]) == ('"1"', shown["rules"])
    assert (await http.get("/v1/rules?version=0")).json()["rules"]["hand_over_limit"] == 7
    missing = await http.get("/v1/rules?version=9")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_version")


async def test_somebody_who_read_an_older_version_is_refused(http: httpx.AsyncClient) -> None:
    await http.put("/v1/rules", json=LIVE)
    stale = await http.put("/v1/rules", json={}, headers={"If-Match": '"0"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
    assert stale.json()["current_version"] == 1
    assert (await http.get("/v1/rules")).json()["version"] == 1


async def test_rules_with_errors_are_refused_and_warnings_are_told(http: httpx.AsyncClient) -> None:
    refused = await http.put("/v1/rules", json=WRONG)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_rules")
    assert codes(refused) == [("error", "shadowed_queue", "queues[1]")]
    assert refused.json()["detail"].startswith("queues[1]: no ticket ever comes to queue 'b'")
    unreadable = await http.put("/v1/rules", json={"weights": {"fax": 1}, "affinity": 3})
    assert [code for _, code, _ in codes(unreadable)] == ["unknown_value", "wrong_type"]
    assert "(and 1 more)" in unreadable.json()["detail"]
    assert (await http.get("/v1/rules")).json()["version"] == 0
    odd = await http.put("/v1/rules", json={"queues": [{"name": "x", "group": "gone"}]})
    assert odd.status_code == 200  # the agent of that group has left
    assert codes(odd) == [
        ("warning", "unknown_group", "queues[0].group"),
        ("warning", "unserved_queue", "queues[0]"),
    ]


async def test_a_dry_run_tells_and_changes_nothing(http: httpx.AsyncClient) -> None:
    for document, valid in ((LIVE, True), (WRONG, False), ({"affinity": 3}, False)):
        told = await http.put("/v1/rules?dry_run=true", json=document)
        assert (told.status_code, told.json()["valid"]) == (200, valid)
        assert bool(codes(told)) is not valid
    assert (await http.get("/v1/rules")).json()["version"] == 0


async def test_other_bad_requests(http: httpx.AsyncClient) -> None:
    twice = b'{"queues": [], "queues": []}'
    json_type = {"Content-Type": "application/json"}
    assert (await http.put("/v1/rules", content=twice, headers=json_type)).status_code == 422
    yaml_type = {"Content-Type": "application/yaml"}
    assert (await http.put("/v1/rules", content=b"{}", headers=yaml_type)).status_code == 415
    assert (await http.put("/v1/rules?dry_run=maybe", json={})).status_code == 422
    assert (await http.put("/v1/rules", json=[])).json()["code"] == "invalid_rules"
    assert (await http.get("/v1/rules?version=-1")).status_code == 422
    assert (await http.get("/v1/rules/versions?limit=0")).status_code == 422


# ----------------------------------------------------------------------------------- commands

Ask = Callable[..., Result]


def command(*arguments: str) -> Result:
    return CliRunner().invoke(bitacora, ["routing", "rules", *arguments])


@pytest.fixture
def ask(service: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Runs `bitacora routing rules …` beside a routing service that listens."""
    port = free_port()
    monkeypatch.setenv("BITACORA_ROUTING_HTTP_PORT", str(port))
    config = uvicorn.Config(service, port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline_s = monotonic_s() + 20
    while not server.started:
        assert thread.is_alive()
        assert monotonic_s() < deadline_s
        thread.join(0.01)
    yield lambda *arguments: command(*arguments, "--data-dir", str(tmp_path))
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "rules.yaml"
        path.write_text(text, "utf-8")
        return str(path)

    return write


def test_a_file_is_checked_without_anything_that_runs(file: Callable[[str], str]) -> None:
    good = command("check", file("queues: [{name: chats, when: {channel: chat}}]"))
    assert (good.exit_code, good.stdout) == (OK, "")
    assert "no errors (queues: 1, skill rules: 0)" in good.stderr
    odd = command("check", file("queues: [{name: a, when: {language: pt-BR}}]"), "--json")
    assert odd.exit_code == OK
    assert json.loads(odd.stdout)["findings"][0]["code"] == "language_region"
    bad = command("check", file(json.dumps(WRONG)))
    assert bad.exit_code == FAILED
    assert "shadowed_queue" in bad.stdout
    broken = command("check", file("queues: [\n"), "--json")
    assert broken.exit_code == FAILED
    assert json.loads(broken.stdout)["valid"] is False
    assert command("check", "there-is-no-such-file.yaml").exit_code == USAGE


def test_rules_are_set_and_shown(ask: Ask, file: Callable[[str], str]) -> None:
    shown = ask("show")
    assert shown.exit_code == OK, shown.output
    assert "version 0" in shown.stderr
    assert parse_rules(shown.stdout.encode()).hand_over_limit == 7

    done = ask("set", file(json.dumps(LIVE)), "--as", "agent:lead", "--note", "chats & more")
    assert done.exit_code == OK, done.output
    assert "version 1, since 2026-03-02T09:00:00Z, by agent:lead: chats & more" in done.stderr
    shown = ask("show")
    assert parse_rules(shown.stdout.encode()).queues[0].name == "live"
    # What was shown can be set.
    made = json.loads(ask("set", file(shown.stdout), "--if-version", "1", "--json").stdout)
    assert made["version"] == 1
    assert "chats & more" in ask("show", "--versions").stdout
    assert json.loads(ask("show", "--version", "0", "--json").stdout)["version"] == 0


def test_what_cannot_be_set_is_told(ask: Ask, file: Callable[[str], str]) -> None:
    wrong = ask("set", file(json.dumps(WRONG)))
    assert wrong.exit_code == FAILED
    assert "shadowed_queue" in wrong.stdout
    assert "nothing was changed" in wrong.stderr
    assert json.loads(ask("set", file("affinity: 3"), "--json").stdout)["valid"] is False
    stale = ask("set", file("{}"), "--if-version", "4")
    assert stale.exit_code == FAILED
    assert "at version 0, not 4" in stale.stderr
    assert ask("show", "--version", "4").exit_code == FAILED
    assert ask("show", "--version", "1", "--versions").exit_code == USAGE
    assert ask("set", file("{}"), "--as", "agent:ñ").exit_code == USAGE
    unknown = ask("check", file("queues: [{name: a, group: gone}]"), "--agents")
    assert unknown.exit_code == OK
    assert "unserved_queue" in unknown.stdout


def test_without_a_desk_there_is_nothing_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITACORA_ROUTING_HTTP_PORT", str(free_port()))
    assert command("show", "--data-dir", str(tmp_path)).exit_code == UNREACHABLE


# ------------------------------------------------------------------------------------- effect


def test_waiting_tickets_are_routed_by_new_rules_at_once(sqlite_url: str) -> None:
    asked = {"queues": [{"name": "chats", "when": {"channel": "chat"}, "group": "second line"}]}
    house = House(sqlite_url, rules=rules_of(asked))
    house.agent("ana", groups=("first line",))
    house.ticket(T1, channel="chat")
    house.answer()
    assert house.holder(T1) is None
    asked["queues"][0]["group"] = "first line"
    house.store.write_now(house.desk.put_rules(rules_of(asked), "agent:lead", None, 0))
    house.answer()
    assert house.holder(T1) == "ana"
    assert house.decisions[-1].rule_version == "1"
    house.close()

"""`bitacora routing agents` against a real routing service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.output import FAILED, OK, UNREACHABLE, USAGE
from libs.runtime.localserver import free_port
from services.routing.app import build
from services.routing.config import RoutingSettings
from tests.cli.served import served

Ask = Callable[..., Result]
ROSTER = """\
agents:
  - id: ana
    name: Ana
    capacity: 3
    groups: [payments]
    lead_of: [payments]
    skills:
      - {name: refunds, level: 7}
    channel_limits: {chat: 1}
    email: ana@example.com
    working_hours:
      zone: Europe/Madrid
      week:
        mon: [{start: 09:00, end: 13:00}, {start: 14:00, end: 18:00}]
    out_of_office:
      - {start: 2026-08-03T00:00:00+02:00, end: 2026-08-17T00:00:00+02:00, note: holiday}
  - id: bo b
    name: Bo
    capacity: 1
"""


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Runs `bitacora routing agents …` beside a routing service that listens."""
    port = free_port()
    monkeypatch.setenv("BITACORA_ROUTING_HTTP_PORT", str(port))
    service = build(RoutingSettings(data_dir=tmp_path))

    def run(*arguments: str) -> Result:
        line = ["routing", "agents", *arguments, "--data-dir", str(tmp_path)]
        return CliRunner().invoke(app, line)

    with served(service):
        yield run


def write(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_a_roster_is_loaded_again_and_again(ask: Ask, tmp_path: Path) -> None:
    file = write(tmp_path / "roster.yaml", ROSTER)
    assert "no agents" in ask("list").stderr
    checked = ask("load", file, "--check")
    assert (checked.exit_code, "2 agents, nothing wrong" in checked.stderr) == (OK, True)
    assert json.loads(ask("list", "--json").stdout) == {"agents": []}

    first = ask("load", file, "--json", "--as", "agent:lead")
    assert first.exit_code == OK, first.output
    told = json.loads(first.stdout)
    assert told == {"added": ["ana", "bo b"], "changed": [], "unchanged": [], "failed": []}
    assert "2 agents: 2 added, 0 changed" in first.stderr
    again = ask("load", file, "--json")
    assert json.loads(again.stdout)["unchanged"] == ["ana", "bo b"]
    more = write(tmp_path / "more.yaml", ROSTER.replace("capacity: 1", "capacity: 2"))
    assert json.loads(ask("load", more, "--json").stdout)["changed"] == ["bo b"]

    shown = ask("show", "ana")
    for part in ("refunds 7", "chat 1", "Europe/Madrid", "09:00-13:00 14:00-18:00", "holiday"):
        assert part in shown.stdout, shown.output
    ana = json.loads(ask("show", "ana", "--json").stdout)
    assert ana["out_of_office"][0]["start"] == "2026-08-02T22:00:00Z"
    assert (ana["email"], ana["lead_of"]) == ("ana@example.com", ["payments"])


def test_the_roster_of_the_guide_is_right(ask: Ask, tmp_path: Path) -> None:
    guide = Path(__file__).parents[2] / "docs" / "guides" / "agents.md"
    _, _, rest = guide.read_text("utf-8").partition("```yaml\n")
    loaded = ask("load", write(tmp_path / "roster.yaml", rest.partition("```")[0]))
    assert loaded.exit_code == OK, loaded.output
    shown = json.loads(ask("show", "ana", "--json").stdout)
    assert (shown["tiers"], shown["channels"]) == ([1, 2], ["email", "chat"])
    assert shown["working_hours"]["week"]["fri"] == [{"start": "22:00", "end": "06:00"}]


def test_presence_and_lists(ask: Ask, tmp_path: Path) -> None:
    ask("load", write(tmp_path / "roster.yaml", ROSTER))
    done = ask("presence", "bo b", "online", "--reason", "early", "--as", "agent:bo b")
    assert (done.exit_code, "bo b is online: on duty" in done.stderr) == (OK, True), done.output
    shown = json.loads(ask("presence", "bo b", "online", "--json").stdout)
    assert (shown["presence_reason"], shown["sequence"]) == ("early", 2)
    listed = ask("list").stdout
    assert "offline" in listed
    assert "refunds 7" in listed
    on_duty = json.loads(ask("list", "--on-duty", "--json").stdout)["agents"]
    assert [agent["id"] for agent in on_duty] == ["bo b"]
    payments = json.loads(ask("list", "--group", "payments", "--json").stdout)["agents"]
    assert [agent["id"] for agent in payments] == ["ana"]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("capacity: 3", "capacity: -1", "agent ana: capacity:"),
        ("name: Bo", "name: ''", "agent bo b: name:"),
        ("level: 7", "level: 11", "agent ana: skills.0.level:"),
        ("name: Bo", "nome: Bo", "agent bo b: nome:"),
        ("end: 13:00", "end: 15:00", "agent ana: The shifts mon 09:00-15:00 and mon 14:00-18:00"),
        ("zone: Europe/Madrid", "zone: Mars/Base", "agent ana: There is no time zone 'Mars/Base'"),
        ("2026-08-17", "2026-08-01", "agent ana: The out-of-office period"),
        ("ana@example.com", "ana", "agent ana: 'ana' is no e-mail address"),
        ("id: bo b", "id: ana", "agent ana: id: is there twice"),
        ("id: bo b", "id: 7", "agent 2 of the list: id: must be a text"),
        ("id: bo b", "id: bo/b", "agent bo/b: 'bo/b' cannot be the id"),
        ("agents:", "staff:", "must hold `agents:`"),
        ("name: Bo", "name: Bo\n    name: Bob", "there twice"),
    ],
)
def test_a_roster_with_a_mistake_changes_nothing(
    ask: Ask, tmp_path: Path, before: str, after: str, told: str
) -> None:
    file = write(tmp_path / "roster.yaml", ROSTER.replace(before, after))
    wrong = ask("load", file)
    assert wrong.exit_code == USAGE
    assert told in wrong.stderr, wrong.stderr
    assert file in wrong.stderr
    assert json.loads(ask("list", "--json").stdout) == {"agents": []}


def test_who_has_left_is_named_and_the_others_are_loaded(ask: Ask, tmp_path: Path) -> None:
    import httpx

    from cli.system import service_url

    file = write(tmp_path / "roster.yaml", ROSTER)
    ask("load", file)
    assert httpx.delete(service_url("routing", tmp_path) + "/v1/agents/ana").is_success
    again = ask("load", file, "--json")
    assert again.exit_code == FAILED
    assert "agent ana: routing says: The agent 'ana' has left" in again.stderr
    assert json.loads(again.stdout) == {
        "added": [],
        "changed": [],
        "unchanged": ["bo b"],
        "failed": ["ana"],
    }


def test_what_is_not_there(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = ask("show", "nobody")
    assert (unknown.exit_code, "There is no agent 'nobody'" in unknown.stderr) == (FAILED, True)
    assert ask("show", "a/b").exit_code == USAGE
    assert ask("presence", "ana", "asleep").exit_code == USAGE
    assert ask("presence", "ana", "away", "--as", "agent:ñ").exit_code == USAGE
    assert ask("load", str(tmp_path / "none.yaml")).exit_code == USAGE
    monkeypatch.setenv("BITACORA_ROUTING_HTTP_PORT", str(free_port()))
    assert ask("list").exit_code == UNREACHABLE

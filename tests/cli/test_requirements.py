"""`bitacora tickets requirements` against a real intake."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.output import FAILED, OK, UNREACHABLE, USAGE
from libs.runtime.localserver import free_port
from services.intake.app import build_with_desk
from services.intake.config import IntakeSettings
from tests.cli.served import served

Ask = Callable[..., Result]
WANTED = """\
requirements:
  - category: "*"
    fields: [order no]
  - category: hardware
    tiers:
      2: [steps, no]
    groups:
      field service: [address]
"""


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Runs `bitacora tickets requirements …` beside an intake that listens."""
    port = free_port()
    monkeypatch.setenv("BITACORA_INTAKE_HTTP_PORT", str(port))
    service, desk = build_with_desk(IntakeSettings(data_dir=tmp_path))

    def run(*arguments: str) -> Result:
        line = ["tickets", "requirements", *arguments, "--data-dir", str(tmp_path)]
        return CliRunner().invoke(app, line)

    with served(service):
        yield run
    desk.events.close()


def write(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_set_show_and_set_again(ask: Ask, tmp_path: Path) -> None:
    shown = ask("show")
    assert (shown.exit_code, shown.stdout.strip()) == (OK, "version  0"), shown.output
    assert "nothing is required" in shown.stderr

    done = ask("set", write(tmp_path / "wanted.yaml", WANTED), "--as", "agent:lead")
    assert done.exit_code == OK, done.output
    assert "version 1 holds from now on" in done.stderr
    shown = ask("show")
    for part in ("agent:lead", "to tier 2", "steps, no", "to group field service", "order no"):
        assert part in shown.stdout

    as_file = ask("show", "--yaml").stdout
    again = ask("set", write(tmp_path / "again.yaml", as_file), "--json")
    assert json.loads(again.stdout)["version"] == 1, "what show prints is what was set"

    found = json.loads(ask("show", "--json").stdout)
    in_json = json.dumps({"requirements": found["requirements"][:1]})
    second = ask("set", write(tmp_path / "less.json", in_json), "--if-version", "1")
    assert second.exit_code == OK, second.output
    versions = ask("show", "--versions").stdout
    assert "*, hardware" in versions
    assert versions.index("system") < versions.index("agent:lead"), "the newest first"
    listed = json.loads(ask("show", "--versions", "--json").stdout)["versions"]
    assert [version["version"] for version in listed] == [2, 1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("twice.yaml", "requirements: []\nrequirements: []\n", "twice"),
        ("odd.yaml", "requirements: [\n", "odd.yaml"),
        ("twice.json", '{"requirements": [], "requirements": []}', "twice.json"),
    ],
)
def test_a_file_that_cannot_be_read_is_wrong_usage(
    ask: Ask, tmp_path: Path, name: str, text: str, said: str
) -> None:
    refused = ask("set", write(tmp_path / name, text))
    assert refused.exit_code == USAGE, refused.output
    assert said in refused.stderr
    assert ask("set", str(tmp_path / "nowhere.yaml")).exit_code == USAGE


def test_what_intake_refuses_is_told_in_its_words(ask: Ask, tmp_path: Path) -> None:
    file = write(tmp_path / "wanted.yaml", WANTED)
    stale = ask("set", file, "--if-version", "7")
    assert (stale.exit_code, "version 0, not 7" in stale.stderr) == (FAILED, True)
    stranger = ask("set", file, "--as", "requester:ana")
    assert (stranger.exit_code, "people of the desk" in stranger.stderr) == (FAILED, True)
    odd = ask("set", write(tmp_path / "odd.yaml", "requirements: [{category: a}]"))
    assert odd.exit_code == FAILED
    assert "requirements.0" in odd.stderr


@pytest.mark.parametrize(
    "arguments", [["show", "--yaml", "--json"], ["set", "x.yaml", "--as", "agent:ñ"], ["set"]]
)
def test_wrong_usage(arguments: list[str], tmp_path: Path) -> None:
    line = ["tickets", "requirements", *arguments]
    data_dir = ["--data-dir", str(tmp_path)] if len(arguments) > 1 else []
    assert CliRunner().invoke(app, [*line, *data_dir]).exit_code == USAGE


def test_an_intake_that_does_not_run_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITACORA_INTAKE_HTTP_PORT", str(free_port()))
    line = ["tickets", "requirements", "show", "--data-dir", str(tmp_path)]
    assert CliRunner().invoke(app, line).exit_code == UNREACHABLE

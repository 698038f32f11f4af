"""`bitacora` itself: help, exit codes, schemas, and what the helpers for output promise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import SUBCOMMANDS, app, exit_code_of
from cli.output import FAILED, UNREACHABLE, USAGE, clean, print_facts, print_table, progress
from cli.system import Options, System, choose_ports, create_databases, service_url
from cli.tickets import up_to
from libs.events import fold
from libs.runtime.errors import Rejected, Transient
from libs.runtime.runstate import RunLock, RunState, write_run
from libs.runtime.settings import SERVICES, SettingsError
from tests.runtime.streams import NOON, stream

run = CliRunner().invoke


def test_help_lists_every_subcommand() -> None:
    shown = run(app, ["--help"])
    assert shown.exit_code == 0
    assert all(f" {name} " in shown.stdout for name in SUBCOMMANDS)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_loads_and_has_help(name: str) -> None:
    shown = run(app, [name, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Usage" in shown.stdout


def test_an_unknown_subcommand_is_wrong_usage() -> None:
    assert run(app, ["frobnicate"]).exit_code == USAGE


def test_schemas_are_listed_and_printed() -> None:
    listed = json.loads(run(app, ["schemas", "--json"]).stdout)
    assert {"bitacora.TicketCreated.v1", "bitacora.CreateTicket.v1"} <= set(listed)
    shown = run(app, ["schemas", "TicketCreated"])
    assert json.loads(shown.stdout) == listed["bitacora.TicketCreated.v1"]
    assert "bitacora.Assigned.v1" in run(app, ["schemas"]).stdout


def test_a_schema_that_does_not_exist_suggests_others() -> None:
    shown = run(app, ["schemas", "TicketCreatd"])
    assert shown.exit_code == USAGE
    assert "TicketCreated" in shown.stderr


def test_errors_have_their_exit_codes() -> None:
    assert exit_code_of(SettingsError("x")) == USAGE
    assert exit_code_of(Transient("x", "y")) == UNREACHABLE
    assert exit_code_of(Rejected("x", "y")) == FAILED
    assert exit_code_of(KeyError("x")) is None


def test_a_desk_that_does_not_run_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = choose_ports(0)
    monkeypatch.setenv("BITACORA_REPORTING_HTTP_PORT", str(free["reporting"]))
    shown = run(app, ["tickets", "list", "--data-dir", str(tmp_path)])
    assert shown.exit_code == UNREACHABLE
    assert "bitacora up" in shown.stderr


def test_a_bad_setting_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_LOG_LEVEL", "loud")
    shown = run(app, ["tickets", "list", "--data-dir", str(tmp_path)])
    assert shown.exit_code == USAGE
    assert "BITACORA_LOG_LEVEL" in shown.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["tickets", "show", "1", "--at", "yesterday"],
        ["tickets", "show", "1", "--at", "2016-03-01T09:00:00"],
        ["tickets", "show", "1", "--at", "2016-03-01T09:00:00Z", "--sequence", "2"],
        ["tickets", "show", "1", "--sequence", "0"],
        ["tickets", "list", "--status", "finished"],
        ["up", "--clock", "fast"],
        ["up", "--kafka", "somewhere"],
        ["up", "--database", "mysql://x"],
        ["parked", "show", "billing:1"],
        ["parked", "redrive"],
    ],
)
def test_wrong_usage_is_told(arguments: list[str], tmp_path: Path) -> None:
    shown = run(app, [*arguments, "--data-dir", str(tmp_path)])
    assert shown.exit_code == USAGE, shown.output
    assert shown.stderr


def test_kafka_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{choose_ports(0)['broker']}"
    arguments = ["up", "--kafka", nowhere, "--port-base", "0", "--data-dir", str(tmp_path)]
    shown = run(app, arguments)
    assert shown.exit_code == UNREACHABLE
    assert nowhere in shown.stderr


def test_one_data_directory_has_one_system(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    lock.acquire()
    shown = run(app, ["up", "--port-base", "0", "--data-dir", str(tmp_path)])
    assert shown.exit_code == FAILED
    assert "in use" in shown.stderr
    lock.release()
    with pytest.raises(RuntimeError, match="not been started"):
        _ = System(Options(tmp_path), print).state


def test_other_commands_find_the_running_system(tmp_path: Path) -> None:
    assert service_url("intake", tmp_path) == "http://127.0.0.1:8801"
    lock = RunLock(tmp_path)
    lock.acquire()
    write_run(tmp_path, RunState(1, "", "", "", "", urls={"intake": "http://127.0.0.1:1"}))
    assert service_url("intake", tmp_path) == "http://127.0.0.1:1"
    lock.release()


@pytest.mark.postgres
def test_each_service_gets_a_database_which_is_made_once(postgres_server: str) -> None:
    urls = create_databases(postgres_server)
    assert list(urls) == list(SERVICES)
    assert "/bitacora_intake" in urls["intake"]
    assert create_databases(postgres_server) == urls


def test_what_a_requester_wrote_does_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert clean("a\x1b[31mb\r\u202ec\ud800") == "a [31mb  c "
    print_table(["#number", "subject"], [[1, "[red]\x1b]0;owned\x07"], [None, "Ñandú 🙂"]])
    print_facts([("subject", "x\nforged: line"), ("empty", None), ("zero", 0)])
    shown = capsys.readouterr().out
    assert "[red]" in shown
    assert "\x1b" not in shown
    assert "subject  x forged: line\nzero     0\n" in shown


def test_progress_without_a_terminal_is_quiet_at_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("reading") as tick:
        tick(1, 10)
    assert capsys.readouterr().out == ""


def test_a_ticket_as_it_was() -> None:
    history = stream("t", 5)
    assert len(up_to(history)) == 5
    assert [e.sequence for e in up_to(history, sequence=2)] == [1, 2]
    assert up_to(history, at=NOON.replace(hour=11)) == []
    assert len(up_to(history, at=NOON)) == 5
    earlier = fold(up_to(history, sequence=2))
    assert earlier is not None
    assert earlier.sequence == 2
    assert earlier.priority == "high"

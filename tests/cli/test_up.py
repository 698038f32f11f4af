"""`bitacora up` as a process: services come up, survive kills, and stop in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cli.main import app
from libs.runtime.clock import monotonic_s
from libs.runtime.runstate import RunState, read_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "cli.main", "up", "--port-base", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--data-dir", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.terminate()
        process.communicate(timeout=60)


def _until(question: Callable[[], Any], seconds: float = 60) -> Any:
    deadline_s = monotonic_s() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        assert monotonic_s() < deadline_s, "not within the time"


def _cli(data_dir: Path, *arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir), "--json"])
    return json.loads(done.stdout) if done.exit_code == 0 else None


def _create(url: str, subject: str) -> str | None:
    body = {"subject": subject, "requester": {"id": "r"}}
    try:
        answer = httpx.post(f"{url}/v1/tickets", json=body, timeout=10)
    except httpx.TransportError:
        return None
    return str(answer.json()["id"]) if answer.status_code == 201 else None


def _new_pids(data_dir: Path, old: RunState, names: list[str]) -> bool:
    state = read_run(data_dir)
    return state is not None and all(
        state.pids[name] not in (None, old.pids[name]) for name in names
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_up_serves_survives_kills_and_stops(up: subprocess.Popen[str], tmp_path: Path) -> None:
    assert up.stdout is not None
    first_line = up.stdout.readline()
    assert first_line, up.communicate()[1]
    urls = json.loads(first_line)["urls"]
    for url in urls.values():
        assert httpx.get(f"{url}/health/ready", timeout=10).status_code == 200
    ticket = _create(urls["intake"], "before")
    assert ticket is not None
    shown = _cli(tmp_path, "tickets", "show", "1")
    assert shown["ticket"]["id"] == ticket
    assert shown["ticket"]["subject"] == "before"
    assert _cli(tmp_path, "tickets", "history", ticket)["events"][0]["sequence"] == 1

    before = read_run(tmp_path)
    assert before is not None
    killed = ["broker", "intake", "reporting"]
    for name in killed:
        pid = before.pids[name]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    _until(lambda: _new_pids(tmp_path, before, killed))
    assert _until(lambda: _create(urls["intake"], "after"))
    # Reporting sees both, although the broker came back empty.
    _until(lambda: len((_cli(tmp_path, "tickets", "list") or {"tickets": []})["tickets"]) == 2)

    up.send_signal(signal.SIGINT)
    _, told = up.communicate(timeout=90)
    assert up.returncode == 0, told
    assert "intake was ended by SIGKILL; starting it again" in told
    assert told.rstrip().endswith("stopped")
    assert "did not stop" not in told
    assert read_run(tmp_path) is None
    assert not (tmp_path / "run.json").exists()

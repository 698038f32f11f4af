"""The supervisor: real child processes that crash, hang, and are stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from libs.runtime.clock import monotonic_s
from libs.runtime.runstate import (
    AlreadyRunning,
    RunLock,
    RunState,
    read_run,
    remove_run,
    write_run,
)
from libs.runtime.supervisor import Child, StartFailed, Supervisor, answers

SERVER = """
import http.server, signal, sys
port, notes = int(sys.argv[1]), sys.argv[2]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
def stop(*args):
    with open(notes, "a") as file: file.write(sys.argv[3] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
DEAF = "import signal\n" + SERVER.replace(
    "signal.signal(signal.SIGTERM, stop)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
)


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _server(
    name: str, tmp_path: Path, *, program: str = SERVER, stage: int = 1, stop_order: int = 0
) -> Child:
    port = _free_port()
    return Child(
        name,
        (sys.executable, "-c", program, str(port), str(tmp_path / "stopped"), name),
        dict(os.environ),
        f"http://127.0.0.1:{port}/health/ready",
        stage,
        stop_order,
    )


def _quiet(_: str) -> None:
    """For a test that does not look at what the supervisor says."""


async def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline_s = monotonic_s() + seconds
    while not condition():
        assert monotonic_s() < deadline_s, "not within the time"
        await asyncio.sleep(0.02)


@pytest.fixture
async def supervised() -> AsyncIterator[list[Supervisor]]:
    started: list[Supervisor] = []
    yield started
    for supervisor in started:
        await supervisor.stop()


def _alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_children_are_ready_after_start_and_stop_in_order(
    tmp_path: Path, supervised: list[Supervisor]
) -> None:
    children = [
        _server("broker", tmp_path, stage=0, stop_order=0),
        _server("intake", tmp_path, stop_order=1),
        _server("routing", tmp_path, stop_order=2),
    ]
    supervisor = Supervisor(children, tmp_path / "logs", _quiet)
    supervised.append(supervisor)
    await supervisor.start()
    assert [await answers(child.ready) for child in children] == [True, True, True]
    pids = supervisor.pids()
    assert all(_alive(pid) for pid in pids.values())
    await supervisor.stop()
    assert (tmp_path / "stopped").read_text().split() == ["routing", "intake", "broker"]
    assert not any(_alive(pid) for pid in pids.values())
    assert "listening" in (tmp_path / "logs" / "intake.log").read_text()


async def test_a_crashed_child_is_started_again_at_the_same_address(
    tmp_path: Path, supervised: list[Supervisor]
) -> None:
    told: list[str] = []
    changes: list[int] = []
    child = _server("intake", tmp_path)
    supervisor = Supervisor([child], tmp_path, told.append, changed=lambda: changes.append(1))
    supervised.append(supervisor)
    await supervisor.start()
    first = supervisor.pids()["intake"]
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await _until(lambda: supervisor.pids()["intake"] not in (None, first))
    deadline_s = monotonic_s() + 20
    while not await answers(child.ready):
        assert monotonic_s() < deadline_s
    assert supervisor.restarts() == {"intake": 1}
    assert told == ["intake was ended by SIGKILL; starting it again in 0.2 s"]
    assert len(changes) == 3


async def test_a_child_that_always_crashes_fails_the_start_with_its_last_words(
    tmp_path: Path, supervised: list[Supervisor]
) -> None:
    good = _server("broker", tmp_path, stage=0)
    bad = Child(
        "intake",
        (sys.executable, "-c", "import sys; sys.exit('the database is on holiday')"),
        dict(os.environ),
        f"http://127.0.0.1:{_free_port()}/",
    )
    supervisor = Supervisor([good, bad], tmp_path, _quiet)
    supervised.append(supervisor)
    with pytest.raises(StartFailed, match="again and again") as caught:
        await supervisor.start()
    assert "the database is on holiday" in str(caught.value)
    assert supervisor.pids() == {"broker": None, "intake": None}


async def test_a_program_that_does_not_exist_fails_the_start(
    tmp_path: Path, supervised: list[Supervisor]
) -> None:
    child = Child("intake", ("/nowhere/program",), {}, f"tcp://127.0.0.1:{_free_port()}")
    supervisor = Supervisor([child], tmp_path, _quiet)
    supervised.append(supervisor)
    with pytest.raises(StartFailed, match="cannot be started"):
        await supervisor.start()


async def test_a_child_that_is_never_ready_fails_the_start(
    tmp_path: Path, supervised: list[Supervisor]
) -> None:
    idle = Child(
        "sla",
        (sys.executable, "-c", "import signal; signal.pause()"),
        dict(os.environ),
        f"http://127.0.0.1:{_free_port()}/",
    )
    supervisor = Supervisor([idle], tmp_path, _quiet, ready_timeout_s=0.5)
    supervised.append(supervisor)
    with pytest.raises(StartFailed, match=r"not ready within 0\.5 s"):
        await supervisor.start()
    assert supervisor.pids() == {"sla": None}


async def test_a_child_that_does_not_listen_to_sigterm_is_killed_after_the_grace(
    tmp_path: Path, supervised: list[Supervisor]
) -> None:
    told: list[str] = []
    supervisor = Supervisor(
        [_server("intake", tmp_path, program=DEAF)], tmp_path, told.append, grace_s=0.3
    )
    supervised.append(supervisor)
    await supervisor.start()
    pid = supervisor.pids()["intake"]
    await supervisor.stop()
    assert not _alive(pid)
    assert told == ["intake did not stop within 0.3 s; killing it"]


PARENT = """
import asyncio, sys
from pathlib import Path
from libs.runtime.supervisor import Child, Supervisor
async def main():
    child = Child("c", (sys.executable, "-c", sys.argv[1], *sys.argv[2:5]), {}, sys.argv[5])
    supervisor = Supervisor([child], Path(sys.argv[6]), print)
    await supervisor.start()
    print(supervisor.pids()["c"], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do this")
async def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    port = _free_port()
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        SERVER,
        str(port),
        str(tmp_path / "stopped"),
        "c",
        f"http://127.0.0.1:{port}/",
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 30))
    assert _alive(pid)
    parent.kill()
    await parent.wait()
    await _until((tmp_path / "stopped").exists)


def _state(**changes: object) -> RunState:
    values: dict[str, object] = {
        "pid": 1,
        "started_at": "2026-01-05T08:00:00Z",
        "bootstrap": "127.0.0.1:9092",
        "kafka": "embedded",
        "clock": "real",
        "urls": {"intake": "http://127.0.0.1:8801"},
        "database_urls": {"intake": "postgresql://u:secret@db/x"},
        "pids": {"intake": 7, "broker": None},
    }
    return RunState(**{**values, **changes})  # type: ignore[arg-type]


def test_the_run_state_is_there_while_the_lock_is_held(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    lock.acquire()
    write_run(tmp_path, _state())
    assert read_run(tmp_path) == _state()
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    lock.release()
    assert read_run(tmp_path) is None, "left behind by somebody who is gone"


def test_one_data_directory_has_one_system(tmp_path: Path) -> None:
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    first.acquire()
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_run_state_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    assert read_run(tmp_path) is None
    lock.acquire()
    assert read_run(tmp_path) is None
    (tmp_path / "run.json").write_text("{")
    assert read_run(tmp_path) is None
    (tmp_path / "run.json").write_text(json.dumps({"pid": 1}))
    assert read_run(tmp_path) is None
    write_run(tmp_path, _state())
    remove_run(tmp_path)
    remove_run(tmp_path)
    assert read_run(tmp_path) is None
    lock.release()


async def test_answers_is_false_for_what_is_not_there_or_not_ready() -> None:
    port = _free_port()
    assert not await answers(f"tcp://127.0.0.1:{port}")
    assert not await answers(f"http://127.0.0.1:{port}/health/ready")

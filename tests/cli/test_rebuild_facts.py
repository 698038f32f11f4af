"""`bitacora rebuild facts`: by a running service, and on the files of one that does not run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from libs.runtime.clock import monotonic_s
from libs.runtime.store import ServiceStore
from tests.reporting.house import fact_rows, feed, open_store, refreshed
from tests.reporting.served import ROOT, serving
from tests.reporting.streams import Desk, by_time

EVENTS = by_time(Desk(4).streams(20, events=8))


def command(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "rebuild", "facts", "--json", *arguments],
        cwd=ROOT,
        env={**os.environ, "BITACORA_DATA_DIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def wait_for_facts(url: str, tickets: int) -> None:
    deadline_s = monotonic_s() + 60
    while True:
        answer = httpx.get(f"{url}/v1/report", params={"metrics": "created"}, timeout=20)
        if answer.status_code == 200 and f'"value":{tickets}' in answer.text.replace(" ", ""):
            return
        assert monotonic_s() < deadline_s, answer.text[:500]


def test_a_running_service_makes_its_facts_anew_while_it_serves(tmp_path: Path) -> None:
    with serving(tmp_path, EVENTS) as served:
        wait_for_facts(served.url, 20)
        done = command(tmp_path, "--url", served.url)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert (report["state"], report["ok"]) == ("done", True)
        assert {table["table"]: table["live_rows"] for table in report["tables"]}["tickets"] == 20
        assert report["questions"] > 30
        assert served.api("/v1/facts/rebuild") == report
        wait_for_facts(served.url, 20)


def test_without_a_service_it_is_done_on_its_files(tmp_path: Path) -> None:
    with filled(tmp_path) as store, refreshed(store, tmp_path / "reporting.facts"):
        pass
    done = command(tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] is True
    files = [file.name for file in tmp_path.glob("reporting.facts-*.duckdb")]
    assert files == ["reporting.facts-2.duckdb"]


def test_the_files_of_a_service_that_runs_are_not_touched(tmp_path: Path) -> None:
    with serving(tmp_path, EVENTS) as served:
        wait_for_facts(served.url, 20)
        done = command(tmp_path)  # no run.json here that would name the service
        assert done.returncode == 1
        assert "--url" in done.stderr


def test_nobody_at_the_address(tmp_path: Path) -> None:
    done = command(tmp_path, "--url", "http://127.0.0.1:9")
    assert done.returncode == 3
    assert "does not answer" in done.stderr


@contextmanager
def filled(directory: Path) -> Iterator[ServiceStore]:
    with open_store(f"sqlite:///{directory}/reporting.sqlite3") as store:
        feed(store, [EVENTS])
        yield store


@pytest.mark.parametrize("when", ["loading", "refreshing", "rebuilding"])
def test_a_process_that_is_killed_leaves_facts_that_are_right_or_made_anew(
    tmp_path: Path, when: str
) -> None:
    with filled(tmp_path) as store:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path), when],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "in the middle\n"
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)
        with refreshed(store, tmp_path / "reporting.facts") as facts:
            facts.refresh()
            with refreshed(store) as right:
                assert fact_rows(facts) == fact_rows(right)
        assert len(list(tmp_path.glob("reporting.facts-*.duckdb"))) == 1


KILLED = """
import sys, time
from libs.runtime.clock import RealClock
from libs.runtime.database import Database
from services.reporting.facts import follow
from services.reporting.facts.facts import Facts
from services.reporting.views.changes import ChangesView

directory, when = sys.argv[1:]
database = Database(f"sqlite:///{directory}/reporting.sqlite3")
facts = Facts(database, f"{directory}/reporting.facts", clock=RealClock())

def stop(*_, **__):
    print("in the middle", flush=True)
    time.sleep(60)

class Stream:
    def __init__(self, stream_id):
        self.stream_id = stream_id

if when == "loading":
    follow.agent_pages = stop
    facts.refresh()
facts.refresh()
with database.transaction() as connection:
    rows = connection.exec_driver_sql("SELECT id FROM tickets").fetchall()
    ChangesView().apply(connection, [Stream(row[0]) for row in rows])
if when == "refreshing":
    follow.put_agents = stop
    facts.refresh()
follow.write_meta = stop
facts.rebuild(lambda *_: None)
"""

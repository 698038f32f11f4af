"""The servers that all test workers share, seen from a worker."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import make_url

from libs.events.topics import TOPICS

START_TIMEOUT_S: Final = 150.0
STOP_TIMEOUT_S: Final = 30.0
SESSION_PID: Final = "BITACORA_TEST_SESSION_PID"
ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = frozenset(topic.name for topic in TOPICS)


_KEEPERS: Final[list[subprocess.Popen[bytes]]] = []
"""Those that this process started: referred to until it ends."""


@dataclass(frozen=True, slots=True)
class Kafka:
    """A Kafka for one test: without topics when the test begins."""

    bootstrap: str
    embedded: bool
    broker: Any = None
    """The EmbeddedBroker, to stop, kill and start it; None for a shared Kafka."""


@dataclass(frozen=True, slots=True)
class PrometheusTools:
    """The paths of Prometheus's programs."""

    server: Path
    promtool: Path


def required(what: str) -> bool:
    return what in os.environ.get("BITACORA_TEST_REQUIRE", "").replace(" ", "").split(",")


def missing(what: str, reason: str) -> None:
    """Skip the test, or fail it where `what` is demanded."""
    if required(what):
        pytest.fail(f"{what} is demanded (BITACORA_TEST_REQUIRE): {reason}")
    pytest.skip(f"no {what}: {reason}")


def address_of(kind: str, directory: Path) -> str:
    """Where the shared server `kind` is; starts it when nobody has. Skips or fails the test."""
    given = os.environ.get(f"BITACORA_TEST_{kind.upper()}")
    if given:
        return given
    file = directory / f"{kind}.json"
    with locked(directory / f"{kind}.lock"):
        if not file.exists():
            _start_keeper(kind, directory, file)
        found = json.loads(file.read_text())
    if "address" not in found:
        missing(kind, "; ".join(found["reasons"]))
    return str(found["address"])


def _start_keeper(kind: str, directory: Path, file: Path) -> None:
    with (directory / f"{kind}.log").open("wb") as output:
        keeper = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.backends.keeper",
                kind,
                str(directory),
                os.environ[SESSION_PID],
            ],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _KEEPERS.append(keeper)
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not file.exists():
        if keeper.poll() is not None or time.monotonic() > deadline_s:
            keeper.kill()
            log = (directory / f"{kind}.log").read_text("utf-8", "replace")[-1000:]
            file.write_text(json.dumps({"reasons": [f"it did not start: {log}"], "pid": 0}))
            return
        time.sleep(0.05)


def stop_keepers(directory: Path) -> None:
    """Stop what was started for this session and wait until it is gone."""
    pids = [json.loads(file.read_text()).get("pid", 0) for file in directory.glob("*.json")]
    running = [pid for pid in pids if pid and _signal(pid, signal.SIGTERM)]
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while running and time.monotonic() < deadline_s:
        time.sleep(0.05)
        running = [pid for pid in running if _signal(pid, 0)]


def _signal(pid: int, number: int) -> bool:
    try:
        # It is our child when there are no workers: then its end must be fetched.
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def in_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run `coroutine` in a loop and a thread of its own, whatever loop this thread has."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


async def delete_topics(bootstrap: str) -> None:
    """Delete the topics that tests make, and wait until they are gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while found := [name for name in await admin.list_topics() if _is_ours(name)]:
            assert time.monotonic() < deadline_s, f"topics do not go away: {found}"
            await admin.delete_topics(found)
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


def _is_ours(topic: str) -> bool:
    return topic in OURS or topic.endswith(".parked") or topic.startswith("test")


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database that goes away afterwards."""
    url = make_url(server_url).set(drivername="postgresql")
    name = f"test_{uuid4().hex}"
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")

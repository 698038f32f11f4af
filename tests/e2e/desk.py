"""A whole system of real processes, for tests: started in a thread, talked to from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from typer.testing import CliRunner

from cli.main import app
from cli.system import Options, System
from libs.runtime.database import Database
from libs.runtime.runstate import RunState
from libs.runtime.settings import SERVICES
from tests.backends.shared import (
    address_of,
    delete_topics,
    fresh_database,
    in_thread,
    locked,
)

DEADLINE_S: Final = 60.0
POLL_S: Final = 0.05

T = TypeVar("T")
Header = tuple[str, bytes | None]
Raw = tuple[str, bytes | None, bytes | None, Sequence[Header]]
"""(topic, key, value, headers) of a message that anybody might send."""


def until(question: Callable[[], T], what: str, seconds: float = DEADLINE_S) -> T:
    """The first true answer."""
    deadline_s = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline_s, f"not within {seconds:g} s: {what}"
        time.sleep(POLL_S)


class Desk:
    """A running system; `told` is what its supervisor said."""

    def __init__(self, options: Options) -> None:
        self.told: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.system = System(options, self.told.append)
        self.http = httpx.Client(timeout=20)

    # -- its life -----------------------------------------------------------------------------

    def start(self) -> None:
        self._do(self.system.start())

    def stop(self) -> None:
        self._do(self.system.stop())
        self.http.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    @property
    def state(self) -> RunState:
        return self.system.state

    @property
    def data_dir(self) -> Path:
        return self.system.options.data_dir

    def signal(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a process of ours; returns its process id."""
        pid = until(lambda: self.state.pids[name], f"{name} runs") or 0
        os.kill(pid, number)
        return pid

    def restarted(self, name: str, pid: int) -> None:
        """Wait until another process than `pid` does the work of `name`, and is ready."""
        until(lambda: self.state.pids[name] not in (None, pid), f"{name} runs again")
        if name != "broker":
            until(lambda: self.is_ready(name), f"{name} is ready again")

    def is_ready(self, name: str) -> bool:
        try:
            return self.http.get(f"{self.state.urls[name]}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    # -- HTTP ---------------------------------------------------------------------------------

    def get(self, service: str, path: str) -> Any:
        """The JSON; None for 404, and while the service is away."""
        try:
            answer = self.http.get(f"{self.state.urls[service]}{path}")
        except httpx.TransportError:
            return None
        return None if answer.status_code in {404, 503} else answer.json()

    def send(self, service: str, method: str, path: str, actor: str = "system", **body: Any) -> Any:
        """The JSON of what must succeed."""
        answer = self.http.request(
            method,
            f"{self.state.urls[service]}{path}",
            json=body,
            headers={"X-Bitacora-Actor": actor},
        )
        assert answer.is_success, answer.text
        return answer.json()

    def create(self, subject: str, **fields: Any) -> str:
        """A new ticket; its id."""
        body = {"subject": subject, "requester": {"id": "r-1"}, **fields}
        return str(self.send("intake", "POST", "/v1/tickets", **body)["id"])

    def create_somehow(self, subject: str, key: str) -> str:
        """The same, again and again until intake answers: it may be killed meanwhile."""

        def attempt() -> str | None:
            try:
                answer = self.http.post(
                    f"{self.state.urls['intake']}/v1/tickets",
                    json={"subject": subject, "requester": {"id": "r-1"}},
                    headers={"Idempotency-Key": key},
                )
            except httpx.TransportError:
                return None
            return str(answer.json()["id"]) if answer.is_success else None

        return until(attempt, f"intake takes {subject!r}") or ""

    def history(self, ticket: str) -> list[dict[str, Any]]:
        found = self.get("intake", f"/v1/tickets/{ticket}/history")
        return list(found["events"]) if found else []

    def types(self, ticket: str) -> list[str]:
        """The names of the ticket's events, without prefix and version."""
        return [event["type"].split(".")[1] for event in self.history(ticket)]

    def reported(self, ticket: str) -> dict[str, Any]:
        """What reporting knows of a ticket; empty while it knows nothing."""
        return self.get("reporting", f"/v1/tickets/{ticket}") or {}

    def await_reported(self, tickets: Sequence[str]) -> None:
        """Wait until reporting has each of these as far as intake has it."""
        for ticket in tickets:
            length = len(self.history(ticket))
            until(
                lambda ticket=ticket, length=length: (  # type: ignore[misc]
                    self.reported(ticket).get("sequence", 0) >= length
                ),
                f"reporting has {length} events of {ticket}",
            )

    # -- the command line -----------------------------------------------------------------------

    def cli(self, *arguments: str) -> Any:
        """The JSON that a `bitacora` command prints; it must succeed."""
        done = CliRunner().invoke(app, [*arguments, "--data-dir", str(self.data_dir), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def parked(self, service: str) -> list[dict[str, Any]]:
        return list(self.cli("parked", "list", "--service", service, "--limit", "1000")["parked"])

    def verified(self) -> dict[str, Any]:
        """`bitacora verify`, all green; the checks by name. Events may still be on their way
        when it is asked, so it is asked until nothing moves."""
        checks: dict[str, Any] = {}

        def green() -> bool:
            done = CliRunner().invoke(app, ["verify", "--data-dir", str(self.data_dir), "--json"])
            checks.update({c["name"]: c for c in json.loads(done.stdout)["checks"]})
            return all(check["state"] == "ok" for check in checks.values())

        try:
            until(green, "bitacora verify is green", 45)
        except AssertionError:
            bad = [check for check in checks.values() if check["state"] != "ok"]
            raise AssertionError(f"{json.dumps(bad, indent=1)}\n{self.told}") from None
        return checks

    # -- below ----------------------------------------------------------------------------------

    @contextmanager
    def database(self, service: str) -> Iterator[Database]:
        database = Database(self.state.database_urls[service], pool_size=1)
        try:
            yield database
        finally:
            database.close()

    def ask(self, service: str, query: str) -> list[Any]:
        """The rows of a query on a service's own database."""
        with self.database(service) as database, database.reading() as connection:
            return list(connection.execute(text(query)))

    def produce(self, messages: Sequence[Raw]) -> None:
        """Send messages as a foreign producer would."""
        in_thread(produce(self.state.bootstrap, messages))


async def produce(bootstrap: str, messages: Sequence[Raw]) -> None:
    sender = AIOKafkaProducer(
        bootstrap_servers=bootstrap, max_request_size=2_000_000, enable_idempotence=False
    )
    await sender.start()
    try:
        for topic, key, value, headers in messages:
            await sender.send_and_wait(topic, value, key=key, headers=list(headers))
    finally:
        await sender.stop()


@contextmanager
def running(options: Options) -> Iterator[Desk]:
    """A desk from start to stop; nothing of it is left."""
    desk = Desk(options)
    desk.start()
    try:
        yield desk
    finally:
        desk.stop()


@contextmanager
def databases_of_their_own(server_url: str) -> Iterator[None]:
    """Every service that is started meanwhile gets a new, empty PostgreSQL database."""
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        for service in SERVICES:
            url = stack.enter_context(fresh_database(server_url))
            environment.setenv(f"BITACORA_{service.upper()}_DATABASE_URL", url)
        yield


@contextmanager
def shared_kafka(backends: Path) -> Iterator[str]:
    """The shared Apache Kafka, without topics, for whoever is inside alone."""
    bootstrap = address_of("kafka", backends)
    with locked(backends / "kafka.turn"):
        in_thread(delete_topics(bootstrap))
        yield bootstrap

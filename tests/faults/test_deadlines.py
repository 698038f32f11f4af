"""SLA processes killed across deadlines: one breach for each clock, at its true instant.

The clock runs 600 times as fast: the first reply to a critical ticket is due after a second and a
half, and a killed process is back, with its partitions, after several. So deadlines pass while nobody
is there, and others while it is firing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import pytest

from cli.system import Options
from libs.events import EVENTS, parse_time
from libs.events.sla import SlaBreached, SlaWarning
from libs.runtime.clock import AcceleratedClock, RealClock
from libs.runtime.localserver import free_port
from libs.runtime.mapper import envelope_of
from tests.backends.shared import ROOT
from tests.e2e.desk import Desk, databases_of_their_own, running, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults-deadlines"),
]

RATE: Final = 600.0
MONDAY: Final = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
FIRST_REPLY: Final = timedelta(minutes=15)


@contextmanager
def fast_desk(data_dir: Path) -> Iterator[Desk]:
    clock = str(AcceleratedClock(MONDAY, RealClock().now(), RATE))
    with running(Options(data_dir=data_dir, clock=clock, port_base=0)) as desk:
        yield desk


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with ExitStack() as stack:
        if request.param == "postgres":
            server = request.getfixturevalue("postgres_server")
            stack.enter_context(databases_of_their_own(server))
        yield stack.enter_context(fast_desk(tmp_path))


def more(desk: Desk, count: int) -> dict[str, datetime]:
    """New critical tickets: id → the instant at which the first reply is due."""
    made = [desk.create(f"deadline {number}", priority="critical") for number in range(count)]
    return {ticket: parse_time(desk.history(ticket)[0]["time"]) + FIRST_REPLY for ticket in made}


def said(desk: Desk) -> list[tuple[datetime, SlaBreached | SlaWarning]]:
    """Every breach and warning, in order, each with when it was recorded."""
    found = []
    query = (
        "SELECT type, stream_id, sequence, position, meta, data FROM outbox"
        " WHERE topic = 'sla.events' ORDER BY position"
    )
    for row in desk.ask("sla", query):
        if row.type in {SlaBreached.TYPE, SlaWarning.TYPE}:
            envelope = envelope_of(
                source="",
                type_name=row.type,
                stream_id=row.stream_id,
                sequence=row.sequence,
                position=row.position,
                meta=row.meta,
                data=row.data,
            )
            found.append((envelope.recorded_time, EVENTS.decode(row.type, row.data)))
    return found


def breached(desk: Desk) -> dict[str, datetime]:
    """The first replies that were missed: ticket → instant."""
    return {
        event.ticket_id: event.due
        for _, event in said(desk)
        if isinstance(event, SlaBreached) and event.metric == "first_reply"
    }


def await_breaches(desk: Desk, due: dict[str, datetime], what: str) -> None:
    """Wait until every one of these first replies was missed."""
    until(lambda: set(due) <= set(breached(desk)), what)


def check(desk: Desk, due: dict[str, datetime]) -> None:
    """Every first reply is missed, once, at its instant; nothing is said twice or too early."""
    facts = said(desk)
    assert breached(desk) == due
    told = Counter(
        (event.ticket_id, event.metric, event.TYPE, getattr(event, "fraction", None))
        for _, event in facts
    )
    assert set(told.values()) == {1}, told.most_common(3)
    for recorded, event in facts:
        assert recorded >= (event.due if isinstance(event, SlaBreached) else event.at)


def test_a_killed_process_states_on_return_what_fell_due_meanwhile(desk: Desk) -> None:
    due = more(desk, 10)
    pid = desk.signal("sla")
    due |= more(desk, 10)
    desk.restarted("sla", pid)
    due |= more(desk, 10)
    until(lambda: len(breached(desk)) >= 12, "it is firing")
    pid = desk.signal("sla")
    due |= more(desk, 5)
    desk.restarted("sla", pid)
    await_breaches(desk, due, "every first reply is missed")
    pid = desk.signal("sla")
    desk.restarted("sla", pid)
    one_more = more(desk, 1)
    await_breaches(desk, one_more, "the next one is missed, too")
    check(desk, due | one_more)
    desk.verified()


@contextmanager
def second_process(desk: Desk) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Another SLA process on the same database and group, and its address; ready."""
    port = free_port()
    environment = {
        **desk.system._environment("sla", port, desk.state.database_urls["sla"]),
        "BITACORA_KAFKA_BOOTSTRAP_SERVERS": desk.state.bootstrap,
        "BITACORA_KAFKA_EMBEDDED": "true",
    }
    url = f"http://127.0.0.1:{port}"
    with (desk.data_dir / "logs" / "sla-2.log").open("wb") as log:
        command = [sys.executable, "-m", "services.sla"]
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=log)

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/health/ready").is_success
        except httpx.TransportError:
            return False

    try:
        until(ready, "the second process is ready")
        yield process, url
    finally:
        process.kill()
        process.wait()


def fired(url: str) -> float:
    """How many warnings and breaches this process has stated."""
    name = "bitacora_timer_lateness_seconds_count "
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.mark.postgres
def test_two_processes_share_the_timers_and_one_takes_over(
    postgres_server: str, tmp_path: Path
) -> None:
    with databases_of_their_own(postgres_server), fast_desk(tmp_path) as desk:
        due = more(desk, 6)
        with second_process(desk) as (second, url):
            while not fired(url):  # until the group has given it partitions, the first has them all
                due |= more(desk, 6)
                await_breaches(desk, due, "what falls due is stated")
            before = fired(desk.state.urls["sla"])
            due |= more(desk, 12)
            await_breaches(desk, due, "both fire")
            assert fired(desk.state.urls["sla"]) > before
            due |= more(desk, 12)
            os.kill(second.pid, signal.SIGKILL)
            due |= more(desk, 6)
            await_breaches(desk, due, "the first one takes over")
        check(desk, due)

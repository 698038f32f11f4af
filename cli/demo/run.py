"""One run: start the system, let the desk work, wait until all is settled, verify, sum up, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import psutil
from rich.console import Console

from cli.demo import agents, plan, requesters
from cli.demo.api import Api, by_status
from cli.demo.live import LiveView
from cli.demo.people import STAFF, ZONE
from cli.demo.settle import settle
from cli.demo.simtime import Crowd, SimTime
from cli.demo.summary import Summary
from cli.demo.watch import Watch
from cli.demo.world import World
from cli.output import CommandError, UsageError, say
from cli.system import Options, System
from cli.verify import run_checks
from libs.events import format_time
from libs.runtime.clock import AcceleratedClock, RealClock, monotonic_s
from libs.runtime.settings import SERVICES
from libs.runtime.supervisor import answers

BEGIN: Final = datetime(2026, 3, 2, 8, 30, tzinfo=ZONE)
"""A Monday morning; always the same one, so that a seed means the same day."""
LEAD_IN_S: Final = 5.0
LEAD_IN_PER_LOAD_S: Final = 1.5
LEAD_IN_APACHE_S: Final = 6.0
LEAD_IN_S_MAX: Final = 25.0
"""Real seconds until the desk opens, in which the services should be ready; more on a machine that has
other work (per process that waits for a processor). If they take longer, the first requests wait in
the post."""
LATE: Final = timedelta(minutes=30)
DESK_OPEN_S_MIN: Final = 15.0
SETTLE_S_MAX: Final = 25.0
CHAOS_LOOK_MIN: Final = 3.0
SPOKEN_EVERY_S: Final = 10.0
CHAOS_S: Final = 120.0
"""Over how long the services are killed in a run without an end."""


class Stopped(CommandError):
    """Somebody pressed Ctrl-C before there was anything to sum up."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """`wall_s`: real seconds for which the desk is open, None: until Ctrl-C. `until`: or until this
    simulated instant. `close_by_s`: closed at the latest so many real seconds after the command was
    given, however long the start took. `live`: draw on the terminal."""

    seed: int
    rate: float
    system: Options
    wall_s: float | None = None
    until: datetime | None = None
    close_by_s: float | None = None
    chaos: bool = False
    live: bool = False


@dataclass(slots=True)
class Run:
    """`stop` may be set at any time: then the desk closes, and the rest follows as usual."""

    wishes: Wishes
    stop: asyncio.Event
    began_s: float = field(default_factory=lambda: monotonic_s() - _age_s())
    killed: list[str] = field(default_factory=list)

    async def __call__(self) -> Summary:
        """Raises what System.start raises, Stopped, and other CommandErrors."""
        wishes = self.wishes
        epoch = RealClock().now() + timedelta(seconds=_lead_in_s(wishes.system.kafka))
        clock = AcceleratedClock(BEGIN, epoch, wishes.rate)
        system = System(_with_clock(wishes.system, clock), say)
        say(f"starting the services; one second will be {wishes.rate / 60:.1f} simulated minutes …")
        try:
            await self._start(system)
            start_s = monotonic_s() - self.began_s
            if clock.now() > BEGIN + LATE:
                local = clock.now().astimezone(ZONE)
                say(
                    f"the start took {start_s:.0f} s, so the desk opens at {local:%H:%M} only, "
                    f"with everything that came since {BEGIN:%H:%M} in the post"
                )
            summary = await self._on(system, clock)
            summary.start_seconds = round(start_s, 1)
        finally:
            await system.stop()
        summary.wall_seconds = round(monotonic_s() - self.began_s, 1)
        return summary

    async def _start(self, system: System) -> None:
        starting = asyncio.create_task(system.start())
        stopping = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                raise Stopped("stopped before the desk was open")
            await starting
        finally:
            stopping.cancel()
            starting.cancel()
            await asyncio.wait([starting, stopping])

    async def _on(self, system: System, clock: AcceleratedClock) -> Summary:
        state = system.state
        api, watch = Api(state.urls), Watch(state.bootstrap)
        time, crowd = SimTime(clock), Crowd()
        world = World(time, api, crowd)
        try:
            await _refuse_used(api)
            dashboard = f"{state.urls['reporting']}/"
            say(f"dashboard: {dashboard}")
            async with _beside(watch.run()), self._shown(world, watch, dashboard):
                await self._work(world, system)
                ended = time.now()
                say("the desk is closed; waiting until everything has settled …")
                left = await settle(api, state.database_urls, timeout_s=SETTLE_S_MAX)
            summary = Summary(
                self.wishes.seed,
                self.wishes.rate,
                format_time(BEGIN),
                format_time(ended),
                unsettled="" if left.settled else str(left),
                killed=self.killed,
            )
            summary.take_checks(await run_checks(system.options.data_dir, system.state))
            # The watch goes on from where it stood, up to what was verified.
            await watch.catch_up()
            summary.take_watch(watch)
            await _ask_services(summary, world)
            summary.restarts = _restarts(system, summary, self.killed)
            summary.take_calls(api.calls)
            summary.judge(interrupted=self.stop.is_set())
            return summary
        finally:
            await api.close()

    # -- the desk's day -----------------------------------------------------------------------

    async def _work(self, world: World, system: System) -> None:
        staff = {agent.id: agent for agent in STAFF}
        random = Random(self.wishes.seed)
        victims = random.sample(SERVICES, len(SERVICES))
        async with world.crowd as crowd:
            await asyncio.gather(*(agents.register(world, agent) for agent in STAFF))
            crowd.start(requesters.arrive(world, plan.requests(random, BEGIN)))
            for agent in STAFF:
                crowd.start(agents.life(world, agent))
            crowd.start(agents.lead(world, staff))
            if self.wishes.chaos:
                crowd.start(self._kill(world, system, victims))
            await self._until_the_end(world)
            world.time.close()

    async def _until_the_end(self, world: World) -> None:
        """While it waits, it says now and then how things are."""
        open_s, spoken_s = self._open_s(world), monotonic_s()
        end_s = None if open_s is None else monotonic_s() + open_s
        while not self.stop.is_set() and (end_s is None or monotonic_s() < end_s):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), 0.1)
            if not self.wishes.live and monotonic_s() - spoken_s >= SPOKEN_EVERY_S:
                spoken_s = monotonic_s()
                local = world.time.now().astimezone(ZONE)
                say(
                    f"{local:%A %H:%M}: {len(world.cases)} tickets so far, "
                    f"{len(world.busy)} of {len(world.at_work)} agents busy"
                )

    def _open_s(self, world: World) -> float | None:
        """Real seconds from now to the end; None: until Ctrl-C."""
        wishes = self.wishes
        if wishes.until is not None:
            return max(0.0, (wishes.until - world.time.now()).total_seconds() / wishes.rate)
        if wishes.wall_s is None:
            return None
        early_s = max(0.0, (BEGIN - world.time.now()).total_seconds() / wishes.rate)
        open_s = early_s + wishes.wall_s
        if wishes.close_by_s is not None:
            left_s = wishes.close_by_s - (monotonic_s() - self.began_s)
            open_s = min(open_s, max(left_s, early_s + DESK_OPEN_S_MIN))
        return open_s

    async def _kill(self, world: World, system: System, victims: list[str]) -> None:
        """SIGKILL for one service after the other, in the middle half of the run; each only when the
        one before it works again."""
        state, time = system.state, world.time
        open_s, began_s = self._open_s(world) or CHAOS_S, monotonic_s()
        for place, name in enumerate(victims):
            due_s = began_s + open_s * (0.25 + 0.5 * place / len(victims))
            await time.pause((due_s - monotonic_s()) * self.wishes.rate / 60)
            pid = system.state.pids.get(name)
            if pid is None:
                continue
            say(f"chaos: killing {name} (process {pid})")
            os.kill(pid, signal.SIGKILL)
            self.killed.append(name)
            while system.state.pids.get(name) in (pid, None) or not await answers(
                f"{state.urls[name]}/health/ready"
            ):
                await time.pause(CHAOS_LOOK_MIN)

    @contextlib.asynccontextmanager
    async def _shown(self, world: World, watch: Watch, dashboard: str) -> AsyncIterator[None]:
        if not self.wishes.live:
            yield
            return
        staff = {agent.id: agent for agent in STAFF}
        view = LiveView(Console(stderr=True), world, watch, staff, dashboard)
        async with _beside(view.run()):
            yield


@contextlib.asynccontextmanager
async def _beside(doing: Any) -> AsyncIterator[None]:
    """Do it until the block ends."""
    task = asyncio.create_task(doing)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _age_s() -> float:
    """Real seconds since this process was started: loading the libraries counts too."""
    return max(0.0, RealClock().now().timestamp() - float(psutil.Process().create_time()))


def _lead_in_s(kafka: str) -> float:
    own_s = LEAD_IN_S + (LEAD_IN_APACHE_S if kafka == "local" else 0.0)
    return min(own_s + LEAD_IN_PER_LOAD_S * load_per_cpu(), LEAD_IN_S_MAX)


def _with_clock(options: Options, clock: AcceleratedClock) -> Options:
    return Options(
        options.data_dir,
        options.kafka,
        options.database,
        str(clock),
        options.port_base,
        # Closed tickets, and what follows them, are to be seen within a day.
        {"BITACORA_INTAKE_CLOSE_AFTER_HOURS": "3", **options.environment},
    )


async def _refuse_used(api: Api) -> None:
    ledger = await api.get("intake", "/v1/ledger")
    people = await api.get("routing", "/v1/agents", limit=1)
    if not ledger.ok or not people.ok:
        raise CommandError(f"the services do not answer: {'; '.join(api.calls.unexpected)}")
    if ledger.body["total"]["received"] or people.body["total"]:
        raise UsageError(
            "there is work in this system already; the demo needs empty files: leave --data-dir and"
            " --database away, or name others"
        )


async def _ask_services(summary: Summary, world: World) -> None:
    """What the services themselves say about the day; and is everything there that was promised?"""
    api, ids = world.api, list(world.cases)
    figures = await api.get(
        "reporting", "/v1/report", metrics="created,first_replies", by="status", fresh="true"
    )
    if figures.ok:
        summary.tickets = by_status(figures)
        rows = figures.body["rows"]
        summary.first_replies = sum(row["cells"][1]["value"] for row in rows)
    ledger = await api.get("intake", "/v1/ledger")
    if ledger.ok:
        summary.ledger = {k: v for k, v in ledger.body["total"].items() if isinstance(v, int)}
    summary.acknowledged = len(ids)
    found: set[str] = set()
    for start in range(0, len(ids), 1_000):
        body = {"ids": ids[start : start + 1_000]}
        answer = await api.send("POST", "intake", "/v1/tickets/batch-get", body, actor="system")
        found |= {ticket["id"] for ticket in answer.body.get("tickets", ())}
    missing = set(ids) - found
    if missing:
        some = ", ".join(sorted(missing)[:3])
        summary.problems.append(f"{len(missing)} acknowledged tickets are gone: {some}")


def _restarts(system: System, summary: Summary, killed: list[str]) -> dict[str, int]:
    counted = system.supervisor.restarts() if system.supervisor is not None else {}
    restarts = {name: number for name, number in counted.items() if number}
    for name, number in restarts.items():
        if number > killed.count(name):
            summary.problems.append(f"{name} crashed by itself; see its log")
    return restarts


def load_per_cpu() -> float:
    """How many processes wanted each processor in the last minute."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def log_dir(data_dir: Path) -> Path:
    """Where the services' logs are."""
    return data_dir / "logs"

"""The SLA service's store, handler and timers in one process, without Kafka: for `bench.sla_timers`.

`python -m bench.timers_desk STEP PLAN.json` does one step and prints one JSON object for each figure.
Its clock shows any instant that the plan wants, and runs as fast as the real one.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import psutil
import uuid_utils
from sqlalchemy import Connection, func, select

from bench.harness import MB, now_s, percentile
from libs.events import Channel, Event, EventEnvelope, Priority
from libs.events import ticket as t
from libs.events.sla import SlaBreached
from libs.events.topics import SLA_EVENTS
from libs.runtime.database import Database
from libs.runtime.outbox import Outgoing
from libs.runtime.share import WHOLE
from libs.runtime.store import ServiceStore
from libs.worktime.instants import FIRST_US
from services.sla import store as s
from services.sla.handlers import TicketEvents
from services.sla.timers.table import timers
from services.sla.timers.task import Timers

TARGET: Final = timedelta(minutes=15)
POLL_EVENTS: Final = 500
STRANDS: Final = 4
ACTOR: Final = "agent:7"
QUIET_S: Final = 1.0

_PRIORITIES: Final = ("low", "medium", "high", "critical")
_MINUTES: Final = {"low": 15, "medium": 15, "high": 20, "critical": 15}
POLICY: Final[dict[str, Any]] = {
    "id": "bench",
    "when": {},
    "warn_at": [],
    "targets": {
        "first_reply": {
            priority: {"target_s": _MINUTES[priority] * 60, "calendar": "always"}
            for priority in _PRIORITIES
        },
        "requester_wait": {
            priority: {"target_s": 30 * 86_400, "calendar": "always"} for priority in _PRIORITIES
        },
    },
    "on_breach": {"first_reply": ["escalate"]},
}
"""Two clocks for every ticket. A breach of the one is stated, and asks for an escalation: the most
that firing a timer can have to do. The other one lives on."""


@dataclass(frozen=True, slots=True)
class Shifted:
    """The real clock, `offset` away."""

    offset: timedelta = timedelta()
    rate: float = 1.0

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


@dataclass(frozen=True, slots=True)
class Window:
    """Breaches that fall due evenly over `seconds` from `start`."""

    start: datetime
    seconds: float
    count: int

    def due(self) -> Iterator[datetime]:
        for number in range(self.count):
            yield self.start + timedelta(seconds=self.seconds * number / self.count)


class Desk:
    """One process of the service on `url`, with whatever clock."""

    def __init__(self, url: str, clock: Shifted) -> None:
        self.clock = clock
        self.store = ServiceStore(Database(url), s.metadata(), source="/bitacora/sla", clock=clock)
        self.books = s.Books()
        self.late_s: list[float] = []
        self.timers = Timers(
            self.store,
            clock,
            self.books,
            caught_up=_at_once,
            share=lambda: WHOLE,
            stated=self.late_s.extend,
        )
        self.handler = TicketEvents(self.books, armed=self.timers.armed)

    def create(self) -> None:
        self.store.create_tables()
        self.store.write_now(lambda connection, _: s.seed(connection))
        self.store.write_now(self._put_policy)

    def _put_policy(self, connection: Connection, _: Outgoing) -> None:
        s.put_policies(connection, self.books.read(connection), [POLICY], FIRST_US)

    def apply(self, envelopes: Sequence[EventEnvelope]) -> float:
        """Apply them as polls would; the seconds that it took."""
        begun_s = now_s()
        for start in range(0, len(envelopes), POLL_EVENTS):
            self._poll(envelopes[start : start + POLL_EVENTS])
        return now_s() - begun_s

    def _poll(self, envelopes: Sequence[EventEnvelope]) -> None:
        self.store.write_now(lambda c, outgoing: self.handler.apply(c, envelopes, outgoing))

    def count(self) -> int:
        """The timers in the table: one for each clock that lives."""
        with self.store.database.reading() as connection:
            return int(connection.scalar(select(func.count()).select_from(timers)) or 0)

    def some(self, count: int) -> list[str]:
        """The tickets whose first reply is due last."""
        query = (
            select(timers.c.ticket_id)
            .where(timers.c.metric == "first_reply")
            .order_by(timers.c.at_us.desc())
            .limit(count)
        )
        with self.store.database.reading() as connection:
            return list(connection.scalars(query))


async def _at_once() -> None:
    """There is no Kafka to catch up with."""


# -- steps -----------------------------------------------------------------------------------------


def load(plan: dict[str, Any]) -> None:
    """Create the tickets, through the handler, in polls."""
    desk = Desk(plan["url"], Shifted())
    desk.create()
    due = [instant for window in windows(plan) for instant in window.due()]
    due += [due[-1] + timedelta(days=1)] * plan["changes"]
    due = _as_created(due)
    seconds = 0.0
    for start in range(0, len(due), POLL_EVENTS):
        tickets = [
            _event(str(uuid_utils.uuid7()), 1, instant - TARGET, CREATED)
            for instant in due[start : start + POLL_EVENTS]
        ]
        seconds += desk.apply(tickets)
    tell(tickets=len(due), clocks=desk.count(), seconds=seconds, rss_mb=rss_mb())
    desk.store.close()


def fire(plan: dict[str, Any]) -> None:
    """Let the timers run through each window, from two seconds before the first."""
    every = windows(plan)
    desk = Desk(plan["url"], _clock_at(every[0].start - timedelta(seconds=2)))
    asyncio.run(_fire(desk, every, plan["patience_s"], says_begun="says_begun" in plan))
    desk.store.close()


async def _fire(
    desk: Desk, every: Sequence[Window], patience_s: float, *, says_begun: bool
) -> None:
    task = asyncio.create_task(desk.timers.run())
    used = psutil.Process()
    for window in every:
        await _until(desk, window.start - timedelta(seconds=0.5), task)
        if says_begun:
            tell(begun=True)
        desk.late_s.clear()
        cpu, live = _cpu_s(used), window.count
        begun_s = now_s()
        end_s = begun_s + window.seconds + patience_s
        while len(desk.late_s) < window.count and now_s() < end_s and not task.done():
            await asyncio.sleep(0.05)
        late_ms = [seconds * 1e3 for seconds in desk.late_s]
        tell(
            per_s=window.count / window.seconds,
            due=live,
            fired=len(late_ms),
            seconds=now_s() - begun_s,
            cores=(_cpu_s(used) - cpu) / (now_s() - begun_s),
            **spread_ms(late_ms),
            rss_mb=rss_mb(),
        )
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _until(desk: Desk, instant: datetime, task: asyncio.Task[None]) -> None:
    while desk.clock.now() < instant:
        if task.done():
            task.result()
        await asyncio.sleep(0.05)


def change(plan: dict[str, Any]) -> None:
    """What usually becomes of a timer: it is put off by a new priority, then an answer cancels it."""
    desk = Desk(plan["url"], _clock_at(windows(plan)[0].start - timedelta(hours=1)))
    ids = desk.some(plan["changes"])
    at = windows(plan)[0].start - timedelta(minutes=10)
    raised = t.PriorityChanged(priority=Priority.HIGH, previous=Priority.MEDIUM)
    for name, number, event in (("rescheduled", 2, raised), ("cancelled", 3, REPLY)):
        seconds = desk.apply([_event(one, number, at, event, ACTOR) for one in ids])
        tell(what=name, events=len(ids), per_s=len(ids) / seconds)
    desk.store.close()


def recover(plan: dict[str, Any]) -> None:
    """Begin again after a kill: seconds from the start of the process."""
    born_s = psutil.Process().create_time()
    desk = Desk(plan["url"], _clock_at(datetime.fromisoformat(plan["at"])))
    opened_s = time.time() - born_s
    asyncio.run(_recover(desk, born_s, opened_s))
    desk.store.close()


async def _recover(desk: Desk, born_s: float, opened_s: float) -> None:
    task = asyncio.create_task(desk.timers.run())
    first_s, done_s, fired, quiet_s = 0.0, 0.0, 0, now_s()
    while now_s() - quiet_s < QUIET_S:
        await asyncio.sleep(0.002)
        if len(desk.late_s) != fired:
            fired, quiet_s = len(desk.late_s), now_s()
            done_s = time.time() - born_s
            first_s = first_s or done_s
    task.cancel()
    tell(opened_s=opened_s, first_s=first_s, all_s=done_s, overdue=fired, rss_mb=rss_mb())


def check(plan: dict[str, Any]) -> None:
    """What was stated, counted in the outbox."""
    desk = Desk(plan["url"], Shifted())
    rows = desk.store.outbox.rows.c
    query = select(func.count(), func.count(rows.stream_id.distinct())).where(
        rows.topic == SLA_EVENTS, rows.type == SlaBreached.TYPE
    )
    with desk.store.database.reading() as connection:
        breaches, tickets = connection.execute(query).one()
    due = sum(window.count for window in windows(plan))
    tell(breaches=breaches, tickets=tickets, due=due)
    desk.store.close()


# -- parts -----------------------------------------------------------------------------------------

CREATED: Final = t.TicketCreated(
    number=1, subject="Printer on fire", requester=t.Requester(id="r1"), channel=Channel.EMAIL
)
REPLY: Final = t.MessageAdded(
    message_id="m",
    author="agent",
    author_id="7",
    visibility="public",
    body="On it",
    channel=Channel.EMAIL,
)


def _as_created(due: list[datetime]) -> list[datetime]:
    """The order in which tickets of STRANDS priorities come in that fall due in this order: those of
    one priority in the same order, those of another an eighth of all tickets earlier or later."""
    shift = len(due) // 8
    strands = []
    for number in range(STRANDS):
        strand = due[number::STRANDS]
        turn = number * shift // STRANDS
        strands.append(strand[turn:] + strand[:turn])
    return [one for row in zip_longest(*strands) for one in row if one is not None]


def windows(plan: dict[str, Any]) -> list[Window]:
    return [
        Window(datetime.fromisoformat(one["start"]), one["seconds"], one["count"])
        for one in plan["windows"]
    ]


def spread_ms(late_ms: Sequence[float]) -> dict[str, float]:
    if not late_ms:
        return {}
    named = {"p50_ms": 50.0, "p99_ms": 99.0, "p999_ms": 99.9, "max_ms": 100.0}
    return {name: percentile(late_ms, per_cent) for name, per_cent in named.items()} | {
        "min_ms": min(late_ms)
    }


def rss_mb() -> float:
    return float(psutil.Process().memory_info().rss / MB)


def tell(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _clock_at(instant: datetime) -> Shifted:
    return Shifted(instant - datetime.now(UTC))


def _event(
    ticket_id: str, sequence: int, at: datetime, event: Event, actor: str = "system"
) -> EventEnvelope:
    """As it comes decoded from a poll."""
    return EventEnvelope(
        source="/bitacora/intake",
        type=event.TYPE,
        stream_id=ticket_id,
        sequence=sequence,
        position=sequence,
        time=at,
        recorded_time=at,
        actor=actor,
        correlation_id="bench",
        causation_id="",
        previous_hash="",
        hash="",
        data=b"",
        _event=event,
    )


STEPS: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    "load": load,
    "fire": fire,
    "change": change,
    "recover": recover,
    "check": check,
}

if __name__ == "__main__":
    gc.set_threshold(50_000, 20, 50)  # as the services do
    STEPS[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text("utf-8")))

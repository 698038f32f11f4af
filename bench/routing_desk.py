"""A desk of any size for `routing_decisions`: agents who are busy, and tickets that wait.

Run as a process of its own, so that its memory can be told: `python -m bench.routing_desk PLAN.json`
prints one JSON object. A plan: agents, waiting, decisions, seed, store ("" the floor alone, else the
URL of an empty database).

Thirty categories in three languages on three tiers make about a hundred kinds of needs. Every agent
knows two to six categories and one or two languages and holds as much as fits; a twentieth of them
serve only a category of which nothing waits, and have room. Decisions alternate: somebody solves a
ticket and pulls the next one; a ticket comes, and is given or put in line.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
from sqlalchemy import Connection, MetaData

from bench.harness import MB, now_s, percentile
from libs.events import CommandEnvelope, Event, EventEnvelope, decode_command
from libs.events import ticket as t
from libs.events.base import Channel, Priority, Status
from libs.events.commands import AssignTicket
from libs.events.topics import TICKETS_COMMANDS
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.outbox import Outgoing, RawMessage
from libs.runtime.store import ServiceStore
from services.routing.domain.agent import Agent
from services.routing.domain.floor import Floor
from services.routing.domain.rules import RoutingRules, VersionedRules
from services.routing.domain.work import Work
from services.routing.handlers import RoutingHandler
from services.routing.store import Desk

START: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
CATEGORIES: Final = tuple(f"category {number}" for number in range(30))
RARE: Final = "category 30"
LANGUAGES: Final = ("en", "de", "es")
PRIORITIES: Final = tuple(Priority)
RULES: Final = RoutingRules()
WARM_UP: Final = 400
POLL: Final = 100


@dataclass(frozen=True, slots=True)
class Timed:
    """One decision: wall and processor seconds, and the tickets that were given out."""

    seconds: float
    cpu: float
    given: list[str]


class World:
    """Seeded: the same plan makes the same desk."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.chance = random.Random(plan["seed"])
        self.agents = [self._agent(number) for number in range(plan["agents"])]
        self.numbers = iter(range(1, 10**9))
        self.held = list(self._held())
        self.waiting = [self.ticket(START) for _ in range(plan["waiting"])]
        self.order: list[str] = []
        self.now = START

    def ticket(self, at: datetime, *, rare: bool = False) -> Work:
        """A new one, which nobody has."""
        number = next(self.numbers)
        category = RARE if rare else self.chance.choice(CATEGORIES)
        return Work(
            id=f"{number:08d}-0000-4000-8000-000000000000",
            sequence=1,
            number=number,
            priority=self.chance.choice(PRIORITIES),
            category=category,
            language=self.chance.choice(LANGUAGES),
            channel=Channel.EMAIL,
            tier=1 if category < "category 2" or rare else self.chance.choice((1, 1, 1, 2)),
            eligible_since=at,
            waiting_since=at,
        )

    def _agent(self, number: int) -> Agent:
        categories = self.chance.sample(CATEGORIES, self.chance.randint(2, 6))
        idle = number % 20 == 19
        return Agent(
            id=f"agent-{number:05d}",
            sequence=1,
            name=f"Agent {number}",
            skills={RARE: 5} if idle else {c: self.chance.randint(1, 10) for c in categories},
            languages=LANGUAGES if idle else tuple(self.chance.sample(LANGUAGES, 2)),
            tiers=self.chance.choice(((1,), (1,), (1, 2), (2, 3))) if not idle else (1,),
            capacity=10 if idle else self.chance.randint(3, 6),
            presence="online",
            presence_since=START,
        )

    def _held(self) -> Iterator[Work]:
        for agent in self.agents:
            if RARE not in agent.skills:
                for _ in range(agent.capacity):
                    yield self.held_by(self.ticket(START), agent.id)

    @staticmethod
    def held_by(work: Work, agent: str) -> Work:
        return replace(work, agent=agent, status=Status.OPEN)


class OnFloor:
    """The floor alone: each decision is one change and one settling, its record included."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.floor = Floor(VersionedRules(1, RULES))
        self.held = {work.id: work for work in world.held}
        self.waiting = {work.id: work for work in world.waiting}
        for agent in world.agents:
            self.floor.put_agent(agent, START)
        for work in (*world.held, *world.waiting):
            self.floor.put_work(work, START)
        self.floor.settle(START)

    def solve(self, ticket_id: str, now: datetime) -> Timed:
        work = replace(self.held.pop(ticket_id), status=Status.SOLVED, eligible_since=None)
        return self._change(work, now)

    def come(self, work: Work, now: datetime) -> Timed:
        self.waiting[work.id] = work
        return self._change(work, now)

    def _change(self, work: Work, now: datetime) -> Timed:
        begun_s, cpu_s = now_s(), time.thread_time()
        self.floor.advance(now)
        self.floor.put_work(work, now)
        given = []
        for match in self.floor.settle(now):
            taken = World.held_by(self.waiting.pop(match.ticket.id), match.agent)
            self.floor.put_work(taken, now)
            given.append(taken)
        if work.waiting and not given:
            self.floor.explain(work.id, now)
        timed = Timed(now_s() - begun_s, time.thread_time() - cpu_s, [one.id for one in given])
        self.held |= {one.id: one for one in given}
        return timed


class OnStore:
    """Through the service's transactions: state, decision records and commands are committed. Intake's
    answers are applied too, outside of what is measured."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.clock = ManualClock(START)
        metadata = MetaData()
        self.store = ServiceStore(
            Database(url), metadata, source="/bitacora/routing", clock=self.clock
        )
        self.desk = Desk(metadata, RULES, self.clock)
        self.handler = RoutingHandler(self.desk)
        self.store.create_tables()
        self.sequences = {work.id: 2 for work in (*world.held, *world.waiting)}
        self.asked: list[CommandEnvelope] = []
        self.store.write_now(self._fill)
        self.store.write_now(self.desk.sweep)

    def _fill(self, connection: Connection, _: Outgoing) -> None:
        for agent in self.world.agents:
            self.desk.tables.save_agent(connection, agent, 1)
        works = [replace(work, sequence=2) for work in (*self.world.held, *self.world.waiting)]
        for start in range(0, len(works), 1_000):
            self.desk.tables.tickets.save(connection, works[start : start + 1_000], 1)

    def solve(self, ticket_id: str, now: datetime) -> Timed:
        solved = t.StatusChanged(status=Status.SOLVED, previous=Status.OPEN)
        return self._apply([self._event(ticket_id, solved, now)], now)

    def come(self, work: Work, now: datetime) -> Timed:
        return self._apply([self._event(work.id, _created(work), now)], now)

    def poll(self, solved: list[str], came: list[Work], now: datetime) -> Timed:
        """All of them in one transaction, as a busy topic brings them."""
        event = t.StatusChanged(status=Status.SOLVED, previous=Status.OPEN)
        events = [self._event(ticket_id, event, now) for ticket_id in solved]
        return self._apply(
            [*events, *(self._event(work.id, _created(work), now) for work in came)], now
        )

    def _apply(self, events: list[EventEnvelope], now: datetime) -> Timed:
        self.clock.instant = now
        begun_s, cpu_s = now_s(), time.thread_time()
        self.store.write_now(lambda c, out: self._heard(c, events, out))
        took, cpu = now_s() - begun_s, time.thread_time() - cpu_s
        given, answers = [], []
        for asked in self.asked:
            command = asked.command
            if isinstance(command, AssignTicket):
                fact = t.Assigned(
                    group=command.group, agent=command.agent, decision_id=command.decision_id
                )
                opened = t.StatusChanged(status=Status.OPEN, previous=Status.NEW)
                answers += [self._event(asked.ticket_id, event, now) for event in (fact, opened)]
                given.append(asked.ticket_id)
        self.store.write_now(lambda c, out: self._heard(c, answers, out))
        return Timed(took, cpu, given)

    def _heard(self, connection: Connection, events: list[EventEnvelope], out: Outgoing) -> None:
        self.handler.apply(connection, events, out)
        self.asked = [
            asked
            for said in out.pending
            if isinstance(said, RawMessage) and said.topic == TICKETS_COMMANDS and said.value
            if isinstance(asked := decode_command(said.value, said.headers), CommandEnvelope)
        ]

    def _event(self, ticket_id: str, event: Event, at: datetime) -> EventEnvelope:
        """As it comes decoded from a poll."""
        sequence = self.sequences[ticket_id] = self.sequences.get(ticket_id, 0) + 1
        return EventEnvelope(
            source="/bitacora/intake",
            type=event.TYPE,
            stream_id=ticket_id,
            sequence=sequence,
            position=sequence,
            time=at,
            recorded_time=at,
            actor="system",
            correlation_id="bench",
            causation_id="",
            previous_hash="",
            hash="",
            data=b"",
            _event=event,
        )


def _created(work: Work) -> t.TicketCreated:
    return t.TicketCreated(
        number=work.number,
        subject="A question",
        requester=t.Requester(id="r1"),
        channel=work.channel,
        priority=work.priority,
        category=work.category,
        language=work.language,
    )


def run(plan: dict[str, Any]) -> dict[str, Any]:
    world = World(plan)
    plain_mb = rss_mb()
    begun_s = now_s()
    desk = OnStore(world, plan["store"]) if plan["store"] else OnFloor(world)
    loaded_s = now_s() - begun_s
    found = one_by_one(world, desk, plan["decisions"])
    if isinstance(desk, OnStore):
        found["polls"] = in_polls(world, desk, plan["decisions"])
        desk.store.close()
    return {"load_s": loaded_s, "rss_mb": rss_mb(), "without_desk_mb": plain_mb, **found}


def one_by_one(world: World, desk: OnFloor | OnStore, decisions: int) -> dict[str, Any]:
    took: dict[str, list[Timed]] = {"freed": [], "given": [], "queued": []}
    order = [work.id for work in world.held]
    now = START
    for number in range(decisions + WARM_UP):
        now += timedelta(milliseconds=100)
        if number % 2 == 0:
            timed, what = desk.solve(_take(order, world.chance), now), "freed"
            order += timed.given
        else:
            timed = desk.come(world.ticket(now, rare=number % 20 == 1), now)
            what = "given" if timed.given else "queued"
            for ticket_id in timed.given:
                desk.solve(ticket_id, now)  # so that the idle ones keep their room
        if number >= WARM_UP:
            took[what].append(timed)
    world.order, world.now = order, now
    return figures(took)


def in_polls(world: World, desk: OnStore, decisions: int) -> dict[str, Any]:
    """Decisions per second when polls bring POLL events each: half solved, half new."""
    seconds, given = 0.0, 0
    polls = max(1, decisions // POLL)
    for _ in range(polls):
        world.now += timedelta(seconds=1)
        solved = [_take(world.order, world.chance) for _ in range(POLL // 2)]
        came = [world.ticket(world.now) for _ in range(POLL // 2)]
        timed = desk.poll(solved, came, world.now)
        seconds += timed.seconds
        given += len(timed.given)
        world.order += timed.given
    return {"events": POLL, "polls": polls, "given": given, "per_s": polls * POLL / seconds}


def _take(order: list[str], chance: random.Random) -> str:
    place = chance.randrange(len(order))
    order[place], order[-1] = order[-1], order[place]
    return order.pop()


def figures(took: dict[str, list[Timed]]) -> dict[str, Any]:
    every = [timed for some in took.values() for timed in some]
    return {
        **_spread(every),
        "per_s": len(every) / sum(timed.seconds for timed in every),
        "by_kind": {name: _spread(some) for name, some in took.items() if some},
    }


def _spread(some: list[Timed]) -> dict[str, float]:
    wall, cpu = [one.seconds * 1e3 for one in some], [one.cpu * 1e3 for one in some]
    return {
        "decisions": len(some),
        "mean_ms": sum(wall) / len(wall),
        "p50_ms": percentile(wall, 50),
        "p99_ms": percentile(wall, 99),
        "max_ms": max(wall),
        "cpu_mean_ms": sum(cpu) / len(cpu),
        "cpu_p99_ms": percentile(cpu, 99),
    }


def rss_mb() -> float:
    return float(psutil.Process().memory_info().rss / MB)


if __name__ == "__main__":
    gc.set_threshold(50_000, 20, 50)  # as the services do
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text("utf-8")))), flush=True)

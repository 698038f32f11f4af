"""Arrivals for a simulation: from a file of JSON lines, or recorded from the topics.

A line of the file is an object. `id` and `at` (when the ticket came, RFC 3339 with an offset) must be
there; `category`, `subcategory`, `priority`, `language`, `channel`, `tags`, `group`, `organization`,
`tier` and `custom_fields` are as on a ticket; `handle_s` is how long it occupies its agent, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from cli.output import UsageError
from libs.events import EventEnvelope
from libs.events import ticket as t
from libs.events.base import Channel, Priority, Text, Tier, Word
from services.routing.api.bodies import AgentBody, When
from services.routing.domain import agent as agents
from services.routing.domain import work as works
from services.routing.domain.agent import Agent
from services.routing.domain.agent_checks import FIRST, LAST
from services.routing.domain.instants import EPOCH
from services.routing.domain.simulation import Arrival
from services.routing.domain.work import WORKING, Work

PROBLEMS_MAX: Final = 20
HANDLE_S_MAX: Final = 1_000_000_000
STREAM: Final = "agent:"


def _in_our_time(at: datetime) -> datetime:
    if not FIRST <= at < LAST:
        raise ValueError(f"must lie between the years {FIRST.year} and {LAST.year}")
    return at


class Line(BaseModel):
    """One line of a file of arrivals."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Word
    at: Annotated[When, AfterValidator(_in_our_time)]
    handle_s: Annotated[float, Field(gt=0, le=HANDLE_S_MAX, allow_inf_nan=False)] | None = None
    priority: Priority = Priority.MEDIUM
    category: Word | None = None
    subcategory: Word | None = None
    language: Word | None = None
    channel: Channel = Channel.EMAIL
    tags: tuple[Word, ...] = ()
    group: Word | None = None
    organization: Word | None = None
    tier: Tier = 1
    custom_fields: dict[Word, Text] = Field(default_factory=dict)

    def work(self, number: int) -> Work:
        return Work(
            id=self.id,
            number=number,
            priority=self.priority,
            category=self.category,
            subcategory=self.subcategory,
            language=self.language,
            channel=self.channel,
            tags=tuple(sorted(set(self.tags))),
            group=self.group,
            organization=self.organization,
            tier=self.tier,
            custom_fields=self.custom_fields,
        )


@dataclass(frozen=True, slots=True)
class Came:
    """A ticket that came. `handle_s` None: nobody knows how long it took."""

    at: datetime
    work: Work
    handle_s: float | None

    def arrival(self, drawn_s: Callable[[str], float]) -> Arrival:
        handle_s = self.handle_s or drawn_s(self.work.id)
        return Arrival(self.at, self.work, handle_s)


def read_file(file: Path) -> list[Came]:
    """The arrivals in the file, in the order of time. Raises UsageError with everything that is wrong
    with it."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None
    found: dict[str, Came] = {}
    problems: list[str] = []
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = Line.model_validate_json(text)
        except ValidationError as error:
            problems += [f"line {number}: {problem}" for problem in _problems(error)]
            continue
        if line.id in found:
            problems.append(f"line {number}: id: {line.id!r} was there already")
        found[line.id] = Came(line.at, line.work(number), line.handle_s)
    if problems:
        more = [f"and {len(problems) - PROBLEMS_MAX} more"] if len(problems) > PROBLEMS_MAX else []
        raise UsageError("\n".join([f"{file}:", *problems[:PROBLEMS_MAX], *more]))
    return sorted(found.values(), key=lambda came: (came.at, came.work.number))


def write_file(file: Path, every: Iterable[Came]) -> None:
    """The arrivals as a file that `read_file` takes. Raises UsageError."""
    try:
        with file.open("wb") as out:
            for came in every:
                out.write(to_json(_line(came)) + b"\n")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None


def _line(came: Came) -> dict[str, Any]:
    work = came.work
    names = [name for name in Line.model_fields if name not in {"at", "handle_s"}]
    line = {"at": came.at, "handle_s": came.handle_s}
    line |= {name: getattr(work, name) for name in names}
    return {"id": work.id} | {
        name: value for name, value in line.items() if value not in (None, (), {})
    }


def _problems(error: ValidationError) -> Iterator[str]:
    for wrong in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(map(str, wrong["loc"]))
        yield f"{place}: {wrong['msg']}" if place else wrong["msg"]


@dataclass(slots=True)
class _Ticket:
    """A ticket while its events are read. `held`: agent → seconds at work on it, in new or open."""

    came: Work
    at: datetime
    now: Work
    since: datetime
    held: dict[str, float] = field(default_factory=dict)
    solver: str | None = None


class Recorded:
    """What the topics tell: the tickets as they came, how long their solvers were at work on them,
    and the agents at every instant. An event that comes twice counts once."""

    def __init__(self) -> None:
        self._tickets: dict[str, _Ticket] = {}
        self._agents: dict[str, list[tuple[datetime, Agent]]] = {}

    def take(self, envelope: EventEnvelope) -> None:
        if envelope.stream_id.startswith(STREAM):
            self._take_agent(envelope)
        elif works.concerns(envelope.event):
            self._take_ticket(envelope)

    def arrivals(self) -> list[Came]:
        """In the order of time."""
        found = [
            Came(one.at, one.came, one.held.get(one.solver or "") or None)
            for one in self._tickets.values()
        ]
        return sorted(found, key=lambda came: (came.at, came.work.number))

    def agents_at(self, when: datetime) -> list[Agent]:
        """Everybody as they were at this instant."""
        known = [
            [agent for at, agent in versions if at <= when] for versions in self._agents.values()
        ]
        return [versions[-1] for versions in known if versions]

    def changes(self, after: datetime, until: datetime) -> list[tuple[datetime, Agent]]:
        """The agents as they became in this time, in order."""
        every = [
            (at, agent)
            for versions in self._agents.values()
            for at, agent in versions
            if after < at <= until
        ]
        return sorted(every, key=lambda change: (change[0], change[1].id, change[1].sequence))

    def _take_ticket(self, envelope: EventEnvelope) -> None:
        known = self._tickets.get(envelope.stream_id)
        work = works.evolve(known.now if known else None, envelope)
        if work is None or (known is not None and envelope.sequence <= known.now.sequence):
            return
        if known is None:
            if isinstance(envelope.event, t.TicketCreated):
                self._tickets[work.id] = _Ticket(work, envelope.time, work, envelope.time)
            return
        before = known.now
        if before.agent is not None and before.status in WORKING:
            seconds = (envelope.time - known.since).total_seconds()
            known.held[before.agent] = known.held.get(before.agent, 0.0) + max(0.0, seconds)
        known.now, known.since = work, envelope.time
        known.solver = work.solved_by or known.solver

    def _take_agent(self, envelope: EventEnvelope) -> None:
        agent_id = envelope.stream_id.removeprefix(STREAM)
        versions = self._agents.setdefault(agent_id, [])
        before = versions[-1][1] if versions else Agent(agent_id)
        if envelope.sequence > before.sequence:
            after = agents.evolve(before, envelope.event, envelope.time)
            versions.append((envelope.time, after))


def roster_of(roster: Mapping[str, Mapping[str, Any]]) -> list[Agent]:
    """The agents of a roster (see `read_roster`), all of them online."""
    made = []
    for agent_id, body in roster.items():
        described = AgentBody.model_validate_json(to_json(body)).command()
        agent = Agent(agent_id)
        for event in agents.decide(agent_id, described, None):
            agent = agents.evolve(agent, event, EPOCH)
        made.append(replace(agent, presence="online"))
    return made

"""What `bitacora routing simulate` does: read the day, let it happen in every variant."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from aiokafka.errors import KafkaError

from cli.output import CommandError, NotRunning, UsageError, progress, say
from cli.routing.agents import read_roster
from cli.routing.arrivals import Came, Recorded, read_file, roster_of, write_file
from cli.routing.chance import drawn_answers, handling_s
from libs.events import Malformed, decode_event
from libs.events.topics import AGENTS_EVENTS, TICKETS_EVENTS
from libs.runtime.runstate import read_run
from libs.runtime.settings import settings_of
from libs.runtime.topiclog import read_topics
from services.routing.domain.agent import Agent
from services.routing.domain.rule_text import InvalidRules
from services.routing.domain.rules import RoutingRules, VersionedRules
from services.routing.domain.simulation import (
    Figures,
    Plan,
    Policy,
    figures_of,
    simulate,
)
from services.routing.rules_file import parse_rules

PROBLEMS_MAX: Final = 20
TAIL: Final = timedelta(days=7)
DAY: Final = timedelta(days=1)

Staff = tuple[list[Agent], list[tuple[datetime, Agent]]]
"""The agents at the start, and as they become later."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command, by their names."""

    events: Path | None
    rules: Path | None
    agents: Path | None
    strategy: str | None
    baseline: Path | None
    baseline_agents: Path | None
    baseline_strategy: str | None
    beside: tuple[str, ...]
    day: datetime | None
    since: datetime | None
    until: datetime | None
    zone: str
    handle_s: float
    handle_spread: float
    target_s: float
    answer_s: float
    declined: float
    missed: float
    seed: int
    save: Path | None
    data_dir: Path


@dataclass(frozen=True, slots=True)
class Replayed:
    """`known`: for how many of the tickets the handling time is known."""

    start: datetime
    end: datetime
    tickets: int
    known: int
    target_s: float
    variants: dict[str, Figures]

    def as_json(self) -> dict[str, Any]:
        return {
            "from": self.start,
            "to": self.end,
            "tickets": self.tickets,
            "handling_times_known": self.known,
            "target_s": self.target_s,
            "variants": {name: asdict(figures) for name, figures in self.variants.items()},
        }


@dataclass(frozen=True, slots=True)
class Variant:
    """One column of the answer."""

    name: str
    rules: RoutingRules
    staff: Staff
    policy: Policy = "floor"


def replay(asked: Asked) -> Replayed:
    """Raises UsageError, CommandError and NotRunning."""
    recorded = Recorded()
    given = _rules(asked.rules, asked.strategy)  # before anything that takes long
    if asked.events is None:
        _read_log(recorded, asked.data_dir)
    came = read_file(asked.events) if asked.events else recorded.arrivals()
    start, end = _window(came, asked)
    came = [one for one in came if start <= one.at < end]
    if not came:
        raise CommandError(f"no ticket came between {start:%F %R} and {end:%F %R} (UTC)")
    if asked.save is not None:
        write_file(asked.save, came)
    staff = _staff(asked.agents, recorded, start, end)
    answers = drawn_answers(
        asked.seed, after_s=asked.answer_s, declined=asked.declined, missed=asked.missed
    )

    def drawn_s(ticket: str) -> float:
        return handling_s(ticket, asked.handle_s, asked.handle_spread, asked.seed)

    arrivals = [one.arrival(drawn_s) for one in came]
    found: dict[str, Figures] = {}
    for variant in _variants(asked, given, staff, recorded, start, end):
        rules = VersionedRules(0, variant.rules)
        plan = Plan(start, end, rules, arrivals, *variant.staff, TAIL, answers)
        with progress(f"simulating {variant.name}") as tick:
            found[variant.name] = figures_of(simulate(plan, variant.policy, tick), asked.target_s)
    known = sum(one.handle_s is not None for one in came)
    return Replayed(start, end, len(came), known, asked.target_s, found)


def _variants(
    asked: Asked,
    given: RoutingRules,
    staff: Staff,
    recorded: Recorded,
    start: datetime,
    end: datetime,
) -> Iterator[Variant]:
    yield Variant("rules" if asked.rules else "defaults", given, staff)
    if asked.baseline or asked.baseline_agents or asked.baseline_strategy:
        # What is not named for the baseline is as in the first column.
        others = asked.baseline_agents
        strategy = asked.baseline_strategy or (None if asked.baseline else asked.strategy)
        yield Variant(
            "baseline",
            _rules(asked.baseline or asked.rules, strategy),
            _staff(others, recorded, start, end) if others else staff,
        )
    for way in dict.fromkeys(asked.beside):
        yield Variant(way, given, staff, cast("Policy", way))


def _rules(file: Path | None, strategy: str | None) -> RoutingRules:
    rules = RoutingRules()
    if file is not None:
        try:
            rules = parse_rules(file.read_bytes())
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror or error}") from None
        except InvalidRules as invalid:
            lines = [f"{f.path}: {f.message}" if f.path else f.message for f in invalid.findings]
            raise UsageError("\n".join([f"{file}:", *lines[:PROBLEMS_MAX]])) from None
    if strategy is None:
        return rules
    # For all of the day: a queue's own strategy gives way, too.
    queues = tuple(queue.model_copy(update={"strategy": None}) for queue in rules.queues)
    return rules.model_copy(update={"strategy": strategy, "queues": queues})


def _staff(file: Path | None, recorded: Recorded, start: datetime, end: datetime) -> Staff:
    if file is not None:
        roster, problems = read_roster(file)
        if problems:
            raise UsageError("\n".join(problems[:PROBLEMS_MAX]))
        return roster_of(roster), []
    people = recorded.agents_at(start)
    changes = recorded.changes(start, end + TAIL)
    if not people and not changes:
        raise CommandError("the log has no agents for that time: name a roster with --agents FILE")
    return people, changes


def _window(came: Sequence[Came], asked: Asked) -> tuple[datetime, datetime]:
    """In UTC. Without options: from the midnight before the first arrival to that after the last."""
    try:
        own = ZoneInfo(asked.zone)
    except (KeyError, ValueError, OSError):
        raise UsageError(f"--zone is {asked.zone!r}: name one such as Europe/Madrid") from None
    day, since, until = asked.day, asked.since, asked.until
    if day is not None and (since is not None or until is not None):
        raise UsageError("give --day, or --from and --to")
    if not came:
        raise CommandError("there are no arrivals at all")
    first, last = came[0].at.astimezone(own), came[-1].at.astimezone(own)
    start = day or since or datetime.combine(first.date(), time())
    try:
        end = (day + DAY) if day else until or datetime.combine(last.date() + DAY, time())
        start, end = (when.replace(tzinfo=own).astimezone(UTC) for when in (start, end))
    except OverflowError:
        raise UsageError("--day, --from and --to must lie within the calendar") from None
    if start >= end:
        raise UsageError("--from must be before --to")
    return start, end


def _read_log(recorded: Recorded, data_dir: Path) -> None:
    state = read_run(data_dir)
    bootstrap = (
        state.bootstrap
        if state is not None
        else settings_of("routing", data_dir=data_dir).kafka_bootstrap_servers
    )
    try:
        damaged = asyncio.run(_take_all(recorded, bootstrap))
    except (KafkaError, OSError) as error:
        raise NotRunning(
            f"Kafka at {bootstrap} cannot be read ({error}): start the system with `bitacora up`, "
            "or set BITACORA_KAFKA_BOOTSTRAP_SERVERS"
        ) from None
    if damaged:
        say(f"{damaged:,} events cannot be decoded and were left out; see `bitacora verify`")


async def _take_all(recorded: Recorded, bootstrap: str) -> int:
    """The number of events that cannot be decoded."""
    done = damaged = 0
    with progress("reading the topics") as tick:
        async for records in read_topics(bootstrap, [TICKETS_EVENTS, AGENTS_EVENTS]):
            for record in records:
                envelope = decode_event(record.value, record.headers)
                if isinstance(envelope, Malformed):
                    damaged += 1
                else:
                    recorded.take(envelope)
            done += len(records)
            tick(done)
    return damaged

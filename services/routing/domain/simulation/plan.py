"""What is to happen in a simulated day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from libs.events.base import Priority
from services.routing.domain.agent import Agent
from services.routing.domain.rules import VersionedRules
from services.routing.domain.work import Work

TAIL: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A ticket that comes at `at`, as it is then. `handle_s`: how long it occupies its agent."""

    at: datetime
    work: Work
    handle_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent says to an offer, so many seconds after it was made. "missed": nothing."""

    said: Literal["accepted", "declined", "missed"] = "accepted"
    after_s: float = 0.0


AT_ONCE: Final = Answer()


def accept_at_once(_ticket: str, _agent: str, _asked_before: int) -> Answer:
    """Everybody takes every offer at once."""
    return AT_ONCE


@dataclass(frozen=True)
class Plan:
    """`agents` are there from the beginning; `changes` are agents as they become later, in order.

    What counts is from `start` until `end`: arrivals outside are left out, and utilization is that of
    this time. The simulation goes on until all tickets have been given to somebody, at most `tail`
    longer. `answers` says what an agent answers to an offer: (ticket, agent, how often this ticket was
    offered before) → Answer.
    """

    start: datetime
    end: datetime
    rules: VersionedRules
    arrivals: Sequence[Arrival]
    agents: Sequence[Agent]
    changes: Sequence[tuple[datetime, Agent]] = ()
    tail: timedelta = TAIL
    answers: Callable[[str, str, int], Answer] = accept_at_once


@dataclass(slots=True)
class Story:
    """What became of one ticket. `given` is when it was first given to an agent who took it, None:
    never. `hand_overs` counts those of an agent who was away for too long."""

    id: str
    queue: str
    priority: Priority
    arrived: datetime
    given: datetime | None = None
    agent: str | None = None
    done: datetime | None = None
    hand_overs: int = 0
    offers: int = 0

    def wait_s(self, now: datetime) -> float:
        """Until it was first given to somebody, or until `now`."""
        return ((self.given or now) - self.arrived).total_seconds()


@dataclass(slots=True)
class Staff:
    """What one agent did between the start and the end of the plan. `capacity_s` are the units that
    the agent had on duty, times seconds; `busy_s` those in use."""

    id: str
    on_duty_s: float = 0.0
    capacity_s: float = 0.0
    busy_s: float = 0.0
    given: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A simulated day. `ended` is the last instant that was looked at."""

    plan: Plan
    stories: Sequence[Story]
    staff: Sequence[Staff]
    ended: datetime

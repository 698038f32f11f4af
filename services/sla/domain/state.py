"""What is kept of one clock, and what is said about it."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, Self

from msgspec import Struct
from msgspec.structs import asdict, replace

from libs.events.sla import Metric

RUNNING: Final = "running"
PAUSED: Final = "paused"
SATISFIED: Final = "satisfied"
CANCELLED: Final = "cancelled"

State = Literal["running", "paused", "satisfied", "cancelled"]
FactKind = Literal[
    "started", "paused", "resumed", "retargeted", "warning", "breached", "satisfied", "cancelled"
]
EdgeKind = Literal[
    "started",
    "paused",
    "resumed",
    "retargeted",
    "warning",
    "breached",
    "withdrawn",
    "missed",
    "satisfied",
    "cancelled",
]
Run = tuple[int, int | None]
"""A span during which a clock counted; the end is None for the one that goes on."""


class Kept(Struct, frozen=True, array_like=True, gc=False):
    """What is stored as it is, a JSON array, and copied for every event of a long history: a struct that
    the garbage collector need not look at, because that takes a tenth of the time of a named tuple. A new
    field goes to the end and has a default."""

    def _replace(self, **changes: Any) -> Self:
        """A copy with other values, as of a named tuple."""
        return replace(self, **changes)

    def _asdict(self) -> dict[str, Any]:
        return asdict(self)


class Held(Kept, frozen=True, array_like=True, gc=False):
    """What a clock was held to from an edge on."""

    policy: str
    policy_version: int
    calendar: str
    calendar_version: int
    tzdata: str
    target_us: int


class Edge(Kept, frozen=True, array_like=True, gc=False):
    """One line of a clock's history: the proof of its verdict. `cause` is the sequence of the ticket
    event behind it; warnings and breaches come by time, and name the event that last moved their
    clock. `withdrawn` takes a breach back; `missed` is when the target was used up after that: noted, and
    not stated again. `reason`: why it was retargeted or cancelled."""

    kind: EdgeKind
    at_us: int
    cause: int
    fraction: int = 0
    reason: str = ""
    held: Held | None = None


class Clock(Kept, frozen=True, array_like=True, gc=False):
    """One clock, the state of its machine and its history.

    `elapsed_us` is what the closed runs used up, `since_us` the start of the run that goes on (None
    unless running), `due_us` when that run uses up the target, `next_us` when the next warning or the
    breach is to be stated. `warned` is the highest fraction that was warned of, in per cent.
    `breach_said` stays once a breach was published, `breach_us` is taken back when an event from before
    that instant turns up late, and set again when the target is used up after all. Nothing is stated for an instant before `floor_us`, when the clock was
    last given a target. `started_by` is the sequence of the event that activated it, `calendar_version`
    the one in force at the last edge; `known` and `tzdata` say with how many versions of the calendar,
    and which release of the time zones, it last reckoned.
    """

    metric: Metric
    activation: int
    state: State
    policy: str
    policy_version: int
    calendar: str
    calendar_version: int
    target_us: int
    started_us: int
    since_us: int | None
    elapsed_us: int = 0
    due_us: int | None = None
    next_us: int | None = None
    warned: int = 0
    breach_us: int | None = None
    breach_said: bool = False
    ended_us: int | None = None
    floor_us: int = 0
    started_by: int = 1
    known: int = 0
    tzdata: str = ""
    edges: tuple[Edge, ...] = ()

    @property
    def active(self) -> bool:
        return self.state in {RUNNING, PAUSED}

    @property
    def turns_us(self) -> int | None:
        """When time alone changes it next: what it states, or a miss that it only notes."""
        if self.breach_said and self.breach_us is None:
            return self.due_us
        return self.next_us

    @property
    def cause(self) -> int:
        """The sequence of the event that last moved it."""
        return self.edges[-1].cause if self.edges else self.started_by


class Fact(NamedTuple):
    """`clock` is the clock right after the fact, `cause` the sequence of the ticket event behind it.
    `fraction` is of warnings, `reason` of cancellations and new targets. `past` is the ended
    activation whose place a started clock takes."""

    kind: FactKind
    at_us: int
    clock: Clock
    fraction: int = 0
    reason: str = ""
    cause: int = 0
    past: Clock | None = None


Facts = list[Fact]

"""What will happen at the desk, decided beforehand: one seeded generator, drawn in one fixed order.

How fast the machine is changes when things are noticed, never who asks for what, in which words, what
the agents find out, and whether the requester comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Final, Literal, TypeVar

from cli.demo.people import SATURDAY, ZONE
from cli.demo.texts import CATEGORIES, FIELDS, REQUESTS

T = TypeVar("T")
Kind = Literal["ask", "solve", "escalate", "recategorize", "hold"]

PER_HOUR_MAX: Final = 34.0
"""Requests in the busiest hour of a working day."""
CURVE: Final = (
    *(0.05, 0.04, 0.04, 0.04, 0.05, 0.08, 0.15, 0.35),  # 0 to 7 o'clock
    *(0.75, 1.00, 0.95, 0.90, 0.80, 0.65, 0.60, 0.70),  # 8 to 15
    *(0.80, 0.70, 0.50, 0.40, 0.35, 0.25, 0.15, 0.08),  # 16 to 23
)
"""Share of PER_HOUR_MAX by the hour of the desk's day."""
WEEKEND_SHARE: Final = 0.3
MORNING_MAIL: Final = 8
"""Requests that came over night and are read in when the simulation begins."""

_LANGUAGES: Final = {"es": 50, "en": 30, "ru": 20}
_CHANNELS: Final = {
    "email": 30,
    "form": 20,
    "chat": 15,
    "phone": 12,
    "whatsapp": 13,
    "social": 6,
    "api": 4,
}
_PRIORITIES: Final = {"low": 20, "medium": 50, "high": 22, "critical": 8}
_COURSES: Final[dict[tuple[Kind, ...], int]] = {
    ("solve",): 40,
    ("ask", "solve"): 26,
    ("ask", "ask", "solve"): 6,
    ("escalate", "solve"): 8,
    ("ask", "escalate", "solve"): 4,
    ("recategorize", "solve"): 8,
    ("hold", "solve"): 8,
}
_WORK_MIN: Final[dict[Kind, tuple[float, float]]] = {
    "ask": (4, 12),
    "solve": (6, 24),
    "escalate": (8, 20),
    "recategorize": (2, 5),
    "hold": (5, 12),
}
_REQUESTERS: Final = 600


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of an agent: minutes of work, then the action. `note`: an internal note before it.
    `later_min`: after how long the other side (requester, other department) answers."""

    kind: Kind
    work_min: float
    note: bool
    later_min: float


@dataclass(frozen=True, slots=True)
class Script:
    """One request and how its case goes. `category` is what the requester chose, `true_category`
    what it is about. `*_min` are minutes; None: it does not happen.

    `nudge_min` after creation, `reopen_min` after the solution, `rating_min` after what then stands.
    `new_priority` is what the agent who looks first makes of it.
    """

    index: int
    at: datetime
    requester: str
    organization: str | None
    language: str
    channel: str
    category: str
    true_category: str
    priority: str
    new_priority: str | None
    subject: str
    description: str
    reference: str
    tag: str | None
    steps: tuple[Step, ...]
    nudge_min: float | None
    reopen_min: float | None
    rating: Literal["good", "bad"] | None
    rating_min: float

    def step(self, number: int) -> Step:
        """Turn `number` from 0; a case that goes on longer than planned ends with a solution."""
        if number < len(self.steps):
            return self.steps[number]
        return Step("solve", 8.0, note=False, later_min=0.0)


def per_hour(at: datetime) -> float:
    """How many requests an hour come at this instant, on average."""
    local = at.astimezone(ZONE)
    share = WEEKEND_SHARE if local.weekday() >= SATURDAY else 1.0
    return PER_HOUR_MAX * CURVE[local.hour] * share


def requests(random: Random, begin: datetime) -> Iterator[Script]:
    """Every request from `begin` on, by time, for ever: a Poisson process that follows the day."""
    numbers = count(1)
    at = begin.astimezone(UTC)
    for _ in range(MORNING_MAIL):
        yield _script(random, next(numbers), at, mailed=True)
        at += timedelta(seconds=20)
    while True:
        at += timedelta(hours=random.expovariate(PER_HOUR_MAX))
        if random.random() * PER_HOUR_MAX < per_hour(at):
            yield _script(random, next(numbers), at)


def _script(random: Random, index: int, at: datetime, *, mailed: bool = False) -> Script:
    language = _pick(random, _LANGUAGES)
    true_category = random.choice(CATEGORIES)
    subject, description = random.choice(REQUESTS[language][true_category])
    reference = f"{FIELDS[true_category][0].upper()}-{random.randrange(100_000, 1_000_000)}"
    steps = tuple(_step(random, kind) for kind in _pick(random, _COURSES))
    others = [category for category in CATEGORIES if category != true_category]
    chosen = random.choice(others) if steps[0].kind == "recategorize" else true_category
    channel = _pick(random, _CHANNELS)
    priority = _pick(random, _PRIORITIES)
    raised = random.random() < 0.1  # noqa: PLR2004 - one in ten
    return Script(
        index=index,
        at=at,
        requester=f"requester-{random.randrange(_REQUESTERS):04}",
        organization=f"organization-{random.randrange(40):02}" if random.random() < 0.3 else None,  # noqa: PLR2004
        language=language,
        channel="email" if mailed else channel,
        category=chosen,
        true_category=true_category,
        priority=priority,
        new_priority=_raised(priority) if raised else None,
        subject=subject.format(ref=reference),
        description=description.format(ref=reference),
        reference=reference,
        tag=random.choice(("vip", "warranty", "return", "first-contact", None, None)),
        steps=steps,
        nudge_min=random.uniform(50, 120) if random.random() < 0.25 else None,  # noqa: PLR2004
        reopen_min=random.uniform(10, 90) if random.random() < 0.12 else None,  # noqa: PLR2004
        rating=random.choice(("good", "good", "good", "good", "bad", None, None, None)),
        rating_min=random.uniform(10, 60),
    )


def _step(random: Random, kind: Kind) -> Step:
    low, high = _WORK_MIN[kind]
    return Step(
        kind,
        work_min=random.uniform(low, high),
        note=random.random() < 0.35,  # noqa: PLR2004
        later_min=random.uniform(8, 70),
    )


def _raised(priority: str) -> str:
    ladder = tuple(_PRIORITIES)
    return ladder[min(ladder.index(priority) + 1, len(ladder) - 1)]


def _pick(random: Random, weights: dict[T, int]) -> T:
    return random.choices(tuple(weights), tuple(weights.values()))[0]

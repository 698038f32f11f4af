"""What came of a simulated day, in figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from services.routing.domain.simulation.plan import Outcome


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from the arrival until a ticket was first given to an agent. Those who were never
    served (`unserved`) count with what they had waited when the simulation ended. `late` is the share
    that waited longer than the target, None without a target. Percentiles by nearest rank."""

    tickets: int
    unserved: int
    mean_s: float
    p50_s: float
    p95_s: float
    max_s: float
    late: float | None


@dataclass(frozen=True, slots=True)
class Load:
    """`utilization`: units in use by units on duty, None for who was never on duty."""

    on_duty_s: float
    utilization: float | None
    given: int


@dataclass(frozen=True, slots=True)
class Figures:
    """`idle`: agents who were on duty and were given nothing. `hand_overs`: tickets taken back from
    agents who were away for too long. `offers`: how many were made, accepted ones included."""

    waits: Waits
    queues: dict[str, Waits]
    priorities: dict[str, Waits]
    utilization: float | None
    agents: dict[str, Load]
    idle: tuple[str, ...]
    hand_overs: int
    offers: int
    solved: int = field(default=0)


def figures_of(outcome: Outcome, target_s: float | None = None) -> Figures:
    """`target_s`: a ticket should have an agent within that time."""
    by_queue: defaultdict[str, list[float]] = defaultdict(list)
    by_priority: defaultdict[str, list[float]] = defaultdict(list)
    unserved: defaultdict[str, int] = defaultdict(int)
    waits = []
    for story in outcome.stories:
        wait_s = story.wait_s(outcome.ended)
        queue, priority = f"queue {story.queue}", f"priority {story.priority.value}"
        for key in ("", queue, priority):
            unserved[key] += story.given is None
        waits.append(wait_s)
        by_queue[queue].append(wait_s)
        by_priority[priority].append(wait_s)
    capacity_s = sum(staff.capacity_s for staff in outcome.staff)
    busy_s = sum(staff.busy_s for staff in outcome.staff)

    def told(groups: dict[str, list[float]]) -> dict[str, Waits]:
        return {
            key.partition(" ")[2]: _waits(some, unserved[key], target_s)
            for key, some in sorted(groups.items())
        }

    return Figures(
        waits=_waits(waits, unserved[""], target_s),
        queues=told(by_queue),
        priorities=told(by_priority),
        utilization=busy_s / capacity_s if capacity_s else None,
        agents={
            staff.id: Load(
                staff.on_duty_s,
                staff.busy_s / staff.capacity_s if staff.capacity_s else None,
                staff.given,
            )
            for staff in outcome.staff
        },
        idle=tuple(s.id for s in outcome.staff if s.capacity_s > 0 and not s.given),
        hand_overs=sum(story.hand_overs for story in outcome.stories),
        offers=sum(story.offers for story in outcome.stories),
        solved=sum(story.done is not None for story in outcome.stories),
    )


def _waits(seconds: Sequence[float], unserved: int, target_s: float | None) -> Waits:
    ordered = sorted(seconds)
    if not ordered:
        return Waits(0, 0, 0.0, 0.0, 0.0, 0.0, None if target_s is None else 0.0)
    late = None
    if target_s is not None:
        late = sum(wait > target_s for wait in ordered) / len(ordered)
    return Waits(
        tickets=len(ordered),
        unserved=unserved,
        mean_s=fmean(ordered),
        p50_s=_percentile(ordered, 50),
        p95_s=_percentile(ordered, 95),
        max_s=ordered[-1],
        late=late,
    )


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(1, -(-len(ordered) * percent // 100)) - 1]

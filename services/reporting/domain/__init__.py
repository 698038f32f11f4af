"""What reporting counts and measures, each defined once: the API, the page and the docs read this.

Pure: no I/O, clock or random.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from libs.events import EventEnvelope, Status, Ticket, format_time
from libs.events import ticket as t

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_US: Final = 3_600_000_000
DAY_H: Final = 24
SETTLED: Final = frozenset((Status.SOLVED, Status.CLOSED))

WAIT_LONG_S: Final = 900
WAIT_VERY_LONG_S: Final = 3_600
"""From when the operator's view calls the oldest wait of a queue long, and very long."""

Unit = Literal["tickets", "times", "seconds", "clocks"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: what it is called, its unit, and how it is made."""

    name: str
    title: str
    unit: Unit
    definition: str


MEASURES: Final[tuple[Metric, ...]] = (
    Metric("created", "Created", "tickets", "TicketCreated, in the hour it happened."),
    Metric(
        "solved",
        "Solved",
        "tickets",
        "Changes from work (new, open, pending, on hold) to solved or closed; a ticket that is "
        "reopened and solved again counts again.",
    ),
    Metric("reopened", "Reopened", "tickets", "Changes from solved or closed back to work."),
    Metric("closed", "Closed", "tickets", "Changes to closed."),
    Metric("first_replied", "First replies", "tickets", "First public replies by an agent."),
    Metric("handed_over", "Hand-overs", "times", "Changes from one holder to another."),
    Metric(
        "group_changed",
        "Changes of group",
        "times",
        "Changes of the holding group after creation, to and from nobody included.",
    ),
    Metric("escalated", "Escalated", "times", "Moves to another tier."),
    Metric(
        "breached", "SLA breaches", "clocks", "Clocks that passed their due time, by that time."
    ),
)
"""Counted per hour of business time. Backlog at an instant = created - solved + reopened up to it."""

DURATIONS: Final[tuple[Metric, ...]] = (
    Metric(
        "first_reply",
        "First reply time",
        "seconds",
        "From creation to the first public reply by an agent, in calendar time.",
    ),
    Metric(
        "first_resolution",
        "First resolution time",
        "seconds",
        "From creation to the first time the ticket was solved or closed, in calendar time.",
    ),
    Metric(
        "resolution",
        "Resolution time",
        "seconds",
        "From creation to the resolution that stands, in calendar time; tickets at work have none.",
    ),
)
"""One value per ticket, in whole seconds, rounded down. Percentiles are exact, by nearest rank."""


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 in UTC; negative before it."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def instant_of(us: int) -> datetime:
    """The reverse of `microseconds`."""
    return EPOCH + timedelta(microseconds=us)


def hour_of(us: int) -> int:
    """The hour since 1970 that an instant lies in."""
    return us // HOUR_US


def counted(before: Ticket | None, after: Ticket, envelope: EventEnvelope) -> tuple[str, ...]:
    """The names of the measures that this event of a ticket adds one to."""
    kind = type(envelope.event)
    if kind is t.TicketCreated:
        return _created(after)
    if before is None:
        return ()
    if kind is t.StatusChanged:
        return _moved(before, after)
    if kind is t.Assigned or kind is t.Unassigned:
        return _held(before, after)
    if kind is t.MessageAdded:
        first = before.first_replied_at is None and after.first_replied_at is not None
        return ("first_replied",) if first else ()
    if kind is t.Escalated:
        return ("escalated",)
    return ()


def _created(after: Ticket) -> tuple[str, ...]:
    names = ["created"]
    if after.status in SETTLED:
        names.append("solved")
    if after.status is Status.CLOSED:
        names.append("closed")
    return tuple(names)


def _held(before: Ticket, after: Ticket) -> tuple[str, ...]:
    names = []
    if after.hand_overs > before.hand_overs:
        names.append("handed_over")
    if after.group_changes > before.group_changes:
        names.append("group_changed")
    return tuple(names)


def _moved(before: Ticket, after: Ticket) -> tuple[str, ...]:
    was, now = before.status in SETTLED, after.status in SETTLED
    names = []
    if now and not was:
        names.append("solved")
    elif was and not now:
        names.append("reopened")
    if after.status is Status.CLOSED and before.status is not Status.CLOSED:
        names.append("closed")
    return tuple(names)


def words(us: int | None) -> str | None:
    """The instant as RFC 3339 in UTC, as every API here gives it."""
    return None if us is None else format_time(instant_of(us))


def nearest_rank(percent: int, count: int) -> int:
    """The place, from 0, of the percentile in `count` sorted values (count > 0), by nearest rank."""
    return max(0, -(-percent * count // 100) - 1)

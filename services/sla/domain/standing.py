"""How a clock stood at any instant, past or to come, from its history alone.

The open time comes from the statuses of the ticket, the rest from the clock's own edges. For the present
instant the answer is what the clock itself says; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from services.sla.domain.book import Book, Terms
from services.sla.domain.metrics import METRICS
from services.sla.domain.spans import Moment, runs_of
from services.sla.domain.state import (
    CANCELLED,
    PAUSED,
    RUNNING,
    SATISFIED,
    Clock,
    Held,
    State,
)


class Standing(NamedTuple):
    """`due_us` None: the clock was not running. `left_us` is negative once the target is missed."""

    state: State
    held: Held
    used_us: int
    left_us: int
    due_us: int | None
    breach_us: int | None
    warned: int
    ended_us: int | None


def standing(clock: Clock, history: Iterable[Moment], book: Book, at_us: int) -> Standing | None:
    """How the clock stood right after everything that happened up to and including `at_us`; None:
    it was not there yet. Beyond the last event: as it will stand if nothing happens."""
    told = _told(clock, at_us)
    state, held, ended_us = told.state, told.held, told.ended_us
    if state is None or held is None:
        return None
    terms = book.terms(
        held.policy, held.policy_version, clock.metric, held.target_us, held.calendar
    )
    until_us = at_us if ended_us is None else ended_us
    before_us, since_us = _used(clock, history, terms, until_us)
    used_us, due_us, breach_us = before_us, None, told.breach_us
    if since_us is not None:
        used_us += terms.calendar.elapsed_us(since_us, until_us)
    if state == RUNNING and since_us is not None:
        due_us = max(terms.calendar.add_us(since_us, held.target_us - before_us), told.floor_us)
        if breach_us is None and due_us <= at_us:
            breach_us = due_us
    left_us = held.target_us - used_us
    return Standing(state, held, used_us, left_us, due_us, breach_us, told.warned, ended_us)


class _Told(NamedTuple):
    """What the edges up to an instant say; `floor_us`: when the clock was last given a target."""

    state: State | None = None
    held: Held | None = None
    breach_us: int | None = None
    ended_us: int | None = None
    warned: int = 0
    floor_us: int = 0


def _told(clock: Clock, at_us: int) -> _Told:
    told = _Told()
    for edge in clock.edges:
        if edge.at_us > at_us:
            continue  # not the end: an event may be dated before a timer that fired earlier
        match edge.kind:
            case "started" | "resumed":
                told = told._replace(state=RUNNING, ended_us=None)
            case "paused":
                told = told._replace(state=PAUSED, ended_us=None)
            case "warning":
                told = told._replace(warned=edge.fraction)
            case "breached" | "missed":
                told = told._replace(breach_us=edge.at_us)
            case "withdrawn":
                told = told._replace(breach_us=None)
            case "satisfied":
                told = told._replace(state=SATISFIED, ended_us=edge.at_us)
            case "cancelled":
                told = told._replace(state=CANCELLED, ended_us=edge.at_us)
        if edge.held is not None:
            told = told._replace(held=edge.held)
            if edge.kind == "started" or edge.reason == "ticket":
                told = told._replace(floor_us=edge.at_us)
    return told


def _used(
    clock: Clock, history: Iterable[Moment], terms: Terms, until_us: int
) -> tuple[int, int | None]:
    """Open time of the runs that ended by `until_us`, and the start of the run that covers it."""
    used_us = 0
    for begin_us, end_us in runs_of(history, METRICS[clock.metric], clock.started_us):
        if end_us is None or end_us > until_us:
            return used_us, begin_us if begin_us <= until_us else None
        used_us += terms.calendar.elapsed_us(begin_us, end_us)
    return used_us, None

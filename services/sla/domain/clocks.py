"""One clock: the state machine of one metric of one ticket.

::

    started → running ⇄ paused
                 │         │
                 └→ satisfied (solved, answered) ⇄ running (reopened, with what was left)
                 └→ cancelled (merged, or no target any more)

A breach is not a state but a fact about a clock that goes on running. Every function takes instants as
arguments and answers with the clock afterwards and the facts to publish, in order. An instant at
which a target is used up is a breach: what happens at that very instant comes too late.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from libs.events.sla import Metric
from services.sla.domain.calendar import Calendar
from services.sla.domain.policy import Book, Terms

RUNNING: Final = "running"
PAUSED: Final = "paused"
SATISFIED: Final = "satisfied"
CANCELLED: Final = "cancelled"

State = Literal["running", "paused", "satisfied", "cancelled"]
FactKind = Literal[
    "started", "paused", "resumed", "retargeted", "warning", "breached", "satisfied", "cancelled"
]
Run = tuple[int, int | None]
"""A span during which a clock counted; the end is None for the one that goes on."""


class Clock(NamedTuple):
    """A named tuple because it is stored as it is, and copied for every event of a long history.

    `elapsed_us` is what the closed runs used up, `since_us` the start of the run that goes on (None
    unless running), `due_us` when that run uses up the target, `next_us` when the next warning or the
    breach is to be stated. `warned` is the highest fraction that was warned of, in per cent.
    `breach_said` stays once a breach was published, `breach_us` is taken back when an event from before
    that instant turns up late.
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

    @property
    def active(self) -> bool:
        return self.state in {RUNNING, PAUSED}


class Fact(NamedTuple):
    """`clock` is the clock right after the fact. `fraction` is of warnings, `reason` of
    cancellations."""

    kind: FactKind
    at_us: int
    clock: Clock
    fraction: int = 0
    reason: str = ""


Facts = list[Fact]


def terms_of(clock: Clock, book: Book) -> Terms:
    """What this clock is held to, by the versions that it recorded."""
    return book.terms(
        clock.policy,
        clock.policy_version,
        clock.metric,
        clock.target_us,
        clock.calendar,
        clock.calendar_version,
    )


def start(
    metric: Metric,
    terms: Terms,
    started_us: int,
    runs: Iterable[Run],
    at_us: int,
    *,
    before: Clock | None = None,
) -> tuple[Clock, Facts]:
    """A clock that was activated at `started_us` and has counted through `runs` up to `at_us` (the
    same instant, unless a target turned up only later). `before` is the cancelled clock that goes on
    with this one: what was said of it stays said."""
    elapsed_us, since_us = _count(runs, terms.calendar)
    clock = Clock(
        metric,
        1,
        PAUSED if since_us is None else RUNNING,
        terms.policy,
        terms.policy_version,
        terms.calendar.name,
        terms.calendar.version,
        terms.target_us,
        started_us,
        since_us,
        elapsed_us,
    )
    if before is not None:
        clock = clock._replace(
            warned=before.warned, breach_us=before.breach_us, breach_said=before.breach_said
        )
    clock = _arm(_skip_warnings(clock, terms, at_us), terms, at_us)
    if clock.state == RUNNING:
        return clock, [Fact("started", at_us, clock)]
    # The due instant of a clock that starts paused is what it would be if it ran from now on.
    due_us = terms.calendar.add_us(at_us, clock.target_us - clock.elapsed_us)
    facts = [
        Fact("started", at_us, clock._replace(due_us=due_us)),
        Fact("paused", at_us, clock),
    ]
    return _fire_inactive(clock, at_us, facts)


def fire(clock: Clock, terms: Terms, until_us: int) -> tuple[Clock, Facts]:
    """State every warning and the breach that fell due up to and including `until_us`."""
    facts: Facts = []
    due_us = clock.due_us
    while due_us is not None and clock.next_us is not None and clock.next_us <= until_us:
        at_us = clock.next_us
        if at_us >= due_us:
            clock = clock._replace(next_us=None, breach_us=at_us, breach_said=True)
            facts.append(Fact("breached", at_us, clock))
        else:
            fraction = next(entry for entry in terms.warn_at if entry > clock.warned)
            clock = clock._replace(warned=fraction)
            clock = clock._replace(next_us=_next_us(clock, terms, due_us, at_us))
            facts.append(Fact("warning", at_us, clock, fraction))
    return clock, facts


def pause(clock: Clock, terms: Terms, at_us: int) -> tuple[Clock, Facts]:
    """Stop counting. A clock that had ended (the ticket came back into a pausing status) waits."""
    clock = _stop(clock, terms.calendar, at_us)._replace(state=PAUSED, ended_us=None)
    return clock, [Fact("paused", at_us, clock)]


def resume(clock: Clock, terms: Terms, at_us: int) -> tuple[Clock, Facts]:
    """Go on counting, with what was left."""
    clock = clock._replace(state=RUNNING, since_us=at_us, ended_us=None)
    clock = _arm(_skip_warnings(clock, terms, at_us), terms, at_us)
    return clock, [Fact("resumed", at_us, clock)]


def satisfy(clock: Clock, terms: Terms, at_us: int) -> tuple[Clock, Facts]:
    """The answer came, or the solution."""
    clock = _stop(clock, terms.calendar, at_us)._replace(state=SATISFIED, ended_us=at_us)
    return clock, [Fact("satisfied", at_us, clock)]


def cancel(clock: Clock, terms: Terms, at_us: int, reason: str) -> tuple[Clock, Facts]:
    """There is nothing to wait for any more, or no target."""
    clock = _stop(clock, terms.calendar, at_us)._replace(state=CANCELLED, ended_us=at_us)
    return clock, [Fact("cancelled", at_us, clock, reason=reason)]


def retarget(clock: Clock, terms: Terms, runs: Iterable[Run], at_us: int) -> tuple[Clock, Facts]:
    """New terms for the original activation; the pauses so far are kept.

    `runs` are all the runs of the clock, counted anew when the calendar is another one. A due instant
    that is past under the new terms becomes `at_us`: no breach is stamped before its cause.
    """
    if (clock.calendar, clock.calendar_version) != (terms.calendar.name, terms.calendar.version):
        clock = clock._replace(elapsed_us=_count(runs, terms.calendar)[0])
    clock = _on_time(clock, at_us)._replace(
        policy=terms.policy,
        policy_version=terms.policy_version,
        calendar=terms.calendar.name,
        calendar_version=terms.calendar.version,
        target_us=terms.target_us,
    )
    clock = _arm(_skip_warnings(clock, terms, at_us), terms, at_us)
    return _fire_inactive(clock, at_us, [Fact("retargeted", at_us, clock)])


def used_us(clock: Clock, calendar: Calendar, at_us: int) -> int:
    """How much of the target is used up at this instant."""
    if clock.since_us is None:
        return clock.elapsed_us
    return clock.elapsed_us + calendar.elapsed_us(clock.since_us, at_us)


def breached(clock: Clock) -> bool:
    """Whether the target is missed, as far as this clock has counted."""
    return clock.breach_us is not None or clock.elapsed_us >= clock.target_us


def _stop(clock: Clock, calendar: Calendar, at_us: int) -> Clock:
    clock = _on_time(clock, at_us)
    return clock._replace(
        elapsed_us=used_us(clock, calendar, at_us), since_us=None, due_us=None, next_us=None
    )


def _on_time(clock: Clock, at_us: int) -> Clock:
    """The breach is taken back when an event from before it arrives after its timer fired."""
    if clock.since_us is not None and clock.breach_us is not None and at_us < clock.breach_us:
        return clock._replace(breach_us=None)
    return clock


def _arm(clock: Clock, terms: Terms, floor_us: int) -> Clock:
    """Reckon when a running clock is due and when it next has something to state, neither before
    `floor_us`."""
    if clock.since_us is None:
        return clock._replace(due_us=None, next_us=None)
    left_us = clock.target_us - clock.elapsed_us
    due_us = max(terms.calendar.add_us(clock.since_us, left_us), floor_us)
    next_us = None if clock.breach_said else _next_us(clock, terms, due_us, floor_us)
    return clock._replace(due_us=due_us, next_us=next_us)


def _next_us(clock: Clock, terms: Terms, due_us: int, floor_us: int) -> int:
    for fraction in terms.warn_at:
        if fraction > clock.warned and clock.since_us is not None:
            left_us = clock.target_us * fraction // 100 - clock.elapsed_us
            return min(max(terms.calendar.add_us(clock.since_us, left_us), floor_us), due_us)
    return due_us


def _skip_warnings(clock: Clock, terms: Terms, at_us: int) -> Clock:
    """Of several fractions that new terms put into the past, only the highest is warned of."""
    used = used_us(clock, terms.calendar, at_us)
    passed = [fraction for fraction in terms.warn_at if clock.target_us * fraction // 100 <= used]
    if len(passed) > 1 and passed[-2] > clock.warned:
        return clock._replace(warned=passed[-2])
    return clock


def _fire_inactive(clock: Clock, at_us: int, facts: Facts) -> tuple[Clock, Facts]:
    """A paused clock has no due instant; new terms that it has used up already breach it at once."""
    if clock.state == PAUSED and not clock.breach_said and clock.elapsed_us >= clock.target_us:
        clock = clock._replace(breach_us=at_us, breach_said=True)
        facts.append(Fact("breached", at_us, clock))
    return clock, facts


def _count(runs: Iterable[Run], calendar: Calendar) -> tuple[int, int | None]:
    """Open time of the closed runs, and the start of the one that goes on."""
    elapsed_us, since_us = 0, None
    for begin_us, end_us in runs:
        if end_us is None:
            since_us = begin_us
        else:
            elapsed_us += calendar.elapsed_us(begin_us, end_us)
    return elapsed_us, since_us

"""One clock: the state machine of one metric of one ticket.

::

    started → running ⇄ paused
                 │         │
                 ├→ satisfied (solved, answered) ⇄ running (a wait goes on after a reopening)
                 └→ cancelled (merged, or no target any more)

A breach is not a state but a fact about a clock that goes on running. One that was stated is withdrawn
when an event from before it turns up late; should the target be used up after all, the clock notes when. Every function takes instants as
arguments and answers with the clock afterwards and the facts to publish, in order. An instant at
which a target is used up is a breach: what happens at that very instant comes too late.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from libs.events.sla import Metric
from libs.worktime.timeline import Timeline
from services.sla.domain.book import Book, Terms
from services.sla.domain.state import (
    CANCELLED,
    PAUSED,
    RUNNING,
    SATISFIED,
    Clock,
    Edge,
    EdgeKind,
    Fact,
    Facts,
    Held,
    Run,
)


def terms_of(clock: Clock, book: Book) -> Terms:
    """What this clock is held to, by the names and versions that it recorded."""
    return book.terms(
        clock.policy, clock.policy_version, clock.metric, clock.target_us, clock.calendar
    )


def start(
    metric: Metric,
    terms: Terms,
    started_us: int,
    runs: Iterable[Run],
    at_us: int,
    cause: int,
    *,
    started_by: int | None = None,
    before: Clock | None = None,
) -> tuple[Clock, Facts]:
    """A clock that was activated at `started_us` and has counted through `runs` up to `at_us` (the
    same instant, unless a target turned up only later).

    `before` is the clock of this metric so far. If it was cancelled in this very activation, the
    activation goes on: what was said of it stays said. Otherwise the next one begins.
    """
    started_by = cause if started_by is None else started_by
    same = before is not None and before.started_by == started_by
    elapsed_us, since_us = _count(runs, terms.calendar)
    calendar_version = terms.calendar.version_at(at_us)
    edge = Edge("started", at_us, cause, held=_held(terms, calendar_version))
    clock = Clock(
        metric,
        1 if before is None else before.activation + (not same),
        PAUSED if since_us is None else RUNNING,
        terms.policy,
        terms.policy_version,
        terms.calendar.name,
        calendar_version,
        terms.target_us,
        started_us,
        since_us,
        elapsed_us,
        floor_us=at_us,
        started_by=started_by,
        edges=(edge,),
    )
    if before is not None and same:
        clock = clock._replace(
            warned=before.warned,
            breach_us=before.breach_us,
            breach_said=before.breach_said,
            edges=(*before.edges, edge),
        )
    past = None if same else before
    clock = _arm(_skip_warnings(clock, terms, at_us), terms)
    if clock.state == RUNNING:
        return clock, [Fact("started", at_us, clock, cause=cause, past=past)]
    # The due instant of a clock that starts paused is what it would be if it ran from now on.
    due_us = terms.calendar.add_us(at_us, clock.target_us - clock.elapsed_us)
    paused = _edged(clock, terms, "paused", at_us, cause)
    facts = [
        Fact("started", at_us, clock._replace(due_us=due_us), cause=cause, past=past),
        Fact("paused", at_us, paused, cause=cause),
    ]
    return _fire_inactive(paused, terms, at_us, facts)


def fire(clock: Clock, terms: Terms, until_us: int) -> tuple[Clock, Facts]:
    """State every warning and the breach that fell due up to and including `until_us`."""
    facts: Facts = []
    due_us, cause = clock.due_us, clock.cause
    while due_us is not None and (at_us := clock.turns_us) is not None and at_us <= until_us:
        if at_us >= due_us:
            clock, said = _missed(clock, terms, at_us, cause)
            facts += said
        else:
            fraction = next(entry for entry in terms.warn_at if entry > clock.warned)
            clock = _edged(
                clock, terms, "warning", at_us, cause, fraction=fraction, warned=fraction
            )
            clock = clock._replace(next_us=_next_us(clock, terms, due_us))
            facts.append(Fact("warning", at_us, clock, fraction, cause=cause))
    return clock, facts


def pause(clock: Clock, terms: Terms, at_us: int, cause: int) -> tuple[Clock, Facts]:
    """Stop counting. A clock that had ended (the ticket came back into a pausing status) waits."""
    clock = _stop(clock, terms, "paused", at_us, cause, state=PAUSED, ended_us=None)
    return clock, [Fact("paused", at_us, clock, cause=cause)]


def resume(
    clock: Clock, terms: Terms, runs: Iterable[Run], at_us: int, cause: int
) -> tuple[Clock, Facts]:
    """Go on counting, with what was left.

    `runs` are all the runs of the clock, counted anew if other time zones came while it had ended: it
    was not reckoned anew then, and is from here on."""
    used_up_us = None
    if clock.tzdata != terms.tzdata:
        clock, used_up_us = _recounted(clock, terms, runs)
    clock = _edged(
        clock, terms, "resumed", at_us, cause, state=RUNNING, since_us=at_us, ended_us=None
    )
    clock = _arm(_skip_warnings(clock, terms, at_us), terms, used_up_us)
    return clock, [Fact("resumed", at_us, clock, cause=cause)]


def satisfy(clock: Clock, terms: Terms, at_us: int, cause: int) -> tuple[Clock, Facts]:
    """The answer came, or the solution."""
    clock = _stop(clock, terms, "satisfied", at_us, cause, state=SATISFIED, ended_us=at_us)
    return clock, [Fact("satisfied", at_us, clock, cause=cause)]


def cancel(clock: Clock, terms: Terms, at_us: int, cause: int, reason: str) -> tuple[Clock, Facts]:
    """There is nothing to wait for any more, or no target."""
    clock = _stop(
        clock, terms, "cancelled", at_us, cause, reason=reason, state=CANCELLED, ended_us=at_us
    )
    return clock, [Fact("cancelled", at_us, clock, reason=reason, cause=cause)]


def retarget(
    clock: Clock, terms: Terms, runs: Iterable[Run], at_us: int, cause: int
) -> tuple[Clock, Facts]:
    """New terms for the original activation; the pauses so far are kept.

    `runs` are all the runs of the clock, counted anew when the calendar is another one. A due instant
    that is past under the new terms becomes `at_us`: no breach is stamped before its cause.
    """
    if clock.calendar != terms.calendar.name:
        clock = clock._replace(elapsed_us=_count(runs, terms.calendar)[0])
    clock = _withdraw(clock, at_us, cause)._replace(
        policy=terms.policy,
        policy_version=terms.policy_version,
        calendar=terms.calendar.name,
        target_us=terms.target_us,
        floor_us=at_us,
    )
    clock = _retargeted(clock, terms, at_us, cause, "ticket")
    clock = _arm(_skip_warnings(clock, terms, at_us), terms)
    fact = Fact("retargeted", at_us, clock, reason="ticket", cause=cause)
    return _fire_inactive(clock, terms, at_us, [fact])


def stale(clock: Clock, book: Book) -> bool:
    """Whether it goes on by a calendar that was edited, or by time zones that were replaced."""
    if clock.tzdata == book.tzdata and clock.known == book.timelines[clock.calendar].known:
        return False
    return clock.active


def reckon_anew(clock: Clock, terms: Terms, runs: Iterable[Run], at_us: int) -> tuple[Clock, Facts]:
    """The same terms under the calendar and the time zones as they are now. A breach that was stated
    stays as it was stated. A due instant that is past under new time zones is stated as it is: it is
    the true one, and was only noticed late."""
    reason = "calendar" if clock.tzdata == terms.tzdata else "tzdata"
    due_us = clock.due_us
    clock, used_up_us = _recounted(clock, terms, runs)
    if clock.breach_us is not None:
        return clock, []
    clock = _arm(clock, terms, used_up_us)
    facts: Facts = []
    if clock.due_us != due_us:
        clock = _retargeted(clock, terms, at_us, clock.cause, reason)
        facts.append(Fact("retargeted", at_us, clock, reason=reason, cause=clock.cause))
    return _fire_inactive(clock, terms, at_us if used_up_us is None else used_up_us, facts)


def used_us(clock: Clock, calendar: Timeline, at_us: int) -> int:
    """How much of the target is used up at this instant."""
    if clock.since_us is None:
        return clock.elapsed_us
    return clock.elapsed_us + calendar.elapsed_us(clock.since_us, at_us)


def breached(clock: Clock) -> bool:
    """Whether the target is missed, as far as this clock has counted."""
    return clock.breach_us is not None or clock.elapsed_us >= clock.target_us


def _edged(
    clock: Clock,
    terms: Terms,
    kind: EdgeKind,
    at_us: int,
    cause: int,
    fraction: int = 0,
    reason: str = "",
    **changes: Any,
) -> Clock:
    """The clock with these changes, and the edge that tells of them."""
    return clock._replace(
        edges=(*clock.edges, Edge(kind, at_us, cause, fraction, reason)),
        calendar_version=terms.calendar.version_at(at_us),
        **changes,
    )


def _retargeted(clock: Clock, terms: Terms, at_us: int, cause: int, reason: str) -> Clock:
    version = terms.calendar.version_at(at_us)
    edge = Edge("retargeted", at_us, cause, 0, reason, _held(terms, version))
    return clock._replace(edges=(*clock.edges, edge), calendar_version=version)


def _held(terms: Terms, calendar_version: int) -> Held:
    return Held(
        terms.policy,
        terms.policy_version,
        terms.calendar.name,
        calendar_version,
        terms.tzdata,
        terms.target_us,
    )


def _stop(
    clock: Clock,
    terms: Terms,
    kind: EdgeKind,
    at_us: int,
    cause: int,
    reason: str = "",
    **changes: Any,
) -> Clock:
    clock = _withdraw(clock, at_us, cause)
    return _edged(
        clock,
        terms,
        kind,
        at_us,
        cause,
        reason=reason,
        elapsed_us=used_us(clock, terms.calendar, at_us),
        since_us=None,
        due_us=None,
        next_us=None,
        **changes,
    )


def _withdraw(clock: Clock, at_us: int, cause: int) -> Clock:
    """The breach is taken back when an event from before it arrives after its timer fired."""
    if clock.since_us is not None and clock.breach_us is not None and at_us < clock.breach_us:
        edge = Edge("withdrawn", at_us, cause)
        return clock._replace(breach_us=None, edges=(*clock.edges, edge))
    return clock


def _recounted(clock: Clock, terms: Terms, runs: Iterable[Run]) -> tuple[Clock, int | None]:
    """The clock as it counts by the calendar and time zones of today, and when its closed runs used up
    the target by these (never before its floor); None: they did not."""
    elapsed_us, used_up_us = 0, None
    for begin_us, end_us in runs:
        if end_us is None:
            continue
        open_us = terms.calendar.elapsed_us(begin_us, end_us)
        if used_up_us is None and open_us >= clock.target_us - elapsed_us:
            used_up_us = terms.calendar.add_us(begin_us, clock.target_us - elapsed_us)
        elapsed_us += open_us
    clock = clock._replace(elapsed_us=elapsed_us, known=terms.calendar.known, tzdata=terms.tzdata)
    return clock, None if used_up_us is None else max(used_up_us, clock.floor_us)


def _arm(clock: Clock, terms: Terms, used_up_us: int | None = None) -> Clock:
    """Reckon when a running clock is due and when it next has something to state, neither before its
    floor. `used_up_us`: when runs before this one had used up the target."""
    known, tzdata = terms.calendar.known, terms.tzdata
    if clock.since_us is None:
        return clock._replace(due_us=None, next_us=None, known=known, tzdata=tzdata)
    left_us = clock.target_us - clock.elapsed_us
    due_us = max(terms.calendar.add_us(clock.since_us, left_us), clock.floor_us)
    due_us = due_us if used_up_us is None else used_up_us
    next_us = None if clock.breach_said else _next_us(clock, terms, due_us)
    return clock._replace(due_us=due_us, next_us=next_us, known=known, tzdata=tzdata)


def _next_us(clock: Clock, terms: Terms, due_us: int) -> int:
    for fraction in terms.warn_at:
        if fraction > clock.warned and clock.since_us is not None:
            left_us = clock.target_us * fraction // 100 - clock.elapsed_us
            at_us = terms.calendar.add_us(clock.since_us, left_us)
            return min(max(at_us, clock.floor_us), due_us)
    return due_us


def _skip_warnings(clock: Clock, terms: Terms, at_us: int) -> Clock:
    """Of several fractions that new terms put into the past, only the highest is warned of."""
    used = used_us(clock, terms.calendar, at_us)
    passed = [fraction for fraction in terms.warn_at if clock.target_us * fraction // 100 <= used]
    if len(passed) > 1 and passed[-2] > clock.warned:
        return clock._replace(warned=passed[-2])
    return clock


def _fire_inactive(clock: Clock, terms: Terms, at_us: int, facts: Facts) -> tuple[Clock, Facts]:
    """A paused clock has no due instant; new terms that it has used up already breach it at once."""
    if clock.state == PAUSED and clock.breach_us is None and clock.elapsed_us >= clock.target_us:
        clock, said = _missed(clock, terms, at_us, clock.cause)
        facts += said
    return clock, facts


def _missed(clock: Clock, terms: Terms, at_us: int, cause: int) -> tuple[Clock, Facts]:
    """The target is used up. One breach is stated per activation; after one that was withdrawn, the
    true instant is noted."""
    again = clock.breach_said
    kind: EdgeKind = "missed" if again else "breached"
    clock = _edged(
        clock, terms, kind, at_us, cause, next_us=None, breach_us=at_us, breach_said=True
    )
    return clock, [] if again else [Fact("breached", at_us, clock, cause=cause)]


def _count(runs: Iterable[Run], calendar: Timeline) -> tuple[int, int | None]:
    """Open time of the closed runs, and the start of the one that goes on."""
    elapsed_us, since_us = 0, None
    for begin_us, end_us in runs:
        if end_us is None:
            since_us = begin_us
        else:
            elapsed_us += calendar.elapsed_us(begin_us, end_us)
    return elapsed_us, since_us

"""The proof of a clock's verdict: every stretch of time that counted, every one that did not, and why.

The clock itself adds up open time as events come. Here the same is found a second way: the statuses of
the ticket and the terms of the clock are laid over a calendar that is walked day by day, the stretches
are counted one by one, and what comes out is compared with what the clock says. A difference is
stated, never hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from libs.worktime.instants import DAY_US, LAST_US
from libs.worktime.layout import lay_out
from libs.worktime.timeline import Timeline
from services.sla.domain.book import Book
from services.sla.domain.clocks import used_us
from services.sla.domain.metrics import METRICS, MetricRules, Phase
from services.sla.domain.spans import Moment
from services.sla.domain.state import CANCELLED, PAUSED, RUNNING, SATISFIED, Clock, Held, State
from services.sla.domain.ticket import TicketClocks

AHEAD_US: Final = 25 * 366 * DAY_US
"""How far a due instant is sought; targets that can take longer are not accepted."""

Why = Literal["counted", "hours", "holiday", "special_day", "status", "solved"]
Verdict = Literal["satisfied", "breached", "running", "paused", "cancelled"]


class Interval(NamedTuple):
    """`why` is `counted`, or what kept it from counting: the `status` of the ticket (also `solved`),
    `hours`, a `holiday` or a `special_day`, whose name is in `name`. `begun_by` and `ended_by` are the
    sequences of the ticket events at its edges; None: the calendar, or (at the end) the present."""

    start_us: int
    end_us: int
    why: Why
    name: str
    calendar_version: int | None
    begun_by: int | None
    ended_by: int | None


class Period(NamedTuple):
    """The clock was held to `held` from one instant to another. `due_us`: the first instant from `start_us`
    on at which the target was used up, None if that was not before its end."""

    held: Held
    start_us: int
    end_us: int
    reason: str
    cause: int
    due_us: int | None


class Check(NamedTuple):
    """What was found the second way beside what the clock says. `ok` None: cannot be compared."""

    name: str
    found: object
    recorded: object
    ok: bool | None


class Proof(NamedTuple):
    """`intervals` cover the clock's time from `start_us` to `end_us` without gaps, under the calendar that
    it was held to last. `before_breach`: the same up to the breach, when that came under another
    calendar. `due_us`: the true due time; of a clock that ended, when it would have been due; None when
    it waits. `elapsed_us` is the sum of what counted."""

    clock: Clock
    verdict: Verdict
    start_us: int
    end_us: int
    elapsed_us: int
    due_us: int | None
    breach_us: int | None
    intervals: tuple[Interval, ...]
    before_breach: tuple[Interval, ...]
    periods: tuple[Period, ...]
    checks: tuple[Check, ...] = ()

    @property
    def holds(self) -> bool:
        return all(check.ok is not False for check in self.checks)


def proof_of(ticket: TicketClocks, clock: Clock, book: Book, as_of_us: int) -> Proof:
    """The proof for one clock of this ticket, which has stated everything up to `as_of_us`. Raises
    LookupError when the clock names a policy or a calendar that `book` does not have."""
    end_us = max(as_of_us if clock.ended_us is None else clock.ended_us, clock.started_us)
    periods = tuple(_periods(clock, ticket.history, book, end_us))
    line = book.timelines[clock.calendar]
    intervals = _intervals(clock, ticket.history, line, end_us)
    elapsed_us = _counted(intervals)
    breach_us = clock.breach_us
    before: tuple[Interval, ...] = ()
    at_breach = None if breach_us is None else _held_at_breach(clock)
    if at_breach is not None and breach_us is not None and at_breach.calendar != clock.calendar:
        line_then = book.timelines[at_breach.calendar]
        before = _intervals(clock, ticket.history, line_then, breach_us)
    due_us = breach_us
    if due_us is None:
        missed = elapsed_us >= clock.target_us
        due_us = _missed_us(periods) if missed else _due_us(clock, line, elapsed_us, end_us)
    proof = Proof(
        clock,
        "breached" if breach_us is not None or elapsed_us >= clock.target_us else clock.state,
        clock.started_us,
        end_us,
        elapsed_us,
        due_us,
        breach_us,
        intervals,
        before,
        periods,
    )
    return proof._replace(checks=tuple(_checks(clock, ticket.history, book, proof)))


# ---- the intervals -----------------------------------------------------------------------------


class _Spell(NamedTuple):
    """The ticket was in statuses of one phase; `status` is the one that began it."""

    start_us: int
    end_us: int
    phase: Phase
    status: str
    begun_by: int
    ended_by: int | None


def _spells(
    rules: MetricRules, history: Sequence[Moment], start_us: int, end_us: int, ended_by: int | None
) -> Iterator[_Spell]:
    """The time of a clock by the statuses of its ticket; runs in a row are one."""
    open_: _Spell | None = None
    for number, moment in enumerate(history):
        following = history[number + 1] if number + 1 < len(history) else None
        begin_us = max(moment.at_us, start_us)
        until_us = end_us if following is None else min(following.at_us, end_us)
        if begin_us >= until_us:
            continue
        cause = ended_by
        if following is not None and (following.at_us < end_us or ended_by is None):
            cause = following.cause if following.at_us <= end_us else None
        spell = _Spell(
            begin_us,
            until_us,
            rules.phases[moment.status],
            moment.status,
            moment.cause,
            cause,
        )
        if open_ is not None and open_.phase is spell.phase is Phase.RUN:
            open_ = open_._replace(end_us=until_us, ended_by=spell.ended_by)
            continue
        if open_ is not None:
            yield open_
        open_ = spell
    if open_ is not None:
        yield open_


def _intervals(
    clock: Clock, history: Sequence[Moment], line: Timeline, end_us: int
) -> tuple[Interval, ...]:
    ended_by = clock.edges[-1].cause if clock.ended_us == end_us and clock.edges else None
    spells = _spells(METRICS[clock.metric], history, clock.started_us, end_us, ended_by)
    found: list[Interval] = []
    for number, spell in enumerate(spells):
        if number == 0:
            spell = spell._replace(begun_by=clock.started_by)  # noqa: PLW2901
        found += _of_spell(spell, line)
    return tuple(found)


def _of_spell(spell: _Spell, line: Timeline) -> Iterator[Interval]:
    if spell.phase is not Phase.RUN:
        why: Why = "solved" if spell.phase is Phase.END else "status"
        yield Interval(
            spell.start_us, spell.end_us, why, spell.status, None, spell.begun_by, spell.ended_by
        )
        return
    for stretch in lay_out(line, spell.start_us, spell.end_us):
        yield Interval(
            stretch.start_us,
            stretch.end_us,
            _COUNTED if stretch.reason == "open" else stretch.reason,
            stretch.name,
            stretch.version,
            spell.begun_by if stretch.start_us == spell.start_us else None,
            spell.ended_by if stretch.end_us == spell.end_us else None,
        )


_COUNTED: Final = "counted"


def _counted(intervals: Iterable[Interval]) -> int:
    return sum(one.end_us - one.start_us for one in intervals if one.why == _COUNTED)


# ---- when it was due ---------------------------------------------------------------------------


def _reached_us(intervals: Iterable[Interval], amount_us: int, floor_us: int) -> int | None:
    """The first instant from `floor_us` on by which so much has counted."""
    for one in intervals:
        if one.why != _COUNTED:
            continue
        length_us = one.end_us - one.start_us
        if length_us >= amount_us:
            return max(one.start_us + max(amount_us, 0), floor_us)
        amount_us -= length_us
    return None


def _due_us(clock: Clock, line: Timeline, elapsed_us: int, end_us: int) -> int | None:
    """When a clock that never breached is due, or would have been, if it ran on from `end_us`."""
    if clock.state not in {RUNNING, SATISFIED}:
        return None
    left_us = clock.target_us - elapsed_us
    for stretch in lay_out(line, end_us, min(end_us + AHEAD_US, LAST_US)):
        if stretch.reason == "open":
            if stretch.end_us - stretch.start_us >= left_us:
                return max(stretch.start_us + left_us, clock.floor_us)
            left_us -= stretch.end_us - stretch.start_us
    return None


def _periods(clock: Clock, history: Sequence[Moment], book: Book, end_us: int) -> Iterator[Period]:
    """The terms one after the other. An edit of the calendar or of the time zones gives no new target,
    so it does not keep a due instant from lying before it."""
    turns = [edge for edge in clock.edges if edge.held is not None or edge.kind == "cancelled"]
    floor_us = clock.started_us
    for number, edge in enumerate(turns):
        held = edge.held
        if held is None:
            continue
        if edge.kind == "started" or edge.reason == "ticket":
            floor_us = edge.at_us
        until_us = turns[number + 1].at_us if number + 1 < len(turns) else end_us
        intervals = _intervals(clock, history, book.timelines[held.calendar], until_us)
        due_us = _reached_us(intervals, held.target_us, floor_us)
        if due_us is not None and due_us > until_us:
            due_us = None
        yield Period(held, edge.at_us, until_us, edge.reason or edge.kind, edge.cause, due_us)


def _missed_us(periods: Iterable[Period]) -> int | None:
    """When a target was first used up."""
    return next((one.due_us for one in periods if one.due_us is not None), None)


_USED_UP: Final = ("breached", "missed")


def _held_at_breach(clock: Clock) -> Held | None:
    held = None
    for edge in clock.edges:
        if edge.kind in _USED_UP and edge.at_us == clock.breach_us:
            return held
        held = edge.held or held
    return held


# ---- the comparison ----------------------------------------------------------------------------


def _checks(clock: Clock, history: Sequence[Moment], book: Book, proof: Proof) -> Iterator[Check]:
    # A release of the time zones that is not there any more cannot be asked again.
    same = clock.tzdata == book.tzdata
    elapsed_us, line = proof.elapsed_us, book.timelines[clock.calendar]
    yield _check("no_gaps", _covered(proof.intervals), proof.end_us - proof.start_us)
    yield _check("elapsed", elapsed_us, used_us(clock, line, proof.end_us), same=same)
    yield _check("breach", _missed_us(proof.periods), clock.breach_us, same=same)
    if clock.state == RUNNING and clock.breach_us is None:
        known = same and proof.due_us is not None
        yield _check("due", proof.due_us, clock.due_us, same=known)
    said = sum(edge.kind == "breached" for edge in clock.edges)
    yield _check("breaches_stated", min(said, 1), said)
    rules = METRICS[clock.metric]
    if clock.state != CANCELLED and not rules.ends_with_reply:
        status = [moment.status for moment in history if moment.at_us <= proof.end_us][-1]
        yield _check("state", _STATES[rules.phases[status]], clock.state)
    yield from _warnings(clock, history, book, same=same)


_STATES: Final[dict[Phase, State]] = {
    Phase.RUN: RUNNING,
    Phase.PAUSE: PAUSED,
    Phase.END: SATISFIED,
}


def _warnings(
    clock: Clock, history: Sequence[Moment], book: Book, *, same: bool
) -> Iterator[Check]:
    """No warning came before its part of the target was used up."""
    held: Held | None = None
    for number, edge in enumerate(clock.edges):
        held = edge.held or held
        if edge.kind != "warning" or held is None:
            continue
        line = book.timelines[held.calendar]
        used = _counted(_intervals(clock, history, line, edge.at_us))
        part_us = held.target_us * edge.fraction // 100
        # An event from before it may have turned up after its timer.
        in_order = all(later.at_us >= edge.at_us for later in clock.edges[number + 1 :])
        ok = used >= part_us if same and in_order else None
        yield Check(f"warning_{edge.fraction}", used, part_us, ok)


def _check(name: str, found: object, recorded: object, *, same: bool = True) -> Check:
    return Check(name, found, recorded, found == recorded if same else None)


def _covered(intervals: Sequence[Interval]) -> int:
    """The length of what they cover; -1 when there is a gap or an overlap."""
    if any(before.end_us != after.start_us for before, after in pairwise(intervals)):
        return -1
    return intervals[-1].end_us - intervals[0].start_us if intervals else 0

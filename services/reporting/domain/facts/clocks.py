"""The SLA clocks of one ticket: a row per clock that was started, with what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from libs.events import sla
from services.reporting.domain.facts import decode as d
from services.reporting.domain.facts.instants import instant_us
from services.reporting.domain.facts.ticket import HistoryRow, Holder


class Verdict:
    """A clock that runs again after a pause is the same clock; a reply clock that starts anew is
    another one. A breach stands until the clock's end says that it was kept after all."""

    __slots__ = (
        "activation", "at_us", "calendar", "due_us", "elapsed_s", "holder", "metric", "outcome",
        "policy", "policy_version", "started_us", "target_s",
    )  # fmt: skip

    def __init__(self, metric: str, activation: int) -> None:
        self.metric = metric
        self.activation = activation
        self.policy = ""
        self.policy_version = 1
        self.calendar = ""
        self.outcome = "running"
        self.started_us: int | None = None
        self.due_us: int | None = None
        self.at_us: int | None = None
        self.target_s: int | None = None
        self.elapsed_s: int | None = None
        self.holder: Holder = (None, None, 1)


def fold_clocks(events: Sequence[HistoryRow], holder_at: Callable[[int], Holder]) -> list[Verdict]:
    """The clocks in the order in which they appear. The holder is the one at the time of the verdict;
    of a clock that runs or was cancelled, the one when that was last said. Never raises."""
    known: dict[tuple[str, int], Verdict] = {}
    latest: dict[str, int] = {}
    said: dict[tuple[str, int], tuple[HistoryRow, str | None]] = {}
    for event in events:
        change, read = _CHANGES[event[1]]
        made = read(event[5])
        if made is None:
            continue
        metric, number, last = made.metric, made.activation, latest.get(made.metric, 0)
        if number is None:
            number = last + 1 if change is _started or not last else last
        if number > last:
            latest[metric] = number
        key = (metric, number)
        clock = known.get(key)
        if clock is None:
            clock = known[key] = Verdict(metric, number)
        clock.policy, clock.policy_version = made.policy, made.policy_version
        clock.calendar = made.calendar
        change(clock, made)
        said[key] = (event, made.at)
    for key, clock in known.items():
        at_us = clock.at_us
        if at_us is None:
            event, at = said[key]
            at_us = event[2] if at is None else instant_us(at)
        clock.holder = holder_at(at_us)
    return list(known.values())


def _started(c: Verdict, e: d.Clock) -> None:
    c.started_us = None if e.at is None else instant_us(e.at)
    c.target_s, c.due_us = e.target_s, _instant(e.due)


def _paused(c: Verdict, e: d.Clock) -> None:
    c.elapsed_s = e.elapsed_s
    if c.outcome == "running":
        c.due_us = None


def _resumed(c: Verdict, e: d.Clock) -> None:
    c.elapsed_s = e.elapsed_s
    if c.outcome != "breached":  # a reopened ticket's clock goes on with what was left
        c.outcome, c.at_us, c.due_us = "running", None, _instant(e.due)


def _retargeted(c: Verdict, e: d.Clock) -> None:
    if c.outcome == "running":
        c.target_s, c.due_us = e.target_s, _instant(e.due)


def _breached(c: Verdict, e: d.Clock) -> None:
    c.outcome, c.target_s = "breached", e.target_s
    c.due_us = c.at_us = _instant(e.due)


def _satisfied(c: Verdict, e: d.Clock) -> None:
    """This event has the last word: a breach that was stated may have been withdrawn since."""
    c.elapsed_s, c.target_s, at_us = e.elapsed_s, e.target_s, _instant(e.at)
    if not e.breached:
        c.outcome, c.at_us = "kept", at_us
    elif c.outcome != "breached":
        c.outcome, c.at_us = "breached", at_us if c.due_us is None else c.due_us


def _cancelled(c: Verdict, _: d.Clock) -> None:
    if c.outcome == "running":
        c.outcome, c.due_us = "cancelled", None


def _same(_c: Verdict, _e: d.Clock) -> None:
    """A warning changes nothing but which policy spoke last."""


def _instant(text: str | None) -> int | None:
    return None if text is None else instant_us(text)


_CHANGES: Final = d.Changes(
    {
        sla.ClockStarted.TYPE: _started,
        sla.ClockPaused.TYPE: _paused,
        sla.ClockResumed.TYPE: _resumed,
        sla.ClockRetargeted.TYPE: _retargeted,
        sla.SlaWarning.TYPE: _same,
        sla.SlaBreached.TYPE: _breached,
        sla.ClockSatisfied.TYPE: _satisfied,
        sla.ClockCancelled.TYPE: _cancelled,
    }
)

"""Attainment under a stated policy, from the incident log (or the changes of another log) alone.

Nothing of the project is used: pandas reads the file and lays the open hours out as intervals, and the rules
of the clocks are written here a second time, as plainly as can be. The policy:

- calendar `desk`: Monday to Friday 08:00-13:00 and 14:00-18:00 in Madrid, closed on `CLOSED`;
- `first_reply` (ends when solved: the log has no messages; anew after a reopening), `requester_wait` (paused
  by pending), `agent_work` (paused by pending and on hold), `total_resolution` (never paused);
- targets as in `TARGETS_H`: critical round the clock, the others in the desk's hours.

The verdicts are those of the last instant of the whole log. Within a row a change of priority comes before the change of
status, but for a reopening, which comes first; a time that runs back counts as that of the change before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench.equality.plain.incidents import PRIORITY, STATUS

TARGETS_H = {
    "first_reply": {"critical": 1, "high": 4, "medium": 8, "low": 20},
    "requester_wait": {"critical": 4, "high": 8, "medium": 24, "low": 45},
    "agent_work": {"critical": 4, "high": 6, "medium": 18, "low": 36},
    "total_resolution": {"critical": 8, "high": 27, "medium": 45, "low": 90},
}
PAUSED_BY = {
    "first_reply": (),
    "requester_wait": ("pending",),
    "agent_work": ("pending", "on_hold"),
    "total_resolution": (),
}
CLOSED = ("2016-03-24", "2016-03-25", "2016-05-02", "2016-12-26")
SHIFTS = (("08:00", "13:00"), ("14:00", "18:00"))
ZONE = "Europe/Madrid"
ENDED = ("solved", "closed")


class Verdict(NamedTuple):
    """`used_s`: what was used up in the end; `ended_s`: when it ended, None while it runs."""

    missed: bool
    breach_s: int | None
    used_s: int
    ended_s: int | None
    started_s: int


class Change(NamedTuple):
    at_s: int
    what: str
    value: str


class Hours:
    """Open seconds up to an instant, and back."""

    def __init__(self, opens: list[int], closes: list[int]) -> None:
        self.opens = opens
        self.closes = closes
        self.sums = [0]
        for start, end in zip(opens, closes, strict=True):
            self.sums.append(self.sums[-1] + end - start)

    def before(self, at_s: int) -> int:
        index = bisect_right(self.opens, at_s) - 1
        if index < 0:
            return 0
        return self.sums[index] + min(at_s, self.closes[index]) - self.opens[index]

    def reached(self, open_s: int) -> int:
        """The first second at which so much was open."""
        index = bisect_left(self.sums, open_s) - 1
        return self.opens[index] + open_s - self.sums[index]


def desk_hours(first: pd.Timestamp, last: pd.Timestamp) -> Hours:
    days = pd.bdate_range(first.normalize() - pd.Timedelta(days=7), last + pd.Timedelta(days=7))
    days = days.difference(pd.DatetimeIndex(CLOSED))
    edges: list[list[int]] = [[], []]
    for day in days:
        for shift in SHIFTS:
            for side, clock in enumerate(shift):
                local = (day + pd.Timedelta(f"{clock}:00")).tz_localize(ZONE)
                edges[side].append(int(local.timestamp()))
    return Hours(*edges)


def changes_of(rows: list[tuple[int, int, str, str]]) -> Iterator[Change]:
    """The creation (as a status and a priority) and what changed from row to row."""
    opened_s, updated_s, state, priority = rows[0]
    opened_s = min(opened_s, updated_s)
    status = STATUS.get(state, "new")
    yield Change(opened_s, "priority", priority)
    yield Change(opened_s, "status", status if opened_s == updated_s else "new")
    last_s = opened_s
    if opened_s < updated_s and status != "new":
        last_s = updated_s
        yield Change(updated_s, "status", status)
    for _, updated_s, state, new in rows[1:]:
        at_s = max(last_s, updated_s)
        after = STATUS.get(state, status)
        reopening = status in ENDED and after not in ENDED
        moved = [Change(at_s, "status", after)] if after != status else []
        raised = [Change(at_s, "priority", new)] if new != priority else []
        yield from moved + raised if reopening else raised + moved
        status, priority = after, new
        last_s = at_s if moved or raised else last_s


class Watch:
    """One metric of one incident; `verdicts` by activation."""

    def __init__(self, metric: str, desk: Hours) -> None:
        self.metric = metric
        self.desk = desk
        self.status = "none"
        self.priority = ""
        self.held = ""
        self.runs: list[list[int]] = []
        self.floor_s = self.started_s = 0
        self.breach_s: int | None = None
        self.verdicts: list[Verdict] = []

    def open_between(self, start_s: int, end_s: int) -> int:
        if self.held == "critical":
            return end_s - start_s
        return self.desk.before(end_s) - self.desk.before(start_s)

    def used(self, until_s: int) -> int:
        return sum(
            self.open_between(run[0], run[1] if len(run) > 1 else until_s) for run in self.runs
        )

    def check(self, now_s: int) -> None:
        """A breach by now is stamped when the target was used up, not before it was given."""
        target_s = TARGETS_H[self.metric][self.held] * 3600
        if self.breach_s is not None or self.used(now_s) < target_s:
            return
        if not self.runs or len(self.runs[-1]) > 1:
            self.breach_s = now_s
            return
        start_s = self.runs[-1][0]
        left_s = target_s - (self.used(now_s) - self.open_between(start_s, now_s))
        if left_s <= 0:
            due_s = start_s
        elif self.held == "critical":
            due_s = start_s + left_s
        else:
            due_s = self.desk.reached(self.desk.before(start_s) + left_s)
        self.breach_s = max(due_s, self.floor_s)

    def active(self) -> bool:
        return self.status not in (*ENDED, "none")

    def hold(self, at_s: int) -> None:
        if self.held != self.priority:
            self.held, self.floor_s = self.priority, at_s
            self.check(at_s)

    def apply(self, change: Change) -> None:
        if self.active():
            self.check(change.at_s)
        if change.what == "priority":
            self.priority = change.value
            if self.active():
                self.hold(change.at_s)
            return
        was_active, before = self.active(), self.status
        self.status = change.value
        counts = self.active() and self.status not in PAUSED_BY[self.metric]
        if self.runs and len(self.runs[-1]) == 1 and not counts:
            self.runs[-1].append(change.at_s)
        if was_active and not self.active():
            self.close(change.at_s)
        if not was_active and self.active() and self.metric == "first_reply" and before != "none":
            self.runs, self.breach_s, self.held, self.started_s = [], None, "", change.at_s
        if counts and not (self.runs and len(self.runs[-1]) == 1):
            self.runs.append([change.at_s])
        if not was_active and self.active():
            self.started_s = self.started_s or change.at_s
            self.hold(change.at_s)

    def close(self, at_s: int) -> None:
        used_s = self.used(at_s)
        missed = self.breach_s is not None or used_s >= TARGETS_H[self.metric][self.held] * 3600
        if self.metric != "first_reply":
            self.verdicts.clear()
        ended_s = None if self.active() else at_s
        self.verdicts.append(Verdict(missed, self.breach_s, used_s, ended_s, self.started_s))

    def finish(self, at_s: int) -> list[Verdict]:
        if self.active():
            self.check(at_s)
            self.close(at_s)
        return self.verdicts


def read(path: Path) -> pd.DataFrame:
    """One row per update: incident, when it was opened and updated (seconds), state, priority."""
    log = pd.read_csv(
        path, usecols=["number", "opened_at", "sys_updated_at", "incident_state", "priority"]
    )
    for column in ("opened_at", "sys_updated_at"):
        stamps = pd.to_datetime(log[column], format="%d/%m/%Y %H:%M", utc=True)
        log[column] = stamps.astype("datetime64[s, UTC]").astype("int64")
    log["priority"] = log["priority"].str[0].map(PRIORITY)
    return log


def attainment(path: Path) -> dict[tuple[str, str, int], Verdict]:
    """(incident, metric, activation) → verdict."""
    log = read(path)
    columns: Any = log[["opened_at", "sys_updated_at", "incident_state", "priority"]]
    rows = list(columns.itertuples(index=False, name=None))
    numbers = log["number"].tolist()
    starts = [0, *(log.index[log["number"] != log["number"].shift()].tolist()[1:]), len(rows)]
    cases = ((numbers[start], list(changes_of(rows[start:end]))) for start, end in pairwise(starts))
    first_s, last_s = int(log["opened_at"].min()), int(log["sys_updated_at"].max())
    return verdicts_of(cases, first_s, last_s)


def verdicts_of(
    cases: Iterable[tuple[str, list[Change]]],
    first_s: int,
    last_s: int,
    as_of: Mapping[str, int] | None = None,
) -> dict[tuple[str, str, int], Verdict]:
    """(case, metric, activation) → verdict, as of `last_s`, or of an instant of each case's own. No
    change lies before `first_s`."""
    desk = desk_hours(pd.Timestamp(first_s, unit="s"), pd.Timestamp(last_s, unit="s"))
    found: dict[tuple[str, str, int], Verdict] = {}
    for case, changes in cases:
        for metric in TARGETS_H:
            watch = Watch(metric, desk)
            for change in changes:
                watch.apply(change)
            end_s = last_s if as_of is None else as_of[case]
            for number, verdict in enumerate(watch.finish(end_s), start=1):
                found[case, metric, number] = verdict
    return found

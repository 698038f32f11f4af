"""The figures of the overview: one snapshot, from which the API and the page both read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, case, func, select

from libs.events import Status
from services.reporting.domain import (
    DAY_H,
    DURATIONS,
    HOUR_US,
    MEASURES,
    hour_of,
    instant_of,
    microseconds,
    nearest_rank,
    words,
)
from services.reporting.views.clocks import CLOCKS
from services.reporting.views.positions import POSITIONS, stamp
from services.reporting.views.rollup import HOURLY, STATUS_COUNTS
from services.reporting.views.tickets import TICKETS

Range = Literal["24h", "7d", "30d", "12m", "all"]
Granularity = Literal["hour", "day", "month"]

RANGE_H: Final[dict[Range, int | None]] = {
    "24h": 24,
    "7d": 7 * DAY_H,
    "30d": 30 * DAY_H,
    "12m": 365 * DAY_H,
    "all": None,
}
HOURLY_SPAN_H_MAX: Final = 3 * DAY_H
DAILY_SPAN_H_MAX: Final = 100 * DAY_H
OPEN: Final = (Status.NEW, Status.OPEN, Status.PENDING, Status.ON_HOLD)
_TIME_OF: Final = {
    "first_reply": TICKETS.c.first_replied_us,
    "first_resolution": TICKETS.c.first_solved_us,
    "resolution": TICKETS.c.solved_us,
}
_H = HOURLY.c


@dataclass(frozen=True, slots=True)
class Window:
    """Hours since 1970, `first` … `last`, both included; `granularity` of its buckets."""

    first: int
    last: int
    granularity: Granularity


@dataclass(frozen=True, slots=True)
class Bucket:
    """`start` is RFC 3339; `backlog` counts the tickets not solved or closed at the bucket's end."""

    start: str
    created: int
    solved: int
    reopened: int
    breached: int
    backlog: int


@dataclass(frozen=True, slots=True)
class Duration:
    """Over the tickets where it ended in the window; all None when there are none."""

    name: str
    title: str
    count: int
    mean_s: float | None
    p50_s: int | None
    p90_s: int | None


@dataclass(frozen=True, slots=True)
class Attainment:
    """The clocks of one metric, of all time. `attainment` = kept / (kept + breached)."""

    metric: str
    kept: int
    breached: int
    running: int
    attainment: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """`backlog` and `tickets` are of now; `sums` and `durations` of the window; `sla` of all time.

    `recorded_time` is when the latest applied event was recorded, `events` how many were applied.
    """

    range: Range
    granularity: Granularity
    first: str | None
    last: str | None
    recorded_time: str | None
    events: int
    tickets: int
    backlog: dict[str, int]
    open: int
    sums: dict[str, int]
    durations: list[Duration]
    sla: list[Attainment]
    flow: list[Bucket]


def read_figures(connection: Connection, range_: Range, *, now: datetime) -> Figures:
    """All figures, from one snapshot. The window ends at the latest data, but never after `now`:
    imported history is shown where it lies, and a date from the far future does not hide it."""
    window = _window(connection, range_, now)
    backlog = _backlog(connection)
    recorded = connection.execute(select(func.max(POSITIONS.c.recorded_us))).scalar()
    return Figures(
        range=range_,
        granularity=window.granularity if window else "day",
        first=words(window.first * HOUR_US) if window else None,
        last=words(min((window.last + 1) * HOUR_US, _LAST_US)) if window else None,
        recorded_time=words(recorded),
        events=stamp(connection),
        tickets=sum(backlog.values()),
        backlog=backlog,
        open=sum(backlog[status.value] for status in OPEN),
        sums=_sums(connection, window),
        durations=[_duration(connection, metric.name, window) for metric in DURATIONS],
        sla=_sla(connection),
        flow=_flow(connection, window) if window else [],
    )


_LAST_US: Final = microseconds(datetime.max.replace(tzinfo=UTC))


def _window(connection: Connection, range_: Range, now: datetime) -> Window | None:
    latest = hour_of(microseconds(now))
    oldest, newest = connection.execute(
        select(func.min(_H.hour), func.max(case((_H.hour <= latest, _H.hour)))),
    ).one()
    if newest is None:
        return None
    length = RANGE_H[range_]
    first = oldest if length is None else max(oldest, newest - length + 1)
    span = newest - first + 1
    if span <= HOURLY_SPAN_H_MAX:
        return Window(first, newest, "hour")
    if span <= DAILY_SPAN_H_MAX:
        whole_days = first - first % DAY_H
        return Window(whole_days, newest, "day")
    month = instant_of(first * HOUR_US).replace(day=1, hour=0)
    return Window(hour_of(microseconds(month)), newest, "month")


def _backlog(connection: Connection) -> dict[str, int]:
    counts = {status.value: 0 for status in Status}
    counts.update({row[0]: row[1] for row in connection.execute(select(STATUS_COUNTS))})
    return counts


def _sums(connection: Connection, window: Window | None) -> dict[str, int]:
    sums = {metric.name: 0 for metric in MEASURES}
    if window is None:
        return sums
    query = (
        select(_H.measure, func.sum(_H.count))
        .where(_H.hour.between(window.first, window.last))
        .group_by(_H.measure)
    )
    sums.update({row[0]: int(row[1]) for row in connection.execute(query)})
    return sums


def _duration(connection: Connection, name: str, window: Window | None) -> Duration:
    column = TICKETS.c[f"{name}_s"]
    title = next(metric.title for metric in DURATIONS if metric.name == name)
    if window is None:
        return Duration(name, title, 0, None, None, None)
    ended = _TIME_OF[name]
    inside: Sequence[Any] = (
        column.isnot(None),
        ended >= window.first * HOUR_US,
        ended < (window.last + 1) * HOUR_US,
    )
    count, total = connection.execute(select(func.count(), func.sum(column)).where(*inside)).one()
    if not count:
        return Duration(name, title, 0, None, None, None)
    sorted_values = select(column).where(*inside).order_by(column).limit(1)
    p50, p90 = (
        connection.execute(sorted_values.offset(nearest_rank(percent, count))).scalar_one()
        for percent in (50, 90)
    )
    return Duration(name, title, count, round(int(total) / count, 1), p50, p90)


def _sla(connection: Connection) -> list[Attainment]:
    c = CLOCKS.c
    running = func.sum(case((c.state.in_(("running", "paused")), 1), else_=0))
    query = (
        select(c.metric, func.sum(c.kept), func.sum(c.breached), running)
        .group_by(c.metric)
        .order_by(c.metric)
    )
    answer = []
    for metric, kept, breached, active in connection.execute(query):
        decided = int(kept) + int(breached)
        share = round(int(kept) / decided, 4) if decided else None
        answer.append(Attainment(metric, int(kept), int(breached), int(active), share))
    return answer


def _flow(connection: Connection, window: Window) -> list[Bucket]:
    starts = _starts(window)
    counts: list[dict[str, int]] = [{} for _ in starts]
    query = select(HOURLY).where(_H.hour.between(window.first, window.last))
    places = {start: place for place, start in enumerate(starts)}
    for hour, measure, count in connection.execute(query):
        bucket = counts[places[_start_of(hour, window.granularity)]]
        bucket[measure] = bucket.get(measure, 0) + count
    backlog = _backlog_before(connection, window.first)
    buckets = []
    for start, sums in zip(starts, counts, strict=True):
        created, solved = sums.get("created", 0), sums.get("solved", 0)
        reopened, breached = sums.get("reopened", 0), sums.get("breached", 0)
        backlog += created - solved + reopened
        at = words(start * HOUR_US) or ""
        buckets.append(Bucket(at, created, solved, reopened, breached, backlog))
    return buckets


def _start_of(hour: int, granularity: Granularity) -> int:
    if granularity == "hour":
        return hour
    if granularity == "day":
        return hour - hour % DAY_H
    month = instant_of(hour * HOUR_US).replace(day=1, hour=0)
    return hour_of(microseconds(month))


def _starts(window: Window) -> list[int]:
    step = 1 if window.granularity == "hour" else DAY_H
    starts: list[int] = []
    for hour in range(window.first, window.last + 1, step):
        start = _start_of(hour, window.granularity)
        if not starts or starts[-1] != start:
            starts.append(start)
    last = _start_of(window.last, window.granularity)
    if starts[-1] != last:
        starts.append(last)
    return starts


def _backlog_before(connection: Connection, hour: int) -> int:
    sign = case(
        (_H.measure.in_(("created", "reopened")), _H.count),
        (_H.measure == "solved", -_H.count),
        else_=0,
    )
    return int(connection.execute(select(func.sum(sign)).where(_H.hour < hour)).scalar() or 0)

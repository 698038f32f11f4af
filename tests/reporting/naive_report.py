"""Reports computed the plain way: over every row, in Python, from what the definitions say in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from typing import Any
from zoneinfo import ZoneInfo

from services.reporting.report.model import Report, ReportQuery
from tests.reporting.fact_rows import Row, Rows

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SETTLED = ("solved", "closed")
DAY_US = 86_400_000_000
BANDS = ((5, "0–5"), (10, "5–10"), (15, "10–15"), (20, "15–20"), (30, "20–30"), (60, "30–60"))


def _kind(*kinds: str, detail: str | None = None) -> Callable[[Row], bool]:
    return lambda r: r["kind"] in kinds and (detail is None or r["detail"] == detail)


def _valued(test: Callable[[Row], bool]) -> Callable[[Row], bool]:
    return lambda r: test(r) and r["value_s"] is not None


def _stands(r: Row) -> bool:
    return r["solved_us"] is not None and r["merged_into"] is None


def _has(column: str) -> Callable[[Row], bool]:
    return lambda r: _stands(r) and r[column] is not None


@dataclass
class Naive:
    source: str
    at: str
    when: Callable[[Row], bool]
    value: str | Callable[[Row], Any] | None = None
    business: bool = False


def _activity(kind: str, detail: str | None = None) -> Naive:
    return Naive("activities", "time_us", _kind(kind, detail=detail))


ROWS: dict[str, Naive] = {
    "created": Naive("tickets", "created_us", lambda r: r["created_us"] is not None),
    "solved": _activity("solved"),
    "reopened": _activity("reopened"),
    "closed": _activity("closed"),
    "first_replies": _activity("reply", "first"),
    "replies": _activity("reply"),
    "requester_messages": _activity("requester_message"),
    "notes": _activity("note"),
    "assignments": _activity("assigned"),
    "hand_overs": _activity("handed_over"),
    "group_changes": _activity("group_changed"),
    "ping_pong": _activity("ping_pong"),
    "escalated": _activity("escalated"),
    "merged": _activity("merged"),
    "ratings": _activity("rated"),
    "first_reply_time": Naive(
        "activities", "time_us", _valued(_kind("reply", detail="first")), "value_s", business=True
    ),
    "next_reply_time": Naive(
        "activities", "time_us", _valued(_kind("reply", detail="next")), "value_s", business=True
    ),
    "first_resolution_time": Naive(
        "activities", "time_us", _valued(_kind("solved", detail="first")), "value_s", business=True
    ),
    **{
        f"{name}_time": Naive("tickets", "solved_us", _has(f"{name}_s"), f"{name}_s", business=True)
        for name in ("resolution", "requester_wait", "agent_work", "on_hold")
    },
    "handling_time": Naive("tickets", "solved_us", _has("handling_s"), "handling_s"),
    "one_touch_rate": Naive("tickets", "solved_us", _stands, lambda r: bool(r["one_touch"])),
    "reopen_rate": Naive(
        "tickets",
        "first_solved_us",
        lambda r: r["first_solved_us"] is not None and r["merged_into"] is None,
        lambda r: r["reopens"] > 0,
    ),
    "replies_per_ticket": Naive("tickets", "solved_us", _stands, "replies"),
    "hand_overs_per_ticket": Naive("tickets", "solved_us", _stands, "hand_overs"),
    "sla_attainment": Naive(
        "verdicts",
        "at_us",
        lambda r: r["outcome"] in ("kept", "breached"),
        lambda r: r["outcome"] == "kept",
    ),
    "sla_kept": Naive("verdicts", "at_us", lambda r: r["outcome"] == "kept"),
    "sla_breaches": Naive("verdicts", "at_us", lambda r: r["outcome"] == "breached"),
    "sla_started": Naive("verdicts", "started_us", lambda _: True),
    "satisfaction": Naive("activities", "time_us", _kind("rated"), lambda r: r["detail"] == "good"),
    "incidents": Naive("tickets", "created_us", lambda r: r["problem"] is not None),
    "repeat_contacts": Naive("tickets", "created_us", lambda r: r["repeats"]),
    "repeat_contact_rate": Naive(
        "tickets", "created_us", lambda _: True, lambda r: bool(r["repeats"])
    ),
}
LEVELS = {
    "backlog": lambda r: r["status"] not in SETTLED,
    "unassigned": lambda r: r["status"] in ("new", "open") and r["agent"] is None,
    "backlog_age": lambda r: r["status"] not in SETTLED,
}
PRESENT = ("present_time", "agent_load", "utilization")
SHARES = ("one_touch_rate", "reopen_rate", "sla_attainment", "satisfaction", "repeat_contact_rate")


def with_repeats(tickets: list[Row]) -> list[Row]:
    """Each ticket, and whether the same requester had one of the same category in the 30 days before."""
    made = []
    for row in tickets:
        order = (row["created_us"], row["number"])
        made.append(
            {
                **row,
                "repeats": row["requester"] is not None
                and any(
                    other["requester"] == row["requester"]
                    and other["category"] == row["category"]
                    and (other["created_us"], other["number"]) < order
                    and row["created_us"] - other["created_us"] <= 30 * DAY_US
                    for other in tickets
                ),
            }
        )
    return made


def band(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return next((name for minutes, name in BANDS if seconds < minutes * 60), "60+")


def wall(at_us: int, zone: ZoneInfo) -> datetime:
    return (EPOCH + timedelta(microseconds=at_us)).astimezone(zone)


def values_of(
    dimension: str, metric: str, source: str, row: Row, ticket: Row, at: int, zone: Any
) -> list[Any]:
    """Under which keys a row counts."""
    if dimension == "hour":
        return [str(wall(at, zone).hour)]
    if dimension == "weekday":
        return [str(wall(at, zone).isoweekday())]
    if dimension == "tag":
        return list(ticket["tags"]) or [None]
    if dimension == "origin":
        return ["live" if row["live"] else "imported"]
    if dimension == "group":
        return [row["group_name"]] if source != "presences" else (list(row["groups"]) or [None])
    if dimension == "tier":
        return [None if row["tier"] is None else str(row["tier"])]
    if dimension == "sla_metric":
        return [row["metric"]]
    if dimension in ("rating", "cause"):
        return [row["detail"]]
    if dimension == "handling_minutes":
        own = metric in ("satisfaction", "ratings")
        return [band(row["value_s"] if own else ticket["handling_s"])]
    if dimension in row:
        return [row[dimension]]
    return [ticket[dimension]]


class Answers:
    """The naive answer to one query. `ends`: where the buckets end, taken from the report that is checked
    (what those must be, other tests say)."""

    def __init__(self, rows: Rows, query: ReportQuery, report: Report) -> None:
        assert report.start_us is not None
        assert report.end_us is not None
        self.rows = {**rows, "tickets": with_repeats(list(rows["tickets"]))}
        self.tickets = {row["ticket"]: row for row in self.rows["tickets"]}
        self.query = query
        self.zone = ZoneInfo(query.zone)
        self.start, self.end = report.start_us, report.end_us
        starts = list(dict.fromkeys(row.bucket_us for row in report.rows))
        bucketed = query.granularity != "none" and starts
        self.starts = [s or 0 for s in starts] if bucketed else [self.start]
        self.ends = [*self.starts[1:], self.end]
        instants = [r["time_us"] for r in rows["activities"]]
        instants += [r["start_us"] for r in rows["presences"]]
        instants += [r["started_us"] for r in rows["verdicts"]]
        instants += [r["at_us"] for r in rows["verdicts"] if r["at_us"] is not None]
        self.latest = max(instants, default=self.end)

    def _groups(self, metric: str, source: str, row: Row, at: int) -> Iterator[tuple[Any, ...]]:
        ticket = self.tickets.get(row.get("ticket"), {})
        for name, wanted in self.query.filters:
            own = values_of(name, metric, source, row, ticket, at, self.zone)
            if not any((value is None and "" in wanted) or value in wanted for value in own):
                return
        parts = [
            values_of(name, metric, source, row, ticket, at, self.zone) for name in self.query.by
        ]
        yield from product(*parts)

    def facts(self, metric: str) -> dict[tuple[int, tuple[Any, ...]], list[Any]]:
        """(bucket, keys) → the value of each row (None for those without)."""
        if metric in LEVELS:
            return self._standing(metric)
        naive = ROWS[metric]
        found: dict[tuple[int, tuple[Any, ...]], list[Any]] = {}
        for row in self.rows[naive.source]:
            at = row[naive.at]
            if at is None or not self.start <= at < self.end or not naive.when(row):
                continue
            bucket = max(place for place, start in enumerate(self.starts) if start <= at)
            value = naive.value
            if isinstance(value, str):
                business = naive.business and self.query.time == "business"
                value = row[value.removesuffix("_s") + "_b" if business else value]
            elif value is not None:
                value = value(row)
            for keys in self._groups(metric, naive.source, row, at):
                found.setdefault((bucket, keys), []).append(value)
        return found

    def _standing(self, metric: str) -> dict[tuple[int, tuple[Any, ...]], list[Any]]:
        found: dict[tuple[int, tuple[Any, ...]], list[Any]] = {}
        for row in self.rows["intervals"]:
            for bucket, end in enumerate(self.ends):
                over = row["end_us"] is not None and row["end_us"] < end
                if not LEVELS[metric](row) or row["start_us"] >= end or over:
                    continue
                created = self.tickets[row["ticket"]]["created_us"]
                age = (min(end, max(self.latest, self.start)) - created) // 1_000_000
                for keys in self._groups(metric, "intervals", row, row["start_us"]):
                    found.setdefault((bucket, keys), []).append(age)
        return found

    def present(self) -> dict[tuple[int, tuple[Any, ...]], tuple[int, int, int, int]]:
        """(bucket, keys) → time present, tickets held × time, time busy, stretches held."""
        found: dict[tuple[int, tuple[Any, ...]], list[Any]] = {}
        until = min(self.end, max(self.latest, self.start))
        for row in self.rows["presences"]:
            if row["presence"] != "online":
                continue
            began, ended = row["start_us"], row["end_us"] if row["end_us"] is not None else until
            for bucket, (low, high) in enumerate(zip(self.starts, self.ends, strict=True)):
                first, last = max(began, low), min(ended, high)
                if first >= last:
                    continue
                for keys in self._groups("agent_load", "presences", row, began):
                    sums = found.setdefault((bucket, keys), [0, 0, 0, 0])
                    self._add(sums, row["agent"], first, last, until)
        return {key: (a, b, c, d) for key, (a, b, c, d) in found.items()}

    def _add(self, sums: list[Any], agent: str, first: int, last: int, until: int) -> None:
        held = []
        for row in self.rows["intervals"]:
            end = row["end_us"] if row["end_us"] is not None else until
            if row["agent"] == agent and row["status"] not in SETTLED:
                low, high = max(row["start_us"], first), min(end, last)
                if low < high:
                    held.append((low, high, row["status"] in ("new", "open")))
        sums[0] += last - first
        sums[3] += len(held)
        sums[1] += sum(high - low for low, high, _ in held)
        marks = sorted({first, last, *(m for low, high, _ in held for m in (low, high))})
        for low, high in pairwise(marks):
            if any(a <= low and high <= b and busy for a, b, busy in held):
                sums[2] += high - low


def aggregate(metric: str, name: str, values: list[Any]) -> Any:
    """What an aggregate makes of the values, by the plain definition."""
    if name == "count":
        return len(values)
    if name == "sum":
        return sum(values)
    if not values:
        return None
    if name == "share":
        return sum(values) / len(values)
    if name == "mean":
        return sum(values) / len(values)
    ordered = sorted(values)
    if name in ("min", "max"):
        return ordered[0] if name == "min" else ordered[-1]
    percent = int(name[1:])
    rank = -(-percent * len(ordered) // 100)  # nearest rank, from 1
    return ordered[rank - 1]

"""The engine against plain Python over the same rows: any metric, zone, granularity, group and filter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from libs.runtime.errors import Poison
from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.domain.metrics import METRICS, aggregates_of
from services.reporting.report.check import dimensions_of
from services.reporting.report.drill import facts_of
from services.reporting.report.engine import Known, look, run
from services.reporting.report.model import Report, ReportQuery
from tests.reporting.drawn_facts import Drawn
from tests.reporting.fact_rows import MadeFacts, us
from tests.reporting.naive_report import (
    LEVELS,
    PRESENT,
    ROWS,
    Answers,
    aggregate,
    values_of,
    wall,
)

CHANGES = {
    "Europe/Madrid": "2026-03-29T01:00",
    "America/New_York": "2025-11-02T06:00",
    "America/Sao_Paulo": "2018-11-04T03:00",  # midnight is skipped
    "America/Havana": "2025-11-02T05:00",  # one o'clock goes back to midnight
    "Pacific/Apia": "2011-12-30T10:00",  # a whole day is skipped
    "Asia/Kathmandu": "2026-01-01T00:00",
    "UTC": "1969-12-30T00:00",
}
"""Zones, and an instant at which something happens to their clocks."""

VALUES = {
    "priority": ("high", "low"),
    "category": ("", "refund"),
    "subcategory": ("", "late"),
    "channel": ("chat",),
    "language": ("", "es"),
    "organization": ("acme, inc.",),
    "origin": ("live",),
    "group": ("mail", ""),
    "agent": ("ana", "bo"),
    "tier": ("1", "2"),
    "status": ("open", "solved", "closed"),
    "tag": ("vip", ""),
    "requester": ("r1", ""),
    "problem": ("p1",),
    "imported_from": ("",),
    "handling_minutes": ("", "10–15", "60+"),
    "hour": ("0", "5", "12", "23"),
    "weekday": ("1", "7"),
    "actor": ("agent:ana",),
    "policy": ("gold",),
    "sla_metric": ("first_reply",),
    "calendar": ("desk",),
    "outcome": ("kept", "running"),
    "rating": ("good",),
    "cause": ("sla",),
}


@st.composite
def questions(draw: st.DrawFn) -> tuple[Drawn, ReportQuery]:
    zone = draw(st.sampled_from(sorted(CHANGES)))
    rows = Drawn(draw(st.integers(0, 10**6)), CHANGES[zone])
    metric = draw(st.sampled_from(list(METRICS)))
    able = dimensions_of(METRICS[metric])
    by = draw(st.lists(st.sampled_from(able), max_size=2, unique=True))
    filtered = draw(st.lists(st.sampled_from(able), max_size=2, unique=True))
    filters = [
        (n, tuple(draw(st.lists(st.sampled_from(VALUES[n]), min_size=1, unique=True))))
        for n in filtered
    ]
    around = us(CHANGES[zone])
    day = 86_400_000_000
    start = draw(st.none() | st.integers(-20 * day, 0).map(lambda x: around + x))
    end = draw(st.none() | st.integers(1, 20 * day).map(lambda x: around + x))
    aggregates = draw(st.just(()) | st.just(aggregates_of(METRICS[metric])))
    return rows, ReportQuery(
        metrics=(metric,),
        start_us=start,
        end_us=end,
        zone=zone,
        granularity=draw(
            st.sampled_from(["none", "hour", "day", "week", "month", "quarter", "year"])
        ),
        by=tuple(by),
        filters=tuple(filters),
        aggregates=aggregates,
        time=draw(st.sampled_from(["calendar", "business"])),
    )


@pytest.fixture(scope="module")
def facts() -> Iterator[MadeFacts]:
    made = MadeFacts()
    yield made
    made.close()


def answer(facts: MadeFacts, query: ReportQuery) -> Report:
    with facts.reading() as reading:
        try:
            return run(reading.cursor, query, known(reading.cursor))
        except Poison as refusal:
            if refusal.code != "too_many_cells":
                raise
            reject()


def known(cursor: Any) -> Known:
    return look(cursor, stamp=1, recorded_us=None, now_us=None)


SLOW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@SLOW
@given(questions())
def test_the_engine_agrees_with_plain_python(
    facts: MadeFacts, question: tuple[Drawn, ReportQuery]
) -> None:
    drawn, query = question
    facts.fill(drawn.rows)
    report = answer(facts, query)
    metric = query.metrics[0]
    naive = Answers(drawn.rows, query, report)
    places = {start: place for place, start in enumerate(naive.starts)}
    seen = set()
    values = {} if metric in PRESENT else naive.facts(metric)
    present = naive.present() if metric in PRESENT else {}
    for row in report.rows:
        key = (0 if row.bucket_us is None else places[row.bucket_us], row.keys)
        seen.add(key)
        for cell in row.cells:
            if metric in PRESENT:
                expected, count = expected_present(metric, present.get(key))
            else:
                own = values.get(key, [])
                expected, count = aggregate(metric, cell.aggregate, own), len(own)
            assert cell.value == pytest.approx(expected, rel=1e-12), (row, cell)
            assert cell.facts == count, (row, cell)
    assert set(values) <= seen
    assert set(present) <= seen


def expected_present(metric: str, sums: tuple[int, int, int, int] | None) -> tuple[Any, int]:
    if sums is None:
        return (0 if metric == "present_time" else None), 0
    time, held, busy, count = sums
    if metric == "present_time":
        return time // 1_000_000, count
    return (held if metric == "agent_load" else busy) / time, count


@SLOW
@given(questions())
def test_a_figure_is_made_of_as_many_facts_as_it_says(
    facts: MadeFacts, question: tuple[Drawn, ReportQuery]
) -> None:
    drawn, query = question
    facts.fill(drawn.rows)
    report = answer(facts, query)
    shown = [row for row in report.rows if row.cells[0].facts][:6] + list(report.rows[:1])
    for row in shown:
        with facts.reading() as reading:
            listed: list[Any] = []
            after = None
            while True:
                found = facts_of(
                    reading.cursor,
                    query,
                    known(reading.cursor),
                    bucket_us=row.bucket_us,
                    keys=row.keys,
                    limit=3,
                    after=after,
                )
                listed += found.facts
                after = found.next
                if after is None:
                    break
        assert found.total == row.cells[0].facts == len(listed)
        assert found.tickets == len({fact.ticket_id for fact in listed})
        for cell in row.cells:
            if cell.aggregate not in ("count", "mean", "share") or query.metrics[0] in PRESENT:
                continue
            own = [fact.value for fact in listed]
            assert cell.value == pytest.approx(aggregate("", cell.aggregate, own), rel=1e-12)


@SLOW
@given(questions())
def test_buckets_hold_what_the_wall_clock_says(
    facts: MadeFacts, question: tuple[Drawn, ReportQuery]
) -> None:
    drawn, query = question
    facts.fill(drawn.rows)
    report = answer(facts, query)
    if query.granularity == "none":
        return
    zone = ZoneInfo(query.zone)
    starts = sorted({row.bucket_us for row in report.rows if row.bucket_us is not None})
    assert starts == [] or starts[0] == report.start_us
    labels = [label(start, zone, query.granularity) for start in starts]
    assert len(set(labels)) == len(labels)
    for row in drawn.rows["activities"]:
        at = row["time_us"]
        if starts and starts[0] <= at < (report.end_us or 0):
            bucket = max(place for place, start in enumerate(starts) if start <= at)
            assert label(at, zone, query.granularity) == labels[bucket]


def label(at_us: int, zone: ZoneInfo, granularity: str) -> tuple[Any, ...]:
    """What a calendar on the wall calls the bucket of an instant."""
    shown = wall(at_us, zone)
    return {
        "hour": (shown.date(), shown.hour, shown.utcoffset()),
        "day": (shown.date(),),
        "week": shown.isocalendar()[:2],
        "month": (shown.year, shown.month),
        "quarter": (shown.year, (shown.month - 1) // 3),
        "year": (shown.year,),
    }[granularity]


def test_every_metric_and_dimension_is_compared() -> None:
    assert {*ROWS, *LEVELS, *PRESENT} == set(METRICS)
    assert set(VALUES) == set(DIMENSIONS)
    assert values_of("weekday", "", "", {}, {}, us("2026-03-01T12:00"), ZoneInfo("UTC")) == ["7"]

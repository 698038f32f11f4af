"""Business time in the fact tables: that of libs.worktime, to the second, by every version then in force."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import EventEnvelope, Status
from libs.events import ticket as t
from libs.events.base import Channel
from libs.events.sla import CalendarDefined
from libs.worktime.calendar import calendar_of
from libs.worktime.instants import to_us
from libs.worktime.timeline import CalendarVersion, Timeline
from services.reporting.domain import microseconds
from services.reporting.facts.business import RunningTotal
from services.reporting.facts.facts import Facts
from tests.reporting.house import fact_rows, facts_of, feed, open_store, refreshed, rows_of_reading
from tests.reporting.streams import START, Desk, envelope

DAY = [["09:00", "13:00"], ["14:00", "18:00"]]
WEEK: dict[str, Any] = dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), DAY)
NIGHTS: dict[str, Any] = {day: [["22:00", "06:30"]] for day in ("mon", "tue", "sat")}
LATER = START + timedelta(days=6)


def calendar(version: int, hours: Any, since: datetime | None) -> EventEnvelope:
    event = CalendarDefined(
        calendar="business",
        version=version,
        zone="Europe/Madrid",
        hours=hours,
        effective_from=since,
        holidays={} if hours is None else {"2026-03-19": "St Joseph"},  # type: ignore[dict-item]
    )
    return envelope("calendar:business", version, event, START)


FIRST, SECOND = calendar(1, WEEK, None), calendar(2, NIGHTS, LATER)
EVENTS = [e for stream in Desk(5).streams(12, events=12) for e in stream]


def timeline(*versions: EventEnvelope) -> Timeline:
    made = []
    for number, version in enumerate(versions, 1):
        event: CalendarDefined = version.event
        document = event.model_dump(mode="json", exclude={"effective_from"})
        begins = to_us(event.effective_from or datetime(1, 1, 2, tzinfo=UTC))
        made.append(CalendarVersion(begins, calendar_of({**document, "id": "business"}, number)))
    return Timeline("business", made)


LINES = [timeline(FIRST), timeline(FIRST, SECOND), timeline(calendar(1, None, None))]
TOTALS = [RunningTotal(line) for line in LINES]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 29), timezones=st.just(UTC))  # noqa: DTZ001
        | st.datetimes(datetime(1999, 1, 1), datetime(2051, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        min_size=2,
        max_size=8,
    )
)
@pytest.mark.parametrize("number", range(len(LINES)))
def test_a_column_of_instants_gives_what_each_pair_gives(
    number: int, instants: list[datetime]
) -> None:
    line, numbers = LINES[number], sorted(map(microseconds, instants))
    totals = TOTALS[number].totals(np.asarray(numbers, np.int64)).tolist()
    for start, end, one, two in zip(numbers, numbers[1:], totals, totals[1:], strict=False):
        assert two - one == line.elapsed_us(start, end)


def seconds(line: Timeline, start: int, end: int) -> int:
    """Rounded down; what ends before it began counts below zero."""
    if end < start:
        return -line.elapsed_us(end, start) // 1_000_000
    return line.elapsed_us(start, end) // 1_000_000


def check(facts: Facts, line: Timeline) -> None:
    with facts.reading() as reading:
        rows = reading.cursor.execute(
            "SELECT value_b, since_us, time_us FROM activities WHERE since_us IS NOT NULL"
            " UNION ALL SELECT length_b, start_us, end_us FROM intervals WHERE end_us IS NOT NULL"
            " UNION ALL SELECT first_reply_b, created_us, first_replied_us FROM tickets"
            " WHERE first_replied_us IS NOT NULL"
            " UNION ALL SELECT resolution_b, created_us, solved_us FROM tickets"
            " WHERE solved_us IS NOT NULL"
        ).fetchall()
        assert len(rows) > 30
        for value, start, end in rows:
            assert value == seconds(line, start, end)
        for column, statuses in (
            ("requester_wait_b", ("new", "open", "on_hold")),
            ("agent_work_b", ("new", "open")),
            ("on_hold_b", ("on_hold",)),
        ):
            for ticket, value, solved in reading.cursor.execute(
                f"SELECT ticket, {column}, solved_us FROM tickets"
            ).fetchall():
                spans = reading.cursor.execute(
                    "SELECT start_us, end_us FROM intervals WHERE ticket = ? AND status IN ?"
                    " AND end_us IS NOT NULL",
                    (ticket, statuses),
                ).fetchall()
                total = sum(line.elapsed_us(*span) for span in spans) // 1_000_000
                assert value == (None if solved is None else total)


@pytest.fixture
def with_calendar(database_url: str) -> Iterator[Facts]:
    with facts_of(database_url, [[FIRST, *EVENTS]]) as facts:
        yield facts


def test_every_duration_is_that_of_the_calendar(with_calendar: Facts) -> None:
    check(with_calendar, timeline(FIRST))


def test_a_new_version_makes_the_columns_anew_as_if_it_had_always_been_there(
    database_url: str,
) -> None:
    with open_store(database_url) as store, refreshed(store) as facts:
        feed(store, [EVENTS[:100]])
        facts.refresh()
        with facts.reading() as reading:
            none = reading.cursor.execute("SELECT count(value_b) FROM activities").fetchone()
            assert none == (0,)
        feed(store, [[FIRST], EVENTS[100:]])
        stamp = facts.stamp
        facts.refresh()
        assert facts.stamp > stamp
        check(facts, timeline(FIRST))
        feed(store, [[SECOND]])
        facts.refresh()
        check(facts, timeline(FIRST, SECOND))
        with refreshed(store) as anew:
            assert fact_rows(anew) == fact_rows(facts)


def test_what_is_kept_of_earlier_instants_is_counted_by_the_new_version_too(
    sqlite_url: str,
) -> None:
    with open_store(sqlite_url) as store, refreshed(store) as facts:
        feed(store, [[FIRST, *EVENTS]])
        facts.refresh()
        instant = microseconds(EVENTS[len(EVENTS) // 2].recorded_time)
        with facts.as_recorded(instant) as reading:
            before = rows_of_reading(reading)
        feed(store, [[SECOND]])
        facts.refresh()
        with facts.as_recorded(instant) as reading:
            after = rows_of_reading(reading)
        assert after != before
        with refreshed(store) as anew, anew.as_recorded(instant) as reading:
            assert rows_of_reading(reading) == after


def test_another_calendar_is_counted_by_from_the_next_opening_on(
    sqlite_url: str, tmp_path: Any
) -> None:
    other = CalendarDefined(calendar="always", version=1, zone="UTC")
    with open_store(sqlite_url) as store:
        feed(store, [[FIRST, envelope("calendar:always", 1, other, START), *EVENTS]])
        with refreshed(store, tmp_path / "facts"):
            pass
        facts = Facts(store.database, tmp_path / "facts", clock=store.clock, calendar="always")
        facts.refresh()
        with facts.reading() as reading:
            assert (
                reading.cursor.execute(
                    "SELECT count(*), count(*) FILTER (value_b = value_s) FROM activities"
                    " WHERE since_us IS NOT NULL"
                ).fetchall()
                == reading.cursor.execute(
                    "SELECT count(*), count(*) FROM activities WHERE since_us IS NOT NULL"
                ).fetchall()
            )
        facts.close()


def test_time_that_runs_backwards_and_years_far_away(sqlite_url: str) -> None:
    created = t.TicketCreated(
        number=1, subject="x", requester=t.Requester(id="r"), channel=Channel.FORM
    )
    solved = t.StatusChanged(status=Status.SOLVED, previous=Status.NEW)
    far = [
        envelope("one", 1, created, START.replace(year=9999)),
        envelope("one", 2, solved, START.replace(year=1)),
    ]
    with facts_of(sqlite_url, [[FIRST, *far]]) as facts, facts.reading() as reading:
        line = timeline(FIRST)
        found = reading.cursor.execute(
            "SELECT resolution_b, created_us, solved_us FROM tickets"
        ).fetchone()
        assert found is not None
        assert found[0] == seconds(line, found[1], found[2])
        assert found[0] < 0

"""As recorded then: exactly what a load gives of the history cut at that instant."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.events import EventEnvelope
from libs.runtime.store import ServiceStore
from services.reporting.domain import microseconds
from services.reporting.facts.facts import Facts
from tests.reporting.house import fact_rows, feed, open_store, refreshed, rows_of_reading
from tests.reporting.streams import START, Desk, batches, interleaved

_SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def recorded_at_random(events: Sequence[EventEnvelope], rng: random.Random) -> list[EventEnvelope]:
    """Recorded in the order in which they come, some of them long after they happened."""
    at, result = START, []
    for event in events:
        at += timedelta(seconds=rng.choice((0, 1, 30_000)))
        result.append(replace(event, recorded_time=at))
    return result


@contextmanager
def cut(store: ServiceStore, instant_us: int) -> Iterator[Facts]:
    """Facts of the history without what was recorded later; the database is as before afterwards."""
    with store.database.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE kept AS SELECT * FROM history")
        connection.exec_driver_sql(f"DELETE FROM history WHERE recorded_us > {instant_us}")
    try:
        with refreshed(store) as facts:
            yield facts
    finally:
        with store.database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM history")
            connection.exec_driver_sql("INSERT INTO history SELECT * FROM kept")
            connection.exec_driver_sql("DROP TABLE kept")


@settings(max_examples=8, deadline=None, suppress_health_check=_SLOW)
@given(seed=st.integers(0, 2**32))
def test_it_is_a_load_of_the_history_cut_at_that_instant(database_url: str, seed: int) -> None:
    rng = random.Random(seed)
    streams = Desk(seed).streams(6, events=10)
    events = recorded_at_random(list(interleaved(streams, rng)), rng)
    late = [rng.random() < 0.1 for _ in events]
    instants = [microseconds(rng.choice(events).recorded_time) + rng.choice((-1, 0)) for _ in "abc"]
    with open_store(database_url) as store, refreshed(store) as facts:
        # Asked while events come in, so that what is kept must be mended; some come late.
        first = [e for e, waits in zip(events, late, strict=True) if not waits or e.sequence == 1]
        known = {e.stream_id: 0 for e in events}
        held = []
        for part in batches(events, rng, 40):
            ready = []
            for e in part:
                if e in first and known[e.stream_id] == e.sequence - 1:
                    known[e.stream_id] = e.sequence
                    ready.append(e)
            held += [e for e in part if e not in ready]
            feed(store, [ready])
            facts.refresh()
            with facts.as_recorded(rng.choice(instants)) as reading:
                reading.cursor.execute("SELECT count(*) FROM activities").fetchone()
        feed(store, [sorted(held, key=lambda e: e.sequence)])
        facts.refresh()
        for instant in instants:
            with facts.as_recorded(instant) as reading:
                then = rows_of_reading(reading)
                recorded_us = reading.recorded_us
            with cut(store, instant) as expected:
                assert then == fact_rows(expected)
                assert recorded_us == expected.recorded_us


def test_instants_are_kept_within_bounds_and_the_live_tables_stay(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reporting.facts.recorded.INSTANTS_KEPT", 2)
    rng = random.Random(1)
    events = recorded_at_random(list(interleaved(Desk(2).streams(8), rng)), rng)
    with open_store(sqlite_url) as store, refreshed(store) as facts:
        feed(store, [events])
        facts.refresh()
        live = fact_rows(facts)
        instants = [microseconds(e.recorded_time) for e in events[:: len(events) // 6]]
        with facts.as_recorded(instants[0]) as outer:
            before = outer.cursor.execute("SELECT count(*) FROM tickets").fetchone()
            for instant in instants[1:]:
                with facts.as_recorded(instant) as reading:
                    reading.cursor.execute("SELECT count(*) FROM tickets").fetchone()
            assert outer.cursor.execute("SELECT count(*) FROM tickets").fetchone() == before
        with facts.reading() as reading:
            attached = reading.cursor.execute(
                "SELECT count(*) FROM duckdb_databases() WHERE database_name LIKE 'recorded_%'"
            ).fetchone()
            assert attached == (2,)
        assert fact_rows(facts) == live


def test_before_the_first_and_after_the_last(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store, refreshed(store) as facts:
        feed(store, [[e for s in Desk(2).streams(8) for e in s]])
        facts.refresh()
        with facts.as_recorded(0) as reading:
            assert all(not rows for rows in rows_of_reading(reading).values())
            assert reading.recorded_us is None or reading.recorded_us <= 0
        with facts.as_recorded(2**62) as reading:
            assert rows_of_reading(reading) == fact_rows(facts)

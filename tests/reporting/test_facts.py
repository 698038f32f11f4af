"""The fact tables follow the histories: whatever comes in whatever order, they are as if loaded anew."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.events import EventEnvelope, Status
from libs.events import ticket as t
from libs.events.base import Channel
from libs.runtime.errors import Transient
from services.reporting.facts import follow as following
from services.reporting.facts.facts import Facts
from services.reporting.views.changes import forget, forget_all
from tests.reporting.house import fact_rows, facts_of, feed, open_store, refreshed
from tests.reporting.streams import START, Desk, batches, by_time, envelope, interleaved

STREAMS = Desk(7).streams(30, events=10)
EVENTS = by_time(STREAMS)
_SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=8, deadline=None, suppress_health_check=_SLOW)
@given(seed=st.integers(0, 2**32), most=st.integers(1, 60))
def test_refreshing_at_any_moments_gives_what_loading_from_zero_gives(
    database_url: str, seed: int, most: int
) -> None:
    rng = random.Random(seed)
    streams = Desk(seed).streams(6, events=10)
    parts = list(batches(list(interleaved(streams, rng)), rng, most))
    with open_store(database_url) as store, refreshed(store) as facts:
        for part in parts:
            feed(store, [part])
            if rng.random() < 0.5:
                facts.refresh()
        facts.refresh()
        assert not facts.refresh()
        followed = fact_rows(facts)
        with refreshed(store) as anew:
            assert fact_rows(anew) == followed
    with facts_of(database_url, [[e for stream in streams for e in stream]]) as at_once:
        assert fact_rows(at_once) == followed


def test_the_facts_are_those_of_the_tickets_table(database_url: str) -> None:
    with open_store(database_url) as store:
        feed(store, [EVENTS])
        with refreshed(store) as facts, facts.reading() as reading:
            columns = (
                "id, number, status, agent, group_name, tier, created_us, first_replied_us,"
                " first_solved_us, solved_us, closed_us, updated_us, reopens, hand_overs,"
                " group_changes, escalations, first_reply_s, first_resolution_s, resolution_s, live"
            )
            query = f"SELECT {columns} FROM tickets ORDER BY id"
            made = reading.cursor.execute(query).fetchall()
            with store.database.reading() as connection:
                rows = connection.exec_driver_sql(query).fetchall()
            assert made == [(*row[:-1], bool(row[-1])) for row in rows]
            assert len(made) == 30
            assert facts.recorded_us == max(
                reading.cursor.execute("SELECT max(last_recorded_us) FROM tickets").fetchall()[0][
                    0
                ],
                reading.cursor.execute("SELECT max(last_recorded_us) FROM agents").fetchall()[0][0],
            )


def test_pages_of_any_size_load_the_same(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(database_url) as store:
        feed(store, [EVENTS])
        with refreshed(store) as facts:
            whole = fact_rows(facts)
        for size in (1, 7, 50):
            monkeypatch.setattr("services.reporting.facts.source.PAGE_ROWS", size)
            with refreshed(store) as facts:
                assert fact_rows(facts) == whole


def test_many_changes_are_taken_in_by_whole_revisions(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "STREAMS_MAX", 3)
    with open_store(database_url) as store, refreshed(store) as facts:
        feed(store, batches(EVENTS, random.Random(1), 30))
        steps = 0
        while facts.refresh():
            steps += 1
        assert steps > 3
        with refreshed(store) as anew:
            assert fact_rows(anew) == fact_rows(facts)


def test_the_stamp_grows_with_every_change_and_only_then(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store, refreshed(store) as facts:
        before = facts.stamp
        assert not facts.refresh()
        assert facts.stamp == before
        feed(store, [EVENTS])
        assert facts.refresh()
        assert facts.stamp > before


def test_a_reader_keeps_its_snapshot_while_the_facts_go_on(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store, refreshed(store) as facts:
        feed(store, [EVENTS[:100]])
        facts.refresh()
        with facts.reading() as reading:
            before = reading.cursor.execute("SELECT count(*) FROM activities").fetchone()
            feed(store, [EVENTS[100:]])
            facts.refresh()
            assert reading.cursor.execute("SELECT count(*) FROM activities").fetchone() == before
        with facts.reading() as reading:
            assert reading.cursor.execute("SELECT count(*) FROM activities").fetchone() != before


def test_a_copy_that_fell_behind_or_whose_tables_were_replaced_is_made_anew(
    database_url: str, tmp_path: Path
) -> None:
    with open_store(database_url) as store, refreshed(store, tmp_path / "facts") as facts:
        feed(store, batches(EVENTS, random.Random(1), 30))
        with store.database.transaction() as connection:
            forget(connection, 3)
        with facts.reading() as old:
            assert facts.refresh()
            assert old.cursor.execute("SELECT count(*) FROM tickets").fetchone() == (0,)
        with refreshed(store) as anew:
            assert fact_rows(anew) == fact_rows(facts)
        with store.database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM history WHERE stream_id LIKE 'agent:%%'")
            forget_all(connection)
        before = facts.stamp
        assert facts.refresh()
        assert facts.stamp > before
        assert fact_rows(facts)["presences"].total() == 0
        assert len(list(tmp_path.glob("facts-*.duckdb"))) == 1


def test_a_file_is_opened_again_and_goes_on_where_it_was(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "facts"
    with open_store(sqlite_url) as store:
        feed(store, [EVENTS[:100]])
        with refreshed(store, file) as facts:
            stamp = facts.stamp
        feed(store, [EVENTS[100:]])
        again = Facts(store.database, file, clock=store.clock)
        assert again.refresh()
        assert again.stamp == stamp + 1  # followed, not made anew
        with refreshed(store) as anew:
            assert fact_rows(anew) == fact_rows(again)
        again.close()


@pytest.mark.parametrize("harm", ["corrupt", "version", "unfinished", "other database", "empty"])
def test_a_file_that_cannot_be_gone_on_with_is_made_anew(
    sqlite_url: str, tmp_path: Path, harm: str
) -> None:
    import duckdb

    file = tmp_path / "facts"
    real = tmp_path / "facts-1.duckdb"
    with open_store(sqlite_url) as store:
        feed(store, [EVENTS])
        with refreshed(store, file) as facts:
            right = fact_rows(facts)
        assert real.exists()
        if harm == "corrupt":
            real.write_bytes(b"\x00" * 50_000)
        elif harm == "empty":
            real.write_bytes(b"")
        else:
            connection = duckdb.connect(str(real))
            connection.execute(
                {
                    "version": "UPDATE meta SET value = '0' WHERE name = 'version'",
                    "unfinished": "DELETE FROM meta WHERE name = 'revision'",
                    "other database": "UPDATE meta SET value = 'other' WHERE name = 'store'",
                }[harm]
            )
            connection.close()
        with refreshed(store, file) as facts:
            assert fact_rows(facts) == right
        assert len(list(tmp_path.glob("facts-*.duckdb"))) == 1


def _damage_a_block(file: Path) -> None:
    """One that holds activities."""
    import duckdb

    with duckdb.connect(str(file)) as connection:
        query = "SELECT max(block_id) FROM pragma_storage_info('activities')"
        (block,) = connection.execute(query).fetchone() or (0,)
    with file.open("r+b") as opened:
        opened.seek(3 * 4_096 + block * 262_144 + 1_000)  # after DuckDB's three headers
        opened.write(b"damage")


@pytest.mark.parametrize("then", ["it goes on", "it is closed"])
def test_a_damaged_block_is_found_by_who_reads_it_and_the_file_is_made_anew(
    sqlite_url: str, tmp_path: Path, then: str
) -> None:
    file, real = tmp_path / "facts", tmp_path / "facts-1.duckdb"
    with open_store(sqlite_url) as store:
        feed(store, [EVENTS])
        with refreshed(store, file) as facts:
            right = fact_rows(facts)
        _damage_a_block(real)
        facts = Facts(store.database, file, clock=store.clock)
        assert not facts.refresh()  # what is read at the opening is whole
        with pytest.raises(Transient) as refused:
            fact_rows(facts)
        assert refused.value.code == "facts_damaged"
        if then == "it is closed":  # as an export does after a refusal
            facts.close()
            facts = Facts(store.database, file, clock=store.clock)
        facts.refresh()
        assert fact_rows(facts) == right
        facts.close()
    assert len(list(tmp_path.glob("facts-*.duckdb"))) == 1


def test_a_file_that_another_process_has_open_is_refused_with_what_to_do(
    sqlite_url: str, tmp_path: Path
) -> None:
    import subprocess
    import sys

    file = tmp_path / "facts"
    code = (
        f"import duckdb, sys; c = duckdb.connect({str(tmp_path / 'facts-1.duckdb')!r});"
        " print('open', flush=True); sys.stdin.read()"
    )
    with open_store(sqlite_url) as store:
        with refreshed(store, file):
            pass
        other = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"open\n"
            facts = Facts(store.database, file, clock=store.clock)
            with pytest.raises(Transient, match="BITACORA_REPORTING_FACTS_FILE") as refused:
                facts.refresh()
            assert refused.value.code == "facts_file_busy"
            with pytest.raises(Transient) as loading, facts.reading():
                pass
            assert loading.value.code == "facts_loading"
        finally:
            other.communicate(timeout=20)
        assert facts.refresh() in (True, False)
        facts.close()


def test_a_change_that_fails_in_the_middle_leaves_nothing(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(sqlite_url) as store, refreshed(store) as facts:
        feed(store, [EVENTS[:150]])
        facts.refresh()
        before, stamp = fact_rows(facts), facts.stamp
        feed(store, [EVENTS[150:]])
        for step in ("numbers_of", "delete_tickets", "insert", "put_agents", "note", "write_meta"):
            with monkeypatch.context() as broken:
                broken.setattr(following, step, _fails)
                with pytest.raises(RuntimeError, match="broken here"):
                    facts.refresh()
            assert fact_rows(facts) == before
            assert facts.stamp == stamp
        facts.refresh()
        with refreshed(store) as anew:
            assert fact_rows(anew) == fact_rows(facts)


def _fails(*_: object, **__: object) -> None:
    raise RuntimeError("broken here")


def test_odd_events_make_no_facts_and_break_none(database_url: str) -> None:
    far = Desk(3).ticket(0)[0]
    stray = envelope("unknown-ticket", 1, t.TagsChanged(added=("x",)), START)
    clocks = [e for s in STREAMS for e in s if e.stream_id.startswith("sla:")][:1]
    year_9999 = envelope(far.stream_id, 1, far.event, START.replace(year=9999))
    long_ago = envelope(
        far.stream_id,
        2,
        t.StatusChanged(status=Status.SOLVED, previous=Status.NEW),
        START.replace(year=1, month=1, day=1),
    )
    given: list[EventEnvelope] = [stray, *clocks, year_9999, long_ago]
    with facts_of(database_url, [given]) as facts, facts.reading() as reading:
        assert reading.cursor.execute("SELECT count(*) FROM verdicts").fetchone() == (0,)
        found = reading.cursor.execute("SELECT resolution_s, created_us FROM tickets").fetchall()
        assert found[0][0] < -9000 * 365 * 86_400
        assert len(found) == 1
        lasting = reading.cursor.execute("SELECT status, length_s FROM intervals").fetchall()
        assert lasting == [("solved", None)]


def test_an_import_lies_where_it_happened(sqlite_url: str) -> None:
    old = START.replace(year=2009)
    event = t.TicketCreated(
        number=1,
        subject="x",
        requester=t.Requester(id="r", organization="o"),
        channel=Channel.FORM,
        status=Status.CLOSED,
        imported_from="elsewhere",
        group="g",
        agent="a",
    )
    given = [envelope("one", 1, event, old, recorded=START + timedelta(days=1))]
    with facts_of(sqlite_url, [given]) as facts, facts.reading() as reading:
        kinds = reading.cursor.execute(
            "SELECT kind, time_us FROM activities ORDER BY ALL"
        ).fetchall()
        us = int(old.timestamp()) * 1_000_000
        assert kinds == [("assigned", us), ("closed", us), ("created", us), ("solved", us)]


def test_the_log_of_the_file_is_brought_into_it(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reporting.facts.copy.LOG_BYTES_MAX", 0)
    log = tmp_path / "facts-1.duckdb.wal"
    with open_store(sqlite_url) as store, refreshed(store, tmp_path / "facts") as facts:
        for part in batches(EVENTS, random.Random(1), 80):
            feed(store, [part])
            facts.refresh()
            assert not log.exists() or log.stat().st_size == 0
        with refreshed(store) as anew:
            assert fact_rows(anew) == fact_rows(facts)

"""The facts made anew beside the live ones: compared, switched, and harmless when interrupted."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from libs.runtime.errors import Rejected, Transient
from services.reporting.facts import copy as copies
from services.reporting.facts import follow as following
from services.reporting.facts.facts import Facts
from services.reporting.facts.rebuilding import FactsRebuild, rebuild_facts
from tests.reporting.house import fact_rows, feed, open_store, refreshed
from tests.reporting.streams import Desk, batches, interleaved

EVENTS = list(interleaved(Desk(9).streams(25, events=10), random.Random(2)))


def rebuilt(facts: Facts, clock: Any) -> FactsRebuild:
    report = FactsRebuild()
    rebuild_facts(facts, clock, report)
    return report


def harm(facts: Facts, statement: str) -> None:
    live = facts._live
    assert live is not None
    with live.copy.writing() as cursor:
        cursor.execute(statement)


def test_facts_that_are_right_equal_their_rebuild_and_serve_on(
    database_url: str, tmp_path: Path
) -> None:
    with open_store(database_url) as store, refreshed(store, tmp_path / "facts") as facts:
        feed(store, batches(EVENTS, random.Random(1), 50))
        facts.refresh()
        right, stamp = fact_rows(facts), facts.stamp
        with facts.reading() as before:
            report = rebuilt(facts, store.clock)
            assert before.cursor.execute("SELECT count(*) FROM tickets").fetchone() == (25,)
        assert report.ok, (report.tables, report.figures)
        assert report.questions > 30
        assert report.state == "done"
        assert report.done == report.total > 0
        assert fact_rows(facts) == right
        assert facts.stamp > stamp
        assert len(list(tmp_path.glob("facts-*.duckdb"))) == 1
        feed(store, [])
        assert not facts.refresh()


def test_altered_rows_are_named_and_the_switch_mends_them(sqlite_url: str, tmp_path: Path) -> None:
    with open_store(sqlite_url) as store, refreshed(store, tmp_path / "facts") as facts:
        feed(store, [EVENTS])
        facts.refresh()
        right = fact_rows(facts)
        harm(facts, "DELETE FROM intervals WHERE ticket = 3")
        harm(facts, "UPDATE tickets SET priority = 'odd' WHERE ticket = 2")
        harm(facts, "UPDATE presences SET capacity = 99 WHERE agent = '1'")
        report = rebuilt(facts, store.clock)
        assert report.ok is False
        wrong = {table.table for table in report.tables if not table.equal}
        assert wrong == {"tickets", "intervals", "presences"}
        tickets = next(table for table in report.tables if table.table == "tickets")
        assert tickets.different == 1
        assert any("odd" in line for line in tickets.examples)
        intervals = next(table for table in report.tables if table.table == "intervals")
        assert intervals.missing > 0
        assert report.figures
        assert fact_rows(facts) == right
        assert rebuilt(facts, store.clock).ok


def test_events_that_come_meanwhile_are_in_both(sqlite_url: str, tmp_path: Path) -> None:
    with open_store(sqlite_url) as store, refreshed(store, tmp_path / "facts") as facts:
        feed(store, [EVENTS[:100]])
        facts.refresh()
        parts = list(batches(EVENTS[100:], random.Random(1), 20))

        def compare(*_: object) -> int:
            feed(store, [parts.pop(0)])
            facts.refresh()
            return 7

        def progress(done: int, total: int) -> None:
            if parts and done:
                feed(store, [parts.pop(0)])

        assert facts.rebuild(compare, progress) == 7
        feed(store, parts)
        facts.refresh()
        with refreshed(store) as anew:
            assert fact_rows(anew) == fact_rows(facts)


@pytest.mark.parametrize("step", ["insert", "write_meta", "compare"])
def test_one_that_is_interrupted_leaves_the_live_facts(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with open_store(sqlite_url) as store, refreshed(store, tmp_path / "facts") as facts:
        feed(store, [EVENTS])
        facts.refresh()
        right, stamp = fact_rows(facts), facts.stamp

        def fails(*_: object, **__: object) -> None:
            raise Transient("facts_disk", "no space left")

        with monkeypatch.context() as broken:
            if step != "compare":
                broken.setattr(following, step, fails)
            with pytest.raises(Transient, match="no space left"):
                facts.rebuild(fails)
        assert fact_rows(facts) == right
        assert facts.stamp == stamp
        assert [f.name for f in tmp_path.glob("facts-*.duckdb")] == ["facts-1.duckdb"]
        assert rebuilt(facts, store.clock).ok


def test_a_half_made_file_of_a_killed_process_is_thrown_away(
    sqlite_url: str, tmp_path: Path
) -> None:
    with open_store(sqlite_url) as store:
        feed(store, [EVENTS])
        with refreshed(store, tmp_path / "facts") as facts:
            right, stamp = fact_rows(facts), facts.stamp
        copies.Copy.create(tmp_path / "facts-2.duckdb", memory_mb=256).close()
        with refreshed(store, tmp_path / "facts") as facts:
            assert facts.stamp == stamp
            assert fact_rows(facts) == right
        assert [f.name for f in tmp_path.glob("facts-*.duckdb")] == ["facts-1.duckdb"]


def test_only_one_at_a_time(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store, refreshed(store) as facts:
        inside, over = threading.Event(), threading.Event()

        def compare(*_: object) -> None:
            inside.set()
            assert over.wait(20)

        first = threading.Thread(target=facts.rebuild, args=(compare,))
        first.start()
        assert inside.wait(20)
        with pytest.raises(Rejected) as refused:
            facts.rebuild(compare)
        assert refused.value.code == "rebuild_running"
        over.set()
        first.join()

"""`bitacora export facts`: what lies in the files is what the fact tables hold, of one state."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from cli.export.checkpoint import hold
from cli.export.facts import FACTS, INSTANTS, FactsManifest, export_facts, facts_in
from cli.export.layout import MANIFEST, PROGRESS
from cli.main import app
from cli.output import FAILED, CommandError
from libs.events import EventEnvelope
from libs.runtime.store import ServiceStore
from services.reporting.facts.copy import OF_TICKETS
from services.reporting.facts.facts import Facts
from tests.cli.exporting import silent, verified
from tests.reporting.house import feed, open_store, refreshed
from tests.reporting.streams import Desk

EVENTS: list[EventEnvelope] = [
    event for streams in [Desk(11).streams(40, events=10)] for stream in streams for event in stream
]
HALF = len(EVENTS) // 2


@pytest.fixture
def store(database_url: str) -> Iterator[ServiceStore]:
    with open_store(database_url) as made:
        feed(made, [EVENTS[:HALF]])
        yield made


def run(store: ServiceStore, folder: Path) -> tuple[int, int]:
    """Days written, days removed."""
    report = export_facts(str(store.database.url), folder, silent)
    return report.days, report.removed


def in_files(folder: Path) -> dict[str, Counter[tuple[Any, ...]]]:
    """Every row of every table, with instants as microseconds again and the day from its path."""
    found: dict[str, Counter[tuple[Any, ...]]] = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table in INSTANTS:
            pattern = folder / FACTS / table / "*" / "*.parquet"
            if not list((folder / FACTS).glob(f"{table}/*/*.parquet")):
                found[table] = Counter()
                continue
            relation = connection.sql(
                f"SELECT * EXCLUDE (day) FROM read_parquet('{pattern}', hive_partitioning = true)"
            )
            columns = [
                f"epoch_us({name})" if str(kind).startswith("TIMESTAMP") else name
                for name, kind in zip(relation.columns, relation.types, strict=True)
            ]
            found[table] = rows(relation.project(", ".join(columns)).fetchall())
    return found


def in_tables(facts: Facts) -> dict[str, Counter[tuple[Any, ...]]]:
    with facts.reading() as reading:
        found = {}
        for table in INSTANTS:
            joined = table in OF_TICKETS and table != "tickets"
            query = (
                f"SELECT t.id, x.* EXCLUDE (ticket) FROM {table} x JOIN tickets t USING (ticket)"
                if joined
                else f"SELECT * {'EXCLUDE (ticket)' if table == 'tickets' else ''} FROM {table}"
            )
            found[table] = rows(reading.cursor.execute(query).fetchall())
        return found


def rows(fetched: list[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    return Counter(
        tuple(tuple(value) if isinstance(value, list) else value for value in row)
        for row in fetched
    )


def test_the_files_hold_what_the_tables_hold(store: ServiceStore, tmp_path: Path) -> None:
    assert run(store, tmp_path)[0] > 0
    with refreshed(store) as facts:
        expected = in_tables(facts)
        assert in_files(tmp_path) == expected
        assert min(map(len, (expected[t] for t in ("tickets", "activities", "verdicts")))) > 10
        manifest = FactsManifest.read(tmp_path)
        assert manifest is not None
        assert manifest.revision == facts.revision
    verdict = verified(tmp_path)
    assert verdict.ok
    assert verdict.facts == sum(part.rows for part in manifest.files)


def test_each_row_lies_in_its_day(store: ServiceStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        pattern = tmp_path / FACTS / "activities" / "*" / "*.parquet"
        query = f"""SELECT count(*), count(*) FILTER (day = time_at::DATE), count(DISTINCT day)
            FROM read_parquet('{pattern}', hive_partitioning = true)"""
        row = connection.execute(query).fetchone()
    assert row is not None
    assert row[0] == row[1] > 0
    assert row[2] > 1


def test_a_second_run_writes_what_has_changed_and_nothing_else(
    store: ServiceStore, tmp_path: Path
) -> None:
    run(store, tmp_path)
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in facts_in(tmp_path)}
    assert run(store, tmp_path) == (0, 0)
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in facts_in(tmp_path)} == before
    feed(store, [EVENTS[HALF : HALF + 3]])
    written, _ = run(store, tmp_path)
    assert 0 < written < len(before)
    with refreshed(store) as facts:
        assert in_files(tmp_path) == in_tables(facts)


def test_many_runs_come_to_what_one_run_does(store: ServiceStore, tmp_path: Path) -> None:
    for at in range(HALF, len(EVENTS), 120):
        feed(store, [EVENTS[at : at + 40]])
        run(store, tmp_path / "often")
    run(store, tmp_path / "once")
    assert in_files(tmp_path / "often") == in_files(tmp_path / "once")
    assert verified(tmp_path / "often").ok


def test_what_an_interrupted_run_left_is_removed_and_what_is_gone_comes_back(
    store: ServiceStore, tmp_path: Path
) -> None:
    run(store, tmp_path)
    names = sorted(facts_in(tmp_path))
    whole = in_files(tmp_path)
    first = tmp_path / names[0]
    first.with_name("part-000099.parquet").write_bytes(first.read_bytes())
    assert not verified(tmp_path).ok
    (tmp_path / names[1]).unlink()
    (tmp_path / names[2]).write_bytes(b"half")
    assert run(store, tmp_path)[0] == 2
    assert in_files(tmp_path) == whole
    assert verified(tmp_path).ok


def test_without_its_progress_it_goes_on_all_the_same(store: ServiceStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    whole = in_files(tmp_path)
    for file in (tmp_path / PROGRESS).glob("facts-*.duckdb*"):
        file.unlink()
    assert run(store, tmp_path) == (0, 0)
    assert in_files(tmp_path) == whole


def test_tables_made_anew_leave_no_old_days(store: ServiceStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    with open_store(str(store.database.url)) as empty:
        feed(empty, [EVENTS[:5]])
        _, removed = run(empty, tmp_path)
        assert removed > 0
        with refreshed(empty) as facts:
            assert in_files(tmp_path) == in_tables(facts)


def test_two_at_once_are_refused(store: ServiceStore, tmp_path: Path) -> None:
    (tmp_path / PROGRESS).mkdir()
    lock = hold(tmp_path / PROGRESS / "facts.lock", tmp_path)
    with lock, pytest.raises(CommandError, match="another export is at work"):
        run(store, tmp_path)


def test_a_damaged_manifest_is_told(store: ServiceStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    (tmp_path / FACTS / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(CommandError, match="run the export again"):
        run(store, tmp_path)


def test_the_command(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_REPORTING_DATABASE_URL", sqlite_url)
    with open_store(sqlite_url) as store:
        feed(store, [EVENTS])
        folder = ["--to", str(tmp_path / "out"), "--data-dir", str(tmp_path)]
        done = CliRunner().invoke(app, ["export", "facts", *folder, "--json"])
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["rows"]["tickets"] == 40
        assert told["written"] == told["files"] > 5
        shown = CliRunner().invoke(app, ["export", "facts", *folder])
        assert "0 files written" in shown.stderr
        checked = CliRunner().invoke(app, ["export", "verify", str(tmp_path / "out"), "--json"])
        assert json.loads(checked.stdout)["ok"] is True

        part = next((tmp_path / "out" / "facts" / "activities").glob("*/*.parquet"))
        part.write_bytes(bytes(part.stat().st_size))
        checked = CliRunner().invoke(app, ["export", "verify", str(tmp_path / "out")])
        assert checked.exit_code == FAILED
        assert "remove it if it is there and run `bitacora export facts`" in checked.stderr
        part.unlink()
        CliRunner().invoke(app, ["export", "facts", *folder])
        checked = CliRunner().invoke(app, ["export", "verify", str(tmp_path / "out"), "--json"])
        assert json.loads(checked.stdout)["ok"] is True


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    folder = ["--to", str(tmp_path / "out"), "--data-dir", str(tmp_path)]
    done = CliRunner().invoke(app, ["export", "facts", *folder])
    assert done.exit_code == FAILED
    assert "the facts cannot be exported" in done.stderr

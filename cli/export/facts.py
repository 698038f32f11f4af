"""Reporting's fact tables as Parquet: a folder per table and day, all of one state of the database.

::

    DIR/facts/manifest.json                                what is there, of which state
    DIR/facts/activities/day=2026-03-02/part-000007.parquet

The export keeps a copy of the fact tables of its own below `.progress`, which follows reporting's
histories as the service's own one does. A run writes the days that have changed under a new number,
then replaces the manifest, then removes what it no longer names.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from cli.export.checkpoint import hold
from cli.export.layout import MANIFEST, PROGRESS, publish, publish_all, sha256_of
from cli.output import CommandError, Ticker
from libs.events import format_time
from libs.runtime.clock import RealClock
from libs.runtime.database import Database
from services.reporting.domain import words
from services.reporting.facts.facts import CALENDAR, Facts, Reading
from services.reporting.facts.tables import VERSION

FACTS: Final = "facts"
FORMAT: Final = 1
SPOOL: Final = "facts-spool"
READ_ROWS: Final = 50_000
NO_DAY: Final = "__HIVE_DEFAULT_PARTITION__"
"""The folder of rows without an instant: Hive's name, which readers take for "no value"."""
DAY_US: Final = 86_400_000_000
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()

INSTANTS: Final = {
    "tickets": "f.created_us",
    "activities": "f.time_us",
    "intervals": "f.start_us",
    "verdicts": "coalesce(f.started_us, f.at_us, f.due_us)",
    "presences": "f.start_us",
}
"""Table → what says on which day (UTC) a row lies."""
ORDERS: Final = {
    "tickets": "id",
    "activities": "ticket_id, sequence, kind",
    "intervals": "ticket_id, ordinal",
    "verdicts": "ticket_id, metric, activation",
    "presences": "agent, ordinal",
}

Key = tuple[str, str]
"""(table, day)."""


@dataclass(frozen=True, slots=True)
class FactsPart:
    """One file. `content` is the digest of its rows: another one when any value is another one."""

    path: str
    table: str
    day: str
    rows: int
    content: str
    bytes: int
    sha256: str


@dataclass(slots=True)
class FactsManifest:
    """`store` and `revision`: of reporting's database, up to which everything is in. `recorded_time`:
    when the latest event that is in was recorded. `number`: of the run that wrote this."""

    store: str = ""
    revision: int = -1
    recorded_time: str | None = None
    exported_at: str = ""
    version: str = ""
    calendar: str | None = None
    number: int = 0
    files: list[FactsPart] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Replace the manifest in one step."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"
        new = folder / PROGRESS / f"{FACTS}-{MANIFEST}.new"
        new.write_text(text, encoding="utf-8")
        publish(new, folder / FACTS / MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> FactsManifest | None:
        """None when there are no facts. Raises CommandError when the manifest is damaged."""
        path = folder / FACTS / MANIFEST
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.pop("format") != FORMAT:
                raise CommandError(
                    f"{path} is not of format {FORMAT}: export into another directory"
                )
            found["files"] = [FactsPart(**part) for part in found["files"]]
            return cls(**found)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CommandError(
                f"{path} cannot be read ({type(error).__name__}: {error}): remove "
                f"{path.parent} and run the export again"
            ) from None


@dataclass(frozen=True, slots=True)
class FactsReport:
    """What a run did. `days` (of a table) were written, `removed` are there no more."""

    manifest: FactsManifest
    days: int
    removed: int


def export_facts(
    database_url: str, folder: Path, progress: Ticker, *, calendar: str = CALENDAR
) -> FactsReport:
    """Bring the fact tables in `folder` up to what reporting's database holds at this moment.
    `calendar`: by which business time is counted, as in reporting's settings.

    Raises Transient (the database or the disk fails), OSError, and CommandError when another export
    is at work in the folder.
    """
    home = folder / PROGRESS
    home.mkdir(parents=True, exist_ok=True)
    lock = hold(home / "facts.lock", folder)
    database = Database(database_url, pool_size=2)
    facts = Facts(database, home / "facts.duckdb", clock=RealClock(), calendar=calendar)
    try:
        before = FactsManifest.read(folder) or FactsManifest()
        _tidy(folder, before)
        _catch_up(facts, progress)
        with facts.reading() as reading:
            return _Run(folder, before, reading).write(progress)
    finally:
        facts.close()
        database.close()
        lock.close()
        shutil.rmtree(home / SPOOL, ignore_errors=True)


def facts_in(folder: Path) -> Iterator[str]:
    """The files that have the name of a part of the facts, relative to the folder."""
    for path in sorted((folder / FACTS).glob("*/day=*/part-*.parquet")):
        yield path.relative_to(folder).as_posix()


def _tidy(folder: Path, known: FactsManifest) -> None:
    """Remove what an interrupted run left. A file that is gone or was changed is written anew."""
    names = {part.path for part in known.files}
    for path in facts_in(folder):
        if path not in names:
            (folder / path).unlink()
    known.files = [
        part
        for part in known.files
        if (file := folder / part.path).exists() and file.stat().st_size == part.bytes
    ]


def _catch_up(facts: Facts, progress: Ticker) -> None:
    """Everything that is committed now. The first time everything is read, which takes a while."""
    with ThreadPoolExecutor(1) as thread:
        while True:
            work = thread.submit(facts.refresh)
            while True:
                try:
                    changed = work.result(timeout=0.2)
                    break
                except TimeoutError:
                    if facts.loading is not None:
                        progress(*facts.loading)
            if not changed:
                return


class _Run:
    """Writes what is another than in the manifest before, from one state of the tables."""

    def __init__(self, folder: Path, before: FactsManifest, reading: Reading) -> None:
        self._folder = folder
        self._before = before
        self._cursor = reading.cursor
        self._recorded_us = reading.recorded_us
        self._spool = folder / PROGRESS / SPOOL
        self._columns = {table: self._columns_of(table) for table in INSTANTS}

    def write(self, progress: Ticker) -> FactsReport:
        meta = dict(self._cursor.execute("SELECT name, value FROM meta").fetchall())
        version = f"{VERSION} duckdb {duckdb.__version__}"  # whose hashes the digests are
        old = {(part.table, part.day): part for part in self._before.files}
        if self._before.version != version:
            old = {}
        now = {key: found for table in INSTANTS for key, found in self._digests(table)}
        kept = [part for key, part in old.items() if now.get(key) == (part.rows, part.content)]
        changed = now.keys() - {(part.table, part.day) for part in kept}
        number = self._before.number + 1
        made = self._write_days(sorted(changed), now, number, progress)
        manifest = FactsManifest(
            store=meta["store"],
            revision=int(meta["revision"]),
            recorded_time=words(self._recorded_us),
            exported_at=format_time(RealClock().now()),
            version=version,
            calendar=meta.get("calendar"),
            number=number,
            files=sorted([*kept, *made], key=lambda part: part.path),
        )
        manifest.write(self._folder)
        gone = set(facts_in(self._folder)) - {part.path for part in manifest.files}
        for path in gone:
            file = self._folder / path
            file.unlink()
            with suppress(OSError):
                file.parent.rmdir()  # the day is empty now
        return FactsReport(manifest, len(made), len(old.keys() - now.keys()))

    # -- what is there ------------------------------------------------------------------------

    def _columns_of(self, table: str) -> list[str]:
        """The table's columns as they are exported; a ticket is named by its id, not by a number."""
        described = self._cursor.execute(f"DESCRIBE {table}").fetchall()
        names = [str(row[0]) for row in described if row[0] != "ticket"]
        if table in ("tickets", "presences"):
            return [f"f.{name}" for name in names]
        return ["t.id AS ticket_id", *(f"f.{name}" for name in names)]

    def _from(self, table: str) -> str:
        """A relation with the exported columns and `day`: days since 1970, also before it."""
        joined = "" if table in ("tickets", "presences") else " JOIN tickets t USING (ticket)"
        instant = INSTANTS[table]
        day = f"({instant} - (({instant} % {DAY_US}) + {DAY_US}) % {DAY_US}) // {DAY_US}"
        columns = ", ".join(self._columns[table])
        return f"(SELECT {columns}, {day} AS day FROM {table} f{joined})"  # noqa: S608 - our own names

    def _digests(self, table: str) -> Iterator[tuple[Key, tuple[int, str]]]:
        names = [column.rpartition(" ")[2].removeprefix("f.") for column in self._columns[table]]
        query = (
            f"SELECT day, count(*), sum(hash({', '.join(names)})::HUGEINT)"  # noqa: S608 - our own names
            f" FROM {self._from(table)} GROUP BY day"
        )
        for day, rows, content in self._cursor.execute(query).fetchall():
            yield (table, _day_name(day)), (rows, f"{content % 2**128:032x}")

    # -- writing ------------------------------------------------------------------------------

    def _write_days(
        self, keys: list[Key], now: dict[Key, tuple[int, str]], number: int, progress: Ticker
    ) -> list[FactsPart]:
        shutil.rmtree(self._spool, ignore_errors=True)
        self._spool.mkdir(parents=True)
        made: dict[Path, FactsPart] = {}
        for table in INSTANTS:
            days = [day for name, day in keys if name == table]
            for day, new in self._files(table, days):
                path = f"{FACTS}/{table}/day={day}/part-{number:06d}.parquet"
                rows, content = now[table, day]
                size = new.stat().st_size
                made[new] = FactsPart(path, table, day, rows, content, size, sha256_of(new))
                progress(len(made), len(keys))
        publish_all({new: self._folder / part.path for new, part in made.items()})
        return list(made.values())

    def _files(self, table: str, days: list[str]) -> Iterator[tuple[str, Path]]:
        """A whole file per day, in the order of days."""
        if not days:
            return
        wanted = ", ".join(str(_day_number(day)) for day in days if day != NO_DAY) or "NULL"
        query = (
            f"SELECT * FROM {self._from(table)} WHERE day IN ({wanted})"  # noqa: S608 - numbers
            f"{' OR day IS NULL' if NO_DAY in days else ''} ORDER BY day, {ORDERS[table]}"
        )
        reader: Any = self._cursor.sql(query).to_arrow_reader(READ_ROWS)
        schema = _exported(reader.schema)
        current: str | None = None
        writer: Any = None
        path = self._spool
        for batch in reader:
            for day, rows in _by_day(batch):
                if day != current:
                    if writer is not None and current is not None:
                        writer.close()
                        yield current, path
                    current, path = day, self._spool / f"{table}-{day}.parquet"
                    writer = pq.ParquetWriter(str(path), schema, compression="zstd")
                writer.write_table(_with_times(rows, schema))
        if writer is not None and current is not None:
            writer.close()
            yield current, path


def _by_day(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each day, which stand together, without the column that says so."""
    days = batch.column("day").to_pylist()
    table = pa.Table.from_batches([batch]).drop_columns(["day"])
    start = 0
    for at in range(1, len(days) + 1):
        if at == len(days) or days[at] != days[start]:
            yield _day_name(days[start]), table.slice(start, at - start)
            start = at


def _exported(schema: pa.Schema) -> pa.Schema:
    """Instants are timestamps in UTC, named `…_at`."""
    fields = []
    for one in schema:
        if one.name == "day":
            continue
        base = one.name.removesuffix("_us")
        if base == one.name:
            fields.append(one)
        else:
            name = "verdict_at" if base == "at" else f"{base}_at"  # `at` is a word of SQL
            fields.append(pa.field(name, pa.timestamp("us", tz="UTC")))
    return pa.schema(fields)


def _with_times(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [column.cast(one.type) for column, one in zip(rows.columns, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def _day_name(day: int | None) -> str:
    return NO_DAY if day is None else date.fromordinal(EPOCH_DAY + day).isoformat()


def _day_number(name: str) -> int:
    return date.fromisoformat(name).toordinal() - EPOCH_DAY

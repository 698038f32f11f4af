"""Fact tables filled by hand: a real DuckDB in memory, with rows that a test says or draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from services.reporting.domain import microseconds
from services.reporting.facts.facts import Reading
from services.reporting.facts.tables import TABLES

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]


def us(text: str) -> int:
    """Microseconds of an instant such as 2026-03-29T01:30 (UTC)."""
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


class MadeFacts:
    """As much of `facts.Facts` as figures need, over rows that were put in by hand."""

    def __init__(self, rows: Rows | None = None, stamp: int = 1) -> None:
        self._base = duckdb.connect()
        self._base.execute("SET threads = 1")
        for sql in TABLES.values():
            self._base.execute(sql)
        self.stamp = stamp
        self.fill(rows or {})

    def fill(self, rows: Rows) -> None:
        """These rows and no others."""
        for table in TABLES:
            self._base.execute(f"DELETE FROM {table}")
            self.insert(table, rows.get(table, ()))

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        if rows:
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            self._base.register("put_in", pa.table(columns))
            self._base.execute(f"INSERT INTO {table} BY NAME SELECT * FROM put_in")
            self._base.unregister("put_in")

    @contextmanager
    def reading(self, as_recorded_us: int | None = None, /) -> Iterator[Reading]:
        assert as_recorded_us is None
        with self._base.cursor() as cursor:
            yield Reading(cursor, self.stamp, None)

    async def fresh(self) -> bool:
        return True

    def close(self) -> None:
        self._base.close()

"""Two copies of the fact tables, compared: every row of every table, by ticket and agent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import duckdb
import pyarrow as pa

from services.reporting.compare import EXAMPLES_MAX, TableDifference
from services.reporting.facts.copy import OF_AGENTS, OF_TICKETS

_COUNTED: Final = "count(*) AS rows, bit_xor(h) AS mixed, sum(h & 4294967295)::BIGINT AS summed"


def compare_copies(
    live: duckdb.DuckDBPyConnection, rebuilt: duckdb.DuckDBPyConnection
) -> list[TableDifference]:
    """One answer per table. `missing` and `extra` count rows of tickets (agents) that only one side
    knows, `different` the tickets (agents) whose rows are not the same."""
    return [_compare(live, rebuilt, name) for name in (*OF_TICKETS, *OF_AGENTS)]


def _compare(
    live: duckdb.DuckDBPyConnection, rebuilt: duckdb.DuckDBPyConnection, name: str
) -> TableDifference:
    answer = TableDifference(name)
    one, two = _hashed(live, name), _hashed(rebuilt, name)
    answer.live_rows, answer.rebuilt_rows = _total(one), _total(two)
    different: list[str] = []
    for key, left, right in _differing(one, two):
        if right is None:
            answer.extra += left or 0
        elif left is None:
            answer.missing += right
        else:
            answer.different += 1
        if len(different) < EXAMPLES_MAX:
            different.append(key)
    columns = [column for column, _ in _columns(live, name)]
    for key in different:
        only, also = _rows(live, name, key), _rows(rebuilt, name, key)
        for row in (only - also).elements():
            answer.note(f"{name} {key}: live {_words(columns, row)}")
        for row in (also - only).elements():
            answer.note(f"{name} {key}: rebuilt {_words(columns, row)}")
    return answer


def _columns(cursor: duckdb.DuckDBPyConnection, name: str) -> list[tuple[str, str]]:
    rows = cursor.execute(f"DESCRIBE {name}").fetchall()
    return [(str(row[0]), str(row[1])) for row in rows if row[0] != "ticket"]


def _from(name: str) -> tuple[str, str]:
    """What names the owner of a row, and from where."""
    if name == "tickets":
        return "x.id", "tickets x"
    if name in OF_TICKETS:
        return "t.id", f"{name} x JOIN tickets t USING (ticket)"
    return "x.agent", f"{name} x"


def _hashed(cursor: duckdb.DuckDBPyConnection, name: str) -> pa.Table:
    """key, rows, and two sums of the rows' hashes that no order changes."""
    key, source = _from(name)
    values = ", ".join(f"x.{column}" for column, _ in _columns(cursor, name))
    return cursor.sql(
        f"SELECT key, {_COUNTED} FROM (SELECT {key} AS key, hash({values}) AS h FROM {source})"  # noqa: S608 - our own names
        " GROUP BY key"
    ).to_arrow_table()


def _total(hashed: pa.Table) -> int:
    return int(sum(hashed.column("rows").to_pylist()))


def _differing(one: pa.Table, two: pa.Table) -> Sequence[tuple[str, int | None, int | None]]:
    with duckdb.connect() as judge:
        judge.register("one", one)
        judge.register("two", two)
        return judge.execute(
            "SELECT coalesce(one.key, two.key), one.rows, two.rows FROM one FULL JOIN two"
            " ON one.key = two.key WHERE one.rows IS DISTINCT FROM two.rows"
            " OR one.mixed IS DISTINCT FROM two.mixed OR one.summed IS DISTINCT FROM two.summed"
            " ORDER BY 1"
        ).fetchall()


def _rows(cursor: duckdb.DuckDBPyConnection, name: str, key: str) -> Counter[tuple[Any, ...]]:
    owner, source = _from(name)
    values = ", ".join(f"x.{column}" for column, _ in _columns(cursor, name))
    found = cursor.execute(
        f"SELECT {values} FROM {source} WHERE {owner} = ?",  # noqa: S608 - our own names
        (key,),
    ).fetchall()
    return Counter(tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in found)


def _words(columns: Sequence[str], row: Sequence[Any]) -> str:
    return ", ".join(
        f"{column} {value!r}"
        for column, value in zip(columns, row, strict=True)
        if value not in (None, (), 0, False) and column != "id"
    )

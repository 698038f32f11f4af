"""Writing many rows at once: statements compiled once per dialect, rows as plain tuples.

SQLAlchemy builds the SQL; the rows go to the driver as they are, because its per-row work on a
wide table costs more than the database does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Dialect, MetaData, Table, case, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from libs.runtime.errors import Poison

METADATA = MetaData()
"""Every table of reporting's read models."""

RowTuple = tuple[Any, ...]
LARGEST = 2**63 - 1


class Save:
    """Writes whole rows of one table; a row whose key is there already is replaced.

    `add` names the columns whose value is added to what is there instead (new rows start with it);
    `greatest` those that keep the greater one. `keep` True leaves existing rows as they are.
    """

    def __init__(
        self,
        table: Table,
        *,
        add: Collection[str] = (),
        greatest: Collection[str] = (),
        keep: bool = False,
    ) -> None:
        self._table = table
        self._add = frozenset(add)
        self._greatest = frozenset(greatest)
        self._keep = keep
        self._compiled: dict[str, str] = {}
        self._columns = [str(name) for name in table.c.keys()]  # noqa: SIM118 - not a dict

    def __call__(self, connection: Connection, rows: Sequence[RowTuple]) -> None:
        """`rows` hold the values in the order of the table's columns; keys are distinct."""
        if not rows:
            return
        name = connection.dialect.name
        sql = self._compiled.get(name)
        if sql is None:
            sql = self._compiled[name] = self._compile(name)
        if name == "sqlite":
            connection.exec_driver_sql(sql, list(rows))
            return
        columns = self._columns
        written = orjson.dumps([dict(zip(columns, row, strict=True)) for row in rows]).decode()
        connection.exec_driver_sql(sql, (written,))

    def _compile(self, name: str) -> str:
        table = self._table
        is_sqlite = name == "sqlite"
        statement: Any = (sqlite if is_sqlite else postgresql).insert(table)
        keys = [column.name for column in table.primary_key]
        if self._keep:
            statement = statement.on_conflict_do_nothing(index_elements=keys)
        else:
            new = statement.excluded
            changes: dict[str, Any] = {}
            for column in table.c:
                if column.name in keys:
                    continue
                if column.name in self._add:
                    changes[column.name] = column + new[column.name]
                elif column.name in self._greatest:
                    changes[column.name] = _greater(column, new[column.name])
                else:
                    changes[column.name] = new[column.name]
            statement = statement.on_conflict_do_update(index_elements=keys, set_=changes)
        dialect: Dialect = (
            SQLiteDialect_pysqlite(paramstyle="qmark")
            if is_sqlite
            else PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]
        )
        columns = table.c.keys()
        if not is_sqlite:
            # All rows as one parameter: a quarter of the client's work per row, of several columns.
            typed = ", ".join(f"{c.name} {c.type.compile(dialect)}" for c in table.c)
            given = text(f"SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r({typed})")  # noqa: S608 - our own names
            statement = statement.from_select(columns, given.columns(*table.c))
        return str(statement.compile(dialect=dialect, column_keys=columns))


def _greater(old: Any, new: Any) -> Any:
    return case((new > old, new), else_=old)


def fresh_metadata() -> MetaData:
    """Reporting's tables in a metadata of their own, to which a store may add its tables."""
    metadata = MetaData()
    for table in METADATA.sorted_tables:
        table.to_metadata(metadata)
    return metadata


def big(value: int) -> int:
    """The number, if a BIGINT can hold it. Raises Poison otherwise: it can never be stored."""
    if not -LARGEST <= value <= LARGEST:
        raise Poison("number_out_of_range", f"{value} does not fit into 64 bits")
    return value


def clean(text: str) -> str:
    """Text without NUL, which PostgreSQL cannot store."""
    return text.replace("\x00", "\ufffd")

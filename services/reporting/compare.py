"""Compares two sets of read models, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Column, Connection, String, Table, func, select

from services.reporting.views import POSITIONS, REJECTIONS, VIEWS

EXAMPLES_MAX: Final = 20
CHUNK: Final = 2_000


@dataclass(slots=True)
class TableDifference:
    """`missing` rows are only in the rebuilt table, `extra` only in the live one. `examples` name
    keys, columns and values (live, rebuilt). `expired` counts refusals older than their topic."""

    table: str
    live_rows: int = 0
    rebuilt_rows: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    expired: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not (self.missing or self.extra or self.different)

    def note(self, text: str) -> None:
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(text[:500])


def compare_tables(live: Connection, rebuilt: Connection) -> list[TableDifference]:
    """One answer per table, in the order of `VIEWS`."""
    answers = [_compare(live, rebuilt, table) for table in VIEWS if table is not POSITIONS]
    expired = sum(answer.expired for answer in answers)
    return [*answers, _compare(live, rebuilt, POSITIONS, without_refusals=expired > 0)]


def _compare(
    live: Connection,
    rebuilt: Connection,
    table: Table,
    *,
    without_refusals: bool = False,
) -> TableDifference:
    answer = TableDifference(table.name)
    oldest = _oldest_refusal(rebuilt) if table is REJECTIONS else None
    left, right = _rows(live, table, without_refusals), _rows(rebuilt, table, without_refusals)
    one, two = next(left, None), next(right, None)
    while one is not None or two is not None:
        if one is not None and (two is None or one[0] < two[0]):
            answer.live_rows += 1
            if table is REJECTIONS and (oldest is None or one[1]["recorded_us"] < oldest):
                answer.expired += 1
            else:
                answer.extra += 1
                answer.note(f"{_key(one[0])}: only in the live table")
            one = next(left, None)
        elif two is not None and (one is None or two[0] < one[0]):
            answer.rebuilt_rows += 1
            answer.missing += 1
            answer.note(f"{_key(two[0])}: not in the live table")
            two = next(right, None)
        elif one is not None and two is not None:
            answer.live_rows += 1
            answer.rebuilt_rows += 1
            if one[1] != two[1]:
                answer.different += 1
                answer.note(f"{_key(one[0])}: {_changes(one[1], two[1])}")
            one, two = next(left, None), next(right, None)
    return answer


_Row = tuple[tuple[Any, ...], dict[str, Any]]


def _rows(connection: Connection, table: Table, without_refusals: bool) -> Iterator[_Row]:
    keys = [column.name for column in table.primary_key]
    query = select(table).order_by(*(_bytewise(connection, table.c[key]) for key in keys))
    if without_refusals:
        query = query.where(table.c.topic != "tickets.rejections")
    result = connection.execution_options(yield_per=CHUNK).execute(query)
    for row in result.mappings():
        yield tuple(row[key] for key in keys), dict(row)


def _bytewise(connection: Connection, column: Column[Any]) -> Any:
    """Both sides in the order in which Python compares text, whatever the database's language."""
    if connection.dialect.name == "postgresql" and isinstance(column.type, String):
        return column.collate("C")
    return column


def _oldest_refusal(rebuilt: Connection) -> int | None:
    found = rebuilt.execute(select(func.min(REJECTIONS.c.recorded_us))).scalar()
    return None if found is None else int(found)


def _key(key: tuple[Any, ...]) -> str:
    return " ".join(map(str, key))


def _changes(live: dict[str, Any], rebuilt: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value!r} live, {rebuilt[name]!r} rebuilt"
        for name, value in live.items()
        if value != rebuilt[name]
    )

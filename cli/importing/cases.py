"""From rows to cases: first the whole file is checked, then its cases come out one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from cli.importing.changes import Command
from cli.importing.errors import BadFile, BadRow
from cli.importing.report import BadRows, Counts
from cli.importing.table import Cells, Row, Table

CaseRows = tuple[str, list[Row]]
"""A case and its rows, in the file's order."""


class Translator(Protocol):
    """What makes commands of one kind of log."""

    @property
    def source(self) -> str: ...
    @property
    def counts(self) -> Counts: ...
    def case_of(self, cells: Cells) -> str | None: ...
    def check(self, row: Row) -> None: ...
    def finish_check(self) -> None: ...
    def columns_json(self) -> list[dict[str, Any]]: ...
    def commands(self, case: str, rows: Sequence[Row]) -> list[Command]: ...


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first reading found. `together`: the rows of every case stand together."""

    rows: int
    cases: int
    together: bool
    bad: BadRows


def survey(
    table: Table, translator: Translator, *, skip_bad_rows: bool, progress: Callable[[int], None]
) -> Survey:
    """Reads the whole file and checks every row; nothing has been sent yet.

    `progress` is told the number of rows now and then. Raises BadRow at the first broken row unless
    those are skipped, at one whose case cannot be told even then, and BadFile when nothing remains.
    """
    bad = BadRows(table.path, skip=skip_bad_rows)
    doubtful: dict[str, BadRow] = {}

    def on_bad(broken: BadRow, cells: Cells) -> None:
        case = _case_of_broken(translator, cells, len(table.columns))
        bad.add(BadRow(broken.line, broken.detail, case=case))
        if case is not None and len(cells) != len(table.columns):
            doubtful.setdefault(case, broken)

    seen: set[str] = set()
    together, last, count = True, None, 0
    for row in table.rows(on_bad):
        try:
            translator.check(row)
        except BadRow as broken:
            bad.add(broken)
        case = translator.case_of(row[1])
        if case != last and case is not None:
            together = together and case not in seen
            seen.add(case)
            last = case
        count += 1
        if count % 5_000 == 0:
            progress(count)
    for name, doubt in doubtful.items():
        # Cells may have moved, or the row may have been cut off: only a case that other rows have
        # as well is surely the one that this row says.
        if name not in seen:
            raise bad.unknown_case(doubt)
    translator.finish_check()
    cases = len(seen - bad.cases)
    if cases == 0:
        raise BadFile(
            f"{table.path}: no case can be read from it; {count} rows, {bad.count} broken"
        )
    return Survey(rows=count, cases=cases, together=together, bad=bad)


def cases(table: Table, translator: Translator, found: Survey) -> Iterator[CaseRows]:
    """The cases in the order of their first rows, without those that have a broken row.

    In memory is one case when the rows of each stand together, else the whole file.
    """
    rows = table.rows(found.bad.ignore)
    groups = _adjacent(rows, translator) if found.together else _gathered(rows, translator)
    return (group for group in groups if group[0] not in found.bad.cases)


def window(
    groups: Iterable[CaseRows], *, first: int = 1, limit: int | None = None
) -> Iterator[CaseRows]:
    """From the `first` case (counted from 1), at most `limit` of them."""
    start = max(first, 1) - 1
    return islice(iter(groups), start, None if limit is None else start + limit)


def _case_of_broken(translator: Translator, cells: Cells, width: int) -> str | None:
    """None when it cannot be told, as in a row with an open quote, which swallows those after it."""
    if len(cells) != width and any("\n" in cell or "\r" in cell for cell in cells):
        return None
    case = translator.case_of(cells)
    if case is None or "\0" in case or any("\ud800" <= char <= "\udfff" for char in case):
        return None
    return case


def _adjacent(rows: Iterator[Row], translator: Translator) -> Iterator[CaseRows]:
    last: str | None = None
    group: list[Row] = []
    for row in rows:
        case = translator.case_of(row[1])
        if case is None:
            continue
        if case != last:
            if last is not None:
                yield last, group
            last, group = case, []
        group.append(row)
    if last is not None:
        yield last, group


def _gathered(rows: Iterator[Row], translator: Translator) -> Iterator[CaseRows]:
    groups: dict[str, list[Row]] = {}
    known: dict[str, str] = {}
    for line, cells in rows:
        case = translator.case_of(cells)
        if case is not None:
            # Logs say the same words over and over: keep each once.
            same = [known.setdefault(cell, cell) for cell in cells]
            groups.setdefault(case, []).append((line, same))
    yield from groups.items()

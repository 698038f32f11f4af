"""What people see of an import: its progress on stderr, and the report in tables on stdout."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final, Self

import typer

from cli.importing.report import RULES
from cli.importing.run import Result
from cli.output import Ticker, print_table, progress, say

WORDS_SHOWN: Final = 20
ROWS_SHOWN: Final = 20


class Stages:
    """One progress bar after the other. Use as a context."""

    def __init__(self) -> None:
        self._bars = ExitStack()
        self._tick: Ticker | None = None
        self._total: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def stage(self, name: str, total: int | None) -> None:
        self._bars.close()
        self._tick, self._total = self._bars.enter_context(progress(name)), total

    def at(self, done: int) -> None:
        if self._tick is not None:
            self._tick(done, self._total)

    def note(self, text: str) -> None:
        say(text)


def show(result: Result) -> None:
    """The report for people."""
    counts = result.translator.counts
    typer.echo(
        f"{counts.cases:,} cases with {counts.rows:,} rows: {counts.commands.total():,} commands."
    )
    if result.sent is None:
        typer.echo("Dry run: nothing was sent.")
    else:
        where = "Decided in memory only, by intake's rules. " if result.rehearsed else ""
        typer.echo(where + result.sent.sentence)
    _table("Commands", ("command", "#number"), counts.commands.most_common())
    rules = [(meaning, counts.rules[name]) for name, meaning in RULES.items() if counts.rules[name]]
    rules += [
        (f"  {column}: {word!r}", number)
        for (column, word), number in counts.unknown_words.most_common(WORDS_SHOWN)
    ]
    _table("Counted by rule", ("what", "#number"), rules)
    columns = [
        (one["column"], one["treatment"], one["changes"], one["why"])
        for one in result.translator.columns_json()
    ]
    _table(
        "Columns, and how often each changed after the first row of a case",
        ("column", "became", "#changes", "how"),
        columns,
    )
    _trouble(result)
    _comparison(result)


def _table(
    title: str, columns: tuple[str, ...], rows: list[Any], figures: tuple[type, ...] = (int,)
) -> None:
    if rows:
        shown = [[f"{c:,}" if isinstance(c, figures) else c for c in row] for row in rows]
        typer.echo("")
        print_table(columns, shown, title)


def _trouble(result: Result) -> None:
    bad = result.survey.bad
    _table(
        f"{bad.count:,} broken rows; {len(bad.cases):,} cases were left out for them",
        ("#line", "what"),
        [(str(one.line), one.detail) for one in bad.first[:ROWS_SHOWN]],
    )
    if result.sent is not None:
        _table(
            f"{result.sent.rejected:,} commands refused",
            ("ticket", "code", "why"),
            [
                (one.get("ticket_id"), one.get("code"), one.get("detail"))
                for one in result.sent.refusals[:ROWS_SHOWN]
            ],
        )


def _comparison(result: Result) -> None:
    if result.comparison is None:
        return
    found = result.comparison.as_json()
    rows = [("compared", found["tickets"]), ("equal", found["equal"])]
    rows += [(one["rule"], one["tickets"]) for one in found["explained"]]
    rows += [
        ("different, and no rule explains it", found["unexplained"]),
        ("no such ticket", found["missing"]),
    ]
    _table("The tickets against the last rows of the file", ("what", "#tickets"), rows)
    _table(
        "Not explained",
        ("case", "why", "differences"),
        [
            (one["case"], one["why"], one["differences"])
            for one in found["examples"]
            if not one["explained"]
        ][:ROWS_SHOWN],
    )

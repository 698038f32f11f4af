"""How every subcommand speaks: data on stdout, everything else on stderr, and one exit code each.

==  =====================================================================================
0   done
1   a check failed, or the system refused what was asked
2   wrong usage: options, a file, a setting
3   what was needed is not running or cannot be reached
==  =====================================================================================
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import typer
from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3

PROGRESS_INTERVAL_S: Final = 5.0

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="BITACORA_DATA_DIR",
        help="Where this system keeps its files.",
        file_okay=False,
    ),
]
DEFAULT_DATA_DIR: Final = Path(".bitacora")


class CommandError(Exception):
    """Ends the command: `message` says what is wrong and, where it can, what to do."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NotRunning(CommandError):
    """What the command talks to is not there."""

    def __init__(self, message: str) -> None:
        super().__init__(message, UNREACHABLE)


class UsageError(CommandError):
    def __init__(self, message: str) -> None:
        super().__init__(message, USAGE)


def say(message: str) -> None:
    """A line for people, on stderr."""
    _stderr().print(Text(clean(message, keep="\n")), soft_wrap=True)


def complain(message: str) -> None:
    """An error, on stderr."""
    _stderr().print(Text("error: ", "bold red") + Text(clean(message, keep="\n")), soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout; times, enums, paths and dataclasses are fine."""
    document = to_jsonable_python(value, fallback=str)
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


def print_json_line(value: Any) -> None:
    """One JSON document on one line, for a stream of them."""
    document = to_jsonable_python(value, fallback=str)
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """A table on stdout. A column whose name begins with `#` holds figures: right-aligned.

    Whole values on a terminal that is wide enough; on a pipe nothing is cut.
    """
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        numeric = name.startswith("#")
        table.add_column(name.removeprefix("#"), justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(Text("" if cell is None else clean(str(cell))) for cell in row))
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, highlight=False, width=500)
    console.print(table)


def print_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Names and values, one pair per line, on stdout; without those that have no value."""
    shown = [(name, value) for name, value in facts if value not in (None, "", (), [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        sys.stdout.write(f"{name.ljust(width)}  {clean(str(value))}\n")


def clean(text: str, keep: str = "") -> str:
    """`text` without control characters: what a requester wrote must not steer a terminal."""
    return "".join(
        c if c in keep or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else " " for c in text
    )


class Ticker(Protocol):
    """Takes the state of a long piece of work."""

    def __call__(self, done: int, total: int | None = None) -> None: ...


@contextmanager
def progress(title: str) -> Iterator[Ticker]:
    """Shows how far something is, on stderr: a bar on a terminal, a line now and then elsewhere."""
    if _stderr().is_terminal:
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=_stderr(),
            transient=True,
        )
        with bar:
            task = bar.add_task(title, total=None)

            def tick_bar(done: int, total: int | None = None) -> None:
                bar.update(task, completed=done, total=total)

            yield tick_bar
        return
    from libs.runtime.clock import monotonic_s  # loads all event types: most commands need none

    spoken_s = monotonic_s()

    def tick_line(done: int, total: int | None = None) -> None:
        nonlocal spoken_s
        if monotonic_s() - spoken_s >= PROGRESS_INTERVAL_S:
            spoken_s = monotonic_s()
            say(f"{title}: {done:,}" + (f" of {total:,}" if total else ""))

    yield tick_line


def _stderr() -> Console:
    return Console(file=sys.stderr, highlight=False)

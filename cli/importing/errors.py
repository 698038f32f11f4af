"""What can go wrong with an import; each error is a CommandError with its exit code.

::

    ImportProblem (1)
    ├── BadFile (2)         the file cannot be read, or is not what it should be
    │   └── BadRow (2)      one row of it
    ├── BadMapping (2)      the mapping file
    ├── GoneAway (3)        intake stopped answering
    └── RequestRefused (1)  intake answers, but refuses the whole request

That nothing runs at all is cli.output.NotRunning (3), as everywhere.
"""

from __future__ import annotations

from pathlib import Path

from cli.output import FAILED, UNREACHABLE, USAGE, CommandError


class ImportProblem(CommandError):
    pass


class BadFile(ImportProblem):
    def __init__(self, message: str) -> None:
        super().__init__(message, USAGE)


class BadRow(BadFile):
    """`line` is the number of the row's first line in the file, from 1; `case` when it is known;
    `path` where the file is not named by whoever reports it."""

    def __init__(
        self, line: int, detail: str, *, case: str | None = None, path: Path | None = None
    ) -> None:
        where = f"line {line}" if path is None else f"{path}: line {line}"
        super().__init__(f"{where}: {detail}")
        self.line = line
        self.detail = detail
        self.case = case


class BadMapping(ImportProblem):
    def __init__(self, message: str) -> None:
        super().__init__(message, USAGE)


class GoneAway(ImportProblem):
    def __init__(self, message: str) -> None:
        super().__init__(message, UNREACHABLE)


class RequestRefused(ImportProblem):
    def __init__(self, message: str) -> None:
        super().__init__(message, FAILED)

"""What can go wrong with an import, and the exit code of each.

ImportProblem (1)
├── BadFile (2)        the file cannot be read, or is not what it should be
│   └── BadRow (2)     one row of it
├── BadMapping (2)     the mapping file
├── NotRunning (3)     nothing answers at intake's address
└── RequestRefused (1) intake answers, but refuses the whole request
"""

from __future__ import annotations

from typing import ClassVar


class ImportProblem(Exception):
    exit_code: ClassVar[int] = 1


class BadFile(ImportProblem):
    exit_code = 2


class BadRow(BadFile):
    """`line` is the number of the row's first line in the file, from 1; `case` when it is known."""

    def __init__(self, line: int, detail: str, *, case: str | None = None) -> None:
        super().__init__(f"line {line}: {detail}")
        self.line = line
        self.detail = detail
        self.case = case


class BadMapping(ImportProblem):
    exit_code = 2


class NotRunning(ImportProblem):
    exit_code = 3


class RequestRefused(ImportProblem):
    pass

"""`bitacora sla calculate`: due instants and elapsed business time, line by line, without a service."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import typer

from cli.output import FAILED, say

READ_BYTES: Final = 1 << 16


def calculate() -> None:
    """Answer lines of JSON from standard input, each with a calendar of its own.

    A line asks for a due instant (kind "due": start, target_s) or for elapsed open time (kind
    "elapsed": start, end), with tz, hours, holidays, special_days and pauses. The answers come in
    the order of the lines; a line that is no good gets {"id": …, "error": "…"}, and the exit
    status is 1 then. docs/guides/business-time.md has the whole format.
    """
    from services.sla.domain.calculator import answer_line

    answered, failed = _answer(answer_line)
    if failed:
        say(f"{failed:,} of {answered:,} lines could not be answered")
        raise typer.Exit(FAILED)


def _answer(answer_line: Callable[[bytes], tuple[bytes, bool]]) -> tuple[int, int]:
    """How many lines there were, and how many of them were no good."""
    answered = failed = 0
    for lines in _lines(sys.stdin.buffer):
        answers = []
        for line in lines:
            if not line.strip():
                continue  # an empty line asks nothing
            text, good = answer_line(line)
            answers.append(text)
            failed += not good
        answered += len(answers)
        sys.stdout.buffer.write(b"".join(text + b"\n" for text in answers))
        # What was asked so far is answered before more is waited for.
        sys.stdout.buffer.flush()
    return answered, failed


def _lines(stream: Any) -> Iterator[list[bytes]]:
    """Whole lines, as many as are there at once; the last one may lack its end."""
    rest = b""
    while block := stream.read1(READ_BYTES):
        whole, newline, tail = block.rpartition(b"\n")
        if not newline:
            rest += tail
            continue
        yield (rest + whole).split(b"\n")
        rest = tail
    if rest:
        yield [rest]

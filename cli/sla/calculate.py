"""`bitacora sla calculate`: due instants and elapsed business time, line by line, without a service."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import typer

from cli.output import FAILED, say

READ_BYTES: Final = 1 << 16
LINE_MAX_BYTES: Final = 1_000_000
TOO_LONG: Final = b'{"id":null,"error":"the line has more than %d bytes"}' % LINE_MAX_BYTES
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


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
            if line is None:
                text, good = TOO_LONG, False
            elif not line.strip():
                continue  # an empty line asks nothing
            else:
                text, good = answer_line(line)
            answers.append(text)
            failed += not good
        answered += len(answers)
        sys.stdout.buffer.write(b"".join(text + b"\n" for text in answers))
        # What was asked so far is answered before more is waited for.
        sys.stdout.buffer.flush()
    return answered, failed


def _lines(stream: Any) -> Iterator[list[bytes | None]]:
    """Whole lines, as many as are there at once; the last one may lack its end. None: one that has more
    than LINE_MAX_BYTES, of which no more than that was ever held."""
    pieces: list[bytes] = []
    size = 0
    first = True
    while block := stream.read1(READ_BYTES):
        whole, newline, tail = block.rpartition(b"\n")
        if newline:
            head, *others = whole.split(b"\n")
            lines = _checked(
                [b"".join([*pieces, head]) if size <= LINE_MAX_BYTES else None, *others]
            )
            if first and lines[0] is not None:
                lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
            yield lines
            first, pieces, size = False, [], 0
        size += len(tail)
        if size <= LINE_MAX_BYTES:
            pieces.append(tail)
        else:
            pieces.clear()
    if size:
        last = b"".join(pieces) if size <= LINE_MAX_BYTES else None
        yield [last.removeprefix(BYTE_ORDER_MARK) if first and last is not None else last]


def _checked(lines: Iterable[bytes | None]) -> list[bytes | None]:
    return [None if line is None or len(line) > LINE_MAX_BYTES else line for line in lines]

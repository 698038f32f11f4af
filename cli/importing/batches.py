"""Commands packed into the requests that intake takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import orjson

from cli.importing.changes import Command

COMMANDS_WANTED: Final = 2_000
COMMANDS_MAX: Final = 5_000
BYTES_MAX: Final = 12_000_000
"""Below intake's limit of 16 MB, with room for the frame."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One request. `cases`: whose commands it holds; `whole_cases` how many of them end in it."""

    body: bytes
    commands: int
    cases: frozenset[str]
    whole_cases: int


class _Open:
    """A batch that is being filled."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.cases: set[str] = set()
        self.ended = 0

    def close(self) -> Batch:
        body = b'{"commands":[' + b",".join(self.parts) + b"]}"
        return Batch(body, len(self.parts), frozenset(self.cases), self.ended)


def pack(
    histories: Iterable[tuple[str, list[Command]]], *, wanted: int = COMMANDS_WANTED
) -> Iterator[Batch]:
    """Batches of about `wanted` commands, each with whole cases; only a case that is larger than a
    request is spread over several. Order within a case is kept."""
    batch = _Open()
    for case, commands in histories:
        parts = [orjson.dumps(command) for command in commands]
        size = sum(map(len, parts)) + len(parts)
        full = len(batch.parts) + len(parts) > COMMANDS_MAX or batch.size + size > BYTES_MAX
        if batch.parts and full:
            yield batch.close()
            batch = _Open()
        for part in parts:
            if len(batch.parts) >= COMMANDS_MAX or (
                batch.parts and batch.size + len(part) >= BYTES_MAX
            ):
                yield batch.close()
                batch = _Open()
            batch.parts.append(part)
            batch.size += len(part) + 1
            batch.cases.add(case)
        batch.ended += 1
        if len(batch.parts) >= wanted:
            yield batch.close()
            batch = _Open()
    if batch.parts:
        yield batch.close()

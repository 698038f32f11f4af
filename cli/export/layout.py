"""Where an export keeps what, and the manifest that says what is there.

::

    DIR/manifest.json                                       what is there, with sums and counts
    DIR/events/topic=tickets.events/day=2026-03-02/part-000001.parquet
    DIR/tickets.parquet                                     one row per ticket, as of the last run
    DIR/.progress/                                          where the next run goes on

A part is written once and never changed; `tickets.parquet` is replaced whole, in one step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import date
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

from cli.output import CommandError, UsageError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
EVENTS: Final = "events"
TICKETS: Final = "tickets.parquet"
PROGRESS: Final = ".progress"
SYNC_THREADS: Final = 16


@dataclass(frozen=True, slots=True)
class Selection:
    """What an export holds: these topics, and of them the days from first to last, both included.

    The day of an event is the UTC day of its `ce_time`, when it happened.
    """

    topics: tuple[str, ...]
    first_day: date | None = None
    last_day: date | None = None

    def holds(self, day: date) -> bool:
        after = self.first_day is None or day >= self.first_day
        return after and (self.last_day is None or day <= self.last_day)

    def as_json(self) -> dict[str, Any]:
        return {
            "topics": list(self.topics),
            "first_day": self.first_day and self.first_day.isoformat(),
            "last_day": self.last_day and self.last_day.isoformat(),
        }

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> Selection:
        days = [
            found[name] and date.fromisoformat(found[name]) for name in ("first_day", "last_day")
        ]
        return cls(tuple(found["topics"]), *days)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of events. `content` is the digest of its events (`streams.Content`)."""

    path: str
    topic: str
    day: str
    rows: int
    first_position: int
    last_position: int
    bytes: int
    sha256: str
    content: str


@dataclass(frozen=True, slots=True)
class Place:
    """How far a partition was read. `marker` knows the record before `next_offset` again."""

    topic: str
    partition: int
    next_offset: int
    marker: str


@dataclass(slots=True)
class TopicCount:
    """`events` = `exported` + `outside` (of days that were not asked for), each counted once.

    `duplicates` came again, `malformed` are no events at all, `waiting` lie behind a missing one.
    """

    events: int = 0
    exported: int = 0
    outside: int = 0
    duplicates: int = 0
    malformed: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class TicketsFile:
    """`events` is how many events the tickets were folded of."""

    rows: int
    events: int
    bytes: int
    sha256: str
    path: str = TICKETS


@dataclass(slots=True)
class Manifest:
    selection: Selection
    exported_at: str = ""
    topics: dict[str, TopicCount] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    files: list[Part] = field(default_factory=list)
    tickets: TicketsFile | None = None

    def write(self, folder: Path) -> None:
        """Replace the manifest in one step."""
        document = {"format": FORMAT, **asdict(self), "selection": self.selection.as_json()}
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        new = folder / PROGRESS / f"{MANIFEST}.new"
        new.write_text(text, encoding="utf-8")
        publish(new, folder / MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises UsageError when there is no export, CommandError when its manifest is damaged."""
        path = folder / MANIFEST
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise CommandError(f"{path} is of format {found['format']}, not {FORMAT}")
            return cls(
                Selection.parse(found["selection"]),
                found["exported_at"],
                {name: TopicCount(**count) for name, count in found["topics"].items()},
                [Place(**place) for place in found["places"]],
                [Part(**part) for part in found["files"]],
                found["tickets"] and TicketsFile(**found["tickets"]),
            )
        except FileNotFoundError:
            raise UsageError(f"there is no export in {folder}: {path} is missing") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CommandError(
                f"{path} cannot be read ({type(error).__name__}: {error}): run the export again"
            ) from None


def part_path(topic: str, day: str, number: int) -> str:
    return f"{EVENTS}/topic={topic}/day={day}/part-{number:06d}.parquet"


def parts_in(folder: Path) -> Iterator[str]:
    """The files below `folder` that have the name of a part, relative to it."""
    for path in sorted((folder / EVENTS).glob("topic=*/day=*/part-*.parquet")):
        yield path.relative_to(folder).as_posix()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def publish(new: Path, path: Path) -> None:
    """Put a finished file in its place: on the disk first, then under its name."""
    publish_all({new: path})


def publish_all(files: Mapping[Path, Path]) -> None:
    """`publish` for many files at once: a disk that is told of several writes them together."""
    folders = set()
    for path in files.values():
        folder = path.parent
        folders.add(folder)
        while not folder.exists():  # a new one stands in another, which must be on the disk, too
            folder = folder.parent
            folders.add(folder)
    with ThreadPoolExecutor(SYNC_THREADS) as threads:
        list(threads.map(_sync, files))
        for new, path in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            new.replace(path)
        list(threads.map(_sync, folders))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

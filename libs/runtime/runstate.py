"""What a running system says about itself on disk, and the lock that keeps it the only one.

`<data_dir>/run.json` names pids, URLs, databases, broker and clock; other commands read it. It lives
as long as the lock `<data_dir>/run.lock` is held: a file that a killed system left behind is ignored.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Final

STATE: Final = "run.json"
LOCK: Final = "run.lock"


class AlreadyRunning(Exception):
    """Another system uses this data directory."""


@dataclass(frozen=True, slots=True)
class RunState:
    """`kafka` is `embedded`, `local` or `external`; `clock` as in BITACORA_CLOCK.

    `urls`, `database_urls` and `pids` are by service; `pids` also knows a `broker` of ours.
    """

    pid: int
    started_at: str
    bootstrap: str
    kafka: str
    clock: str
    urls: dict[str, str] = field(default_factory=dict)
    database_urls: dict[str, str] = field(default_factory=dict)
    pids: dict[str, int | None] = field(default_factory=dict)


class RunLock:
    """Held from `acquire` until `release` or the end of the process."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / LOCK
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises AlreadyRunning."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise AlreadyRunning(
                f"{self._path.parent} is in use by another bitacora (process {holder});"
                " stop that one, or name another directory with --data-dir"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def write_run(data_dir: Path, state: RunState) -> None:
    """Replace run.json in one step; only its owner may read it (a database URL holds a password)."""
    path = data_dir / STATE
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(state), file, indent=1)
    new.replace(path)


def remove_run(data_dir: Path) -> None:
    (data_dir / STATE).unlink(missing_ok=True)


def read_run(data_dir: Path) -> RunState | None:
    """The state of the system that runs on this directory, or None when none does."""
    path = data_dir / STATE
    if not path.exists() or not _is_locked(data_dir):
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return RunState(**found)
    except (OSError, ValueError, TypeError):
        return None  # it is being taken away just now


def _is_locked(data_dir: Path) -> bool:
    try:
        with (data_dir / LOCK).open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False

"""Where the services spend their time: py-spy on each of them, if it is installed.

`pip install py-spy`, then `python -m bench incident_log --profile DIRECTORY`. Sampling takes some of
the machine, so figures of a profiled run are not the ones to quote.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

RATE_HZ: Final = 50
SHOWN: Final = 25
END_WITHIN_S: Final = 30.0


class Profiles:
    """One py-spy per process, from `attach` to the end of the context. Nothing without a directory."""

    def __init__(self, directory: Path | None, tell: Callable[[str], None]) -> None:
        self._directory = directory
        self._program = _py_spy() if directory else None
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        if directory and self._program is None:
            tell("no profile: py-spy is not installed (pip install py-spy)")

    def attach(self, name: str, pid: int | None) -> None:
        """Sample the process `pid`; stacks go to `<directory>/<name>.txt`, folded."""
        if self._directory is None or self._program is None or pid is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        command = [self._program, "record", "--pid", str(pid), "--rate", str(RATE_HZ)]
        command += ["--format", "raw", "--output", str(self._file(name)), "--threads"]
        self._running[name] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGINT)  # then py-spy writes what it has
        for process in self._running.values():
            try:
                process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def summaries(self) -> dict[str, Any]:
        """Process → seconds per function, itself alone and with what it calls; the costliest."""
        return {
            name: summary(self._file(name)) for name in self._running if self._file(name).exists()
        }

    def _file(self, name: str) -> Path:
        return (self._directory or Path()) / f"{name}.txt"


def summary(file: Path) -> dict[str, dict[str, float]]:
    """Of folded stacks: the functions with most seconds, alone (`self`) and in all (`total`)."""
    alone: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in file.read_text("utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        alone[frames[-1]] += int(count)
        for frame in set(frames):
            total[frame] += int(count)
    return {
        "self": {name: count / RATE_HZ for name, count in alone.most_common(SHOWN)},
        "total": {name: count / RATE_HZ for name, count in total.most_common(SHOWN * 2)},
    }


def _py_spy() -> str | None:
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("py-spy")

"""Runs child processes: starts them in order, restarts what crashes, stops them in reverse.

Children are started in stages (`stage` 0 first: the broker; then the services) and stopped from the
highest `stop_order` down, each group at once: SIGTERM, a grace time, SIGKILL. They run in sessions of
their own, so that Ctrl-C reaches only the supervisor, and on Linux the kernel ends them when the
supervisor dies. A child's output goes to `<log_dir>/<name>.log`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from libs.runtime.clock import monotonic_s

GRACE_S: Final = 15.0
READY_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.05
CRASHES_BEFORE_READY_MAX: Final = 3
STEADY_S: Final = 30.0
"""A child that has run for so long starts with the shortest back-off again."""
BACK_OFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
LOG_BYTES_MAX: Final = 50_000_000
TAIL_LINES: Final = 15
_PR_SET_PDEATHSIG: Final = 1


class StartFailed(Exception):
    """A child cannot be brought to work. The message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """`ready` is a URL that answers 200 when the child can work, or `tcp://host:port`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: str
    stage: int = 1
    stop_order: int = 0


@dataclass(slots=True)
class _Kept:
    child: Child
    process: asyncio.subprocess.Process | None = None
    ready: bool = False
    starts: int = 0
    crashes: int = 0
    keeper: asyncio.Task[None] | None = None
    failed: str = ""


@dataclass(slots=True)
class Supervisor:
    """`tell` gets a line for people about everything that happens; `changed` is called whenever a
    process id has changed."""

    children: Sequence[Child]
    log_dir: Path
    tell: Callable[[str], None]
    changed: Callable[[], None] = lambda: None
    grace_s: float = GRACE_S
    ready_timeout_s: float = READY_TIMEOUT_S
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Start every stage and wait until its children are ready.

        Raises StartFailed; then everything has been stopped again.
        """
        self.log_dir.mkdir(parents=True, exist_ok=True)
        for child in self.children:
            _rotate(self.log_of(child.name))
        try:
            for _, stage in groupby(sorted(self.children, key=_stage), key=_stage):
                started = [self._keep(child) for child in stage]
                await asyncio.gather(*(self._until_ready(kept) for kept in started))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything, in order. Safe to call twice."""
        self._stopping.set()
        kept = sorted(self._kept.values(), key=_stop_order, reverse=True)
        for _, group in groupby(kept, key=_stop_order):
            await asyncio.gather(*(self._end(one) for one in group))

    def pids(self) -> dict[str, int | None]:
        """The process ids of the children that run now."""
        return {
            name: kept.process.pid if kept.process and kept.process.returncode is None else None
            for name, kept in self._kept.items()
        }

    def restarts(self) -> dict[str, int]:
        """How often each child has been started again."""
        return {name: max(0, kept.starts - 1) for name, kept in self._kept.items()}

    def log_of(self, name: str) -> Path:
        return self.log_dir / f"{name}.log"

    # -- one child ----------------------------------------------------------------------------

    def _keep(self, child: Child) -> _Kept:
        kept = self._kept[child.name] = _Kept(child)
        kept.keeper = asyncio.create_task(self._keep_running(kept), name=f"keep {child.name}")
        return kept

    async def _keep_running(self, kept: _Kept) -> None:
        while not self._stopping.is_set():
            started_s = monotonic_s()
            try:
                kept.process = await self._spawn(kept.child)
            except OSError as error:
                kept.failed = f"{kept.child.name} cannot be started: {error}"
                return
            kept.starts += 1
            self.changed()
            status = await kept.process.wait()
            if self._stopping.is_set():
                return
            kept.crashes = 1 if monotonic_s() - started_s > STEADY_S else kept.crashes + 1
            self.changed()
            how = _how_it_ended(status)
            if not kept.ready and kept.crashes >= CRASHES_BEFORE_READY_MAX:
                kept.failed = f"{kept.child.name} {how} again and again before it was ready"
                return
            delay_s = BACK_OFF_S[min(kept.crashes, len(BACK_OFF_S)) - 1]
            self.tell(f"{kept.child.name} {how}; starting it again in {delay_s:g} s")
            await asyncio.sleep(delay_s)

    async def _spawn(self, child: Child) -> asyncio.subprocess.Process:
        with self.log_of(child.name).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *child.command,
                env=dict(child.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )

    async def _until_ready(self, kept: _Kept) -> None:
        deadline_s = monotonic_s() + self.ready_timeout_s
        while not await answers(kept.child.ready):
            if kept.failed:
                raise StartFailed(f"{kept.failed}\n{self._tail(kept.child.name)}")
            if monotonic_s() > deadline_s:
                raise StartFailed(
                    f"{kept.child.name} was not ready within {self.ready_timeout_s:g} s;"
                    f" its log is {self.log_of(kept.child.name)}\n{self._tail(kept.child.name)}"
                )
            await asyncio.sleep(POLL_S)
        if kept.process is None or kept.process.returncode is not None:
            raise StartFailed(
                f"something else than {kept.child.name} answers at {kept.child.ready};"
                " choose other ports with --port-base"
            )
        kept.ready = True

    async def _end(self, kept: _Kept) -> None:
        process = kept.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), self.grace_s)
            except TimeoutError:
                self.tell(f"{kept.child.name} did not stop within {self.grace_s:g} s; killing it")
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if kept.keeper is not None:
            kept.keeper.cancel()
            await asyncio.wait([kept.keeper])

    def _tail(self, name: str) -> str:
        try:
            lines = self.log_of(name).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line[:300]}" for line in lines[-TAIL_LINES:])


def _stage(child: Child) -> int:
    return child.stage


def _stop_order(kept: _Kept) -> int:
    return kept.child.stop_order


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _die_with_parent() -> Callable[[], Any] | None:
    """What makes the kernel send a child SIGTERM when this process dies; None where it cannot."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return before_exec


async def answers(target: str) -> bool:
    """Whether `tcp://host:port` accepts, or an http URL answers 200, within two seconds."""
    url = urlsplit(target)
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            try:
                if url.scheme == "tcp":
                    return True
                writer.write(
                    f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode()
                )
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False

"""A Kafka broker on this machine as a child process: started, waited for, stopped by its pid."""

from __future__ import annotations

import atexit
import contextlib
import socket
import struct
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from libs.runtime.clock import monotonic_s

STOP_GRACE_S: Final = 20.0
_POLL_S: Final = 0.02
_API_VERSIONS: Final = 18
_CORRELATION: Final = 4711


class BrokerUnavailable(Exception):
    """There is no broker program to start, or it does not come up. The message says what to do."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def speaks_kafka(port: int, timeout_s: float = 1.0) -> bool:
    """Does something on 127.0.0.1:`port` answer an ApiVersions request?"""
    body = struct.pack(">hhih", _API_VERSIONS, 0, _CORRELATION, -1)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = b""
            while len(answer) < struct.calcsize(">iih"):
                received = connection.recv(4096)
                if not received:
                    return False
                answer += received
    except OSError:
        return False
    _, correlation, error = struct.unpack_from(">iih", answer)
    return bool(correlation == _CORRELATION and error == 0)


class LocalServer(ABC):
    """`start` returns when the server answers; `stop` and `kill` when its process is gone.

    The child runs in a session of its own, so that Ctrl-C reaches only us, and is killed when this
    interpreter ends in order. Not thread-safe.
    """

    name: ClassVar[str]

    def __init__(self, port: int, *, log_file: Path | None, start_timeout_s: float) -> None:
        self.port = port
        self._log_file = log_file
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> tuple[str, ...]:
        """What to run. Raises BrokerUnavailable."""

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id; None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start it, unless it runs. Raises BrokerUnavailable when it does not answer in time."""
        if self.pid is not None:
            return
        command = self.command()
        with contextlib.ExitStack() as files:
            output: int | object = subprocess.DEVNULL
            if self._log_file is not None:
                self._log_file.parent.mkdir(parents=True, exist_ok=True)
                output = files.enter_context(self._log_file.open("ab"))
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,  # type: ignore[arg-type]
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.kill)
        self._wait_until_ready()

    def stop(self) -> None:
        """SIGTERM, some time, SIGKILL."""
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._forget()

    def kill(self) -> None:
        """SIGKILL, as in an accident."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _forget(self) -> None:
        self._process = None
        atexit.unregister(self.kill)

    def _wait_until_ready(self) -> None:
        deadline_s = monotonic_s() + self._start_timeout_s
        while not speaks_kafka(self.port):
            if self.pid is None:
                self._forget()
                raise BrokerUnavailable(f"{self.name} ended at once{self._tail()}")
            if monotonic_s() > deadline_s:
                self.kill()
                raise BrokerUnavailable(
                    f"{self.name} did not answer on port {self.port} within"
                    f" {self._start_timeout_s:g} s{self._tail()}"
                )
            time.sleep(_POLL_S)

    def _tail(self) -> str:
        if self._log_file is None or not self._log_file.exists():
            return ""
        lines = self._log_file.read_text("utf-8", "replace").splitlines()[-10:]
        return ":\n" + "\n".join(lines)

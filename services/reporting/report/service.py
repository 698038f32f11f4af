"""The way to figures for pages and the API: one reading, one engine, answers shared until facts change."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeVar

import duckdb

from libs.runtime.clock import Clock, monotonic_s
from libs.runtime.errors import Poison
from services.reporting.domain import microseconds
from services.reporting.report.engine import Cursor, Known, look, run
from services.reporting.report.model import Report, ReportQuery

T = TypeVar("T")

ANSWERS_KEPT: Final = 256


class Reading(Protocol):
    """One state of the fact tables, while it is held. `stamp` grows with each change of them."""

    @property
    def cursor(self) -> Cursor: ...
    @property
    def stamp(self) -> int: ...
    @property
    def recorded_us(self) -> int | None: ...


class FactTables(Protocol):
    """What figures need of `facts.Facts`."""

    @property
    def stamp(self) -> int: ...

    def reading(self, as_recorded_us: int | None = None, /) -> AbstractContextManager[Reading]:
        """One state of the tables. Raises Transient while there are none yet."""

    async def fresh(self) -> bool:
        """Wait, for a limited time, until they hold all that has been applied by now."""


async def ask(
    facts: FactTables, question: Callable[[Cursor, Known], T], *, query: ReportQuery, clock: Clock
) -> T:
    """Run `question` on one state of the fact tables, in a thread. Raises as it does, Transient, and
    Poison (422, `too_large`)."""
    now_us = microseconds(clock.now())

    def read() -> T:
        with facts.reading(query.as_recorded_us) as reading:
            try:
                known = look(
                    reading.cursor,
                    stamp=reading.stamp,
                    recorded_us=reading.recorded_us,
                    now_us=now_us,
                )
                return question(reading.cursor, known)
            except duckdb.OutOfMemoryException:
                raise Poison(
                    "too_large",
                    "the answer needs more memory than there is for figures: shorten the period, "
                    "filter, or group by something coarser",
                ) from None

    return await asyncio.to_thread(read)


async def run_report(facts: FactTables, query: ReportQuery, *, clock: Clock) -> Report:
    """The answer to one question, read anew. Raises Poison (422) and Transient (503)."""
    return await ask(facts, lambda c, known: run(c, query, known), query=query, clock=clock)


class Reports:
    """Answers that all readers share: computed when facts have changed, not once per reader. `took` is
    told the seconds that computing one took."""

    def __init__(
        self, facts: FactTables, clock: Clock, *, took: Callable[[float], object] = lambda _: None
    ) -> None:
        self.facts = facts
        self.clock = clock
        self._took = took
        self._known: OrderedDict[ReportQuery, Report] = OrderedDict()
        self._busy: dict[ReportQuery, asyncio.Lock] = {}

    @property
    def stamp(self) -> int:
        """Grows with every change of the fact tables: equal stamps, equal answers."""
        return self.facts.stamp

    async def get(self, query: ReportQuery) -> Report:
        """The answer as of now. Raises Poison (422) and Transient (503)."""
        lock = self._busy.setdefault(query, asyncio.Lock())
        try:
            async with lock:
                known = self._known.get(query)
                if known is not None and known.stamp == self.facts.stamp:
                    self._known.move_to_end(query)
                    return known
                began_s = monotonic_s()
                made = await run_report(self.facts, query, clock=self.clock)
                self._took(monotonic_s() - began_s)
                self._known[query] = made
                self._known.move_to_end(query)
                while len(self._known) > ANSWERS_KEPT:
                    self._known.popitem(last=False)
                return made
        finally:
            if not lock.locked():
                self._busy.pop(query, None)

    async def get_all(self, queries: Sequence[ReportQuery]) -> list[Report]:
        """Several answers at once, in the order of the questions."""
        return list(await asyncio.gather(*(self.get(query) for query in queries)))

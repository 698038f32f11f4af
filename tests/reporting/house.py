"""What reporting's tests share: a store with tables, ways to fill it, and to look at all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from libs.events import EventEnvelope
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.store import ServiceStore
from services.reporting.facts.copy import MEMORY, OF_AGENTS, OF_TICKETS
from services.reporting.facts.facts import Facts, Reading
from services.reporting.handlers import ReportingHandler
from services.reporting.views import VIEWS, fresh_metadata

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@contextmanager
def open_store(url: str) -> Iterator[ServiceStore]:
    """A store on empty tables, whatever was there before."""
    store = ServiceStore(Database(url), fresh_metadata(), source="/x", clock=ManualClock(NOW))
    try:
        with store.database.transaction() as connection:
            store.metadata.drop_all(connection)
        store.create_tables()
        yield store
    finally:
        store.close()


def feed(store: ServiceStore, batches: Iterable[Sequence[EventEnvelope]]) -> None:
    handler = ReportingHandler()
    for batch in batches:
        store.write_now(lambda c, out, batch=batch: handler.apply(c, batch, out))  # type: ignore[misc]


@contextmanager
def facts_of(
    url: str, batches: Iterable[Sequence[EventEnvelope]], file: str | Path = MEMORY
) -> Iterator[Facts]:
    """The fact tables after these batches of events, in a store that was empty::

    with facts_of(sqlite_url, [events]) as facts, facts.reading() as reading:
        reading.cursor.execute("SELECT count(*) FROM tickets").fetchone()
    """
    with open_store(url) as store:
        feed(store, batches)
        with refreshed(store, file) as facts:
            yield facts


@contextmanager
def refreshed(store: ServiceStore, file: str | Path = MEMORY) -> Iterator[Facts]:
    """Facts that hold what the store holds now; call `refresh` after more was fed."""
    facts = Facts(store.database, file, clock=store.clock)
    try:
        facts.refresh()
        yield facts
    finally:
        facts.close()


def fact_rows(facts: Facts) -> dict[str, Counter[tuple[Any, ...]]]:
    """Every row of every fact table, with a ticket's id in the place of its number."""
    with facts.reading() as reading:
        return rows_of_reading(reading)


def rows_of_reading(reading: Reading) -> dict[str, Counter[tuple[Any, ...]]]:
    return {
        name: Counter(
            tuple(tuple(v) if isinstance(v, list) else v for v in row)
            for row in reading.cursor.execute(
                f"SELECT t.id, x.* EXCLUDE (ticket) FROM {name} x JOIN tickets t USING (ticket)"
                if name in OF_TICKETS
                else f"SELECT * FROM {name}"
            ).fetchall()
        )
        for name in (*OF_TICKETS, *OF_AGENTS)
    }


def everything(store: ServiceStore) -> dict[str, set[tuple[Any, ...]]]:
    """Every row of every read model."""
    with store.database.reading() as connection:
        return {
            table.name: {tuple(row) for row in connection.execute(select(table))} for table in VIEWS
        }

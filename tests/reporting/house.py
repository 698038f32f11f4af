"""What reporting's tests share: a store with tables, ways to fill it, and to look at all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from libs.events import EventEnvelope
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.store import ServiceStore
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


def everything(store: ServiceStore) -> dict[str, set[tuple[Any, ...]]]:
    """Every row of every read model."""
    with store.database.reading() as connection:
        return {
            table.name: {tuple(row) for row in connection.execute(select(table))} for table in VIEWS
        }

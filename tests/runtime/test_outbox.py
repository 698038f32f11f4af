"""The outbox on PostgreSQL: who waits for whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, MetaData, select, text

from libs.events import Priority
from libs.events.ticket import PriorityChanged
from libs.events.topics import SLA_EVENTS
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.errors import Transient
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from tests.runtime.streams import NOON

EVENT = PriorityChanged(priority=Priority.HIGH, previous=Priority.LOW)


@contextmanager
def store_on(url: str) -> Iterator[ServiceStore]:
    store = ServiceStore(Database(url), MetaData(), source="/x", clock=ManualClock(NOON))
    store.create_tables()
    try:
        yield store
    finally:
        store.close()


def say(connection: Connection, outgoing: Outgoing) -> None:
    connection.execute(text("SET LOCAL lock_timeout = '300ms'"))
    outgoing.event(SLA_EVENTS, "s", EVENT, actor="service:sla")


@pytest.mark.postgres
def test_what_is_said_does_not_wait_for_a_vacuum_of_the_outbox(postgres_url: str) -> None:
    with store_on(postgres_url) as store, store.database.engine.connect() as other:
        other.execute(text("LOCK TABLE outbox IN SHARE UPDATE EXCLUSIVE MODE"))  # as VACUUM does
        assert store.write_now(say)[1] == 1
        other.rollback()


@pytest.mark.postgres
def test_transactions_that_say_something_come_one_after_the_other(postgres_url: str) -> None:
    with store_on(postgres_url) as store, store.database.engine.connect() as first:
        outgoing = store.outbox.open()
        outgoing.event(SLA_EVENTS, "other", EVENT, actor="service:sla")
        store.outbox.flush(first, outgoing)
        with pytest.raises(Transient, match="lock timeout"):
            store.write_now(say)
        first.commit()
        store.write_now(say)
        rows = store.outbox.rows
        with store.database.reading() as connection:
            said = connection.execute(select(rows.c.stream_id).order_by(rows.c.position)).scalars()
            assert list(said) == ["other", "s"]

"""The versions of the rule set in the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, delete, select, text

from libs.events.routing import RoutingRulesChanged
from libs.runtime.clock import ManualClock, monotonic_s
from libs.runtime.database import Database
from libs.runtime.errors import Rejected
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.routing.domain.rule_text import document_of, rules_of
from services.routing.domain.rules import RoutingRules, VersionedRules
from services.routing.store.rules import (
    current_rules,
    declare_rules,
    put_rules,
    rules_at,
    rules_versions,
)

START = datetime(2026, 3, 2, 9, tzinfo=UTC)

BIG: Any = {
    "weights": {"chat": 3},
    "queues": [{"name": "live", "when": {"channel": "chat"}, "mode": "offer", "ageing_s": None}],
}


def declared() -> MetaData:
    metadata = MetaData()
    declare_rules(metadata)
    return metadata


@pytest.fixture
def store(database_url: str) -> Iterator[ServiceStore]:
    metadata = declared()
    clock = ManualClock(START)
    store = ServiceStore(Database(database_url), metadata, source="/bitacora/routing", clock=clock)
    store.create_tables()
    with store.database.transaction() as connection:
        for table in metadata.sorted_tables:
            connection.execute(delete(table))
    yield store
    store.close()


def put(
    store: ServiceStore,
    rules: RoutingRules,
    *,
    actor: str = "agent:lead",
    note: str | None = None,
    expected: int | None = None,
) -> VersionedRules:
    return store.write_now(
        lambda c, out: put_rules(c, out, rules, actor, note, expected, now=store.clock.now())
    )[0]


def said(store: ServiceStore) -> list[RoutingRulesChanged]:
    rows = store.outbox.rows
    with store.database.reading() as connection:
        found = connection.execute(select(rows).order_by(rows.c.position)).all()
    assert {(row.topic, row.stream_id) for row in found} <= {("routing.decisions", "rules")}
    assert [row.sequence for row in found] == list(range(1, len(found) + 1))
    return [RoutingRulesChanged.model_validate_json(row.data) for row in found]


def test_versions_are_added_and_said(store: ServiceStore) -> None:
    defaults = RoutingRules(hand_over_limit=7)
    with store.database.reading() as connection:
        assert current_rules(connection, defaults) == VersionedRules(0, defaults)
    one, two = RoutingRules(), rules_of(BIG)
    assert put(store, one) == VersionedRules(1, one)
    assert put(store, two, note="chats weigh more", expected=1) == VersionedRules(2, two)
    assert put(store, rules_of(document_of(two)), expected=2).version == 2  # says the same
    with store.database.reading() as connection:
        assert current_rules(connection, defaults) == VersionedRules(2, two)
        assert rules_at(connection, 1) == VersionedRules(1, one)
        assert rules_at(connection, 0, defaults).rules is defaults
        newest, oldest = rules_versions(connection)
        assert newest == (2, "agent:lead", "chats weigh more", START)
        assert rules_versions(connection, before=2) == [oldest]
        with pytest.raises(Rejected, match="no version 3"):
            rules_at(connection, 3)
    events = said(store)
    assert [(event.version, event.note) for event in events] == [(1, None), (2, "chats weigh more")]
    assert rules_of(events[1].rules) == two


def test_a_stale_writer_is_refused_and_nothing_is_said(store: ServiceStore) -> None:
    put(store, RoutingRules(), expected=0)
    for expected in (0, 2):
        with pytest.raises(Rejected) as caught:
            put(store, rules_of(BIG), expected=expected)
        assert (caught.value.code, caught.value.status) == ("stale_version", 412)
        assert caught.value.extra == {"current_version": 1}
    assert [event.version for event in said(store)] == [1]


@pytest.mark.postgres
def test_of_two_processes_at_one_moment_one_is_refused(postgres_url: str) -> None:
    """Without any lock: the key of the table alone decides."""
    stores = [
        ServiceStore(
            Database(postgres_url),
            declared(),
            source="/bitacora/routing",
            clock=ManualClock(START),
        )
        for _ in range(2)
    ]
    stores[0].create_tables()
    one_has_put = threading.Event()
    outcomes: list[str] = []

    def first(connection: Connection, outgoing: Outgoing) -> VersionedRules:
        made = put_rules(connection, outgoing, RoutingRules(), "system", None, None, now=START)
        one_has_put.set()
        blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        deadline = monotonic_s() + 30
        while not connection.scalar(blocked):  # the other waits for our commit
            assert monotonic_s() < deadline
        return made

    def second() -> None:
        assert one_has_put.wait(30)
        try:
            put(stores[1], rules_of(BIG))
        except Rejected as rejected:
            outcomes.append(rejected.code)

    thread = threading.Thread(target=second)
    thread.start()
    assert stores[0].write_now(first)[0].version == 1
    thread.join(60)
    for store in stores:
        store.close()
    assert outcomes == ["rules_changed"]

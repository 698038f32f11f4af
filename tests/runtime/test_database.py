"""The database behind a service: what is away, busy or cut off is Transient, and leaves nothing."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select, text
from sqlalchemy.exc import IntegrityError

from libs.runtime import database as module
from libs.runtime.clock import ManualClock
from libs.runtime.database import Database, upsert
from libs.runtime.errors import Transient
from libs.runtime.store import ServiceStore
from tests.runtime.speaking import until
from tests.runtime.streams import NOON

METADATA = MetaData()
THINGS = Table(
    "things",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(50)),
    Column("size", Integer),
)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    made.create(METADATA)
    yield made
    made.close()


def names(database: Database) -> list[str]:
    with database.reading() as connection:
        return [row[0] for row in connection.execute(select(THINGS.c.name).order_by(THINGS.c.id))]


def write(database: Database, change: Callable[[Connection], object]) -> None:
    with database.transaction() as connection:
        change(connection)


def cut_off(connection: Connection, killer: Database) -> None:
    """End the server's process behind `connection`."""
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with killer.transaction() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(THINGS), [{"id": 1, "name": "a"}])

    def bug(connection: Connection) -> None:
        connection.execute(insert(THINGS), [{"id": 2, "name": "b"}])
        raise ZeroDivisionError

    def twice(connection: Connection) -> None:
        connection.execute(insert(THINGS), [{"id": 3, "name": "c"}])
        connection.execute(insert(THINGS), [{"id": 1, "name": "again"}])

    with pytest.raises(ZeroDivisionError):
        write(database, bug)
    with pytest.raises(IntegrityError):
        write(database, twice)
    assert names(database) == ["a"]


def test_a_reading_sees_one_snapshot(database: Database) -> None:
    with database.reading() as connection:
        query = select(THINGS.c.name)
        assert connection.execute(query).all() == []
        with database.transaction() as other:
            other.execute(insert(THINGS), [{"id": 1, "name": "a"}])
        assert connection.execute(query).all() == []
    assert names(database) == ["a"]


def test_upsert_sets_the_columns_that_are_given(database: Database) -> None:
    with database.transaction() as connection:
        upsert(connection, THINGS, [{"id": 1, "name": "a", "size": 1}, {"id": 2, "name": "b"}][:1])
        upsert(connection, THINGS, [{"id": 1, "name": "new"}, {"id": 2, "name": "b"}])
        upsert(connection, THINGS, [{"id": 2}])
        upsert(connection, THINGS, [])
        rows = connection.execute(select(THINGS).order_by(THINGS.c.id)).all()
    assert [tuple(row) for row in rows] == [(1, "new", 1), (2, "b", None)]


def test_several_processes_may_make_the_tables_at_once(database_url: str) -> None:
    made = [Database(database_url) for _ in range(4)]
    errors: list[BaseException] = []

    def create(database: Database) -> None:
        try:
            database.create(METADATA)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test must see it
            errors.append(error)

    threads = [threading.Thread(target=create, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in made:
        one.close()
    assert errors == []


def test_what_was_committed_reaches_sqlites_file_without_another_commit(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    database.create(METADATA)
    file = Path(database.url.database or "")
    for number in range(50):
        rows = [{"id": number * 100 + n, "name": "x" * 50, "size": n} for n in range(100)]
        write(database, lambda connection, rows=rows: connection.execute(insert(THINGS), rows))  # type: ignore[misc]
    deadline_s = time.monotonic() + 20
    while file.stat().st_size < 5_000 * 50:
        assert time.monotonic() < deadline_s, "the log was not copied"
        threading.Event().wait(0.05)
    database.close()


def test_sqlite_that_stays_busy_is_transient_and_then_works(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SQLITE_BUSY_TIMEOUT_S", 0.1)
    database = Database(sqlite_url)
    database.create(METADATA)
    with closing(sqlite3.connect(str(database.url.database))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Transient, match="locked"), database.transaction() as connection:
            connection.execute(insert(THINGS), [{"id": 1, "name": "a"}])
        assert names(database) == []  # reading goes on meanwhile
        other.rollback()
    with database.transaction() as connection:
        connection.execute(insert(THINGS), [{"id": 1, "name": "a"}])
    assert names(database) == ["a"]
    database.close()


def test_sqlite_waits_for_a_writer_who_is_done_soon(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    database.create(METADATA)
    began = threading.Event()

    def write() -> None:
        with database.transaction() as connection:
            began.set()
            connection.execute(insert(THINGS), [{"id": 2, "name": "b"}])

    with database.transaction() as connection:
        connection.execute(insert(THINGS), [{"id": 1, "name": "a"}])
        writer = threading.Thread(target=write)
        writer.start()
        assert not began.wait(0.1)
    writer.join()
    assert names(database) == ["a", "b"]
    database.close()


def test_a_full_disk_is_transient_and_leaves_nothing(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    database.create(METADATA)

    def too_much(connection: Connection) -> None:
        connection.execute(text("PRAGMA max_page_count = 3"))  # what is there already; no more
        rows = [{"id": number, "name": "x" * 50} for number in range(10_000)]
        connection.execute(insert(THINGS), rows)

    with pytest.raises(Transient, match="full"):
        write(database, too_much)
    assert names(database) == []
    database.close()


def test_a_database_that_cannot_be_opened_is_transient(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite3").mkdir()
    database = Database(f"sqlite:///{tmp_path}/x.sqlite3")
    with pytest.raises(Transient), database.transaction():
        pass
    nowhere = Database(f"postgresql://nobody@/nothing?host={tmp_path}")
    with pytest.raises(Transient), nowhere.transaction():
        pass
    nowhere.close()
    database.close()


@pytest.mark.postgres
def test_a_connection_cut_in_a_transaction_is_transient_and_leaves_nothing(
    postgres_url: str,
) -> None:
    database, other = Database(postgres_url), Database(postgres_url)
    database.create(METADATA)

    def change(connection: Connection) -> None:
        connection.execute(insert(THINGS), [{"id": 1, "name": "a"}])
        cut_off(connection, other)
        connection.execute(insert(THINGS), [{"id": 2, "name": "b"}])

    with pytest.raises(Transient):
        write(database, change)
    assert names(database) == []
    with database.transaction() as connection:  # the next one gets another connection
        connection.execute(insert(THINGS), [{"id": 1, "name": "a"}])
    assert names(database) == ["a"]
    database.close()
    other.close()


@pytest.mark.postgres
def test_a_connection_cut_at_the_commit_is_transient_and_leaves_nothing(postgres_url: str) -> None:
    database, other = Database(postgres_url), Database(postgres_url)
    database.create(METADATA)

    def change(connection: Connection) -> None:
        connection.execute(insert(THINGS), [{"id": 1, "name": "a"}])
        cut_off(connection, other)

    with pytest.raises(Transient):
        write(database, change)
    assert names(database) == []
    database.close()
    other.close()


@pytest.mark.postgres
def test_a_connection_that_died_while_it_was_not_used_is_replaced(postgres_url: str) -> None:
    database, other = Database(postgres_url), Database(postgres_url)
    database.create(METADATA)
    cut = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with other.transaction() as killer:
        assert killer.execute(cut).scalar()
    assert names(database) == []
    database.close()
    other.close()


async def test_what_a_failed_write_said_is_not_said(database_url: str) -> None:
    """The outbox lies in the same transaction, and nobody is woken for nothing."""
    store = ServiceStore(
        Database(database_url), MetaData(), source="/test", clock=ManualClock(NOON)
    )
    store.create_tables()
    woken = store.listen()

    def fails(connection: object, outgoing: object) -> None:
        raise Transient("away", "away")

    with pytest.raises(Transient):
        await store.write(fails)
    assert not woken.is_set()
    answers = await asyncio.gather(*(store.write(lambda _c, _o, n=n: n) for n in range(20)))  # type: ignore[misc]
    assert answers == list(range(20))
    await until(lambda: not woken.is_set(), "still nobody is woken")
    store.close()

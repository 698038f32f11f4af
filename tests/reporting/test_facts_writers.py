"""Several writers and readers at once, and a disk that is full."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from libs.runtime.clock import ManualClock
from libs.runtime.database import Database
from libs.runtime.store import ServiceStore
from services.reporting.facts.facts import Facts
from services.reporting.handlers import ReportingHandler
from services.reporting.views import fresh_metadata
from services.reporting.views.changes import changed_since, read_head
from tests.reporting.house import NOW, fact_rows, feed, open_store, refreshed
from tests.reporting.streams import Desk, batches, by_time

STREAMS = Desk(12).streams(24, events=8)


@pytest.mark.postgres
def test_what_two_processes_write_at_once_reaches_every_copy(postgres_url: str) -> None:
    with open_store(postgres_url) as store, ExitStack() as held:
        others = [
            ServiceStore(
                Database(postgres_url), fresh_metadata(), source="/x", clock=ManualClock(NOW)
            )
            for _ in range(2)
        ]
        for other in others:
            held.callback(other.close)
        facts = held.enter_context(refreshed(store))
        over = threading.Event()

        def write(number: int) -> None:
            for part in batches(by_time(STREAMS[number::2]), random.Random(number), 30):
                feed(others[number], [part])

        def follow() -> None:
            while not over.is_set():
                facts.refresh()

        with ThreadPoolExecutor(3) as threads:
            following = threads.submit(follow)
            try:
                for writing in [threads.submit(write, number) for number in (0, 1)]:
                    writing.result()
            finally:
                over.set()
            following.result()
        facts.refresh()
        with refreshed(store) as anew:
            assert fact_rows(anew) == fact_rows(facts)


@pytest.mark.postgres
def test_revisions_become_visible_in_their_order(postgres_url: str) -> None:
    """A writer that has its revision and has not committed yet holds up the one after it."""
    one, two = by_time(STREAMS)[:1], by_time(STREAMS)[1:2]
    with open_store(postgres_url) as store:
        feed(store, [by_time(STREAMS)[2:3]])
        handler, second = ReportingHandler(), threading.Thread(target=feed, args=(store, [two]))
        with store.database.transaction() as connection:
            handler.apply(connection, one, store.outbox.open())
            second.start()
            with store.database.reading() as reader:
                assert read_head(reader).revision == 1
        second.join(30)
        with store.database.reading() as reader:
            assert read_head(reader).revision == 3
            assert changed_since(reader, 1, 10) is not None


def test_readers_in_threads_see_whole_states_while_the_facts_change(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store, refreshed(store) as facts:
        over = threading.Event()
        seen: list[int] = []

        def read() -> None:
            while not over.is_set():
                with facts.reading() as reading:
                    query = (
                        "SELECT (SELECT count(*) FROM tickets),"
                        " (SELECT count(*) FROM activities WHERE kind = 'created'),"
                        " (SELECT count(*) FROM intervals WHERE end_us IS NULL)"
                    )
                    one = reading.cursor.execute(query).fetchone()
                    assert one is not None
                    assert one[0] == one[1] == one[2]
                    seen.append(one[0])

        with ThreadPoolExecutor(2) as threads:
            readers = [threads.submit(read) for _ in range(2)]
            try:
                for part in batches(by_time(STREAMS), random.Random(1), 60):
                    feed(store, [part])
                    facts.refresh()
            finally:
                over.set()
            for reader in readers:
                reader.result()
        assert seen
        assert max(seen) <= 24


FULL = """
import resource, signal, sys
from libs.runtime.clock import RealClock
from libs.runtime.database import Database
from libs.runtime.errors import Transient
from services.reporting.facts.facts import Facts
from services.reporting.views.changes import ChangesView
from services.reporting.facts.rebuilding import FactsRebuild, rebuild_facts

class Stream:
    def __init__(self, stream_id):
        self.stream_id = stream_id

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
database = Database(sys.argv[1])
facts = Facts(database, sys.argv[2], clock=RealClock())
facts.refresh()

def count():
    with facts.reading() as reading:
        return reading.cursor.execute("SELECT count(*) FROM activities").fetchone()

before = count()
with database.transaction() as connection:
    rows = connection.exec_driver_sql("SELECT id FROM tickets").fetchall()
    ChangesView().apply(connection, [Stream(row[0]) for row in rows])
# Every file is as large as it may be: what is written from here on fails.
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
codes = []
for attempt in (facts.refresh, lambda: rebuild_facts(facts, RealClock(), FactsRebuild())):
    try:
        attempt()
    except Transient as error:
        codes.append(error.code)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
facts.refresh()
assert count() == before, (count(), before)
report = FactsRebuild()
rebuild_facts(facts, RealClock(), report)
assert report.ok, report
print(codes)
"""


def test_a_full_disk_is_said_and_the_live_facts_stay_right(sqlite_url: str, tmp_path: Path) -> None:
    with open_store(sqlite_url) as store:
        feed(store, [by_time(STREAMS)])
        done = subprocess.run(
            [sys.executable, "-c", FULL, sqlite_url, str(tmp_path / "facts")],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "['facts_disk', 'facts_disk']"
        with refreshed(store, tmp_path / "facts") as facts, refreshed(store) as right:
            assert isinstance(facts, Facts)
            assert fact_rows(facts) == fact_rows(right)

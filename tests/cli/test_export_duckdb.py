"""The queries of the guide for data teams, run on an export and compared with plain Python."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from libs.events import Ticket, fold
from libs.events.sla import ClockSatisfied
from libs.events.ticket import StatusChanged, TicketCreated
from libs.events.topics import TICKETS_EVENTS
from libs.runtime.embedded import EmbeddedBroker
from services.reporting.handlers import topic_of
from tests.backends.shared import ROOT, Kafka
from tests.cli.exporting import desk_events, publish, run

GUIDE = (ROOT / "docs" / "guides" / "data-teams.md").read_text("utf-8")
BLOCKS = re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)
QUERIES = {block.split("\n", 1)[0].removeprefix("-- "): block for block in BLOCKS[1:]}
EVENTS = desk_events(seed=9, tickets=60)
OF_TICKETS = [event for event in EVENTS if topic_of(event) == TICKETS_EVENTS]

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The views of the guide, on an export that was made in two runs."""
    folder = tmp_path_factory.mktemp("duckdb")
    with EmbeddedBroker(log_file=folder / "broker.log") as broker:
        kafka = Kafka(broker.bootstrap, embedded=True, broker=broker)
        for events in (EVENTS[:150], EVENTS):
            publish(kafka, events)
            run(kafka, folder / "export")
    with duckdb.connect() as connection:
        connection.execute(f"SET file_search_path = '{folder}'")
        connection.execute(BLOCKS[0])
        yield connection


def ask(desk: duckdb.DuckDBPyConnection, beginning: str) -> Rows:
    (query,) = (text for name, text in QUERIES.items() if name.startswith(beginning))
    return desk.execute(query).fetchall()


def tickets() -> list[Ticket]:
    streams = defaultdict(list)
    for event in OF_TICKETS:
        streams[event.stream_id].append(event)
    return [ticket for events in streams.values() if (ticket := fold(events))]


def test_events_per_day(desk: duckdb.DuckDBPyConnection) -> None:
    counts = Counter((event.time.date(), event.type) for event in OF_TICKETS)
    expected = [(*key, count) for key, count in sorted(counts.items())]
    assert ask(desk, "how many events") == expected


def test_time_to_the_first_reply(desk: duckdb.DuckDBPyConnection) -> None:
    waits: dict[str, list[int]] = defaultdict(list)
    for ticket in tickets():
        if ticket.first_replied_at is not None and ticket.created_at is not None:
            # DuckDB counts the boundaries of seconds between the two.
            whole = (
                at.replace(microsecond=0) for at in (ticket.first_replied_at, ticket.created_at)
            )
            replied, created = whole
            waits[str(ticket.priority)].append(int((replied - created).total_seconds()))
    found = {name: (count, hours) for name, count, hours in ask(desk, "time to the first reply")}
    assert found.keys() == waits.keys()
    assert found
    for priority, seconds in waits.items():
        assert found[priority] == (len(seconds), pytest.approx(statistics.median(seconds) / 3600))


def test_the_backlog(desk: duckdb.DuckDBPyConnection) -> None:
    opened: Counter[date] = Counter()
    status: dict[str, bool] = {}
    for event in OF_TICKETS:
        if isinstance(event.event, TicketCreated | StatusChanged):
            is_open = event.event.status not in {"solved", "closed"}
            opened[event.time.date()] += is_open - status.get(event.stream_id, False)
            status[event.stream_id] = is_open
    expected, total = [], 0
    for day in sorted(opened):
        total += opened[day]
        expected.append((day, total))
    assert ask(desk, "the backlog") == expected
    assert total == sum(ticket.status not in {"solved", "closed"} for ticket in tickets())


def test_service_levels(desk: duckdb.DuckDBPyConnection) -> None:
    ended: Counter[tuple[str, str]] = Counter()
    late: Counter[tuple[str, str]] = Counter()
    for event in EVENTS:
        if isinstance(event.event, ClockSatisfied):
            key = (event.event.policy, event.event.metric)
            ended[key] += 1
            late[key] += event.event.breached
    assert ask(desk, "service levels") == [(*key, ended[key], late[key]) for key in sorted(ended)]
    assert late.total() > 0


def test_every_stream_is_whole(desk: duckdb.DuckDBPyConnection) -> None:
    assert ask(desk, "is every stream whole") == []
    (count,) = desk.execute("SELECT count(*) FROM events").fetchone() or (0,)
    assert count == len(EVENTS)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # DuckDB's own way with pandas
def test_the_snippet_of_the_notebook(
    desk: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    (setting,) = desk.execute("SELECT current_setting('file_search_path')").fetchone() or ("",)
    monkeypatch.chdir(Path(setting))
    (snippet,) = (b for b in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "duckdb" in b)
    names: dict[str, Any] = {}
    exec(snippet, names)
    assert len(names["tickets"]) == len(tickets())
    assert names["by_group"]["sum"].sum() == sum(ticket.reopens for ticket in tickets())


def test_every_query_of_the_guide_was_run() -> None:
    assert len(QUERIES) == 5

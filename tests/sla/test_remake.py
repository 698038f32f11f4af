"""Timers of a database that an older version made: without the column by which processes share them."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, inspect, text

from libs.events import sla as e
from libs.runtime.outbox import Outgoing
from libs.runtime.share import WHOLE
from services.sla.timers.agenda import BEGINNING
from services.sla.timers.remake import remake_timers
from services.sla.timers.table import page
from tests.sla.bench import Bench
from tests.sla.desk import Stream, at, created, reply


def as_it_was(bench: Bench) -> None:
    def work(connection: Connection, _: Outgoing) -> None:
        connection.execute(text("DROP TABLE timers"))
        connection.execute(
            text(
                "CREATE TABLE timers (ticket_id VARCHAR(200), metric VARCHAR(40),"
                " kind VARCHAR(20) NOT NULL, at_us BIGINT NOT NULL, PRIMARY KEY (ticket_id, metric))"
            )
        )

    bench.store.write_now(work)


def remake(bench: Bench) -> int | None:
    return bench.store.write_now(lambda connection, _: remake_timers(connection))[0]


def test_timers_are_made_anew_from_the_clocks_and_fire(bench: Bench) -> None:
    for number in range(5):
        bench.apply(Stream(f"t{number}").add("10:00", created()))
    answered = Stream("answered")
    bench.apply(answered.add("10:00", created()))
    bench.apply(answered.add("10:05", reply(), "agent:7"))
    imported = Stream("imported")
    bench.apply(imported.add("10:00", created(imported_from="elsewhere"), "import:elsewhere"))
    before = bench.timers()
    as_it_was(bench)

    assert remake(bench) == len(before) == 11
    assert bench.timers() == before
    columns = bench.read(lambda c: {one["name"] for one in inspect(c).get_columns("timers")})
    assert "slot" in columns
    indexes = bench.read(lambda c: {one["name"] for one in inspect(c).get_indexes("timers")})
    assert "timers_by_instant" in indexes
    assert remake(bench) is None
    assert bench.read(lambda c: len(page(c, WHOLE, BEGINNING, 2**62, 100))) == 11
    bench.fire(at("10:15"))
    assert len(bench.events(e.SlaBreached)) == 5


def test_more_tickets_than_a_page(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        bench.apply(Stream(f"t{number}").add("10:00", created()))
    before = bench.timers()
    as_it_was(bench)
    monkeypatch.setattr("services.sla.timers.remake.PAGE_TICKETS", 3)
    assert remake(bench) == len(before)
    assert bench.timers() == before

"""The stream applier: each event once, in order, or parked; on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from libs.runtime import parking
from libs.runtime.consume import Report
from tests.runtime.streams import Bench, HandRecord, records, stream


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    made = Bench(database_url)
    yield made
    made.close()


def apply(bench: Bench, batch: list[HandRecord]) -> Report:
    return bench.store.write_now(lambda c, out: bench.applier.apply(c, out, batch))[0]


def redrive(bench: Bench) -> Report:
    return bench.store.write_now(bench.applier.redrive)[0]


def seen(bench: Bench, stream_id: str) -> list[int]:
    with bench.store.database.reading() as connection:
        query = select(bench.seen.c.sequence).where(bench.seen.c.stream_id == stream_id)
        return [row[0] for row in connection.execute(query.order_by(bench.seen.c.n))]


def parked(bench: Bench) -> list[parking.Parked]:
    with bench.store.database.reading() as connection:
        return parking.list_parked(connection)


def outbox_topics(bench: Bench) -> list[str]:
    with bench.store.database.reading() as connection:
        return [row[0] for row in connection.execute(select(bench.store.outbox.rows.c.topic))]


def test_events_are_applied_once_and_in_order(bench: Bench) -> None:
    batch = records(stream("a", 5))
    assert apply(bench, batch[:3]).applied == 3
    again = apply(bench, batch)
    assert (again.applied, again.duplicates) == (2, 3)
    assert seen(bench, "a") == [1, 2, 3, 4, 5]


def test_a_topic_replayed_under_other_offsets_changes_nothing(bench: Bench) -> None:
    events = stream("a", 4)
    apply(bench, records(events))
    assert apply(bench, records(events, offset=1000)).duplicates == 4
    assert seen(bench, "a") == [1, 2, 3, 4]


def test_a_gap_holds_its_stream_only_and_heals(bench: Bench) -> None:
    a, b = records(stream("a", 5)), records(stream("b", 2), offset=100)
    report = apply(bench, [a[0], a[2], a[3], *b])
    assert (report.applied, report.gaps) == (3, 2)
    assert seen(bench, "b") == [1, 2]
    assert {(p.code, p.sequence) for p in parked(bench)} == {("gap", 3), ("gap", 4)}
    assert apply(bench, [a[1]]).redriven == 2
    assert seen(bench, "a") == [1, 2, 3, 4]
    assert parked(bench) == []


def test_an_undecodable_message_is_parked_with_everything_it_had(bench: Bench) -> None:
    good = records(stream("a", 2))
    bad = HandRecord("tickets.events", 0, 7, b"a", b"\xff{", [("ce_type", None), ("x", b"\xff")])
    report = apply(bench, [good[0], bad, good[1]])
    assert (report.applied, report.parked) == (2, 1)
    (kept,) = parked(bench)
    assert (kept.key, kept.value, kept.headers) == (bad.key, bad.value, bad.headers)
    assert kept.code == "null_header"
    assert outbox_topics(bench) == ["test.parked"]


def test_the_same_bad_message_twice_is_parked_once(bench: Bench) -> None:
    bad = HandRecord("tickets.events", 0, 7, None, b"nonsense", [])
    assert apply(bench, [bad]).parked == 1
    assert apply(bench, [bad]).parked == 0
    assert len(parked(bench)) == 1


def test_what_the_handler_cannot_apply_is_parked_and_holds_its_stream(bench: Bench) -> None:
    a, b = records(stream("a", 4)), records(stream("b", 3), offset=50)
    bench.handler.fails_on = {"a:2"}
    report = apply(bench, [a[0], b[0], a[1], b[1], a[2], b[2]])
    assert report.applied == 4
    assert seen(bench, "a") == [1]
    assert seen(bench, "b") == [1, 2, 3]
    assert [(p.sequence, p.code) for p in parked(bench)] == [(2, "cannot_be"), (3, "gap")]
    apply(bench, [a[3]])
    assert seen(bench, "a") == [1]


def test_a_redrive_applies_the_message_and_what_waits_behind_it(bench: Bench) -> None:
    a = records(stream("a", 4))
    bench.handler.fails_on = {"a:2"}
    apply(bench, a)
    bench.store.write_now(lambda c, _: parking.request_redrive(c))
    assert redrive(bench).redriven == 0
    assert parked(bench)[0].attempts == 2
    bench.handler.fails_on = set()
    bench.store.write_now(lambda c, _: parking.request_redrive(c, [parked(bench)[0].id]))
    assert redrive(bench).redriven == 3
    assert seen(bench, "a") == [1, 2, 3, 4]
    assert parked(bench) == []


def test_redriving_what_can_never_be_decoded_leaves_it_parked(bench: Bench) -> None:
    apply(bench, [HandRecord("tickets.events", 0, 7, None, b"nonsense", [])])
    bench.store.write_now(lambda c, _: parking.request_redrive(c))
    redrive(bench)
    (kept,) = parked(bench)
    assert (kept.attempts, kept.redrive) == (2, False)


def test_an_unknown_type_counts_in_its_stream(bench: Bench) -> None:
    a = records(stream("a", 3))
    a[1].headers = [(n, b"bitacora.Imagined.v9" if n == "ce_type" else v) for n, v in a[1].headers]
    report = apply(bench, a)
    assert report.applied == 3
    assert report.unknown == {"bitacora.Imagined.v9": 1}


def test_a_handler_that_fails_leaves_nothing_behind_in_the_outbox(bench: Bench) -> None:
    bench.handler.fails_on = {"a:1"}
    apply(bench, records(stream("a", 1)))
    assert outbox_topics(bench) == ["test.parked"]
    assert seen(bench, "a") == []


def test_an_answer_that_nobody_could_read_parks_only_what_it_answers(bench: Bench) -> None:
    a, b = records(stream("a", 2)), records(stream("b", 2), offset=50)
    bench.handler.raves_on = {"a:2"}
    assert apply(bench, [a[0], b[0], a[1], b[1]]).applied == 3
    assert [(p.sequence, p.code) for p in parked(bench)] == [(2, "not_recordable")]
    assert outbox_topics(bench) == ["test.parked"]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_delivery_order_with_any_duplicates_ends_the_same(
    sqlite_url: str, data: st.DataObject
) -> None:
    bench = Bench(f"{sqlite_url}.{data.draw(st.uuids())}")
    try:
        streams = {name: records(stream(name, 4)) for name in ("a", "b", "c")}
        everything = [record for made in streams.values() for record in made]
        delivered = data.draw(st.permutations(everything))
        repeated = data.draw(st.lists(st.sampled_from(everything), max_size=6))
        pending = [*delivered, *repeated]
        while pending:
            size = data.draw(st.integers(1, len(pending)))
            apply(bench, pending[:size])
            pending = pending[size:]
        for name in streams:
            assert seen(bench, name) == [1, 2, 3, 4]
        with bench.store.database.reading() as connection:
            assert (
                connection.execute(select(func.count()).select_from(parking.PARKED)).scalar() == 0
            )
    finally:
        bench.close()

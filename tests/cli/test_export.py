"""`bitacora export`: exactly the stream, whatever comes between."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.export.checkpoint import Checkpoint
from cli.export.columns import EVENT_SCHEMA, TICKET_SCHEMA
from cli.export.layout import Selection, parts_in, sha256_of
from cli.export.streams import Content, Streams
from cli.output import CommandError, UsageError
from libs.events import EventEnvelope, Ticket, encode_event, fold
from libs.events.ticket import Requester
from libs.events.topics import SLA_EVENTS, TICKETS_EVENTS
from services.reporting.handlers import topic_of
from tests.backends.shared import Kafka
from tests.cli.exporting import (
    ALL,
    desk_events,
    event_rows,
    publish,
    publish_raw,
    run,
    ticket_rows,
    verified,
)
from tests.runtime.streams import stream

EVENTS = desk_events()
OF_TICKETS = [event for event in EVENTS if topic_of(event) == TICKETS_EVENTS]


def ids(events: Sequence[EventEnvelope]) -> Counter[str]:
    return Counter(event.id for event in events)


def exported(folder: Path) -> Counter[str]:
    return Counter(row["ce_id"] for row in event_rows(folder))


def folded(events: Sequence[EventEnvelope]) -> dict[str, Ticket]:
    streams: dict[str, list[EventEnvelope]] = defaultdict(list)
    for event in events:
        streams[event.stream_id].append(event)
    return {key: ticket for key, events in streams.items() if (ticket := fold(events))}


def test_the_files_hold_exactly_the_stream(kafka: Kafka, tmp_path: Path) -> None:
    publish(kafka, EVENTS)
    report = run(kafka, tmp_path)
    assert (report.new_events, report.waiting, report.problems) == (len(EVENTS), 0, [])
    by_id = {event.id: event for event in EVENTS}
    rows = event_rows(tmp_path)
    assert Counter(row["ce_id"] for row in rows) == ids(EVENTS)
    for row in rows:
        event = by_id[row["ce_id"]]
        _, value, headers = encode_event(event)
        assert row.pop("topic") == topic_of(event)
        assert row.pop("day") == event.time.date().isoformat()
        assert row.pop("data") == value.decode()
        assert (row.pop("ce_time"), row.pop("ce_recordedtime")) == (event.time, event.recorded_time)
        sent = {name.replace("-", "_"): text.decode() for name, text in headers}
        assert {k: str(v) for k, v in row.items() if v is not None} == {
            k: v for k, v in sent.items() if k not in {"ce_time", "ce_recordedtime"}
        }
    verdict = verified(tmp_path, kafka)
    assert (verdict.problems, verdict.notes) == ([], [])
    assert (verdict.events, verdict.compared) == (len(EVENTS), len(EVENTS))


def test_one_row_per_ticket_as_the_fold_has_it(embedded_kafka: Kafka, tmp_path: Path) -> None:
    publish(embedded_kafka, EVENTS)
    run(embedded_kafka, tmp_path, Selection((TICKETS_EVENTS,)))
    rows, tickets = ticket_rows(tmp_path), folded(OF_TICKETS)
    assert rows.keys() == tickets.keys()
    for key, ticket in tickets.items():
        row = rows[key]
        person = {part: row.pop(f"requester_{part}") for part in Requester.model_fields}
        assert ticket.requester is not None
        assert person == ticket.requester.model_dump()
        assert sorted(ticket.tags) == row.pop("tags")
        assert dict(ticket.custom_fields) == dict(row.pop("custom_fields"))
        assert [tuple(link.values()) for link in row.pop("links")] == list(ticket.links)
        assert row == {name: getattr(ticket, name) for name in row}
    people = {f"requester_{part}" for part in Requester.model_fields}
    others = {field.name for field in fields(Ticket)} - {"requester"}
    assert set(TICKET_SCHEMA.names) == people | others


def test_a_second_run_adds_what_is_new_and_changes_no_file(kafka: Kafka, tmp_path: Path) -> None:
    half = len(EVENTS) // 2
    publish(kafka, EVENTS[:half])
    run(kafka, tmp_path)
    before = {path: sha256_of(tmp_path / path) for path in parts_in(tmp_path)}
    # The relay sent everything again, and then the rest: delivery is at least once.
    publish(kafka, EVENTS[:half] + EVENTS[half:])
    report = run(kafka, tmp_path)
    assert report.new_events == len(EVENTS) - half
    assert sum(c.duplicates for c in report.manifest.topics.values()) == half
    assert exported(tmp_path) == ids(EVENTS)
    assert {path: sha256_of(tmp_path / path) for path in before} == before
    assert {i: row["sequence"] for i, row in ticket_rows(tmp_path).items()} == {
        i: ticket.sequence for i, ticket in folded(OF_TICKETS).items()
    }
    third = run(kafka, tmp_path)
    assert (third.new_events, third.new_files, third.records) == (0, 0, 0)
    assert verified(tmp_path, kafka).problems == []


def test_topics_that_were_made_anew_are_read_from_the_start(tmp_path: Path) -> None:
    """A broker that lost everything, to which the relays publish again: other order, other offsets."""
    from libs.runtime.embedded import EmbeddedBroker

    shuffled = EVENTS[:300]
    for seed, events in enumerate((EVENTS[:200], shuffled, EVENTS[:100])):
        with EmbeddedBroker(log_file=tmp_path / f"broker{seed}.log") as broker:
            kafka = Kafka(broker.bootstrap, embedded=True, broker=broker)
            streams = [
                [e for e in events if e.stream_id == s] for s in {e.stream_id for e in events}
            ]
            random.Random(seed).shuffle(streams)
            publish(kafka, [event for one in streams for event in one])
            run(kafka, tmp_path / "export")
            if seed == 1:
                assert verified(tmp_path / "export", kafka).problems == []
    assert exported(tmp_path / "export") == ids(EVENTS[:300])
    assert verified(tmp_path / "export").problems == []


class Stopped(Exception):
    pass


@pytest.mark.parametrize("moment", ["while reading", "before the commit", "after the commit"])
def test_an_interrupted_run_is_gone_on_with(
    embedded_kafka: Kafka, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(embedded_kafka, EVENTS)
    commit, committed = Checkpoint.commit, 0

    def failing(self: Checkpoint, step: Any) -> None:
        nonlocal committed
        committed += 1
        if committed == 2 and moment == "before the commit":
            raise Stopped
        commit(self, step)
        if committed == 2 and moment == "after the commit":
            raise Stopped

    def progress(done: int, total: int | None = None) -> None:
        if committed == 2 and moment == "while reading" and done:
            raise Stopped

    monkeypatch.setattr(Checkpoint, "commit", failing)

    def runs() -> None:
        """Small steps: a batch is a step, and a run may have few of them."""
        for _ in range(3):
            run(embedded_kafka, tmp_path, step_records=1, progress=progress)
            publish(embedded_kafka, EVENTS)

    with pytest.raises(Stopped):
        runs()
    partly = exported(tmp_path)
    assert partly <= ids(EVENTS)
    run(embedded_kafka, tmp_path)
    assert exported(tmp_path) == ids(EVENTS)
    assert verified(tmp_path, embedded_kafka).problems == []


def test_files_of_a_killed_run_are_found_and_then_removed(
    embedded_kafka: Kafka, tmp_path: Path
) -> None:
    publish(embedded_kafka, EVENTS[:100])
    run(embedded_kafka, tmp_path)
    some = next(parts_in(tmp_path))
    left = (tmp_path / some).with_name("part-000099.parquet")
    left.write_bytes((tmp_path / some).read_bytes())
    theirs = left.with_name("notes.txt")
    theirs.write_text("not ours")
    problems = verified(tmp_path).problems
    assert len(problems) == 1
    assert "part-000099.parquet is not in the manifest" in problems[0]
    run(embedded_kafka, tmp_path)
    assert not left.exists()
    assert theirs.exists()
    assert exported(tmp_path) == ids(EVENTS[:100])


def test_what_lies_behind_a_missing_event_is_held_back(
    embedded_kafka: Kafka, tmp_path: Path
) -> None:
    lost, whole = stream("00000000-0000-4000-8000-000000000001", 4), OF_TICKETS[:50]
    publish(embedded_kafka, [lost[0], lost[2], lost[3], lost[3], *whole])
    report = run(embedded_kafka, tmp_path)
    assert (report.waiting, report.new_events) == (2, 51)
    assert "lacks the events before 3" in report.problems[0]
    assert any("held back" in problem for problem in verified(tmp_path).problems)
    again = run(embedded_kafka, tmp_path)
    assert again.waiting == 2
    publish(embedded_kafka, [lost[1]])
    last = run(embedded_kafka, tmp_path)
    assert (last.waiting, last.new_events, last.problems) == (0, 3, [])
    assert exported(tmp_path) == ids([*lost, *whole])
    assert verified(tmp_path, embedded_kafka).problems == []


def _of_type(event: EventEnvelope, name: str, data: bytes) -> Any:
    _, value, headers = encode_event(replace(event, type=name, data=data))
    return event.stream_id.encode(), value, headers


def test_what_is_no_event_is_counted_and_what_is_unknown_is_kept(
    embedded_kafka: Kafka, tmp_path: Path
) -> None:
    first, second, third = (stream(f"t{number}", 1)[0] for number in (1, 2, 3))
    publish(embedded_kafka, EVENTS[:20])
    bad: list[Any] = [
        (b"k", None, []),
        (b"k", b"\xff\x00", [("ce_id", b"\xff")]),
        _of_type(first, "bitacora.TicketCreated.v1", b'{"number": "x"}'),
        _of_type(second, "bitacora.Invented.v1", b"\xff not text"),
        _of_type(second, "bitacora.Invented.v1", b"{not json"),
    ]
    good = _of_type(third, "bitacora.Invented.v1", b'{"new": true}')
    publish_raw(embedded_kafka, TICKETS_EVENTS, [*bad, good])
    report = run(embedded_kafka, tmp_path)
    assert report.manifest.topics[TICKETS_EVENTS].malformed == len(bad)
    assert len(report.problems) == len(bad)
    assert exported(tmp_path) == ids(EVENTS[:20]) + Counter(["t3:1"])
    (kept,) = (row for row in event_rows(tmp_path) if row["ce_type"] == "bitacora.Invented.v1")
    assert json.loads(kept["data"]) == {"new": True}
    assert verified(tmp_path, embedded_kafka).problems == []


def test_the_first_and_the_last_day_of_the_calendar(embedded_kafka: Kafka, tmp_path: Path) -> None:
    (event,) = stream("t", 1)
    times = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]
    events = [replace(event, stream_id=f"t{n}", time=time) for n, time in enumerate(times)]
    publish(embedded_kafka, events)
    run(embedded_kafka, tmp_path)
    assert {row["day"]: row["ce_time"] for row in event_rows(tmp_path)} == {
        "0001-01-01": times[0],
        "9999-12-31": times[1],
    }
    assert verified(tmp_path, embedded_kafka).problems == []


def test_chosen_topics_and_days(embedded_kafka: Kafka, tmp_path: Path) -> None:
    publish(embedded_kafka, EVENTS)
    chosen = Selection((TICKETS_EVENTS, SLA_EVENTS), date(2026, 3, 5), date(2026, 3, 9))
    report = run(embedded_kafka, tmp_path, chosen)
    wanted = [e for e in EVENTS if topic_of(e) in chosen.topics and chosen.holds(e.time.date())]
    assert exported(tmp_path) == ids(wanted)
    assert 0 < len(wanted) < len(EVENTS)
    counts = report.manifest.topics
    assert sum(c.outside + c.exported for c in counts.values()) == report.new_events
    # The tickets are those of the whole stream, whatever the days.
    assert len(ticket_rows(tmp_path)) == len(folded(OF_TICKETS))
    assert verified(tmp_path, embedded_kafka).problems == []
    with pytest.raises(UsageError, match=r"sla\.events from 2026-03-05 to 2026-03-09"):
        run(embedded_kafka, tmp_path)


def test_two_exports_into_one_directory_do_not_mix(embedded_kafka: Kafka, tmp_path: Path) -> None:
    publish(embedded_kafka, EVENTS[:10])
    held = Checkpoint(tmp_path, ALL)
    with pytest.raises(CommandError, match="another export is at work"):
        run(embedded_kafka, tmp_path)
    held.close()
    assert run(embedded_kafka, tmp_path).new_events == 10


# -- the rule of the sequences -----------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_each_event_goes_through_once_and_in_order(data: st.DataObject) -> None:
    """Whatever comes again, and however late an earlier one comes."""
    streams = [stream(name, data.draw(st.integers(1, 6))) for name in ("a", "b")]
    events = [event for one in streams for event in one]
    arriving = data.draw(st.permutations(events))
    arriving += data.draw(st.lists(st.sampled_from(events), max_size=10))
    taken: list[EventEnvelope] = []
    rule = Streams()
    for event in arriving:
        taken += rule.take("t", event)
    for one in streams:
        own = [event for event in taken if event.stream_id == one[0].stream_id]
        assert [event.sequence for event in own] == [event.sequence for event in one]
    assert not rule.waiting()
    assert rule.duplicates["t"] == len(arriving) - len(events)


def test_a_digest_knows_sets_and_not_orders() -> None:
    one, other = Content(), Content()
    for id_, hash_ in (("a:1", "x"), ("b:1", "y")):
        one.add(id_, hash_)
    for id_, hash_ in (("b:1", "y"), ("a:1", "x")):
        other.add(id_, hash_)
    assert str(one) == str(other)
    assert str(Content.parse(str(one))) == str(one)
    other.add("c:1", "z")
    assert str(one) != str(other)


def test_every_attribute_of_the_envelope_is_a_column() -> None:
    (event,) = stream("t", 1)
    _, _, headers = encode_event(replace(event, traceparent="00-1-2-01"))
    assert {name.replace("-", "_") for name, _ in headers} | {"data"} == set(EVENT_SCHEMA.names)

"""What-if beside what runs: the history from Kafka, the present policies from the SLA service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli.desk import Desk
from cli.main import app
from cli.output import OK, UNREACHABLE
from cli.sla.books import book_of_files, present
from libs.events import encode_event, format_time
from libs.events.topics import TICKETS_EVENTS, TOPICS
from libs.runtime.clock import RealClock
from libs.runtime.kafka import ensure_topics, producer
from libs.runtime.localserver import free_port
from libs.runtime.service import Service
from libs.worktime.holidays import with_upload
from libs.worktime.instants import DAY_US, to_us
from services.sla import store as s
from services.sla.app import build
from services.sla.config import SlaSettings
from tests.backends.shared import Kafka
from tests.cli.served import served
from tests.cli.test_sla_what_if import policies
from tests.sla.desk import Stream, at, created, reply

CLOSED = {"id": "business", "zone": "UTC", "hours": {"sun": [["09:00", "10:00"]]}}


@pytest.fixture
def sla(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """An SLA service that listens, with the default policies and a second version of everything."""
    monkeypatch.setenv("BITACORA_SLA_HTTP_PORT", str(free_port()))
    service = build(SlaSettings(data_dir=tmp_path))
    with served(service):
        later_us = to_us(at("00:00")) + 2 * DAY_US

        def prepare(connection: Any, _: Any) -> None:
            s.seed(connection)
            books = s.Books()
            s.put_calendar(connection, books.read(connection), CLOSED, later_us)
            document = policies(60)["policies"]
            s.put_policies(connection, books.read(connection), document, later_us)

        service.store.write_now(prepare)
        yield service


def what_if(directory: Path) -> Result:
    file = directory / "new.yaml"
    file.write_text(yaml.safe_dump(policies(1800)), "utf-8")
    line = ["sla", "what-if", "--policy", str(file), "--data-dir", str(directory), "--json"]
    return CliRunner().invoke(app, line)


def test_the_present_book_is_the_service_s_own(sla: Service, tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        found = present(desk).book
    with sla.store.database.reading() as connection:
        own = s.Books().read(connection)
    assert found.policy_sets == own.policy_sets
    assert len(found.policy_sets) == 2
    assert found.tzdata == own.tzdata
    assert found.calendars.keys() == own.calendars.keys()
    for name, versions in own.calendars.items():
        assert [(one.effective_from_us, one.calendar.week) for one in versions] == [
            (one.effective_from_us, one.calendar.week) for one in found.calendars[name]
        ]


def test_uploaded_holidays_stay_when_a_file_has_the_calendar(sla: Service, tmp_path: Path) -> None:
    def upload(connection: Any, _: Any) -> None:
        document = with_upload(
            s.newest_calendar(connection, "business") or {}, "desk", {"2026-06-07": "Fair"}
        )
        later_us = to_us(at("00:00")) + 3 * DAY_US
        s.put_calendar(connection, s.Books().read(connection), document, later_us)

    sla.store.write_now(upload)
    (tmp_path / "calendar.yaml").write_text(json.dumps([CLOSED, CLOSED | {"id": "other"}]), "utf-8")
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(policies(60)), "utf-8")
    with Desk(tmp_path) as desk:
        known = present(desk)
    made = book_of_files(tmp_path / "new.yaml", [tmp_path / "calendar.yaml"], known, 2026)
    assert made.calendars["business"][-1].calendar.holiday_names == {"2026-06-07": "Fair"}
    assert made.calendars["other"][-1].calendar.holiday_names == {}


async def publish(kafka: Kafka, streams: list[Stream]) -> None:
    await ensure_topics(kafka.bootstrap, TOPICS)
    sender = producer(kafka.bootstrap, embedded=kafka.embedded)
    await sender.start()
    try:
        for stream in (*streams, streams[0]):  # delivery is at least once
            for envelope in stream.envelopes:
                key, value, headers = encode_event(envelope)
                await sender.send(TICKETS_EVENTS, value, key=key, headers=headers)
        await sender.send(TICKETS_EVENTS, b"not an event", key=b"x")
        await sender.flush()
    finally:
        await sender.stop()


def test_the_history_comes_from_kafka(
    sla: Service, tmp_path: Path, embedded_kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITACORA_KAFKA_BOOTSTRAP_SERVERS", embedded_kafka.bootstrap)
    first, second = Stream("first"), Stream("second")
    first.add("10:00", created(number=1))  # critical: 15 minutes by the first version
    first.add("10:20", reply(), "agent:7")
    second.add("+3 10:00", created(number=2))  # one minute by the second
    second.add("+3 10:02", reply(), "agent:7")
    asyncio.run(publish(embedded_kafka, [first, second]))
    shown = what_if(tmp_path)
    assert shown.exit_code == OK, shown.output
    found = json.loads(shown.stdout)
    assert (found["tickets"], found["events"], found["unreadable"]) == (2, 4, 1)
    replies = [one for one in found["changes"] if one["metric"] == "first_reply"]
    assert [(one["number"], one["old"], one["new"]) for one in replies] == [
        (1, "missed", "kept"),
        (2, "missed", "kept"),
    ]
    assert replies[1]["old_breached_at"] == "2026-06-04T10:01:00Z"
    assert {one["new"] for one in found["changes"] if one["metric"] == "requester_wait"} == {
        "no clock"
    }
    assert (found["last_event"], found["as_of_is"]) == (
        "2026-06-04T10:02:00Z",
        "now by the system's clock",
    )
    assert "1 message(s) could not be read" in shown.stderr


def test_a_quiet_desk_is_judged_by_the_clock_of_the_system(
    sla: Service, tmp_path: Path, embedded_kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITACORA_KAFKA_BOOTSTRAP_SERVERS", embedded_kafka.bootstrap)
    monkeypatch.setenv(
        "BITACORA_CLOCK", f"accelerated:2026-06-01T10:20:00Z,{format_time(RealClock().now())},1"
    )
    stream = Stream("quiet")
    stream.add("10:00", created(number=1))  # critical: 15 minutes at present, 30 to be tried
    asyncio.run(publish(embedded_kafka, [stream]))
    found = json.loads(what_if(tmp_path).stdout)
    assert found["as_of"].startswith("2026-06-01T10:2")
    replies = [one for one in found["changes"] if one["metric"] == "first_reply"]
    assert [(one["old"], one["new"]) for one in replies] == [("missed", "running")]


def test_no_kafka(sla: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    shown = what_if(tmp_path)
    assert (shown.exit_code, "--events" in shown.stderr) == (UNREACHABLE, True)

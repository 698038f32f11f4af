"""What both stacks must survive: the same scenarios for each."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from libs.events import encode_event
from libs.events.topics import TICKETS_EVENTS, TOPICS
from libs.runtime.topiclog import read_topics
from tests.backends.shared import ROOT, in_thread
from tests.e2e.desk import Desk, until
from tests.faults.poison import CONSUMERS, bad_messages
from tests.runtime.strange import Strange, send_strange
from tests.runtime.streams import stream

SAMPLE: Final = ROOT / "tests" / "data" / "incident_sample.csv.gz"
INCIDENTS: Final = 300


def import_sample(desk: Desk, output: Path) -> subprocess.Popen[bytes]:
    """`bitacora import`, as a process that goes on while things are broken."""
    command = [sys.executable, "-m", "cli.main", "import", "servicenow", str(SAMPLE), "--check"]
    with output.open("wb") as file:
        return subprocess.Popen(
            [*command, "--data-dir", str(desk.data_dir), "--json"],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def stored(desk: Desk) -> int:
    """How many ticket events there are."""
    return int(desk.ask("intake", "SELECT COUNT(*) FROM stored_events")[0][0])


def applied(desk: Desk, service: str) -> int:
    """How many records the consumer has taken."""
    query = "SELECT COALESCE(SUM(next_offset), 0) FROM consumer_offsets"
    return int(desk.ask(service, query)[0][0])


def counts(desk: Desk) -> dict[str, Any]:
    """What must not grow when the same messages come again."""
    positions = desk.get("reporting", "/v1/positions")["positions"]
    return {
        "stored": stored(desk),
        "reported": [p["events"] for p in positions if p["topic"] == TICKETS_EVENTS],
        "clocks": desk.ask("sla", "SELECT COUNT(*) FROM outbox WHERE stream_id IS NOT NULL"),
        "ledger": desk.get("intake", "/v1/ledger")["total"],
    }


def more(measure: Callable[[], int], job: subprocess.Popen[bytes], what: str) -> None:
    """Wait until `measure` has grown, or the job is over."""
    before = measure()
    until(lambda: job.poll() is not None or measure() > before, what)


def send_to(bootstrap: str, messages: Sequence[tuple[str, Strange]]) -> None:
    """(topic, message) to any partition, with any header name."""

    async def send() -> None:
        sender = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=False)
        await sender.start()
        try:
            for number, (topic, message) in enumerate(messages):
                count = len(await sender.partitions_for(topic))
                await send_strange(sender, topic, [message], partition=number % count)
        finally:
            await sender.stop()

    in_thread(send())


def published(bootstrap: str, topics: Sequence[str]) -> list[Any]:
    """Every record of these topics."""

    async def read() -> list[Any]:
        return [record async for found in read_topics(bootstrap, topics) for record in found]

    return list(in_thread(read()))


def publish_everything_again(desk: Desk) -> int:
    """As an operator might who copies a topic onto itself; returns how many records there were."""
    records = published(desk.state.bootstrap, [topic.name for topic in TOPICS])
    messages = [(r.topic, (r.key, r.value, list(r.headers))) for r in records]
    send_to(desk.state.bootstrap, messages)
    return len(messages)


def survives_poison(desk: Desk) -> None:
    """Bad messages on every topic are parked with reasons, or tolerated; all else flows on."""
    assert desk.system.supervisor is not None
    restarts = desk.system.supervisor.restarts()
    tickets = [desk.create("before the poison")]
    parked_before = {name: len(desk.parked(name)) for name in ("intake", *_readers())}
    bad = {topic: bad_messages(topic) for topic in CONSUMERS}
    send_to(
        desk.state.bootstrap,
        [(topic, one.message) for topic, made in bad.items() for one in made],
    )
    tickets += [desk.create(f"amid the poison {number}") for number in range(5)]
    expected: dict[str, Counter[tuple[str, str]]] = {}
    for topic, readers in CONSUMERS.items():
        for reader in readers:
            codes = expected.setdefault(reader, Counter())
            codes.update((topic, one.code) for one in bad[topic] if one.code)
    for reader, codes in expected.items():
        wanted = codes.total() + parked_before[reader]
        until(lambda r=reader, n=wanted: len(desk.parked(r)) >= n, f"{reader} parks {wanted}")  # type: ignore[misc]
        new = desk.parked(reader)[parked_before[reader] :]
        found = Counter((row["topic"], row["code"]) for row in new)
        assert found == codes, f"{reader}: {codes - found} missing, {found - codes} too many"
        assert all(row["detail"] for row in new)
    tickets.append(desk.create("after the poison"))
    desk.await_reported(tickets)
    for name in ("intake", *_readers()):
        assert desk.is_ready(name)
    assert desk.system.supervisor.restarts() == restarts
    _said_on_topics(desk, expected)


def _readers() -> tuple[str, ...]:
    return ("routing", "sla", "reporting")


def _said_on_topics(desk: Desk, expected: dict[str, Counter[tuple[str, str]]]) -> None:
    """What was parked is published on `<service>.parked`, with the reason."""
    for reader, codes in expected.items():

        def told(reader: str = reader, codes: Counter[tuple[str, str]] = codes) -> bool:
            found: Counter[tuple[str, str]] = Counter()
            for record in published(desk.state.bootstrap, [f"{reader}.parked"]):
                headers = dict(record.headers)
                topic = (headers["bitacora-parked-from"] or b"").decode().split(":")[0]
                found[topic, (headers["bitacora-parked-code"] or b"").decode()] += 1
            return all(found[key] >= count for key, count in codes.items())

        until(told, f"{reader}.parked tells all")


def heals_a_gap(desk: Desk) -> None:
    """An event that comes before the one in front of it waits; asking for it does not help until
    the missing one comes."""
    ticket = str(uuid4())
    first, second = (encode_event(event) for event in stream(ticket, 2))
    send_to(desk.state.bootstrap, [(TICKETS_EVENTS, second)])

    def waiting() -> list[dict[str, Any]]:
        return [row for row in desk.parked("reporting") if row["stream_id"] == ticket]

    (row,) = until(waiting, "the second is parked")
    assert (row["code"], row["sequence"]) == ("gap", 2)
    assert desk.cli("parked", "redrive", row["message"])["asked"] == {"reporting": 1}
    until(lambda: waiting()[0]["attempts"] == 2, "it was tried, in vain")
    assert waiting()[0]["code"] == "gap"
    assert desk.reported(ticket) == {}
    send_to(desk.state.bootstrap, [(TICKETS_EVENTS, first)])
    until(lambda: desk.reported(ticket).get("sequence") == 2, "both are applied")
    until(lambda: not waiting(), "nothing waits any more")


def takes_what_a_topic_takes(desk: Desk) -> None:
    """A ticket nearly as large as a message may be goes its way; one that no topic would take is
    refused, and stops nobody."""
    large = desk.create("large", custom_fields={f"field {n}": "á" * 40_000 for n in range(10)})
    command: dict[str, Any] = {
        "command_id": str(uuid4()),
        "ticket_id": str(uuid4()),
        "type": "CreateTicket",
        "actor": "system",
        "data": {
            "subject": "too large",
            "requester": {"id": "r-1"},
            "custom_fields": {f"field {n}": "x" * 99_000 for n in range(10)},
        },
    }
    answer = desk.send("intake", "POST", "/v1/commands/batch", commands=[command])
    (result,) = answer["results"]
    assert (result["status"], result["code"]) == ("rejected", "event_too_large")
    desk.await_reported([large, desk.create("small")])
    assert desk.history(command["ticket_id"]) == []

"""The attainment of a real desk's 24,918 incidents: by the service, and by pandas from the file alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Connection, select

from bench.equality.plain.attainment import (
    CLOSED,
    SHIFTS,
    TARGETS_H,
    ZONE,
    attainment,
    read,
)
from cli.importing.errors import BadRow
from cli.importing.offline import AT_ONCE, _envelope, _recorded
from cli.importing.servicenow import ServiceNow
from cli.importing.table import Table
from libs.events import EventEnvelope, evolve
from libs.runtime.outbox import Outgoing
from libs.worktime.instants import FIRST_US, SECOND_US
from services.intake.domain import DecisionContext, decide
from services.sla import store as s
from services.sla.domain.clocks import breached, terms_of, used_us
from services.sla.domain.ticket import expire
from tests.cli.importing import REAL_DATA, SAMPLE
from tests.sla.bench import Bench

Key = tuple[str, str, int]
Verdict = tuple[bool, int | None, int]
"""Missed or not, the second of the breach, the seconds that were used up in the end."""
WHOLE = REAL_DATA / "incident_event_log.csv.gz"
POLL = 500
DESK = {
    "id": "desk",
    "zone": ZONE,
    "hours": {
        day: [list(shift) for shift in SHIFTS] for day in ("mon", "tue", "wed", "thu", "fri")
    },
    "holidays": list(CLOSED),
}
POLICY = {
    "id": "stated",
    "when": {},
    "targets": {
        metric: {
            priority: {
                "target_s": hours * 3600,
                "calendar": "always" if priority == "critical" else "desk",
            }
            for priority, hours in per_priority.items()
        }
        for metric, per_priority in TARGETS_H.items()
    },
}


def events_of(path: Path) -> Iterator[EventEnvelope]:
    """The events that intake would publish for the import of this file."""
    table = Table(path)
    translator = ServiceNow(table)

    def refuse(broken: BadRow, _: object) -> None:
        raise broken

    for name, rows in groupby(table.rows(refuse), key=lambda row: translator.case_of(row[1])):
        ticket = None
        for command in translator.commands(str(name), list(rows)):
            envelope = _envelope(command)
            context = DecisionContext(now=envelope.time or AT_ONCE, next_number=1)
            for event in decide(envelope, ticket, context):
                sequence = 1 if ticket is None else ticket.sequence + 1
                recorded = _recorded(envelope, event, sequence, context.now)
                ticket = evolve(ticket, recorded)
                yield recorded


def by_the_service(path: Path, database_url: str, end_us: int) -> dict[Key, Verdict]:
    """The whole way of the service: its handler on its database, then its clocks as of the end."""
    bench = Bench(database_url)
    names: dict[str, str] = {}

    def prepare(connection: Connection, _: Outgoing) -> None:
        s.put_calendar(connection, bench.books.read(connection), DESK, FIRST_US)
        s.put_policies(connection, bench.books.read(connection), [POLICY], FIRST_US)

    bench.store.write_now(prepare)
    events = events_of(path)
    while poll := list(islice(events, POLL)):
        names |= {one.stream_id: one.event.external_ref for one in poll if one.sequence == 1}
        bench.apply(*poll)
    book = bench.read(bench.books.read)
    found: dict[Key, Verdict] = {}

    def ask(connection: Connection) -> None:
        for ticket_id, state in connection.execute(
            select(s.tickets.c.ticket_id, s.tickets.c.state)
        ):
            ticket, _ = expire(s.decode(state), end_us, book)
            for clock in (*s.past_of(connection, ticket_id), *ticket.clocks):
                used = used_us(clock, terms_of(clock, book).calendar, end_us)
                missed = breached(clock) or used >= clock.target_us
                breach_s = None if clock.breach_us is None else clock.breach_us // SECOND_US
                key = (names[ticket_id], clock.metric, clock.activation)
                found[key] = missed, breach_s, used // SECOND_US

    bench.read(ask)
    bench.stop()
    return found


def compare(path: Path, database_url: str) -> dict[Key, Verdict]:
    expected = {key: one[:3] for key, one in attainment(path).items()}
    end_us = int(read(path)["sys_updated_at"].max()) * SECOND_US
    found = by_the_service(path, database_url, end_us)
    different = {
        key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)
    }
    shown = [(key, expected.get(key), found.get(key)) for key in sorted(different)[:5]]
    assert not different, f"{len(different)} of {len(expected)} differ: {shown}"
    return found


def test_the_service_and_pandas_agree_on_the_sample(sqlite_url: str) -> None:
    assert compare(SAMPLE, sqlite_url)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(not WHOLE.exists(), reason="the whole log is not here: set BITACORA_TEST_DATA")
def test_the_service_and_pandas_agree_on_every_incident(sqlite_url: str) -> None:
    found = compare(WHOLE, sqlite_url)
    incidents = {incident for incident, _, _ in found}
    # The others were recorded as resolved in the first place: there was nothing to wait for.
    assert (len(incidents), len(set(pd.read_csv(WHOLE, usecols=["number"])["number"]))) == (
        23_374,
        24_918,
    )
    clocks, kept = Counter[str](), Counter[str]()
    for (_, metric, _), (missed, _, _) in found.items():
        clocks[metric] += 1
        kept[metric] += not missed
    # A reopened incident has a first reply of its own for each life.
    assert clocks == {
        "first_reply": 23_704,
        "requester_wait": 23_374,
        "agent_work": 23_374,
        "total_resolution": 23_374,
    }
    assert kept == {
        "first_reply": 12_411,
        "requester_wait": 18_031,
        "agent_work": 17_079,
        "total_resolution": 18_172,
    }

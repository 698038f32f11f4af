"""Calendars are said on `sla.events`: each version once, complete, in the transaction that stores it."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from libs.events import sla as e
from libs.runtime.outbox import Outgoing
from libs.worktime.calendar import calendar_of
from libs.worktime.errors import InvalidDefinition
from libs.worktime.holidays import resolved, with_upload
from libs.worktime.instants import DAY_US, FIRST_US, to_us
from services.sla import store as s
from services.sla.announcing import announce_calendars, defined
from tests.sla.bench import Bench
from tests.sla.desk import at
from tests.sla.test_calendars_api import CLOSED, FILE, OFFICE, put
from tests.sla.test_calendars_api import client as client  # noqa: PLC0414 - a fixture
from tests.worktime.naive import definitions

DESK = {"id": "desk", "zone": "Europe/Berlin", "hours": OFFICE, "holidays": []}
DEFAULTS = [("calendar:always", 1, 1), ("calendar:business", 1, 1)]


def start(bench: Bench) -> int:
    """What the service does before anything else."""

    def work(connection: Connection, outgoing: Outgoing) -> int:
        s.seed(connection)
        return announce_calendars(connection, outgoing, bench.store.outbox)

    return bench.store.write_now(work)[0]


def store_only(bench: Bench, document: dict[str, Any], effective: str = "10:00") -> None:
    """A version as it was stored before anybody said them."""

    def work(connection: Connection, _: Outgoing) -> None:
        s.put_calendar(connection, bench.books.read(connection), document, to_us(at(effective)))

    bench.store.write_now(work)


def said(bench: Bench) -> list[tuple[str, int, int]]:
    """Stream, sequence and version of each, in the order in which they are published."""
    found = zip(bench.envelopes(), bench.events(), strict=True)
    return [
        (envelope.stream_id, envelope.sequence, event.version)
        for envelope, event in found
        if isinstance(event, e.CalendarDefined)
    ]


def test_what_was_stored_before_is_said_once_at_start(bench: Bench) -> None:
    store_only(bench, DESK)
    store_only(bench, {**DESK, "zone": "Europe/Vienna"}, "+1 10:00")
    expected = [*DEFAULTS, ("calendar:desk", 1, 1), ("calendar:desk", 2, 2)]
    assert [start(bench), start(bench)] == [4, 0]
    assert said(bench) == expected
    first, second = bench.events(e.CalendarDefined)[2:]
    assert (first.zone, second.zone) == ("Europe/Berlin", "Europe/Vienna")
    assert second.effective_from == at("+1 10:00")
    assert bench.events(e.CalendarDefined)[0] == e.CalendarDefined(
        calendar="always", version=1, zone="UTC"
    )


async def test_a_version_is_said_where_it_is_stored_and_a_refused_one_is_not(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    start(bench)
    assert (await put(client)).status_code == 200
    assert (await put(client)).json()["calendars"][0]["changed"] is False
    assert (await put(client, zone="Europe/Madriz")).status_code == 422
    place = "/v1/calendars/desk/holidays/plant.ics"
    assert (await client.put(place, content=CLOSED, headers=FILE)).status_code == 200
    assert (await client.delete(place)).status_code == 200
    assert (await client.delete(place)).status_code == 404
    assert said(bench) == [*DEFAULTS, *(("calendar:desk", n, n) for n in (1, 2, 3))]
    uploaded = bench.events(e.CalendarDefined)[3]
    assert {str(day): name for day, name in uploaded.holidays.items()} == {
        "2026-06-10": "Plant closed"
    }
    assert start(bench) == 0


async def test_a_put_also_says_what_another_process_left_unsaid(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    store_only(bench, DESK)
    await put(client, zone="Europe/Vienna")
    assert said(bench) == [*DEFAULTS, ("calendar:desk", 1, 1), ("calendar:desk", 2, 2)]


def test_two_processes_that_start_at_once_say_each_version_once(database_url: str) -> None:
    benches = [Bench(database_url), Bench(database_url)]
    store_only(benches[0], DESK)
    together = threading.Barrier(2)
    counts: list[int] = []

    def run(bench: Bench) -> None:
        together.wait(10)
        counts.append(start(bench))

    threads = [threading.Thread(target=run, args=(bench,)) for bench in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(counts) == [0, 3]
    assert said(benches[0]) == [*DEFAULTS, ("calendar:desk", 1, 1)]
    for bench in benches:
        bench.stop()


async def test_a_calendar_that_no_event_could_hold_is_refused_and_not_stored(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    quarters = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(0, 1440, 15)]
    shifts = [[one, other] for one, other in zip(quarters[::2], quarters[1::2], strict=True)]
    days = {
        f"{2000 + n // 336}-{n % 336 // 28 + 1:02}-{n % 28 + 1:02}": shifts for n in range(1150)
    }
    answer = await put(client, special_days=days)
    assert (answer.status_code, answer.json()["code"]) == (422, "calendar_too_large")
    known = (await client.get("/v1/calendars")).json()["calendars"]
    assert {calendar["id"] for calendar in known} == {"always", "business"}
    assert said(bench) == []


def as_heard(event: e.CalendarDefined) -> dict[str, Any]:
    """The definition, from the JSON that travels."""
    data = json.loads(event.model_dump_json(exclude_defaults=True))
    return {"id": data["calendar"], **data}


@settings(max_examples=100, deadline=None)
@given(definitions(), st.integers(0, 10 * 1440))
def test_who_hears_a_calendar_counts_as_the_service_does(drawn: Any, minutes: int) -> None:
    document, start_at = drawn
    stored = with_upload(document, "plant.ics", {str(start_at.date()): "Plant closed"})
    ours = calendar_of(stored, 1)
    theirs = calendar_of(as_heard(defined(stored, 1, FIRST_US)), 1)
    start_us = to_us(start_at)
    end_us = start_us + minutes * 60_000_000
    assert theirs.elapsed_us(start_us, end_us) == ours.elapsed_us(start_us, end_us)
    assert theirs.holidays == ours.holidays
    assert theirs.holiday_names == ours.holiday_names


def test_holidays_of_many_countries_are_heard_with_their_names() -> None:
    countries = [
        {"country": code} for code in ("BR", "DE", "ES", "FR", "GB", "IT", "JP", "SK", "US")
    ]
    stored = resolved({**DESK, "holiday_countries": countries}, 2026)
    event = defined(stored, 7, to_us(at("10:00")))
    assert len(event.holidays) > 2_000
    heard = calendar_of(as_heard(event), event.version)
    ours = calendar_of(stored, 7)
    span = (to_us(at("10:00")), to_us(at("10:00")) + 3_000 * DAY_US)
    assert heard.elapsed_us(*span) == ours.elapsed_us(*span)
    assert heard.holiday_names == ours.holiday_names


def test_a_list_of_people_has_a_limit_that_resolved_holidays_have_not() -> None:
    days = [f"{2000 + n // 336}-{n % 336 // 28 + 1:02}-{n % 28 + 1:02}" for n in range(5_001)]
    assert len(calendar_of({**DESK, "holidays": dict.fromkeys(days, "")}, 1).holidays) == 5_001
    with pytest.raises(InvalidDefinition, match="at most 5000"):
        calendar_of({**DESK, "holidays": days}, 1)

"""Calendars over HTTP: holidays of countries and from files, special days, versions, refusals."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from libs.runtime.http import create_http_app
from libs.worktime.holidays import holidays_version
from libs.worktime.ical import holidays_of_ical
from libs.worktime.instants import to_us
from services.sla import api
from services.sla.api import create_router
from tests.sla.bench import Bench, until
from tests.sla.desk import at
from tests.worktime.test_holidays import ical

OFFICE = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
FILE = {"content-type": "text/calendar"}
CLOSED = ical("DTSTART;VALUE=DATE:20260610 | SUMMARY:Plant closed")


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> list[str]:
        return []

    app = create_http_app("sla", readiness=ready)
    app.include_router(create_router(bench.store, bench.clock, bench.books, edited=lambda: None))
    bench.clock.instant = at("10:00")
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://sla") as made:
        yield made


async def put(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    body = {"id": "desk", "zone": "Europe/Berlin", "hours": OFFICE, **fields}
    return await client.put("/v1/calendars", json={"calendars": [body]})


async def newest(client: httpx.AsyncClient) -> dict[str, Any]:
    calendars = (await client.get("/v1/calendars")).json()["calendars"]
    return next(calendar for calendar in calendars if calendar["id"] == "desk")


def open_hours(bench: Bench, day: str) -> float:
    calendar = bench.read(bench.books.read).calendars["desk"][-1].calendar
    start_us = to_us(datetime.fromisoformat(f"{day}T00:00:00+02:00"))
    return float(calendar.elapsed_us(start_us, start_us + 86_400_000_000)) / 3_600_000_000


async def test_what_a_version_closes_is_stored_with_it(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    answer = await put(
        client,
        holidays=["2026-06-09"],
        holiday_countries=[{"country": "DE", "subdivision": "BY"}],
        special_days={"2026-06-08": [["09:00", "12:00"]]},
    )
    assert answer.status_code == 200, answer.text
    (source,) = (await newest(client))["resolved_holidays"]
    assert (source["source"], source["library"]) == ("country:DE-BY", holidays_version())
    assert source["dates"]["2026-06-04"] == "Corpus Christi"
    days = ("2026-06-04", "2026-06-05", "2026-06-08", "2026-06-09")
    assert [open_hours(bench, day) for day in days] == [0, 8, 3, 0]


async def test_an_uploaded_file_makes_a_version_and_outlives_an_edit(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    await put(client)
    place = "/v1/calendars/desk/holidays/plant.ics"
    assert open_hours(bench, "2026-06-10") == 8
    answer = await client.put(place, content=CLOSED, headers=FILE)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert open_hours(bench, "2026-06-10") == 0
    again = await client.put(place, content=CLOSED, headers=FILE)
    assert again.json() == {"id": "desk", "version": 2, "changed": False}
    await put(client, zone="Europe/Vienna")
    assert (await newest(client))["version"] == 3
    assert open_hours(bench, "2026-06-10") == 0
    back = await client.delete(place)
    assert (back.status_code, back.json()["version"]) == (200, 4)
    assert open_hours(bench, "2026-06-10") == 8


async def test_holidays_come_at_once_and_a_scheduled_version_when_it_was_to(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    await put(client)
    later = {"id": "desk", "zone": "Europe/Berlin", "hours": {"mon": [["09:00", "10:00"]]}}
    monday = "2026-06-15T00:00:00+02:00"
    body = {"calendars": [later], "effective_from": monday}
    assert (await client.put("/v1/calendars", json=body)).status_code == 200
    closed = ical(
        "DTSTART;VALUE=DATE:20260610 | SUMMARY:Plant closed",
        "DTSTART;VALUE=DATE:20260622 | SUMMARY:Plant closed",
    )

    def hours(*days: str) -> list[float]:
        line = bench.read(bench.books.read).timelines["desk"]
        starts = [to_us(datetime.fromisoformat(f"2026-06-{day}T00:00:00+02:00")) for day in days]
        return [line.elapsed_us(us, us + 86_400_000_000) / 3_600_000_000 for us in starts]

    place = "/v1/calendars/desk/holidays/plant.ics"
    answer = await client.put(place, content=closed, headers=FILE)
    assert answer.json() == {"id": "desk", "version": 3, "changed": True}
    assert hours("09", "10", "15", "16", "22", "29") == [8, 0, 1, 0, 0, 1]
    again = await client.put(place, content=closed, headers=FILE)
    assert again.json()["changed"] is False
    assert (await client.delete(place)).json()["version"] == 5
    assert hours("09", "10", "15", "16", "22", "29") == [8, 8, 1, 0, 1, 1]
    assert (await newest(client))["version"] == 6
    gone = await client.delete(place)
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_source")
    assert (await newest(client))["version"] == 6


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"holiday_countries": [{"country": "XX"}]}, "unknown_country"),
        ({"holiday_countries": [{"country": "DE", "subdivision": "XX"}]}, "unknown_subdivision"),
        ({"special_days": {"2026-13-01": []}}, "bad_special_day"),
        ({"holidays": ["tomorrow"]}, "bad_holiday"),
        ({"hours": {}}, "no_open_minute"),
        ({"hours": None, "holidays": ["2026-12-25"]}, "holidays_without_hours"),
        ({"zone": "Europe/Madriz"}, "unknown_zone"),
        ({"resolved_holidays": []}, "invalid_body"),
    ],
)
async def test_bad_calendars_are_refused(
    client: httpx.AsyncClient, fields: dict[str, Any], code: str
) -> None:
    answer = await put(client, **fields)
    assert answer.status_code == 422
    assert answer.json()["code"] == code


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        ("desk/holidays/a.ics", b"hello", 422, "bad_icalendar"),
        ("desk/holidays/a.ics", ical("DTSTART:20260610T090000Z"), 422, "bad_icalendar"),
        ("desk/holidays/a%3Bb", CLOSED, 422, "bad_source"),
        ("nobody/holidays/a.ics", CLOSED, 404, "unknown_calendar"),
    ],
)
async def test_bad_uploads_are_refused(
    client: httpx.AsyncClient, path: str, content: bytes, status: int, code: str
) -> None:
    await put(client)
    answer = await client.put(f"/v1/calendars/{path}", content=content, headers=FILE)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await newest(client))["version"] == 1


CALENDAR = {"id": "desk", "zone": "Europe/Berlin", "hours": OFFICE}
POLICY = {"id": "p", "targets": {"first_reply": {"low": {"target_s": 60, "calendar": "desk"}}}}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "calendars", {"json": {"calendars": [{**CALENDAR, "zone": "UTC"}]}}),
        ("PUT", "policies", {"json": {"policies": [POLICY]}}),
        ("PUT", "calendars/desk/holidays/plant.ics", {"content": CLOSED, "headers": FILE}),
        ("DELETE", "calendars/desk/holidays/old.ics", {}),
    ],
)
async def test_a_version_that_waited_its_turn_is_in_force_from_its_turn_on(
    client: httpx.AsyncClient,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: dict[str, Any],
) -> None:
    """While it waited, timers fired by the version before it: their instants are not its own."""
    await put(client)
    old = ical("DTSTART;VALUE=DATE:20260611 | SUMMARY:Stocktaking")
    await client.put("/v1/calendars/desk/holidays/old.ics", content=old, headers=FILE)
    wait_until(bench, at("10:05"), monkeypatch)
    answer = await client.request(method, f"/v1/{path}", **body)
    assert answer.status_code == 200, answer.text
    if path == "policies":
        newest_from = (await client.get("/v1/policies")).json()["versions"][0]["effective_from"]
    else:
        newest_from = (await newest(client))["effective_from"]
    assert datetime.fromisoformat(newest_from) == at("10:05")


async def test_an_instant_that_passed_while_a_version_waited_is_refused(
    client: httpx.AsyncClient, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(bench, at("10:05"), monkeypatch)
    soon = (at("10:05") - timedelta(seconds=1)).isoformat()
    body = {"calendars": [CALENDAR], "effective_from": soon}
    answer = await client.put("/v1/calendars", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "effective_in_past")


def wait_until(bench: Bench, instant: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes this late before anything more can be written."""
    write = bench.store.write

    async def later(change: Any) -> Any:
        bench.clock.instant = instant
        return await write(change)

    monkeypatch.setattr(bench.store, "write", later)


async def test_a_file_that_takes_long_keeps_no_timer_waiting(
    client: httpx.AsyncClient, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, written = threading.Event(), threading.Event()

    def slow(*args: Any) -> dict[str, str]:
        reading.set()
        assert written.wait(10)
        return holidays_of_ical(*args)

    await put(client)
    monkeypatch.setattr(api, "holidays_of_ical", slow)
    place = "/v1/calendars/desk/holidays/plant.ics"
    upload = asyncio.create_task(client.put(place, content=CLOSED, headers=FILE))
    await until(reading.is_set)
    await bench.store.write(lambda _connection, _outgoing: written.set())
    assert (await upload).status_code == 200

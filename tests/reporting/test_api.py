"""The HTTP edge: filters, pages, history, refusals of senseless questions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from libs.events.routing import RoutingEvent
from libs.events.sla import SlaBreached
from libs.runtime.http import create_http_app
from services.reporting import api
from services.reporting.snapshot import Floors
from tests.reporting.house import feed, open_store
from tests.reporting.streams import Desk, by_time

STREAMS = Desk(9).streams(60, events=8)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    file: Path = tmp_path_factory.mktemp("reporting") / "r.sqlite3"

    async def ready() -> list[str]:
        return []

    with open_store(f"sqlite:///{file}") as store:
        feed(store, [by_time(STREAMS)])
        app = create_http_app("reporting", readiness=ready)
        app.include_router(api.router(store, Floors(store)))
        yield app


def get(client: FastAPI, path: str, expect: int = 200, **parameters: object) -> Any:
    async def ask() -> Response:
        transport = ASGITransport(client)
        async with AsyncClient(transport=transport, base_url="http://test") as http:
            return await http.get(path, params=parameters)  # type: ignore[arg-type]

    answer = asyncio.run(ask())
    assert answer.status_code == expect, answer.text[:300]
    return answer.json()


def test_pages_hold_every_ticket_once_newest_first(client: FastAPI) -> None:
    seen: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = get(client, "/v1/tickets", limit=7, **cursor)
        seen += page["tickets"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len({ticket["id"] for ticket in seen}) == len(seen) == 60
    created = [ticket["created_at"] for ticket in seen]
    assert created == sorted(created, reverse=True)


@pytest.mark.parametrize(
    "name",
    ["status", "priority", "channel", "group", "agent", "category", "external_ref", "number"],
)
def test_each_filter_finds_what_has_the_value_and_nothing_else(client: FastAPI, name: str) -> None:
    tickets = get(client, "/v1/tickets", limit=500)["tickets"]
    value = next(ticket[name] for ticket in tickets if ticket[name] is not None)
    found = get(client, "/v1/tickets", limit=500, **{name: value})["tickets"]
    wanted = [ticket["id"] for ticket in tickets if ticket[name] == value]
    assert [ticket["id"] for ticket in found] == wanted


def test_search_folds_case_in_every_language_and_takes_wildcards_as_text(
    client: FastAPI,
) -> None:
    assert get(client, "/v1/tickets", q="НЕ РАБОТАЕТ")["tickets"]
    assert get(client, "/v1/tickets", q="%")["tickets"] == []
    assert [x["number"] for x in get(client, "/v1/tickets", q="#12")["tickets"]] == [12]


def test_breached_tickets_are_found_and_counted(client: FastAPI) -> None:
    late = get(client, "/v1/tickets", breached="true", limit=500)["tickets"]
    fine = get(client, "/v1/tickets", breached="false", limit=500)["tickets"]
    assert len(late) + len(fine) == 60
    breaches = [e for stream in STREAMS for e in stream if isinstance(e.event, SlaBreached)]
    assert sum(ticket["breaches"] for ticket in late) == len(breaches) > 0


def test_one_ticket_has_its_history_of_all_streams_each_in_order(client: FastAPI) -> None:
    ticket = next(s for s in STREAMS if s[0].type.startswith("bitacora.TicketCreated"))
    found = get(client, f"/v1/tickets/{ticket[0].stream_id}")
    own = [e["sequence"] for e in found["history"] if e["stream_id"] == found["id"]]
    assert own == list(range(1, len(ticket) + 1))
    kinds = {entry["stream_id"].partition(":")[0] for entry in found["history"]}
    assert {"sla", "decision"} <= kinds
    assert found["history"][0]["data"]["number"] == found["number"]


def test_positions_count_every_event_once(client: FastAPI) -> None:
    positions = {row["topic"]: row for row in get(client, "/v1/positions")["positions"]}
    assert sum(row["events"] for row in positions.values()) == sum(map(len, STREAMS))
    assert positions["agents.events"]["events"] == 9
    routed = [s for s in STREAMS if isinstance(s[0].event, get_args(RoutingEvent))]
    assert positions["routing.decisions"]["events"] == sum(map(len, routed))


@pytest.mark.parametrize(
    "parameters",
    [
        {"status": "nonsense"},
        {"assignee": "7"},
        {"limit": "0"},
        {"limit": "501"},
        {"number": str(2**63)},
        {"q": "a\x00b"},
        {"cursor": "@@@"},
        {"cursor": "MTox\u00e9"},
        {"cursor": "Og"},
    ],
)
def test_a_senseless_question_is_refused(client: FastAPI, parameters: dict[str, str]) -> None:
    answer = get(client, "/v1/tickets", 422, **parameters)
    assert answer["code"]


def test_an_unknown_ticket_is_refused(client: FastAPI) -> None:
    assert get(client, "/v1/tickets/nobody", 404)["code"] == "unknown_ticket"

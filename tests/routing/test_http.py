"""Routing's HTTP API, over its real router and a real database, without Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.runtime.http import create_http_app
from services.routing.api import create_router
from services.routing.app import build
from services.routing.config import RoutingSettings
from tests.routing.house import T1, T2, T3, House

ANA = {"id": "ana", "name": "Ana", "capacity": 1, "skills": [{"name": "vpn", "level": 3}]}


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    house = House(sqlite_url)
    yield house
    house.close()


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> list[str]:
        return []

    app = create_http_app("routing", readiness=ready)
    app.include_router(create_router(house.store, house.desk))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://routing") as client:
        yield client


async def test_an_agent_from_registration_to_leaving(http: httpx.AsyncClient) -> None:
    made = await http.post("/v1/agents", json=ANA)
    assert made.status_code == 201
    assert (made.json()["presence"], made.json()["sequence"]) == ("offline", 1)
    changes: dict[str, dict[str, Any]] = {
        "presence": {"presence": "online"},
        "skills": {"skills": [{"name": "billing", "level": 10}]},
        "capacity": {"capacity": 4},
        "groups": {"groups": ["first line"]},
        "languages": {"languages": ["es", "ru"]},
    }
    for what, body in changes.items():
        changed = await http.put(f"/v1/agents/ana/{what}", json=body)
        assert changed.status_code == 200, changed.text
    agent = (await http.get("/v1/agents/ana")).json()
    assert {what: agent[what] for what in changes} == {
        what: body[what] for what, body in changes.items()
    }
    assert (agent["sequence"], agent["load"], agent["spare"]) == (6, 0, 4)
    assert (await http.get("/v1/agents")).json()["agents"] == [agent]
    assert (await http.delete("/v1/agents/ana")).json()["retired"] is True
    assert (await http.get("/v1/agents")).json() == {"agents": [], "total": 0}
    assert (await http.post("/v1/agents", json=ANA)).json()["code"] == "agent_retired"


async def test_the_queue_says_why_and_the_decisions_say_who(
    http: httpx.AsyncClient, house: House
) -> None:
    await http.post("/v1/agents", json=ANA)
    await http.put("/v1/agents/ana/presence", json={"presence": "online"})
    house.ticket(T1, category="vpn")
    house.ticket(T2, category="vpn")
    house.ticket(T3, category="vpn", priority="critical")
    agent = (await http.get("/v1/agents/ana")).json()
    assert (agent["load"], agent["reserved"], agent["spare"]) == (1, 1, 0)

    queue = (await http.get("/v1/queue")).json()
    assert (queue["waiting"], queue["reserved"]) == (2, 1)
    assert [(t["position"], t["id"]) for t in queue["tickets"]] == [(1, T3), (2, T2)]
    assert queue["tickets"][0]["reasons"] == [{"reason": "no_capacity", "agents": 1}]
    assert queue["tickets"][0]["required_skills"] == ["vpn"]

    told = (await http.get(f"/v1/decisions/{T1}")).json()
    assert (told["state"], told["agent"]) == ("reserved", "ana")
    assert [d["outcome"] for d in told["decisions"]] == ["assigned"]
    told = (await http.get(f"/v1/decisions/{T2}")).json()
    assert (told["state"], told["decisions"][0]["outcome"]) == ("waiting", "nobody")
    house.answer()
    assert (await http.get(f"/v1/decisions/{T1}")).json()["state"] == "held"


@pytest.mark.parametrize(
    "change",
    [
        {"capacity": -1},
        {"capacity": 1.5},
        {"capacity": 10_001},
        {"skills": [{"name": "vpn", "level": 11}]},
        {"skills": [{"name": "vpn", "level": 1}, {"name": "vpn", "level": 2}]},
        {"skills": [{"name": "", "level": 1}]},
        {"tiers": [0]},
        {"tiers": []},
        {"channels": ["pigeon"]},
        {"id": "a/b"},
        {"id": "new\nline"},
        {"id": ""},
        {"load": 0},
        {"name": None},
    ],
)
async def test_what_cannot_be_is_refused(http: httpx.AsyncClient, change: dict[str, Any]) -> None:
    answer = await http.post("/v1/agents", json=ANA | change)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert (await http.get("/v1/agents")).json()["total"] == 0


async def test_refusals_have_codes(http: httpx.AsyncClient) -> None:
    await http.post("/v1/agents", json=ANA)
    again = await http.post("/v1/agents", json=ANA)
    assert (again.status_code, again.json()["code"]) == (409, "agent_exists")
    for method, path in (("GET", ""), ("DELETE", ""), ("PUT", "/capacity")):
        body = {"capacity": 1} if method == "PUT" else None
        unknown = await http.request(method, f"/v1/agents/nobody{path}", json=body)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_agent")
    missing = await http.get(f"/v1/decisions/{T1}")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_ticket")
    wrong = await http.put("/v1/agents/ana/presence", json={"presence": "asleep"})
    assert wrong.status_code == 422
    assert (await http.get("/v1/queue", params={"limit": 0})).status_code == 422


async def test_the_actor_of_a_change_is_kept(http: httpx.AsyncClient, house: House) -> None:
    await http.post("/v1/agents", json=ANA, headers={"X-Bitacora-Actor": "agent:lead"})
    with house.store.database.reading() as connection:
        [meta] = connection.execute(house.store.outbox.rows.select()).scalars("meta")
    assert b'"actor":"agent:lead"' in meta


def test_the_service_is_built_without_connecting(tmp_path: Path) -> None:
    service = build(RoutingSettings(data_dir=tmp_path))
    paths = set(service.http.openapi()["paths"])
    assert {"/v1/agents", "/v1/queue", "/v1/decisions/{ticket_id}"} <= paths
    service.store.close()

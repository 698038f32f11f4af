"""Routing's HTTP API, over its real router and a real database, without Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.events import Status
from libs.runtime.http import create_http_app
from services.routing.api import create_router
from services.routing.app import build
from services.routing.config import RoutingSettings
from tests.routing.house import T1, T2, T3, House

ANA = {"id": "ana", "name": "Ana", "capacity": 1, "skills": [{"name": "vpn", "level": 3}]}

HOURS = {"zone": "Europe/Madrid", "week": {"mon": [{"start": "09:00", "end": "17:00"}]}}
LEAVE = {"start": "2026-03-02T08:00:00Z", "end": "2026-03-02T12:00:00Z", "note": "holiday"}


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
        "name": {"name": "Ana María"},
        "tiers": {"tiers": [1, 3]},
        "channels": {"channels": ["chat", "email"], "channel_limits": {"chat": 2}},
        "working-hours": {"working_hours": HOURS},
        "contact": {"email": "ana@example.com"},
        "leadership": {"lead_of": ["first line"]},
    }
    for what, body in changes.items():
        changed = await http.put(f"/v1/agents/ana/{what}", json=body)
        assert changed.status_code == 200, changed.text
    agent = (await http.get("/v1/agents/ana")).json()
    wanted = {field: value for body in changes.values() for field, value in body.items()}
    assert {field: agent[field] for field in wanted} == wanted
    assert (agent["sequence"], agent["load"], agent["spare"]) == (12, 0, 4)
    assert (await http.get("/v1/agents")).json()["agents"] == [agent]
    assert (await http.delete("/v1/agents/ana")).json()["retired"] is True
    assert (await http.get("/v1/agents")).json() == {"agents": [], "total": 0}
    assert (await http.post("/v1/agents", json=ANA)).json()["code"] == "agent_retired"


async def test_a_whole_agent_is_put_twice(http: httpx.AsyncClient) -> None:
    whole = {
        "name": "Ana",
        "capacity": 3,
        "skills": ANA["skills"],
        "channel_limits": {"chat": 1},
        "working_hours": HOURS,
        "out_of_office": [LEAVE],
        "lead_of": ["payments"],
        "email": "ana@example.com",
    }
    made = await http.put("/v1/agents/ana%20b", json=whole)
    assert (made.status_code, made.headers["location"]) == (201, "/v1/agents/ana%20b")
    assert (made.json()["id"], made.json()["sequence"]) == ("ana b", 2)
    again = await http.put("/v1/agents/ana%20b", json=whole)
    assert (again.status_code, again.json()) == (200, made.json())
    assert again.headers["etag"] == '"2"'
    changed = await http.put("/v1/agents/ana%20b", json=whole | {"capacity": 4, "email": None})
    assert (changed.json()["sequence"], changed.json()["email"]) == (4, None)
    got = await http.get("/v1/agents/ana%20b")
    assert (got.json(), got.headers["etag"]) == (changed.json(), '"4"')


async def test_a_change_for_a_version_that_is_gone(http: httpx.AsyncClient) -> None:
    made = await http.post("/v1/agents", json=ANA)
    match = {"If-Match": made.headers["etag"]}
    first = await http.put("/v1/agents/ana/capacity", json={"capacity": 2}, headers=match)
    assert (first.status_code, first.headers["etag"]) == (200, '"2"')
    for method, path, body in (
        ("PUT", "/capacity", {"capacity": 3}),
        ("PUT", "", {"name": "Ana", "capacity": 3}),
        ("DELETE", "", None),
    ):
        late = await http.request(method, f"/v1/agents/ana{path}", json=body, headers=match)
        assert (late.status_code, late.json()["code"]) == (412, "stale_version")
        assert late.json()["current_sequence"] == 2
    new = await http.put("/v1/agents/bo", json={"name": "Bo", "capacity": 1}, headers=match)
    assert (new.status_code, new.json()["current_sequence"]) == (412, 0)
    wrong = {"If-Match": "yesterday"}
    answer = await http.put("/v1/agents/ana/capacity", json={"capacity": 3}, headers=wrong)
    assert answer.json()["code"] == "bad_if_match"


async def test_who_is_on_duty_and_until_when(http: httpx.AsyncClient, house: House) -> None:
    """The clock stands at Monday 09:00 UTC, which is 10:00 in Madrid."""
    await http.post("/v1/agents", json=ANA | {"working_hours": HOURS})

    async def told() -> tuple[bool, str | None, str | None]:
        shown = (await http.get("/v1/agents")).json()["agents"][0]
        return shown["on_duty"], shown["off_duty_reason"], shown["next_change"]

    assert await told() == (False, "offline", None)
    body = {"presence": "online", "reason": "early shift"}
    shown = (await http.put("/v1/agents/ana/presence", json=body)).json()
    assert (shown["presence_reason"], shown["presence_since"]) == (
        "early shift",
        "2026-03-02T09:00:00Z",
    )
    assert await told() == (True, None, "2026-03-02T16:00:00Z")
    await http.put("/v1/agents/ana/out-of-office", json={"periods": [LEAVE]})
    assert await told() == (False, "out_of_office", "2026-03-02T12:00:00Z")
    house.clock.advance(3 * 3600)
    assert await told() == (True, None, "2026-03-02T16:00:00Z")
    house.clock.advance(4 * 3600)
    assert await told() == (False, "off_hours", "2026-03-09T08:00:00Z")


async def test_pages_of_agents(http: httpx.AsyncClient) -> None:
    for name in ("bo", "ana", "cy", "di"):
        await http.put(f"/v1/agents/{name}", json={"name": name, "capacity": 1})
    await http.delete("/v1/agents/bo")
    page = (await http.get("/v1/agents", params={"limit": 2})).json()
    assert ([agent["id"] for agent in page["agents"]], page["total"]) == (["ana", "cy"], 3)
    rest = (await http.get("/v1/agents", params={"after": "cy"})).json()
    assert [agent["id"] for agent in rest["agents"]] == ["di"]


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
    house.intake.status(T1, Status.SOLVED)
    house.deliver()
    told = (await http.get(f"/v1/decisions/{T1}")).json()
    assert (told["state"], told["because"]) == ("not_eligible", "solved")


async def test_answers_are_true_of_the_instant_at_which_they_are_asked_for(
    http: httpx.AsyncClient, house: House
) -> None:
    leave = {**LEAVE, "start": "2026-03-02T09:10:00Z"}
    await http.post("/v1/agents", json=ANA | {"capacity": 0, "out_of_office": [leave]})
    await http.put("/v1/agents/ana/presence", json={"presence": "online"})
    house.ticket(T1, category="vpn")
    told = (await http.get(f"/v1/decisions/{T1}")).json()
    assert told["now"]["reasons"] == [{"reason": "no_capacity", "agents": 1}]
    house.clock.advance(900)
    told = (await http.get(f"/v1/decisions/{T1}")).json()
    assert told["now"]["reasons"] == [{"reason": "out_of_office", "agents": 1}]


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
        {"id": "ana "},
        {"load": 0},
        {"name": None},
        {"channel_limits": {"chat": -1}},
        {"channel_limits": {"pigeon": 1}},
        {"working_hours": {"zone": "Mars/Olympus", "week": HOURS["week"]}},
        {"working_hours": {"zone": "UTC", "week": {"monday": []}}},
        {"working_hours": {"zone": "UTC", "week": {"mon": [{"start": "9:00", "end": "17:00"}]}}},
        {"working_hours": {"zone": "UTC", "week": {"mon": [{"start": "25:00", "end": "26:00"}]}}},
        {"out_of_office": [LEAVE, LEAVE]},
        {"out_of_office": [LEAVE | {"end": LEAVE["start"]}]},
        {"out_of_office": [LEAVE | {"start": "2026-03-02T08:00:00"}]},
        {"out_of_office": [LEAVE | {"until": "noon"}]},
        {"out_of_office": [LEAVE | {"end": 4_000_000_000}]},
        {"out_of_office": [LEAVE | {"end": "4000000000"}]},
        {"out_of_office": [LEAVE | {"end": "9999-12-31T23:59:59-12:00"}]},
        {"out_of_office": [LEAVE | {"start": "0001-01-01T00:00:00+14:00"}]},
        {"email": "ana@example.com\nBcc: bo@example.com"},
        {"email": ""},
        {"lead_of": ["a", "a"]},
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

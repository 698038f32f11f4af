"""The HTTP edge, on the app as the service builds it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from libs.runtime.http import create_http_app
from services.sla.api import create_questions, create_router
from tests.sla.bench import Bench
from tests.sla.desk import Stream, at, created, policy, reply, status

HOURS = {"mon": [["09:00", "13:00"]]}


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> list[str]:
        return []

    app = create_http_app("sla", readiness=ready)
    app.include_router(create_router(bench.store, bench.clock, bench.books, edited=lambda: None))
    app.include_router(create_questions(bench.store, bench.clock, bench.books))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://sla") as made:
        yield made


async def test_defaults_are_version_one(client: httpx.AsyncClient) -> None:
    versions = (await client.get("/v1/policies")).json()["versions"]
    assert [version["version"] for version in versions] == [1]
    calendars = (await client.get("/v1/calendars")).json()["calendars"]
    assert [(entry["id"], entry["version"]) for entry in calendars] == [
        ("always", 1),
        ("business", 1),
    ]


async def test_the_clocks_of_a_ticket(client: httpx.AsyncClient, bench: Bench) -> None:
    stream = Stream()
    bench.apply(stream.add("10:00", created()))
    bench.clock.instant = at("10:05:30")
    answer = (await client.get(f"/v1/clocks/{stream.id}")).json()
    assert answer["live"] is True
    first = answer["clocks"][0]
    assert (first["metric"], first["state"]) == ("first_reply", "running")
    assert (first["elapsed_s"], first["remaining_s"]) == (330, 570)
    assert first["due"] == "2026-06-01T10:15:00Z"
    due = (await client.get("/v1/due", params={"limit": 1})).json()["due"]
    assert [(entry["metric"], entry["at"]) for entry in due] == [
        ("first_reply", "2026-06-01T10:11:15Z")
    ]
    assert (await client.get("/v1/due", params={"limit": 0})).status_code == 422


@pytest.mark.parametrize("ticket_id", ["8d3c1c5c-26c6-43e9-ad08-7f2b3b2b2b2b", "x", "%00"])
async def test_an_unknown_ticket(client: httpx.AsyncClient, ticket_id: str) -> None:
    answer = await client.get(f"/v1/clocks/{ticket_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_ticket")


async def test_an_edit_makes_a_version_and_leaves_running_clocks_alone(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    before, after = Stream("before"), Stream("after")
    bench.clock.instant = at("10:30")
    bench.apply(before.add("10:00", created()))
    answer = await client.put("/v1/policies", json={"policies": [policy(id="mine")]})
    assert (answer.status_code, answer.json()) == (200, {"version": 2, "changed": True})
    calendar = {"id": "business", "zone": "UTC", "hours": HOURS}
    answer = await client.put("/v1/calendars", json={"calendars": [calendar]})
    assert answer.json() == {"calendars": [{"id": "business", "version": 2, "changed": True}]}
    bench.apply(after.add("10:31", created()), before.add("10:31", status("open", "new")))
    assert bench.ticket(before.id).clocks[0].policy_version == 1
    assert bench.ticket(after.id).clocks[0].policy == "mine"
    assert bench.ticket(after.id).clocks[0].policy_version == 2
    # Events from before the edit, read after it, are held to what was in force then.
    late = Stream("late")
    bench.apply(late.add("10:29", created()))
    assert bench.ticket(late.id).clocks[0].policy_version == 1


def with_target(target_s: Any, calendar: str = "always") -> dict[str, Any]:
    target = {"target_s": target_s, "calendar": calendar}
    return {"policies": [policy(targets={"first_reply": {"low": target}})]}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("policies", with_target(0), "bad_target"),
        ("policies", with_target(10**12), "bad_target"),
        ("policies", with_target(60, "lunar"), "unknown_calendar"),
        (
            "policies",
            {**with_target(60), "effective_from": "2020-01-01T00:00:00Z"},
            "effective_in_past",
        ),
        ("calendars", {"calendars": [{"id": "c", "zone": "UTC", "hours": {}}]}, "no_open_minute"),
        ("calendars", {"calendars": [{"id": "c", "zone": "Mars", "hours": HOURS}]}, "unknown_zone"),
        (
            "calendars",
            {"calendars": [{"id": "c", "zone": "UTC", "hours": {"mon": [["09:00", "12:00"]] * 2}}]},
            "overlapping_hours",
        ),
        (
            "calendars",
            {"calendars": [{"id": "c", "zone": "UTC", "hours": None}] * 2},
            "duplicate_calendar",
        ),
    ],
)
async def test_bad_definitions_are_refused_with_a_code(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], code: str
) -> None:
    answer = await client.put(f"/v1/{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    key = "versions" if path == "policies" else "calendars"
    assert all(entry["version"] == 1 for entry in (await client.get(f"/v1/{path}")).json()[key])


@pytest.mark.parametrize(
    "body",
    [
        {"policies": [{"id": "p"}]},
        {"policies": [policy()], "colour": "red"},
        with_target("60"),
        with_target(1.5),
        with_target(None),
    ],
)
async def test_malformed_bodies_are_refused(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    assert (await client.put("/v1/policies", json=body)).status_code == 422


async def test_a_calendar_that_would_put_a_target_out_of_reach_is_refused(
    client: httpx.AsyncClient,
) -> None:
    rare = {"id": "business", "zone": "UTC", "hours": {"mon": [["09:00", "09:01"]]}}
    answer = await client.put("/v1/calendars", json={"calendars": [rare]})
    assert (answer.status_code, answer.json()["code"]) == (422, "unreachable_target")


async def test_the_clocks_at_any_instant(client: httpx.AsyncClient, bench: Bench) -> None:
    body = with_target(3600)
    body["policies"][0]["targets"]["next_reply"] = body["policies"][0]["targets"]["first_reply"]
    bench.clock.instant = at("09:00")
    assert (await client.put("/v1/policies", json=body)).status_code == 200
    stream = Stream()
    bench.apply(
        stream.add("10:00", created(priority="low")),
        stream.add("10:10", reply()),
        stream.add("10:20", reply(author="requester")),
        stream.add("10:30", reply()),
        stream.add("11:00", reply(author="requester")),
    )

    async def ask(when: str) -> dict[str, Any]:
        answer = await client.get(
            f"/v1/clocks/{stream.id}", params={"at": at(when).isoformat().replace("+00:00", "Z")}
        )
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found

    assert (await ask("09:00"))["clocks"] == []
    early = (await ask("10:05"))["clocks"]
    assert [(c["metric"], c["state"], c["elapsed_s"], c["remaining_s"]) for c in early] == [
        ("first_reply", "running", 300, 3300)
    ]
    later = (await ask("11:30"))["clocks"]
    assert [(c["metric"], c["activation"], c["state"], c["elapsed_s"]) for c in later] == [
        ("first_reply", 1, "satisfied", 600),
        ("next_reply", 1, "satisfied", 600),
        ("next_reply", 2, "running", 1800),
    ]
    assert later[1]["started_by"] == f"{stream.id}:3"
    assert [(edge["kind"], edge["cause"]) for edge in later[1]["history"]] == [
        ("started", f"{stream.id}:3"),
        ("satisfied", f"{stream.id}:4"),
    ]
    assert later[1]["history"][0]["policy_version"] == 2
    beyond = (await ask("+1 00:00"))["clocks"][2]
    assert (beyond["breached"], beyond["breached_at"]) == (True, "2026-06-01T12:00:00Z")
    for seconds in ("2026", "-1", "1772442000.5"):
        bare = await client.get(f"/v1/clocks/{stream.id}", params={"at": seconds})
        assert bare.status_code == 422
    refused = await client.get(f"/v1/clocks/{stream.id}", params={"at": "yesterday"})
    assert refused.status_code == 422


async def test_the_same_definitions_again_make_no_version(client: httpx.AsyncClient) -> None:
    policies = {
        "policies": [
            policy(on_warning={"first_reply": [{"do": "notify", "whom": ["leads"], "at": 90}]})
        ]
    }
    calendars = {"calendars": [{"id": "shop", "zone": "Europe/Madrid", "hours": HOURS}]}
    for changed in (True, False):
        answer = await client.put("/v1/policies", json=policies)
        assert answer.json() == {"version": 2, "changed": changed}
        answer = await client.put("/v1/calendars", json=calendars)
        assert answer.json() == {"calendars": [{"id": "shop", "version": 1, "changed": changed}]}
    (first, _) = (await client.get("/v1/policies")).json()["versions"]
    assert first["policies"][0]["on_warning"] == {
        "first_reply": [{"do": "notify", "whom": ["leads"], "at": 90}]
    }


async def test_an_empty_list_of_policies_is_a_version_like_any_other(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    answer = await client.put("/v1/policies", json={"policies": []})
    assert answer.json() == {"version": 2, "changed": True}
    bench.clock.instant = at("10:00")
    bench.apply(Stream().add("10:00", created()))
    assert bench.events() == []

"""Proofs over HTTP, from what the service has stored."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from libs.runtime.http import create_http_app
from libs.worktime.instants import FIRST_US
from services.sla import store as s
from services.sla.api import create_questions
from tests.sla.bench import Bench
from tests.sla.desk import Stream, at, created, policy, reply, status


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> list[str]:
        return []

    app = create_http_app("sla", readiness=ready)
    app.include_router(create_questions(bench.store, bench.clock, bench.books))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://sla") as made:
        yield made


async def test_every_activation_is_proved(client: httpx.AsyncClient, bench: Bench) -> None:
    target = {"target_s": 3600, "calendar": "always"}
    hour = dict.fromkeys(("low", "medium", "high", "critical"), target)
    one = policy(targets={"first_reply": hour, "next_reply": hour})
    bench.store.write_now(lambda c, _: s.put_policies(c, bench.books.read(c), [one], FIRST_US))
    stream = Stream()
    bench.apply(
        stream.add("10:00", created()),
        stream.add("10:10", reply(), "agent:7"),
        stream.add("10:20", reply(author="requester")),
        stream.add("11:40", reply(), "agent:7"),
        stream.add("12:00", reply(author="requester")),
    )
    bench.clock.instant = at("12:30")
    answer = (await client.get(f"/v1/clocks/{stream.id}/proof")).json()
    assert answer["holds"] is True
    assert [(c["metric"], c["activation"], c["verdict"]) for c in answer["clocks"]] == [
        ("first_reply", 1, "satisfied"),
        ("next_reply", 1, "breached"),
        ("next_reply", 2, "running"),
    ]
    late = answer["clocks"][1]
    assert late["breached_at"] == late["due"] == "2026-06-01T11:20:00Z"
    assert (late["started_by"], late["elapsed_us"]) == (f"{stream.id}:3", 4_800_000_000)
    assert late["terms"][0]["used_up"] == late["breached_at"]
    assert [(i["begun_by"], i["ended_by"]) for i in late["intervals"]] == [
        (f"{stream.id}:3", f"{stream.id}:4")
    ]
    assert answer["calendars"][0]["hours"] is None
    query = {"metric": "first_reply"}
    only = (await client.get(f"/v1/clocks/{stream.id}/proof", params=query)).json()
    assert len(only["clocks"]) == 1


async def test_a_deadline_that_no_timer_has_noticed_yet_is_stated(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    stream = Stream()
    bench.apply(stream.add("10:00", created()), stream.add("10:05", status("pending", "new")))
    bench.clock.instant = at("10:20")
    answer = (await client.get(f"/v1/clocks/{stream.id}/proof")).json()
    verdicts = {clock["metric"]: clock["verdict"] for clock in answer["clocks"]}
    assert verdicts == {"first_reply": "breached", "requester_wait": "paused"}
    assert answer["holds"] is True


@pytest.mark.parametrize("path", ["8d3c1c5c-26c6-43e9-ad08-7f2b3b2b2b2b/proof", "x/proof"])
async def test_an_unknown_ticket(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/v1/clocks/{path}")).status_code == 404


async def test_an_unknown_metric(client: httpx.AsyncClient) -> None:
    path = "/v1/clocks/8d3c1c5c-26c6-43e9-ad08-7f2b3b2b2b2b/proof"
    assert (await client.get(path, params={"metric": "speed"})).status_code == 422

"""The agent's side of offers, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from libs.runtime.http import create_http_app
from services.routing.api import create_router
from services.routing.domain.rules import Offers, QueueRule, RoutingRules
from tests.routing.house import T1, House

RULES = RoutingRules(
    queues=(QueueRule(name="chats", mode="offer"),), offers=Offers(timeout_s=30, misses_to_away=1)
)


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    made = House(sqlite_url, rules=RULES)
    yield made
    made.close()


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> list[str]:
        return []

    app = create_http_app("routing", readiness=ready)
    app.include_router(create_router(house.store, house.desk))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://routing") as client:
        yield client


async def offers(http: httpx.AsyncClient, agent: str) -> list[dict[str, Any]]:
    answer = await http.get(f"/v1/agents/{agent}/offers")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["offers"]
    return found


async def answer(
    http: httpx.AsyncClient, who: str, offer: str, what: str, **body: Any
) -> httpx.Response:
    headers = {"X-Bitacora-Actor": f"agent:{who}"}
    return await http.post(f"/v1/offers/{offer}/{what}", json=body, headers=headers)


async def test_an_offer_is_accepted_once_and_only_by_whom_it_was_made_to(
    house: House, http: httpx.AsyncClient
) -> None:
    house.agent("ana", 1)
    house.agent("luis", 0)
    house.ticket(T1)
    assert house.commands() == []
    [offer] = await offers(http, "ana")
    assert (offer["state"], offer["number"], offer["ticket_id"]) == ("open", 1, T1)

    theirs = await answer(http, "luis", offer["id"], "accept")
    assert (theirs.status_code, theirs.json()["code"]) == (403, "not_your_offer")
    named = await answer(http, "ana", offer["id"], "accept", agent="luis")
    assert named.status_code == 403
    taken = await answer(http, "ana", offer["id"], "accept")
    assert (taken.status_code, taken.json()["state"]) == (200, "accepted")
    again = await answer(http, "ana", offer["id"], "accept")
    assert (again.status_code, again.json()["state"]) == (200, "accepted")
    late = await answer(http, "ana", offer["id"], "decline")
    assert (late.status_code, late.json()["code"]) == (409, "offer_ended")

    house.answer()
    assert house.holder(T1) == "ana"


async def test_a_declined_offer_goes_to_the_next_and_too_late_is_told(
    house: House, http: httpx.AsyncClient
) -> None:
    house.agent("ana", 1)
    house.agent("luis", 1)
    house.ticket(T1)
    [first] = await offers(http, "ana")
    said = await answer(http, "ana", first["id"], "decline", reason="at lunch")
    assert said.json()["state"] == "declined"
    [second] = await offers(http, "luis")
    house.clock.advance(31)
    late = await answer(http, "luis", second["id"], "accept")
    assert (late.status_code, late.json()["code"]) == (409, "offer_ended")
    assert late.json()["state"] == "timed_out"
    house.sweep()
    luis = (await http.get("/v1/agents/luis")).json()
    assert (luis["presence"], luis["presence_reason"]) == ("away", "missed_offers")


async def test_what_is_not_there_and_who_does_not_say_who(http: httpx.AsyncClient) -> None:
    unknown = await answer(http, "ana", "none", "accept")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_offer")
    nobody = await http.get("/v1/agents/nobody/offers")
    assert (nobody.status_code, nobody.json()["code"]) == (404, "unknown_agent")
    unnamed = await http.post("/v1/offers/none/accept", json={})
    assert (unnamed.status_code, unnamed.json()["code"]) == (422, "agent_needed")

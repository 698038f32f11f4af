"""The HTTP API on a real store: what it does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.intake.conftest import NEW, Intake

DAY_S = 86_400
FROM_ANA = {"author": "requester", "author_id": "ana", "body": "Still nothing"}
FROM_AGENT = {"author": "agent", "author_id": "7", "body": "Try the other plug"}


@pytest.fixture
def intake_url(database_url: str) -> str:
    """These run on SQLite and on PostgreSQL."""
    return database_url


async def test_a_ticket_is_created_and_read(intake: Intake) -> None:
    created = await intake.call("POST", "/v1/tickets", NEW, "requester:ana")
    assert created.status_code == 201
    body = created.json()
    assert (body["number"], body["sequence"]) == (1, 1)
    assert created.headers["ETag"] == '"1"'
    assert created.headers["Location"] == f"/v1/tickets/{body['id']}"

    read = await intake.http.get(created.headers["Location"])
    state = read.json()
    assert read.headers["ETag"] == '"1"'
    assert (state["subject"], state["status"], state["channel"]) == ("No sound", "new", "form")
    assert state["requester"]["name"] == "Ana"
    assert state["created_at"] == "2026-03-02T09:00:00Z"

    again = await intake.call("GET", created.headers["Location"], if_none_match='"1"')
    assert again.status_code == 304

    by_number = await intake.http.get("/v1/tickets/by-number/1")
    assert by_number.json() == state
    missing = await intake.http.get(f"/v1/tickets/by-number/{10**30}")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_ticket")


async def test_numbers_have_no_gaps_under_concurrent_creation(intake: Intake) -> None:
    answers = await asyncio.gather(*(intake.call("POST", "/v1/tickets", NEW) for _ in range(40)))
    assert sorted(answer.json()["number"] for answer in answers) == list(range(1, 41))
    assert len({answer.json()["id"] for answer in answers}) == 40


async def test_the_same_request_twice_is_one_ticket(intake: Intake) -> None:
    first = await intake.call("POST", "/v1/tickets", NEW, idempotency_key="k1")
    second = await intake.call("POST", "/v1/tickets", NEW, idempotency_key="k1")
    assert second.status_code == 201
    assert second.json() == first.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    other_key = await intake.call("POST", "/v1/tickets", NEW, idempotency_key="k2")
    other_actor = await intake.call("POST", "/v1/tickets", NEW, "agent:7", idempotency_key="k1")
    assert len({a.json()["id"] for a in (first, other_key, other_actor)}) == 3

    reused = await intake.call(
        "POST", "/v1/tickets", NEW | {"subject": "Other"}, idempotency_key="k1"
    )
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_ticket_s_whole_life(intake: Intake) -> None:
    ticket_id = await intake.create()
    path = f"/v1/tickets/{ticket_id}"
    steps: list[tuple[str, str, Any]] = [
        ("PUT", "assignment", {"group": "audio", "agent": "7"}),
        ("POST", "messages", FROM_AGENT),
        ("PUT", "priority", {"priority": "high"}),
        ("PUT", "category", {"category": "hardware", "subcategory": "sound"}),
        ("POST", "tags", {"add": ["vip", "audio"], "remove": ["none"]}),
        ("PUT", "custom-fields/order no", {"value": "17"}),
        ("POST", "escalations", {"reason": "needs an expert"}),
        ("PUT", "status", {"status": "pending", "substatus": "parts"}),
        ("POST", "messages", FROM_ANA),
        ("DELETE", "assignment", None),
        ("PUT", "status", {"status": "solved", "reason": "plugged in"}),
    ]
    for method, place, body in steps:
        answer = await intake.call(method, f"{path}/{place}", body, "agent:7")
        assert answer.status_code == 200, answer.text
        assert answer.headers["ETag"] == f'"{answer.json()["sequence"]}"'
    rated = await intake.call("POST", f"{path}/rating", {"rating": "good"}, "requester:ana")
    assert rated.status_code == 200, rated.text

    state = await intake.ticket(ticket_id)
    assert (state["status"], state["priority"], state["tier"]) == ("solved", "high", 2)
    assert (state["group"], state["agent"], state["rating"]) == (None, None, "good")
    assert (state["tags"], state["custom_fields"]) == (["audio", "vip"], {"order no": "17"})

    history = (await intake.http.get(f"{path}/history")).json()
    events = history["events"]
    assert [event["sequence"] for event in events] == list(range(1, state["sequence"] + 1))
    assert events[0]["type"] == "bitacora.TicketCreated.v1"
    assert events[1]["actor"] == "agent:7"
    assert events[1]["previous_hash"] == events[0]["hash"]
    assert not history["more"]
    page = (await intake.http.get(f"{path}/history?after=2&limit=3")).json()
    assert [event["sequence"] for event in page["events"]] == [3, 4, 5]
    assert page["more"]


async def test_a_change_that_is_so_already_keeps_the_version(intake: Intake) -> None:
    ticket_id = await intake.create()
    answer = await intake.call("PUT", f"/v1/tickets/{ticket_id}/priority", {"priority": "medium"})
    assert (answer.status_code, answer.json()["sequence"]) == (200, 1)


async def test_if_match(intake: Intake) -> None:
    path = f"/v1/tickets/{await intake.create()}/priority"
    assert (await intake.call("PUT", path, {"priority": "low"}, if_match='"1"')).status_code == 200
    stale = await intake.call("PUT", path, {"priority": "high"}, if_match='"1"')
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
    assert stale.json()["current_sequence"] == 2
    assert stale.headers["content-type"] == "application/problem+json"


async def test_solved_tickets_are_closed_by_time_and_only_then(intake: Intake) -> None:
    closer = intake.closer
    first, second = await intake.create(), await intake.create()
    for ticket_id in (first, second):
        solved = {"status": "solved"}
        await intake.call("PUT", f"/v1/tickets/{ticket_id}/status", solved, "agent:7")
    intake.clock.advance(4 * DAY_S - 1)
    assert await closer.close_due() == 0
    await intake.call("POST", f"/v1/tickets/{second}/messages", FROM_ANA, "requester:ana")
    intake.clock.advance(1)
    assert await closer.close_due() == 1
    assert await closer.close_due() == 0
    assert (await intake.ticket(first))["status"] == "closed"
    assert (await intake.ticket(second))["status"] == "open"


async def close(intake: Intake, ticket_id: str) -> None:
    await intake.call("PUT", f"/v1/tickets/{ticket_id}/status", {"status": "solved"}, "agent:7")
    intake.clock.advance(5 * DAY_S)
    await intake.closer.close_due()
    assert (await intake.ticket(ticket_id))["status"] == "closed"


async def test_a_reply_to_a_closed_ticket_opens_a_linked_one(intake: Intake) -> None:
    closed_id = await intake.create(priority="high", tags=["vip"])
    await close(intake, closed_id)
    path = f"/v1/tickets/{closed_id}/messages"
    answer = await intake.call("POST", path, FROM_ANA, "requester:ana", idempotency_key="m1")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["number"], body["follow_up_of"]) == (2, closed_id)

    state = await intake.ticket(body["id"])
    assert (state["follow_up_of"], state["description"]) == (closed_id, "Still nothing")
    assert (state["priority"], state["tags"], state["status"]) == ("high", ["vip"], "new")
    closed = await intake.ticket(closed_id)
    assert closed["links"] == [{"kind": "followed_up_by", "other": body["id"]}]
    assert closed["status"] == "closed"

    again = await intake.call("POST", path, FROM_ANA, "requester:ana", idempotency_key="m1")
    assert again.json() == body
    agent = await intake.call("POST", path, FROM_AGENT, "agent:7")
    assert (agent.status_code, agent.json()["code"]) == (409, "ticket_closed")
    ledger = await intake.ledger()
    assert (ledger["total"]["ticketed"], ledger["balanced"]) == (2, True)


async def test_merging_at_once_never_merges_both(intake: Intake) -> None:
    a, b = await intake.create(), await intake.create()
    answers = await asyncio.gather(
        intake.call("POST", f"/v1/tickets/{a}/merge", {"into": b}, "agent:7"),
        intake.call("POST", f"/v1/tickets/{b}/merge", {"into": a}, "agent:8"),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    states = [await intake.ticket(a), await intake.ticket(b)]
    assert sorted(state["status"] for state in states) == ["new", "solved"]


async def test_links_and_merges_name_tickets_that_exist(intake: Intake) -> None:
    ticket_id, other = await intake.create(), await intake.create()
    path = f"/v1/tickets/{ticket_id}"
    ghost = "0197f000-0000-7000-8000-00000000dead"
    for place, body in (("merge", {"into": ghost}), ("links", {"kind": "related", "other": ghost})):
        answer = await intake.call("POST", f"{path}/{place}", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_other_ticket")
    linked = await intake.call("POST", f"{path}/links", {"kind": "incident_of", "other": other})
    assert linked.status_code == 200


async def test_an_imported_ticket_is_handed_to_the_desk(intake: Intake) -> None:
    created = await intake.call("POST", "/v1/tickets", NEW, "import:old")
    ticket_id = created.json()["id"]
    assert not (await intake.ticket(ticket_id))["live"]
    path = f"/v1/tickets/{ticket_id}"
    refused = await intake.call("PUT", f"{path}/assignment", {"agent": "7"}, "service:routing")
    assert refused.json()["code"] == "not_live"
    assert (await intake.call("POST", f"{path}/activation", {"reason": "cut-over"})).is_success
    assert (await intake.ticket(ticket_id))["live"]
    taken = await intake.call("PUT", f"{path}/assignment", {"agent": "7"}, "service:routing")
    assert taken.status_code == 200


async def test_a_solved_import_is_closed_only_after_it_was_handed_over(intake: Intake) -> None:
    closer = intake.closer
    ids = []
    for solver in ("import:old", "agent:7"):
        created = await intake.call("POST", "/v1/tickets", NEW, "import:old")
        ids.append(created.json()["id"])
        path = f"/v1/tickets/{ids[-1]}"
        solved = await intake.call("PUT", f"{path}/status", {"status": "solved"}, solver)
        assert solved.status_code == 200
    intake.clock.advance(5 * DAY_S)
    await closer.close_due()
    assert [(await intake.ticket(i))["status"] for i in ids] == ["solved", "solved"]
    assert await closer.close_due() == 0, "history is not asked for again and again"
    for ticket_id in ids:
        await intake.call("POST", f"/v1/tickets/{ticket_id}/activation", {})
    assert await closer.close_due() == 2
    assert [(await intake.ticket(i))["status"] for i in ids] == ["closed", "closed"]


async def test_the_ledger_accounts_for_everything(intake: Intake) -> None:
    ticket_id = await intake.create(channel="email")
    path = f"/v1/tickets/{ticket_id}/messages"
    await intake.call("POST", path, FROM_ANA | {"channel": "phone"}, "requester:ana")
    await intake.call("POST", path, FROM_AGENT, "agent:7")
    await intake.call("POST", path, FROM_ANA, "requester:bob")
    for _ in range(3):
        await intake.call("POST", "/v1/tickets", NEW, idempotency_key="k")
    await intake.call("POST", "/v1/tickets", NEW | {"assignee": "me"})
    await intake.http.post(path, content=b"{", headers={"content-type": "application/json"})
    await intake.http.post("/v1/tickets", content=b"x" * 2_000_000)
    ledger = await intake.ledger()
    assert ledger["balanced"]
    assert ledger["tickets"] == 2
    zero = dict.fromkeys(("received", "ticketed", "appended", "quarantined", "rejected"), 0)
    assert ledger["channels"] == {
        "email": zero | {"received": 1, "ticketed": 1, "duplicates": 0},
        "form": zero | {"received": 1, "ticketed": 1, "duplicates": 2},
        "phone": zero | {"received": 1, "appended": 1, "duplicates": 0},
        "unknown": zero | {"received": 4, "rejected": 4, "duplicates": 0},
    }


@pytest.mark.parametrize("path", ["/health/live", "/metrics", "/openapi.json"])
async def test_the_house_s_endpoints_are_there(intake: Intake, path: str) -> None:
    assert (await intake.http.get(path)).status_code == 200

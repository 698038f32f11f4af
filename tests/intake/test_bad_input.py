"""What the HTTP API refuses: a clear error with a stable code, and nothing stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.intake.conftest import NEW, Intake

JSON = {"content-type": "application/json"}
GHOST = "0197f000-0000-7000-8000-00000000dead"
RAW: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty_body"),
    "not JSON": (b"{", "invalid_json"),
    "a key twice": (b'{"subject": "a", "subject": "b"}', "duplicate_key"),
    "a nested key twice": (
        b'{"subject": "a", "requester": {"id": "x", "id": "y"}}',
        "duplicate_key",
    ),
    "NaN": (b'{"subject": NaN}', "not_a_number"),
    "10^400": (b'{"subject": 1e400}', "number_out_of_range"),
    "too deep": (b"[" * 10_000 + b"]" * 10_000, "too_deep"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte_order_mark"),
    "not UTF-8": (b'{"subject": "\xff"}', "invalid_utf8"),
    "NUL": (b'{"subject": "a\\u0000b", "requester": {"id": "x"}}', "nul_character"),
    "half a surrogate pair": (
        b'{"subject": "\\ud800", "requester": {"id": "x"}}',
        "invalid_json",
    ),
    "a list": (b"[]", "invalid_body"),
}
FIELDS: dict[str, dict[str, Any]] = {
    "assignee": {"assignee": "me"},
    "agent": {"agent": "7"},
    "group": {"group": "audio"},
    "status": {"status": "solved"},
    "imported_from": {"imported_from": "old"},
    "number": {"number": 1},
    "requester's field": {"requester": {"id": "ana", "admin": True}},
    "no requester id": {"requester": {"name": "Ana"}},
    "empty subject": {"subject": ""},
    "blank subject": {"subject": "  "},
    "long subject": {"subject": "x" * 501},
    "long description": {"description": "x" * 100_001},
    "priority": {"priority": "urgent"},
    "channel": {"channel": "fax"},
    "subject's type": {"subject": 7},
    "too many tags": {"tags": [str(n) for n in range(101)]},
}


@pytest.mark.parametrize("name", RAW)
async def test_a_malformed_body(intake: Intake, name: str) -> None:
    body, code = RAW[name]
    answer = await intake.http.post("/v1/tickets", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.headers["content-type"] == "application/problem+json"
    ledger = await intake.ledger()
    assert (ledger["tickets"], ledger["total"]["rejected"], ledger["balanced"]) == (0, 1, True)


@pytest.mark.parametrize("name", FIELDS)
async def test_a_field_that_is_not_to_be_set(intake: Intake, name: str) -> None:
    answer = await intake.call("POST", "/v1/tickets", NEW | FIELDS[name])
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
    assert answer.json()["errors"]
    assert (await intake.ledger())["tickets"] == 0


async def test_a_body_of_another_kind_or_size(intake: Intake) -> None:
    form = await intake.http.post("/v1/tickets", data={"subject": "x"})
    assert (form.status_code, form.json()["code"]) == (415, "unsupported_media_type")
    large = await intake.http.post("/v1/tickets", content=b" " * 1_100_000, headers=JSON)
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    wide = await intake.http.post(
        "/v1/commands/batch", content=b" " * (16 * 1024 * 1024 + 1), headers=JSON
    )
    assert wide.status_code == 413


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Bitacora-Actor": "root"}, "bad_actor"),
        ({"X-Bitacora-Actor": "agent:"}, "bad_actor"),
        ({"Idempotency-Key": ""}, "bad_idempotency_key"),
        ({"Idempotency-Key": "k" * 201}, "bad_idempotency_key"),
        ({"If-Match": "seven"}, "bad_if_match"),
    ],
)
async def test_a_bad_header(intake: Intake, headers: dict[str, str], code: str) -> None:
    answer = await intake.http.post("/v1/tickets", json=NEW, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


CHANGES: list[tuple[str, str, Any]] = [
    ("POST", "messages", {"author": "agent", "author_id": "7", "body": "x"}),
    ("PUT", "status", {"status": "open"}),
    ("PUT", "priority", {"priority": "low"}),
    ("PUT", "category", {"category": "x"}),
    ("POST", "tags", {"add": ["x"]}),
    ("PUT", "custom-fields/order", {"value": "1"}),
    ("PUT", "assignment", {"agent": "7"}),
    ("DELETE", "assignment", None),
    ("POST", "escalations", {}),
    ("POST", "rating", {"rating": "good"}),
    ("POST", "activation", {}),
    ("POST", "merge", {"into": GHOST}),
    ("POST", "links", {"kind": "related", "other": GHOST}),
]


@pytest.mark.parametrize(("method", "place", "body"), CHANGES)
async def test_a_ticket_that_is_not_there(
    intake: Intake, method: str, place: str, body: Any
) -> None:
    unknown = await intake.call(method, f"/v1/tickets/{GHOST}/{place}", body)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_ticket")
    broken = await intake.call(method, f"/v1/tickets/17/{place}", body)
    assert (broken.status_code, broken.json()["code"]) == (422, "bad_ticket_id")
    if body is not None:
        ticket = f"/v1/tickets/{await intake.create()}/{place}"
        extra = await intake.call(method, ticket, body | {"assignee": "me"})
        assert (extra.status_code, extra.json()["code"]) == (422, "invalid_body")


@pytest.mark.parametrize("path", [f"/v1/tickets/{GHOST}", f"/v1/tickets/{GHOST}/history"])
async def test_reading_what_is_not_there(intake: Intake, path: str) -> None:
    answer = await intake.http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_ticket")


async def test_reading_with_bad_questions(intake: Intake) -> None:
    ticket_id = await intake.create()
    for path in (
        "/v1/tickets/17",
        f"/v1/tickets/{ticket_id}/history?after=-1",
        f"/v1/tickets/{ticket_id}/history?limit=0",
    ):
        assert (await intake.http.get(path)).status_code == 422
    assert (await intake.http.get("/v1/tickets/by-number/one")).status_code == 404


async def test_the_service_goes_on(intake: Intake) -> None:
    for body, _ in RAW.values():
        await intake.http.post("/v1/tickets", content=body, headers=JSON)
        await intake.http.post("/v1/commands/batch", content=body, headers=JSON)
    await intake.create()
    assert (await intake.ledger())["balanced"]


async def test_a_key_belongs_to_one_request(intake: Intake) -> None:
    first, second = await intake.create(), await intake.create()
    low = {"priority": "low"}
    one = await intake.call("PUT", f"/v1/tickets/{first}/priority", low, idempotency_key="k")
    assert one.status_code == 200
    for path, body in ((second, low), (first, {"priority": "high"})):
        other = await intake.call("PUT", f"/v1/tickets/{path}/priority", body, idempotency_key="k")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


# --------------------------------------------------------------------------------------- batches


def item(number: int, type_: str, data: Any, **around: Any) -> dict[str, Any]:
    return {
        "command_id": f"i-{number}",
        "type": type_,
        "ticket_id": GHOST,
        "actor": "import:old",
        "time": "2016-02-29T01:16:00Z",
        "data": data,
    } | around


CREATE = item(1, "CreateTicket", {"subject": "x", "requester": {"id": "caller"}, "agent": "7"})
STATUS = item(2, "bitacora.ChangeStatus.v1", {"status": "closed"})


async def test_a_batch_is_decided_in_order(intake: Intake) -> None:
    answer = await intake.call("POST", "/v1/commands/batch", {"commands": [CREATE, STATUS]})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["accepted"], body["duplicates"], body["rejected"]) == (2, 0, 0)
    assert body["results"][1] == {
        "command_id": "i-2",
        "status": "accepted",
        "ticket_id": GHOST,
        "sequence": 2,
        "events": 1,
        "code": "",
        "detail": "",
    }
    state = await intake.ticket(GHOST)
    assert (state["status"], state["imported_from"], state["agent"]) == ("closed", "old", "7")
    assert state["closed_at"] == "2016-02-29T01:16:00Z"

    again = await intake.call("POST", "/v1/commands/batch", {"commands": [CREATE, STATUS]})
    assert again.json()["duplicates"] == 2
    assert (await intake.ticket(GHOST))["sequence"] == 2


BAD_ITEMS: dict[str, Any] = {
    "not an object": 7,
    "unknown command": item(9, "DropTicket", {}),
    "an event's name": item(9, "bitacora.TicketCreated.v1", {}),
    "unknown field": item(9, "ChangePriority", {"priority": "low", "assignee": "me"}),
    "unknown field around": item(9, "ChangePriority", {"priority": "low"}, extra=1),
    "bad value": item(9, "ChangePriority", {"priority": "urgent"}),
    "bad ticket id": item(9, "UnassignTicket", {}, ticket_id="17"),
    "bad actor": item(9, "UnassignTicket", {}, actor="root"),
    "time without a zone": item(9, "UnassignTicket", {}, time="2016-02-29T01:16:00"),
    "negative version": item(9, "UnassignTicket", {}, expected_sequence=-1),
    "no command id": item(9, "UnassignTicket", {}, command_id=""),
    "data is a list": item(9, "UnassignTicket", []),
}


@pytest.mark.parametrize("name", BAD_ITEMS)
async def test_a_bad_command_does_not_stop_the_others(intake: Intake, name: str) -> None:
    commands = [CREATE, BAD_ITEMS[name], STATUS]
    answer = await intake.call("POST", "/v1/commands/batch", {"commands": commands})
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["accepted", "rejected", "accepted"]
    assert results[1]["code"] == "malformed"
    assert results[1]["detail"]
    assert "input_value" not in results[1]["detail"]


async def test_a_bad_creation_in_a_batch_is_in_the_ledger(intake: Intake) -> None:
    bad = item(9, "CreateTicket", {"subject": "x"})
    await intake.call("POST", "/v1/commands/batch", {"commands": [bad, CREATE]})
    ledger = await intake.ledger()
    assert (ledger["total"]["received"], ledger["total"]["rejected"]) == (2, 1)
    assert ledger["balanced"]


async def test_only_imports_say_when_in_a_batch_too(intake: Intake) -> None:
    late = item(3, "ChangePriority", {"priority": "low"}, actor="agent:7")
    answer = await intake.call("POST", "/v1/commands/batch", {"commands": [CREATE, late]})
    assert answer.json()["results"][1]["code"] == "import_only_field"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"commands": [CREATE] * 5_001}, "batch_too_large"),
        ({"commands": {}}, "invalid_body"),
        ({"commands": [], "more": 1}, "invalid_body"),
        ([CREATE], "invalid_body"),
    ],
    ids=["too many", "no list", "more beside it", "a bare list"],
)
async def test_what_is_no_batch(intake: Intake, body: Any, code: str) -> None:
    answer = await intake.http.post(
        "/v1/commands/batch", content=json.dumps(body).encode(), headers=JSON
    )
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_an_empty_batch_is_fine(intake: Intake) -> None:
    answer = await intake.call("POST", "/v1/commands/batch", {"commands": []})
    assert answer.json() == {"results": [], "accepted": 0, "duplicates": 0, "rejected": 0}


@pytest.mark.parametrize("name", ["%00", "a%00b", "a%0Ab"])
async def test_a_field_name_that_could_not_be_read_again(intake: Intake, name: str) -> None:
    ticket_id = await intake.create()
    path = f"/v1/tickets/{ticket_id}/custom-fields/{name}"
    answer = await intake.call("PUT", path, {"value": "17"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_field_name")
    assert (await intake.ticket(ticket_id))["sequence"] == 1


async def test_a_number_too_long_to_be_one(intake: Intake) -> None:
    answer = await intake.http.get("/v1/tickets/by-number/" + "9" * 5_000)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_ticket")


# ------------------------------------------------------------------- requirements at hand-over

REQUIREMENTS = "/v1/hand-over-requirements"


@pytest.mark.parametrize("actor", ["requester:ana", "import:old", "service:routing"])
async def test_only_the_people_of_the_desk_change_them(intake: Intake, actor: str) -> None:
    answer = await intake.call("PUT", REQUIREMENTS, {"requirements": []}, actor)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")


BAD_REQUIREMENTS: dict[str, tuple[Any, str]] = {
    "no list": ({}, "missing"),
    "an unknown key": ({"requirements": [], "rules": []}, "extra_forbidden"),
    "an entry's unknown key": (
        {"requirements": [{"category": "a", "fields": ["x"], "teir": {}}]},
        "extra_forbidden",
    ),
    "nothing required": ({"requirements": [{"category": "a"}]}, "nothing_required"),
    "an empty list": ({"requirements": [{"category": "a", "fields": []}]}, "too_short"),
    "no tiers": ({"requirements": [{"category": "a", "tiers": {}}]}, "too_short"),
    "an empty tier": ({"requirements": [{"category": "a", "tiers": {"2": []}}]}, "too_short"),
    "tier 1": ({"requirements": [{"category": "a", "tiers": {"1": ["x"]}}]}, "literal_error"),
    "an empty group": ({"requirements": [{"category": "a", "groups": {"": ["x"]}}]}, "string_"),
    "a blank category": ({"requirements": [{"category": " ", "fields": ["x"]}]}, "string_"),
    "a category twice": (
        {"requirements": [{"category": "a", "fields": ["x"]}, {"category": "a ", "fields": ["y"]}]},
        "duplicate_category",
    ),
    "a field twice": ({"requirements": [{"category": "a", "fields": ["x", "x"]}]}, "duplicate_"),
    "a number": ({"requirements": [{"category": "a", "fields": [7]}]}, "string_type"),
    "a truth": ({"requirements": [{"category": True, "fields": ["x"]}]}, "string_type"),
    "control characters": ({"requirements": [{"category": "a", "fields": ["x\n1"]}]}, "unprint"),
}


@pytest.mark.parametrize(("body", "kind"), BAD_REQUIREMENTS.values(), ids=BAD_REQUIREMENTS)
async def test_what_is_no_requirement(intake: Intake, body: Any, kind: str) -> None:
    answer = await intake.call("PUT", REQUIREMENTS, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_body"), answer.text
    assert problem["errors"][0]["type"].startswith(kind), problem["errors"]
    assert (await intake.http.get(REQUIREMENTS)).json()["version"] == 0

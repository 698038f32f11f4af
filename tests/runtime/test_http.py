"""The HTTP app: strict JSON, problem details, ids, limits, metrics, health."""
# ruff: noqa: FAST003 - a LeanRoute hands the whole request over, path parameters included

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from libs.runtime.errors import Poison, Rejected, Transient
from libs.runtime.http import (
    LeanRoute,
    actor_of,
    body_of,
    create_http_app,
    if_match_of,
    json_response,
    takes,
)
from libs.runtime.strict_json import DEPTH_MAX, check_json, strict_json

LIMIT = 2_000
JSON = {"content-type": "application/json"}


class Person(BaseModel):
    id: str
    email: str | None = None


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    subject: str = Field(max_length=50)
    person: Person
    tags: tuple[str, ...] = ()


class Desk:
    reasons: tuple[str, ...] = ()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def app(desk: Desk) -> FastAPI:
    async def ready() -> list[str]:
        return list(desk.reasons)

    app = create_http_app("Test", readiness=ready, body_limit_bytes=LIMIT)
    app.state.body_limits["/v1/large"] = 10 * LIMIT
    router = APIRouter(route_class=LeanRoute)

    @router.post("/things/{thing_id}", status_code=201, openapi_extra=takes(Body))
    async def create(request: Request) -> Response:
        body = await body_of(request, Body)
        answer = {"id": request.path_params["thing_id"], "subject": body.subject}
        return json_response({**answer, "actor": actor_of(request)}, 201, {"ETag": '"1"'})

    @router.post("/large")
    async def large(request: Request) -> Response:
        return json_response(len(await request.body()))

    @router.get("/raises/{what}")
    async def raises(request: Request) -> Response:
        what = request.path_params["what"]
        if what == "rejected":
            raise Rejected("stale_version", "it moved on", status=412, current_sequence=7)
        if what == "transient":
            raise Transient("database_unavailable", "try again")
        if what == "poison":
            raise Poison("bad_cursor", "not one of ours")
        raise RuntimeError("the password is hunter2")

    @router.get("/match")
    async def match(request: Request) -> Response:
        return json_response(if_match_of(request))

    app.include_router(router, prefix="/v1")

    @app.get("/v1/search")
    async def search(limit: int) -> dict[str, int]:
        return {"limit": limit}

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://desk") as client:
        yield client


def _problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:bitacora:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


async def test_a_good_body_reaches_the_endpoint(client: httpx.AsyncClient) -> None:
    body = {"subject": "Принтер", "person": {"id": "1"}}
    answer = await client.post("/v1/things/7", json=body)
    assert answer.status_code == 201
    assert answer.json() == {"id": "7", "subject": "Принтер", "actor": "system"}
    assert answer.headers["etag"] == '"1"'


BAD_JSON = {
    "duplicate_key": b'{"subject": "a", "person": {"id": "1", "id": "2"}}',
    "not_a_number": b'{"subject": NaN}',
    "number_out_of_range": b'{"subject": 1e400}',
    "too_deep": b"[" * 900 + b"]" * 900,
    "byte_order_mark": b'\xef\xbb\xbf{"subject": "a"}',
    "invalid_utf8": b'{"subject": "\xff"}',
    "empty_body": b"",
    "invalid_json": b'{"subject": "\\ud800", "person": {"id": "1"}}',
    "nul_character": b'{"subject": "\\u0000", "person": {"id": "1"}}',
}


@pytest.mark.parametrize("code", BAD_JSON)
async def test_json_that_is_not_strict_is_refused(client: httpx.AsyncClient, code: str) -> None:
    answer = await client.post("/v1/things/7", content=BAD_JSON[code], headers=JSON)
    _problem(answer, 422, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a": -Infinity}', "not_a_number"),
        (b'{"a": ' + b"9" * 400 + b"}", "number_out_of_range"),
        (b'{"a": 1' + b"0" * 5_000 + b"}", "number_out_of_range"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 51 + b"1" + b"}" * 51, "too_deep"),
        (b'[{"a":' * 26 + b"1" + b"}]" * 26, "too_deep"),
        ('{"a": 1}'.encode("utf-16"), "byte_order_mark"),
        ('{"a": 1}'.encode("utf-32-le"), "invalid_json"),
        (b"{'a': 1}", "invalid_json"),
        (b'{"a": 1,}', "invalid_json"),
        (b'{"a": 1} {}', "invalid_json"),
        (b'{"a": "\x00"}', "invalid_json"),
        (b'{"a": "\\\\\\u0000"}', "nul_character"),
    ],
)
def test_more_that_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(Poison) as caught:
        strict_json(body)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "value",
    [
        {"a": "\\u0000 as text"},
        ["[{" * 100, '"]}\\'],
        [[{"a": i}] for i in range(100)],
        123_456_789_012_345_678,
        1e300,
        "emoji 🙂 and \u202e",
    ],
)
def test_what_is_plain_json_passes(value: object) -> None:
    assert strict_json(json.dumps(value).encode()) == value


def test_as_deep_as_allowed_passes() -> None:
    check_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    check_json(b'{"a":' * DEPTH_MAX + b"1" + b"}" * DEPTH_MAX)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('ab{}[]":\\é\n'),
        lambda inner: (
            st.lists(inner, max_size=5) | st.dictionaries(st.text('ab\\"'), inner, max_size=5)
        ),
        max_leaves=80,
    )
)
def test_any_plain_value_comes_back_as_it_went_in(value: object) -> None:
    assert strict_json(json.dumps(value).encode()) == value


async def test_a_body_that_does_not_fit_is_told_without_repeating_it(
    client: httpx.AsyncClient,
) -> None:
    body = {"subject": "x" * 51, "person": {"email": "ana@example.org"}, "assignee": "me"}
    answer = await client.post("/v1/things/7", json=body)
    problem = _problem(answer, 422, "invalid_body")
    assert {(e["place"], e["type"]) for e in problem["errors"]} == {
        ("subject", "string_too_long"),
        ("person.id", "missing"),
        ("assignee", "extra_forbidden"),
    }
    assert "xxxx" not in answer.text
    assert "ana@example.org" not in answer.text


async def test_a_thousand_errors_are_counted_but_not_listed(client: httpx.AsyncClient) -> None:
    body = {"subject": "a", "person": {"id": "1"}, "tags": [1] * 300}
    problem = _problem(await client.post("/v1/things/7", json=body), 422, "invalid_body")
    assert len(problem["errors"]) == 50
    assert problem["errors_total"] == 300


@pytest.mark.parametrize("sent_as", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_only_what_is_sent_as_json_is_read(client: httpx.AsyncClient, sent_as: str) -> None:
    answer = await client.post("/v1/things/7", content=b"{}", headers={"content-type": sent_as})
    _problem(answer, 415, "unsupported_media_type")


async def test_a_body_over_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/things/7", content=b" " * (LIMIT + 1), headers=JSON)
    assert _problem(answer, 413, "body_too_large")["limit_bytes"] == LIMIT


async def test_a_body_without_a_length_is_counted(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * (LIMIT // 4)

    answer = await client.post("/v1/things/7", content=chunks(), headers=JSON)
    _problem(answer, 413, "body_too_large")


async def test_single_paths_may_take_more(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/large", content=b" " * (LIMIT * 5))
    assert answer.json() == LIMIT * 5


async def test_the_three_families_of_failure(client: httpx.AsyncClient) -> None:
    rejected = await client.get("/v1/raises/rejected")
    assert _problem(rejected, 412, "stale_version")["current_sequence"] == 7
    transient = await client.get("/v1/raises/transient")
    _problem(transient, 503, "database_unavailable")
    assert transient.headers["retry-after"] == "1"
    _problem(await client.get("/v1/raises/poison"), 422, "bad_cursor")


async def test_a_bug_is_logged_and_not_shown(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.get("/v1/raises/bug")
    problem = _problem(answer, 500, "internal_error")
    assert "hunter2" not in answer.text
    assert problem["request_id"] in caplog.text


async def test_paths_methods_and_queries_that_do_not_exist(client: httpx.AsyncClient) -> None:
    _problem(await client.get("/v1/nothing"), 404, "no_such_path")
    wrong = await client.delete("/v1/match")
    _problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET"
    problem = _problem(await client.get("/v1/search?limit=x"), 422, "invalid_request")
    assert problem["errors"][0]["place"] == "query.limit"


async def test_a_sane_request_id_is_kept_and_another_is_replaced(
    client: httpx.AsyncClient,
) -> None:
    kept = await client.get("/health/live", headers={"x-request-id": "abc-123_x:9"})
    assert kept.headers["x-request-id"] == "abc-123_x:9"
    for strange in ("short", "x" * 101, "with space in it", "<script>alert(1)"):
        answer = await client.get("/health/live", headers={"x-request-id": strange})
        assert answer.headers["x-request-id"] != strange
        assert len(answer.headers["x-request-id"]) == 24


@pytest.mark.parametrize(
    "actor", ["system", "agent:7", "requester:ana", "service:routing", "import:servicenow"]
)
async def test_actors(client: httpx.AsyncClient, actor: str) -> None:
    body = {"subject": "a", "person": {"id": "1"}}
    answer = await client.post("/v1/things/7", json=body, headers={"x-bitacora-actor": actor})
    assert answer.json()["actor"] == actor


@pytest.mark.parametrize("actor", ["", "agent:", "root", "System", "agent:a\tb", "robot:1"])
async def test_actors_of_another_shape_are_refused(client: httpx.AsyncClient, actor: str) -> None:
    body = {"subject": "a", "person": {"id": "1"}}
    answer = await client.post("/v1/things/7", json=body, headers={"x-bitacora-actor": actor})
    _problem(answer, 422, "bad_actor")


@pytest.mark.parametrize(("sent", "read"), [('"7"', 7), ('W/"7"', 7), ("7", 7), ("*", None)])
async def test_if_match(client: httpx.AsyncClient, sent: str, read: int | None) -> None:
    answer = await client.get("/v1/match", headers={"if-match": sent})
    assert answer.json() == read


async def test_an_if_match_that_is_no_version_is_refused(client: httpx.AsyncClient) -> None:
    for sent in ('"a"', '"1", "2"', '""', '"-1"'):
        answer = await client.get("/v1/match", headers={"if-match": sent})
        _problem(answer, 422, "bad_if_match")


async def test_health(client: httpx.AsyncClient, desk: Desk) -> None:
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/ready")).json() == {"status": "ready", "reasons": []}
    desk.reasons = ("Kafka is away",)
    answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["Kafka is away"]
    assert (await client.get("/health/live")).status_code == 200


async def test_metrics_know_templates_not_paths(client: httpx.AsyncClient) -> None:
    for thing in ("a", "b", "c"):
        await client.post(f"/v1/things/{thing}", json={"subject": "a", "person": {"id": "1"}})
    await client.get("/v1/nothing-of-the-kind")
    text = (await client.get("/metrics")).text
    count = "bitacora_http_request_seconds_count"
    assert f'{count}{{method="POST",route="/v1/things/{{thing_id}}",status="201"}} 3.0' in text
    assert f'{count}{{method="GET",route="other",status="404"}} 1.0' in text
    assert "nothing-of-the-kind" not in text


def test_the_body_and_the_path_are_documented(app: FastAPI) -> None:
    operation = app.openapi()["paths"]["/v1/things/{thing_id}"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["subject", "person"]
    assert schema["properties"]["person"]["required"] == ["id"]
    assert schema["additionalProperties"] is False
    assert [p["name"] for p in operation["parameters"]] == ["thing_id"]
    assert "application/problem+json" in operation["responses"]["default"]["content"]

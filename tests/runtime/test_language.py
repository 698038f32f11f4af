"""Schemas and the AsyncAPI document by URL, as every service serves them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from libs.events import encode_event
from libs.events.asyncapi import DOCUMENT
from libs.events.generate import SCHEMAS
from libs.runtime.http import create_http_app
from tests.runtime.streams import stream

CREATED = "bitacora.TicketCreated.v1"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> list[str]:
        return []

    transport = httpx.ASGITransport(create_http_app("Test", readiness=ready))
    async with httpx.AsyncClient(transport=transport, base_url="http://desk") as client:
        yield client


async def test_the_uri_that_a_message_carries_resolves(client: httpx.AsyncClient) -> None:
    (event,) = stream("t", 1)
    _, _, headers = encode_event(event)
    uri = dict(headers)["ce_dataschema"].decode()
    answer = await client.get(f"/schemas/{uri}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.json()["$id"] == uri
    for name in (CREATED, f"{CREATED}.json"):
        assert (await client.get(f"/schemas/{name}")).content == answer.content


async def test_every_schema_is_listed_and_served(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/schemas")).json()["schemas"]
    assert {row["type"] for row in listed} == {path.stem for path in SCHEMAS.glob("*.json")}
    for row in listed:
        served = (await client.get(row["url"])).json()
        assert served == json.loads((SCHEMAS / f"{row['type']}.json").read_text("utf-8"))
        assert served["$id"] == row["dataschema"]


async def test_the_asyncapi_document_is_served(client: httpx.AsyncClient) -> None:
    answer = await client.get("/asyncapi.json")
    assert answer.content == DOCUMENT.read_bytes()
    assert answer.headers["content-type"] == "application/vnd.aai.asyncapi+json;version=3.0.0"


@pytest.mark.parametrize("path", [f"/schemas/{CREATED}.json", "/schemas", "/asyncapi.json"])
async def test_a_reader_that_has_it_already_gets_304(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    assert first.headers["cache-control"] == "public, max-age=3600"
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["bitacora.TicketCreatd.v1", "bitacora.TicketCreated.v9.json", "..%2Fregistry.py", "%00", "é"],
)
async def test_a_schema_that_is_not_there(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/schemas/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] in {"unknown_schema", "no_such_path"}
    if "Created.v9" in name or "Creatd" in name:
        assert f"did you mean {CREATED}?" in problem["detail"]


async def test_they_are_documented(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"/schemas", "/schemas/{name}", "/asyncapi.json"} <= paths.keys()

"""The published language by URL: every service serves its schemas and the AsyncAPI document.

`/schemas/NAME` takes a type (`bitacora.TicketCreated.v1`), its file (`….json`), or the URI that a
message carries in `ce_dataschema`, as it is. A schema may gain optional fields under the same name,
so answers are not called immutable: they are fresh for an hour and have an ETag.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from functools import cache
from hashlib import sha256
from typing import Final

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from libs.events.asyncapi import DOCUMENT
from libs.events.generate import SCHEMAS
from libs.events.headers import SCHEMA_BASE
from libs.runtime.errors import Rejected

CACHE: Final = "public, max-age=3600"
SCHEMA_TYPE: Final = "application/schema+json"
ASYNCAPI_TYPE: Final = "application/vnd.aai.asyncapi+json;version=3.0.0"


@dataclass(frozen=True, slots=True)
class Document:
    content: bytes
    etag: str


def add_language(app: FastAPI) -> None:
    """Add `/schemas`, `/schemas/NAME` and `/asyncapi.json` to an app."""
    tags: list[str | Enum] = ["language"]

    @app.get("/asyncapi.json", tags=tags, summary="All topics and messages, as AsyncAPI 3.0.")
    async def asyncapi(request: Request) -> Response:
        return _answer(request, _asyncapi(), ASYNCAPI_TYPE)

    @app.get("/schemas", tags=tags, summary="Every type of event and command, and its schema.")
    async def listed(request: Request) -> Response:
        return _answer(request, _index(), "application/json")

    @app.get("/schemas/{name}", tags=tags, summary="One type's JSON Schema.")
    async def schema(request: Request, name: str) -> Response:
        return _answer(request, _schema(name), SCHEMA_TYPE)


def _schema(name: str) -> Document:
    known = _schemas()
    wanted = name.removeprefix(SCHEMA_BASE).removesuffix(".json")
    document = known.get(wanted)
    if document is None:
        near = get_close_matches(wanted[:200], known, n=1)
        hint = f"did you mean {near[0]}?" if near else "GET /schemas lists them"
        raise Rejected("unknown_schema", f"there is no schema {name[:200]!r}; {hint}", status=404)
    return document


@cache
def _schemas() -> dict[str, Document]:
    return {
        path.name.removesuffix(".json"): _document(path.read_bytes())
        for path in sorted(SCHEMAS.glob("*.json"))
    }


@cache
def _asyncapi() -> Document:
    return _document(DOCUMENT.read_bytes())


@cache
def _index() -> Document:
    rows = [
        {"type": name, "dataschema": SCHEMA_BASE + name, "url": f"/schemas/{name}.json"}
        for name in _schemas()
    ]
    return _document(to_json({"schemas": rows}))


def _document(content: bytes) -> Document:
    return Document(content, f'"{sha256(content).hexdigest()[:32]}"')


def _answer(request: Request, document: Document, media_type: str) -> Response:
    headers = {"ETag": document.etag, "Cache-Control": CACHE}
    known = request.headers.get("if-none-match", "")
    if document.etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(document.content, headers=headers, media_type=media_type)

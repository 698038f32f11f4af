"""The HTTP app of a service: one factory, and what endpoints need.

A write endpoint reads::

    router = APIRouter(route_class=LeanRoute)

    @router.post("/v1/tickets", status_code=201, openapi_extra=takes(CreateTicket))
    async def create(request: Request) -> Response:
        actor = actor_of(request)
        command = await body_of(request, CreateTicket)
        ...
        return json_response({"id": id_, "sequence": 1}, 201, {"ETag": '"1"'})

`LeanRoute` hands the request straight to the endpoint: FastAPI documents it, but its dependency
machinery does not run. Read endpoints with query parameters are ordinary FastAPI ones.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from libs.runtime.edge import Edge
from libs.runtime.errors import Failure, Poison
from libs.runtime.language import add_language
from libs.runtime.metrics import Metrics
from libs.runtime.problem import InvalidBody, add_problem_handlers
from libs.runtime.strict_json import check_json, strict_json

__all__ = [
    "BODY_LIMIT_BYTES",
    "LeanRoute",
    "actor_of",
    "body_of",
    "check_actor",
    "check_json",
    "create_http_app",
    "if_match_of",
    "json_body_of",
    "json_response",
    "strict_json",
    "takes",
]

BODY_LIMIT_BYTES: Final = 1_048_576
BODY_TIMEOUT_S: Final = 30.0
_ACTOR: Final = re.compile(
    r"^(?:system|(?:agent|requester|service|import):[^\x00-\x1f\x7f]{1,200})\Z"
)
_JSON_TYPE: Final = re.compile(r"^application/(?:[\w.+-]+\+)?json\s*(?:;|$)", re.IGNORECASE)
_ETAG: Final = re.compile(r'^(?:W/)?"([0-9]{1,18})"$|^([0-9]{1,18})$')
_PATH_PARAMETER: Final = re.compile(r"{(\w+)(?::(\w+))?}")

PROBLEM: Final[dict[str, Any]] = {
    "description": "What went wrong, with a stable code (RFC 9457).",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail", "code", "request_id"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "code": {"type": "string"},
                    "request_id": {"type": "string"},
                },
            }
        }
    },
}
"""How errors are documented in OpenAPI."""

M = TypeVar("M", bound=BaseModel)
Readiness = Callable[[], Awaitable[list[str]]]


def create_http_app(
    title: str,
    *,
    readiness: Readiness,
    metrics: Metrics | None = None,
    body_limit_bytes: int = BODY_LIMIT_BYTES,
    body_limits: Mapping[str, int] | None = None,
    access_log: bool = False,
    description: str = "",
    version: str = "1",
) -> FastAPI:
    """The app with errors as problem+json, `/health/live`, `/health/ready`, `/metrics`, and the
    published language at `/schemas` and `/asyncapi.json`.

    `readiness` answers with the reasons why the service is not ready (empty: it is). `body_limits`
    gives exact paths another limit in bytes, and so does `app.state.body_limits[path] = bytes`
    later. The metrics are at `app.state.metrics`.
    """
    own_metrics = metrics or Metrics()
    limits = dict(body_limits or {})
    edge = Middleware(
        Edge,
        metrics=own_metrics,
        limit=body_limit_bytes,
        limits=limits,
        access_log=access_log,
    )
    app = FastAPI(
        title=title,
        description=description,
        version=version,
        middleware=[edge],
        responses={422: PROBLEM, "default": PROBLEM},
    )
    app.state.metrics = own_metrics
    app.state.body_limits = limits
    add_problem_handlers(app)
    _add_health(app, readiness, own_metrics)
    add_language(app)
    return app


class LeanRoute(APIRoute):
    """A route whose endpoint takes the request and answers with a Response, and nothing else.

    Path parameters are documented as text; read them with `request.path_params`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        extra = dict(options.pop("openapi_extra", None) or {})
        named = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "integer" if kind == "int" else "string"},
            }
            for name, kind in _PATH_PARAMETER.findall(path)
        ]
        extra["parameters"] = named + list(extra.get("parameters", ()))
        super().__init__(path, endpoint, openapi_extra=extra, **options)

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler: Callable[[Request], Any] = self.endpoint
        return handler


def takes(model: type[BaseModel], **extra: Any) -> dict[str, Any]:
    """`openapi_extra` that documents `model` as the body of an endpoint; `extra` is merged in."""
    _, definitions = models_json_schema([(model, "validation")])
    known = definitions.get("$defs", {})
    schema = _inlined({"$ref": f"#/$defs/{model.__name__}"}, known, ())
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"requestBody": body, **extra}


def _inlined(node: Any, known: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    """`node` with its references replaced by what they name."""
    if isinstance(node, list):
        return [_inlined(part, known, inside) for part in node]
    if not isinstance(node, dict):
        return node
    name = str(node.get("$ref", "")).removeprefix("#/$defs/")
    if name in known:
        if name in inside:
            return {"type": "object", "description": f"{name}, nested"}
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return {**_inlined(known[name], known, (*inside, name)), **rest}
    return {key: _inlined(value, known, inside) for key, value in node.items()}


async def body_of(request: Request, model: type[M]) -> M:
    """The request's body as `model`.

    Raises Poison when it is not strict JSON (422), not sent as JSON, or too slow, and InvalidBody
    (422 with the list of errors) when it does not fit the model.
    """
    body = await json_body_of(request)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidBody.of(error) from None


async def json_body_of(request: Request) -> bytes:
    """The request's body, checked to be strict JSON. Raises Poison."""
    sent_as = request.headers.get("content-type", "")
    if not _JSON_TYPE.match(sent_as):
        # Asking for this type also keeps other sites' forms in a browser from posting here.
        raise _refusal(415, "unsupported_media_type", "send the body as application/json")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await request.body()
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_TIMEOUT_S:g} seconds"
        raise _refusal(408, "slow_body", detail) from None
    check_json(body)
    return body


def _refusal(status: int, code: str, detail: str) -> Failure:
    failure = Poison(code, detail)
    failure.status = status
    return failure


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`value` (dicts, lists, pydantic models, times, enums …) as JSON."""
    return Response(to_json(value), status, headers, media_type="application/json")


def actor_of(request: Request) -> str:
    """Who asks: the header `X-Bitacora-Actor`, or `system` without it. Raises Poison.

    The one place that decides it; authentication will put the proven identity here.
    """
    for name, value in request.scope["headers"]:
        if name == b"x-bitacora-actor":
            return check_actor(value.decode("utf-8", "replace"))
    return "system"


def check_actor(text: str) -> str:
    """`text` if it has the shape of an actor. Raises Poison (422, `bad_actor`)."""
    if not _ACTOR.match(text):
        raise Poison(
            "bad_actor",
            "the actor must be agent:ID, requester:ID, service:NAME, import:NAME or system",
        )
    return text


def if_match_of(request: Request) -> int | None:
    """The sequence in the header If-Match (`"7"`), or None without it or for `*`. Raises Poison."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    match = _ETAG.match(text.strip())
    if match is None:
        raise Poison("bad_if_match", 'If-Match must be one ETag as it was given, such as "7"')
    return int(match[1] or match[2])


def _add_health(app: FastAPI, readiness: Readiness, metrics: Metrics) -> None:
    @app.get("/health/live", tags=["health"], summary="Is the process alive?")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/health/ready", tags=["health"], summary="Can the service do its work?")
    async def ready() -> Response:
        reasons = await readiness()
        if reasons:
            return json_response({"status": "not ready", "reasons": reasons}, 503)
        return json_response({"status": "ready", "reasons": []})

    @app.get("/metrics", tags=["health"], summary="Metrics for Prometheus.")
    async def exposition() -> Response:
        page, content_type = metrics.exposition()
        return Response(page, media_type=content_type)

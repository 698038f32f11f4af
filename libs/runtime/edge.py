"""The outermost layer of a service's HTTP: one plain ASGI class, because each layer costs.

For every request: an id, the body limit (also for bodies without Content-Length), the metrics, an
optional access log, and an answer when something unexpected is raised.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from libs.runtime.clock import monotonic_s
from libs.runtime.logs import get_logger
from libs.runtime.metrics import Metrics
from libs.runtime.problem import problem, request_id

log = get_logger(__name__)

_SANE_ID: Final = re.compile(rb"^[A-Za-z0-9._:-]{8,100}$")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CLIENT_GONE: Final = 499
"""Not a status of HTTP: what metrics say when the client hung up before the answer."""


class BodyTooLarge(Exception):
    pass


class Edge:
    """`limits` gives single paths another body limit than `limit` (both in bytes); it is the
    caller's own dictionary, which may still grow."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        limit: int,
        limits: Mapping[str, int],
        access_log: bool,
    ) -> None:
        self._app = app
        self._limit = limit
        self._limits = limits
        self._access_log = access_log
        self._seconds = metrics.http_request_seconds
        self._children: dict[tuple[str, str, int], Any] = {}
        self._templates: dict[int, str] = {}  # by id(route): routes are unhashable, and stay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = monotonic_s()
        given, length, chunked = _headers(scope)
        own_id = given if given is not None else secrets.token_hex(12)
        request_id.set(own_id)
        bind_contextvars(request_id=own_id)
        own_id_header = (b"x-request-id", own_id.encode())
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), own_id_header]
            await send(message)

        limit = self._limits.get(scope["path"], self._limit)
        try:
            if length > limit:
                raise BodyTooLarge
            body = _limited(receive, limit) if chunked else receive
            await self._app(scope, body, answer)
        except BodyTooLarge:
            if not status:
                detail = f"the body is larger than {limit} bytes"
                # What is still on the way is not read: the connection cannot be used again.
                gone = {"Connection": "close"}
                refusal = problem(413, "body_too_large", detail, headers=gone, limit_bytes=limit)
                await refusal(scope, receive, answer)
        except ClientDisconnect:
            status = CLIENT_GONE
        except Exception:
            log.exception("http_error", method=scope["method"], path=scope["path"])
            if status:
                raise  # half an answer is on its way: only closing the connection tells the client
            detail = "something went wrong here; the log has more under this request id"
            await problem(500, "internal_error", detail)(scope, receive, answer)
        finally:
            self._finish(scope, status, monotonic_s() - started_s)

    def _finish(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        template = self._template(scope)
        child = self._children.get((method, template, status))
        if child is None:
            child = self._seconds.labels(method, template, str(status))
            self._children[method, template, status] = child
        child.observe(seconds)
        if self._access_log:
            log.info(
                "http_request",
                method=method,
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 1),
            )

    def _template(self, scope: Scope) -> str:
        """The path with its parameters' names: few values, however many ids there are."""
        route = scope.get("route")
        if not isinstance(route, APIRoute):
            return "other"
        template = self._templates.get(id(route))
        if template is None:
            # A router may have been included under a prefix, which the route itself does not know.
            concrete = route.path_format.format(**scope.get("path_params", {}))
            path = scope["path"]
            prefix = path[: -len(concrete)] if concrete and path.endswith(concrete) else ""
            template = self._templates[id(route)] = prefix + route.path_format
        return template


def _headers(scope: Scope) -> tuple[str | None, int, bool]:
    """(request id if a sane one was sent, Content-Length or 0, is the length unknown)."""
    given, length, chunked = None, 0, True
    for name, value in scope["headers"]:
        if name == b"content-length":
            if value.isdigit():
                length, chunked = int(value[:18]), False
        elif name == b"x-request-id" and _SANE_ID.match(value):
            given = value.decode()
    return given, length, chunked


def _limited(receive: Receive, limit: int) -> Receive:
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > limit:
                raise BodyTooLarge
        return message

    return counted

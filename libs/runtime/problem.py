"""Errors over HTTP: problem details (RFC 9457) with a stable `code` and the request's id.

::

    {"type": "urn:bitacora:problem:stale_version", "title": "Precondition Failed", "status": 412,
     "detail": "…", "code": "stale_version", "request_id": "…", "current_sequence": 7}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from libs.runtime.errors import Failure, Rejected, Transient

CONTENT_TYPE: Final = "application/problem+json"
ERRORS_MAX: Final = 50
"""A body can be wrong in thousands of places; this many are listed."""
TEXT_MAX: Final = 200

_CODES: Final = {
    400: "bad_request",
    404: "no_such_path",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}

_DETAILS: Final = {
    404: "there is nothing at this path",
    405: "this path does not offer that method",
}

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered."""


class InvalidBody(Exception):
    """The body is JSON but not what the endpoint takes: HTTP 422 with a list of what is wrong."""

    def __init__(self, errors: list[ErrorDetails]) -> None:
        super().__init__("the body does not fit the endpoint's contract")
        self.errors = errors

    @classmethod
    def of(cls, error: ValidationError) -> InvalidBody:
        return cls(error.errors(include_url=False, include_context=False, include_input=False))


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **extra: object,
) -> Response:
    """The response for an error. `extra` members go beside the standard ones."""
    content = {
        "type": f"urn:bitacora:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id.get(),
        **extra,
    }
    body = to_json(content, fallback=str)
    return Response(body, status, dict(headers or {}), media_type=CONTENT_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Make `app` answer with problem details to everything that is raised in it."""
    app.add_exception_handler(Failure, _failure)
    app.add_exception_handler(InvalidBody, _invalid_body)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http)


def _failure(_: Request, error: Exception) -> Response:
    error = cast("Failure", error)
    extra = dict(error.extra) if isinstance(error, Rejected) else {}
    headers = {"Retry-After": "1"} if isinstance(error, Transient) else None
    return problem(error.status, error.code, error.detail, headers=headers, **extra)


def _invalid_body(_: Request, error: Exception) -> Response:
    error = cast("InvalidBody", error)
    return _validation("invalid_body", error.errors)


def _invalid_request(_: Request, error: Exception) -> Response:
    error = cast("RequestValidationError", error)
    return _validation("invalid_request", error.errors())


def _validation(code: str, errors: Iterable[Mapping[str, Any]]) -> Response:
    found = list(errors)
    listed = [
        {
            "place": ".".join(str(part)[:TEXT_MAX] for part in error["loc"]) or "the whole body",
            "type": error["type"],
            "message": str(error["msg"])[:TEXT_MAX],
        }
        for error in found[:ERRORS_MAX]
    ]
    if code == "invalid_body" and any(error["type"] == "json_invalid" for error in found):
        return problem(422, "invalid_json", "the body is not JSON", errors=listed)
    first = listed[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    detail = f"{first['place']}: {first['message']}{more}"
    return problem(422, code, detail, errors=listed, errors_total=len(found))


def _http(_: Request, error: Exception) -> Response:
    error = cast("HTTPException", error)
    status = error.status_code
    code = _CODES.get(status, f"http_{status}")
    detail = str(error.detail)
    if detail == HTTPStatus(status).phrase:
        detail = _DETAILS.get(status, detail)
    return problem(status, code, detail, headers=error.headers)

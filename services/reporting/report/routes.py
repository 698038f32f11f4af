"""Figures over HTTP: definitions, reports, the facts behind a figure, saved reports."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from libs.runtime.errors import Poison
from libs.runtime.http import (
    LeanRoute,
    actor_of,
    body_of,
    if_match_of,
    json_response,
    takes,
)
from libs.runtime.store import ServiceStore
from services.reporting.domain import microseconds
from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.domain.metrics import METRICS
from services.reporting.report.ask import Question, instant, question_of
from services.reporting.report.drill import FACTS_MAX, Facts, facts_of
from services.reporting.report.model import Report, ReportQuery
from services.reporting.report.openapi import (
    FACTS_PARAMETERS,
    FORMATS,
    REPORT_PARAMETERS,
    RUN_PARAMETERS,
    answers,
)
from services.reporting.report.output import (
    definition_json,
    dimension_json,
    facts_json,
    report_csv,
    report_json,
    report_parquet,
)
from services.reporting.report.service import Reports, ask
from services.reporting.report.zones import zone_of
from services.reporting.views.saved import (
    Saved,
    delete_saved,
    get_saved,
    list_saved,
    put_saved,
)

_NAME: Final = re.compile(r"[^\x00-\x1f\x7f/]{1,100}\Z")
_FACTS_OWN: Final = ("bucket", "key", "limit", "cursor", "fresh")
_RUN_OWN: Final = ("format", "fresh")
Written = tuple[bytes | str, str]


def report_routes(store: ServiceStore, reports: Reports) -> APIRouter:
    """The routes over one service's facts and saved reports."""
    routes = APIRouter(tags=["figures"], route_class=LeanRoute)
    _definitions(routes)
    _reports(routes, reports)
    _saved(routes, store, reports)
    return routes


def _definitions(routes: APIRouter) -> None:
    @routes.get("/v1/metrics", summary="Every metric: what it is, and how it can be asked for.")
    async def metrics(_request: Request) -> Response:
        return json_response({"metrics": [definition_json(metric) for metric in METRICS.values()]})

    @routes.get("/v1/dimensions", summary="By what figures can be grouped and filtered.")
    async def dimensions(_request: Request) -> Response:
        listed = [dimension_json(dimension) for dimension in DIMENSIONS.values()]
        return json_response({"dimensions": listed})


def _reports(routes: APIRouter, reports: Reports) -> None:
    @routes.get(
        "/v1/report",
        summary="Figures: any metrics, period, zone, groups and filters.",
        openapi_extra={"parameters": REPORT_PARAMETERS, "responses": answers()},
    )
    async def report(request: Request) -> Response:
        given = request.query_params.multi_items()
        question = question_of(given, more=("format", "fresh"))
        write = _format(request)
        await _be_fresh(request, reports)
        return await _answer(reports, question.query(_now(reports)), write)

    @routes.get(
        "/v1/report/facts",
        summary="The facts behind one figure, as many as its `facts` says.",
        openapi_extra={"parameters": FACTS_PARAMETERS},
    )
    async def facts(request: Request) -> Response:
        given = request.query_params.multi_items()
        question = question_of(given, more=_FACTS_OWN)
        query = question.query(_now(reports))
        bucket = request.query_params.get("bucket")
        bucket_us = None if not bucket else instant(bucket, zone_of(query.zone), "bucket")
        keys = tuple(value or None for name, value in given if name == "key")
        limit = _limit(request.query_params.get("limit", "100"))
        after = request.query_params.get("cursor")
        await _be_fresh(request, reports)

        def find(cursor: Any, known: Any) -> Facts:
            return facts_of(
                cursor, query, known, bucket_us=bucket_us, keys=keys, limit=limit, after=after
            )

        found = await ask(reports.facts, find, query=query, clock=reports.clock)
        return json_response(facts_json(found))


def _saved(routes: APIRouter, store: ServiceStore, reports: Reports) -> None:
    @routes.get("/v1/reports", summary="The saved reports, by name.")
    async def listed(_request: Request) -> Response:
        return json_response({"reports": [r.json() for r in await store.read(list_saved)]})

    @routes.get("/v1/reports/{name}", summary="A saved report; its ETag is its version.")
    async def one(request: Request) -> Response:
        name = _name(request)
        return _with_tag(await store.read(lambda c: get_saved(c, name)))

    @routes.put(
        "/v1/reports/{name}",
        summary="Save a report under a name.",
        openapi_extra=takes(Question, responses={"201": {"description": "It is new."}}),
    )
    async def save(request: Request) -> Response:
        """With If-Match only if nobody has changed it since (412, `stale_version`)."""
        name, actor, expected = _name(request), actor_of(request), if_match_of(request)
        question = await body_of(request, Question)
        now_us = _now(reports)
        question.query(now_us)
        kept = question.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        saved, is_new = await store.write(
            lambda c, _: put_saved(c, name, kept, expected=expected, now_us=now_us, actor=actor)
        )
        return _with_tag(saved, 201 if is_new else 200)

    @routes.delete("/v1/reports/{name}", status_code=204, summary="Forget a saved report.")
    async def forget(request: Request) -> Response:
        name, expected = _name(request), if_match_of(request)
        await store.write(lambda c, _: delete_saved(c, name, expected=expected))
        return Response(status_code=204)

    @routes.get(
        "/v1/reports/{name}/run",
        summary="The answer to a saved report, as of now.",
        openapi_extra={"parameters": RUN_PARAMETERS, "responses": answers()},
    )
    async def run(request: Request) -> Response:
        name = _name(request)
        for parameter in request.query_params:
            if parameter not in _RUN_OWN:
                raise Poison(
                    "unknown_parameter",
                    f"there is no parameter {parameter[:100]!r}; there are {', '.join(_RUN_OWN)}: "
                    "what is asked is what was saved",
                )
        write = _format(request)
        await _be_fresh(request, reports)
        saved = await store.read(lambda c: get_saved(c, name))
        question = Question.model_validate(saved.question)
        return await _answer(reports, question.query(_now(reports)), write)


async def _answer(
    reports: Reports, query: ReportQuery, write: Callable[[Report], Awaitable[Written]]
) -> Response:
    report = await reports.get(query)
    body, kind = await write(report)
    return Response(body, media_type=kind)


def _format(request: Request) -> Callable[[Report], Awaitable[Written]]:
    given = [v for name, v in request.query_params.multi_items() if name == "format"] or ["json"]
    if len(given) > 1:
        raise Poison("twice", "the parameter format is given twice: give it once")
    if given[0] not in FORMATS:
        raise Poison(
            "unknown_format",
            f"there is no format {given[0][:100]!r}; there are {', '.join(FORMATS)}",
        )
    kind = FORMATS[given[0]]

    async def write(report: Report) -> Written:
        # In a thread: an answer may have tens of thousands of cells.
        return await asyncio.to_thread(_WRITERS[given[0]], report), kind

    return write


_WRITERS: Final[dict[str, Callable[[Report], bytes | str]]] = {
    "json": lambda report: orjson.dumps(report_json(report)),
    "csv": report_csv,
    "parquet": report_parquet,
}


async def _be_fresh(request: Request, reports: Reports) -> None:
    wanted = request.query_params.get("fresh", "false")
    if wanted not in ("true", "false"):
        raise Poison("bad_parameter", "fresh: give true or false")
    if wanted == "true":
        await reports.facts.fresh()


def _limit(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= FACTS_MAX:
        return int(text)
    raise Poison("bad_parameter", f"limit: give a whole number from 1 to {FACTS_MAX:,}")


def _now(reports: Reports) -> int:
    return microseconds(reports.clock.now())


def _name(request: Request) -> str:
    name = str(request.path_params["name"])
    if not _NAME.match(name):
        raise Poison("bad_name", "a name has 1 to 100 characters, no / and no control characters")
    return name


def _with_tag(saved: Saved, status: int = 200) -> Response:
    return json_response(saved.json(), status, {"ETag": f'"{saved.version}"'})

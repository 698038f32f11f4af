"""What reporting's API answers, in the words of the comparison."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from bench.equality.compare import Cells, Fact
from bench.equality.desk import Desk
from bench.equality.plain.answers import Question
from bench.equality.plain.buckets import Key
from bench.equality.questions import Asked
from libs.events import parse_time

PAGE: Final = 1_000


async def report(desk: Desk, asked: Asked) -> Cells:
    """The cells of one report. Raises RuntimeError when the API refuses."""
    parameters = _parameters(asked.question) | {
        "metrics": ",".join(asked.metrics),
        "aggregates": ",".join(asked.aggregates),
    }
    found = await desk.get("/v1/report", **parameters)
    return [
        (key, cell["metric"], cell["aggregate"], cell["value"], cell["facts"])
        for row in found["rows"]
        for key in (_key(row),)
        for cell in row["cells"]
    ]


async def facts(
    desk: Desk,
    metric: str,
    question: Question,
    names: Mapping[str, str],
    *,
    business: bool = False,
) -> AsyncIterator[Fact]:
    """Every fact behind one figure, by drilling down page by page. `names`: ticket id → its name in
    the log. Raises RuntimeError when the API refuses, and when the pages are not as many facts as said."""
    parameters: dict[str, Any] = _parameters(replace(question, business=business))
    parameters |= {"metrics": metric, "limit": PAGE}
    seen, said = 0, 0
    while True:
        page = await desk.get("/v1/report/facts", **parameters)
        for one in page["facts"]:
            yield names[one["ticket_id"]], _us(one["at"]), one["value"]
        seen, said = seen + len(page["facts"]), page["total"]
        if page["next"] is None:
            break
        parameters["cursor"] = page["next"]
    if seen != said:
        raise RuntimeError(f"{metric}: {said} facts are said, {seen} are listed")


def _parameters(question: Question) -> dict[str, str]:
    return {
        "from": _instant(question.start),
        "to": _instant(question.end),
        "zone": question.zone,
        "granularity": question.granularity,
        "by": ",".join(question.by),
        "time": "business" if question.business else "calendar",
    }


def _key(row: Mapping[str, Any]) -> Key:
    bucket = row["bucket"]
    start = None if bucket is None else _us(bucket) // 1_000_000
    return (start, *row["keys"].values())


def _us(text: str) -> int:
    since = parse_time(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

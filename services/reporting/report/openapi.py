"""How the parameters of reports are documented in OpenAPI: made from the definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.domain.metrics import METRICS
from services.reporting.report.drill import FACTS_MAX
from services.reporting.report.model import Aggregate, Granularity, TimeKind

Parameter = dict[str, Any]

FORMATS: Final = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


def _one(name: str, about: str, schema: Parameter, example: Any = None) -> Parameter:
    made = {"name": name, "in": "query", "description": about, "schema": schema}
    return made if example is None else {**made, "example": example}


def _list(
    name: str, about: str, words: Sequence[str], example: list[str], *, required: bool = False
) -> Parameter:
    items: Parameter = {"type": "string"}
    if words:
        items["enum"] = list(words)
    return {
        "name": name,
        "in": "query",
        "description": about,
        "required": required,
        "style": "form",
        "explode": False,
        "schema": {"type": "array", "items": items, **({"minItems": 1} if required else {})},
        "example": example,
    }


_TEXT: Final = {"type": "string"}

_ASKED: Final = [
    _list(
        "metrics", "Names from /v1/metrics.", list(METRICS), ["created", "solved"], required=True
    ),
    _one(
        "from",
        "Included: a date, which begins at midnight in the zone, or an instant with its offset. "
        "Without it from the first fact.",
        _TEXT,
        "2026-03-01",
    ),
    _one("to", "Not included; as `from`. Without it to the last fact.", _TEXT, "2026-04-01"),
    _one(
        "last",
        "Instead of from and to: so many hours, days, weeks, months or years by the calendar of the "
        "zone, the present one included: 24h, 7d, 4w, 12m, 1y.",
        {"type": "string", "pattern": "^[1-9][0-9]{0,3}[hdwmy]$"},
    ),
    _one(
        "zone", "IANA time zone, in which days begin.", {**_TEXT, "default": "UTC"}, "Europe/Madrid"
    ),
    _one(
        "granularity",
        "One row per …; weeks begin on Monday.",
        {"type": "string", "enum": list(get_args(Granularity)), "default": "none"},
        "week",
    ),
    _list("by", "Group by dimensions, two at most.", list(DIMENSIONS), ["channel"]),
    _list("aggregates", "Instead of each metric's own.", list(get_args(Aggregate)), ["p50", "p90"]),
    _one(
        "time",
        "Durations in calendar or in business time; metrics without business time stay in calendar time.",
        {"type": "string", "enum": list(get_args(TimeKind)), "default": "calendar"},
    ),
    _one(
        "compare",
        "Also the period of the same length before.",
        {"type": "string", "enum": ["previous"]},
    ),
    _one("as_recorded_at", "As the desk knew it at that instant.", _TEXT),
]

_FILTERS: Final = [
    _list(
        name,
        f"Filter: {dimension.about} Any of the values; an empty one stands for none.",
        (),
        [dimension.values[0] if dimension.values else "a"],
    )
    for name, dimension in DIMENSIONS.items()
]
for _filter in _FILTERS:
    del _filter["example"]  # documentation tools would fill all of them in

_FORMAT: Final = _one(
    "format", "Of the answer.", {"type": "string", "enum": list(FORMATS), "default": "json"}
)

_FRESH: Final = _one(
    "fresh",
    "Wait, two seconds at most, until the figures hold all that the service has applied by now. "
    "Without it they may be some tenths of a second older.",
    {"type": "string", "enum": ["true", "false"], "default": "false"},
)

REPORT_PARAMETERS: Final = [*_ASKED, _FORMAT, _FRESH, *_FILTERS]
RUN_PARAMETERS: Final = [_FORMAT, _FRESH]
FACTS_PARAMETERS: Final = [
    *(part for part in _ASKED if part["name"] not in ("aggregates", "compare")),
    _one("bucket", "The row's `bucket`, when there is a granularity.", _TEXT),
    {
        "name": "key",
        "in": "query",
        "description": "The row's keys, once for each dimension in `by`; empty for none.",
        "style": "form",
        "explode": True,
        "schema": {"type": "array", "items": _TEXT},
    },
    _one(
        "limit",
        "Of facts on a page.",
        {"type": "integer", "minimum": 1, "maximum": FACTS_MAX, "default": 100},
    ),
    _one("cursor", "`next` of the page before.", _TEXT),
    _FRESH,
    *_FILTERS,
]


def answers() -> Parameter:
    """The answer in each of its formats."""
    schema = {"type": "object", "required": ["query", "rows", "stamp"], "properties": {}}
    return {
        "200": {
            "description": "The figures. Empty buckets are there: counts and sums with 0, others "
            "without a value.",
            "content": {
                "application/json": {"schema": schema, "example": _EXAMPLE},
                "text/csv": {"schema": _TEXT},
                FORMATS["parquet"]: {"schema": {"type": "string", "format": "binary"}},
            },
        }
    }


_EXAMPLE: Final = {
    "query": {"metrics": ["created"], "granularity": "month", "by": ["channel"]},
    "from": "2026-03-01T00:00:00Z",
    "to": "2026-04-01T00:00:00Z",
    "stamp": 1,
    "rows": [
        {
            "bucket": "2026-03-01T00:00:00Z",
            "bucket_local": "2026-03-01T00:00:00+00:00",
            "keys": {"channel": "chat"},
            "cells": [{"metric": "created", "aggregate": "count", "value": 12, "facts": 12}],
        }
    ],
}

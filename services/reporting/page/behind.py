"""The addresses of what stands behind figures: the page that lists the facts, and the same as data."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from services.reporting.domain import words
from services.reporting.page.asking import Answer, Keys
from services.reporting.page.view import View
from services.reporting.report.model import Cell, ReportQuery

PATH: Final = "/facts"
REPORT: Final = "/v1/report"


def tickets_behind(
    answer: Answer, cell: Cell, view: View, keys: Keys = (), bucket_us: int | None = None
) -> str:
    """Where the facts of a figure are listed; "" when it has none."""
    if not cell.facts:
        return ""
    question = answer.question(cell.metric)
    start_us, end_us = answer.period(bucket_us)
    filters = dict(question.filters)
    for dimension, key in zip(question.by, keys, strict=True):
        filters[dimension] = ("" if key is None else key,)
    given: dict[str, Any] = {
        "metrics": cell.metric,
        "from": words(start_us),
        "to": words(end_us),
        **({"zone": view.zone} if view.zone != "UTC" else {}),
        **({"time": view.time} if view.time != "calendar" else {}),
        **_escaped(filters),
    }
    return f"{PATH}?{urlencode(given, doseq=True)}"


def as_csv(question: ReportQuery) -> str:
    """The address of a question's answer as CSV."""
    given: dict[str, Any] = {
        "metrics": ",".join(question.metrics),
        "from": words(question.start_us),
        "to": words(question.end_us),
        "zone": question.zone,
        "granularity": question.granularity,
        "by": ",".join(question.by),
        "aggregates": ",".join(question.aggregates),
        "time": question.time,
        "compare": "previous" if question.compare else None,
    }
    given = {name: value for name, value in given.items() if value}
    parameters = {**given, **_escaped(dict(question.filters)), "format": "csv"}
    return f"{REPORT}?{urlencode(parameters, doseq=True)}"


def _escaped(filters: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """A comma separates values unless a backslash stands before it."""
    return {
        name: [value.replace("\\", "\\\\").replace(",", "\\,") for value in values]
        for name, values in filters.items()
    }

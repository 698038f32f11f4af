"""The definitions agree with each other, with the fact tables, with the events and with their page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from libs.events import EVENTS
from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.domain.metrics import (
    GROUPS_OF_METRICS,
    METRICS,
    Aggregate,
    aggregates_of,
    defaults_of,
)
from services.reporting.facts.tables import TABLES
from services.reporting.reference import PAGE, is_stale, reference_page
from services.reporting.report.ask import MANY, ONE
from services.reporting.report.check import dimensions_of
from services.reporting.report.engine import look, run
from services.reporting.report.model import ReportQuery
from tests.reporting.fact_rows import MadeFacts


@pytest.fixture(scope="module")
def facts() -> Iterator[MadeFacts]:
    made = MadeFacts()
    yield made
    made.close()


def test_names_are_unique_and_no_dimension_is_called_like_a_parameter() -> None:
    listed = [metric.name for metrics in GROUPS_OF_METRICS.values() for metric in metrics]
    assert len(listed) == len(set(listed)) == len(METRICS)
    titles = [metric.title for metric in METRICS.values()]
    assert len(titles) == len(set(titles))
    own = {*MANY, *ONE, "format", "metric", "bucket", "key", "limit", "cursor"}
    assert not own & set(DIMENSIONS)


@pytest.mark.parametrize("name", METRICS)
def test_a_definition_is_complete(name: str) -> None:
    metric = METRICS[name]
    known = {type_name for type_name, _ in EVENTS.classes()}
    assert metric.events
    for event in metric.events:
        assert f"bitacora.{event}.v1" in known, event
    assert metric.source in TABLES
    assert metric.title
    assert metric.formula.endswith(".")
    assert not metric.edges or metric.edges.endswith(".")
    assert set(defaults_of(metric)) <= set(aggregates_of(metric)) <= set(get_args(Aggregate))
    assert set(metric.dimensions) <= set(DIMENSIONS)
    assert bool(metric.value) is (metric.kind not in ("count", "level"))
    assert not metric.business or metric.value.endswith("_s")


@pytest.mark.parametrize("name", METRICS)
def test_its_sql_fits_the_fact_tables_by_every_dimension(facts: MadeFacts, name: str) -> None:
    metric = METRICS[name]
    with facts.reading() as reading:
        known = look(reading.cursor, stamp=1, recorded_us=None, now_us=None)
        for dimension in dimensions_of(metric):
            values = DIMENSIONS[dimension].values or ("a",)
            query = ReportQuery(
                metrics=(name,),
                start_us=0,
                end_us=200_000_000_000,
                granularity="day",
                by=(dimension,),
                filters=((dimension, (values[0], "")),),
                aggregates=aggregates_of(metric),
                time="business",
            )
            report = run(reading.cursor, query, known)
            complete = DIMENSIONS[dimension].complete
            assert len(report.rows) == (3 * len(values) if complete else 0)


def test_every_dimension_belongs_to_some_metric() -> None:
    used = {name for metric in METRICS.values() for name in dimensions_of(metric)}
    assert used == set(DIMENSIONS)


def test_the_page_is_what_the_definitions_say() -> None:
    assert not is_stale(), "run `python -m services.reporting.reference`"
    assert PAGE.read_text("utf-8") == reference_page()

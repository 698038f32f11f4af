"""Every figure by the services and by pandas from the file: equal, ticket by ticket and in total."""

from __future__ import annotations

import asyncio
import json
import os
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from bench.equality.compare import Tally, compare_cells, compare_facts, facts_of, same
from bench.equality.logs import NOT_IN_THE_LOGS, Source, data_folder, sources
from bench.equality.page import BEGIN, END, Found, table, write
from bench.equality.plain.answers import Question, answer
from bench.equality.plain.measures import Measure
from bench.equality.run import compare
from bench.harness import ROOT
from cli.output import progress
from services.reporting.domain.metrics import METRICS

PAGE = ROOT / "docs" / "reference" / "equality.md"
WHOLE = sources(sample=False)


def compared(source: Source) -> Found:
    told: list[str] = []
    found = asyncio.run(compare(source, tell=told.append, progress=progress))
    different = {
        name: tally.differences[:3] for name, tally in found.tallies.items() if tally.different
    }
    assert not different, different
    assert not found.problems
    assert found.equal
    assert set(METRICS) == found.tallies.keys() | NOT_IN_THE_LOGS.keys()
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_sample_is_equal() -> None:
    found = compared(sources(sample=True)[0])
    assert (found.tickets, found.events) == (300, 2_215)
    assert found.tallies["reopened"].facts == 70
    assert found.tallies["group_changes"].facts == 473
    assert all(tally.cells for tally in found.tallies.values())
    assert "equal" in json.dumps(found.as_json())


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.skipif(
    not os.environ.get("BITACORA_TEST_WHOLE"),
    reason="takes minutes for each log: `make equality` runs it",
)
@pytest.mark.skipif(not WHOLE, reason=f"no whole log in {data_folder()}: set BITACORA_TEST_DATA")
@pytest.mark.parametrize("source", WHOLE, ids=lambda source: str(source.name))
def test_a_whole_log_is_equal(source: Source) -> None:
    found = compared(source)
    created = {"incidents": 24_918, "helpdesk": 4_580}[source.name]
    reopened = {"incidents": 331, "helpdesk": 161}[source.name]
    assert found.tallies["created"].facts == created
    assert found.tallies["reopened"].facts == reopened


# ------------------------------------------------------------------------ the comparison itself


def measure(kind: str = "count") -> Measure:
    facts = pd.DataFrame({"case": ["a", "a", "b"], "at": [10, 20, 30], "value": [1, 0, 5]})
    return Measure("m", kind, facts)


QUESTION = Question(0, 100, "UTC")


@pytest.mark.parametrize(
    ("value", "wanted", "equal"),
    [
        (3, 3, True),
        (3, 4, False),
        (None, None, True),
        (0, None, False),
        (1 / 3, Fraction(1, 3), True),
        (0.3333, Fraction(1, 3), False),
        (2.0, Fraction(2), True),
    ],
)
def test_a_value_is_exactly_the_wanted_one_or_it_is_not(
    value: float | None, wanted: Fraction | None, equal: bool
) -> None:
    assert same(value, wanted, 9) is equal


def test_a_missing_a_wrong_and_a_surplus_figure_are_found() -> None:
    expected = {"m": answer(measure(), QUESTION)}
    good = [((None,), "m", "count", 3, 3)]
    for cells, different in (
        (good, 0),
        ([], 1),
        ([((None,), "m", "count", 2, 3)], 1),
        ([((None,), "m", "count", 3, 2)], 1),
        ([*good, ((7,), "m", "count", 1, 1)], 1),
    ):
        tally = Tally("m")
        compare_cells({"m": tally}, "whole", cells, expected)
        assert tally.different == different
        assert tally.equal is (different == 0)


def test_tickets_that_differ_are_named() -> None:
    wanted = facts_of(measure("distribution"), QUESTION)
    tally = Tally("m")
    compare_facts(tally, [wanted[2], wanted[0], ("a", 20_000_000, 7)], wanted)
    assert (tally.facts, tally.tickets, tally.different) == (3, 2, 1)
    assert tally.differences == [
        "a: [(10000000, 1), (20000000, 7)], not [(10000000, 1), (20000000, 0)]"
    ]


def test_every_metric_is_compared_or_has_a_reason() -> None:
    assert set(NOT_IN_THE_LOGS) < set(METRICS)


def test_the_table_is_written_between_its_marks(tmp_path: Path) -> None:
    tally = Tally("created", facts=3, tickets=2, cells=4, total="3")
    found = Found("x", "the log", 2, 9, 1, {"created": tally})
    text = table(["created", "ratings"], [found], {"ratings": "no ratings"})
    assert "| `created` | equal | 3 facts of 2 tickets, 4 figures | 3 |" in text
    assert "| `ratings` | not applicable: no ratings | | |" in text
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    write(page, text)
    assert page.read_text("utf-8") == f"before\n{BEGIN}\n{text}\n{END}\nafter\n"
    write(page, BEGIN)
    with pytest.raises(ValueError, match="once"):
        write(page, text)


def test_the_page_has_its_marks() -> None:
    assert all(PAGE.read_text("utf-8").count(mark) == 1 for mark in (BEGIN, END))

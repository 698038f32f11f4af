"""One log, both ways: imported into a whole desk and asked, and read from the file by pandas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from bench.equality import ours
from bench.equality.compare import Tally, compare_cells, compare_facts, facts_of, facts_standing
from bench.equality.desk import Desk, imported
from bench.equality.logs import NOT_IN_THE_LOGS, Plain, Source, plain
from bench.equality.page import Found
from bench.equality.plain.buckets import distribution
from bench.equality.plain.measures import BUSINESS, Measure
from bench.equality.questions import ZONES, Asked, monthly, questions, whole
from bench.harness import workspace
from cli.importing.changes import ticket_id
from cli.output import Ticker

STANDING: Final = ("backlog", "unassigned", "backlog_age")
Progress = Callable[[str], Any]
"""A title → a context with a ticker (`cli.output.progress`)."""


async def compare(source: Source, *, tell: Callable[[str], None], progress: Progress) -> Found:
    """Raises RuntimeError and TimeoutError when the import does not come to its end."""
    tell(f"{source.title}: reading {source.path.name} with pandas")
    mine = await asyncio.to_thread(plain, source)
    with workspace() as directory:
        async with imported(source.arguments, directory, tell) as desk:
            return await compared(source, mine, desk, progress)


async def compared(source: Source, mine: Plain, desk: Desk, progress: Progress) -> Found:
    """The comparison with a desk that has imported the log."""
    tallies = {name: Tally(name) for name in (*mine.measures, *STANDING)}
    asked = list(questions(mine))
    with progress(f"{source.title}: asking the API") as tick:
        await _figures(asked, mine, desk, tallies, tick)
    with progress(f"{source.title}: ticket by ticket") as tick:
        await _facts(source, mine, desk, tallies, tick)
    for name, tally in tallies.items():
        tally.total = _total(mine, name)
    events = int(desk.sent["events"])
    found = Found(source.name, source.title, mine.tickets, events, len(asked), tallies)
    metrics = (await desk.get("/v1/metrics"))["metrics"]
    found.problems = _unstated([metric["name"] for metric in metrics], tallies)
    return found


async def _figures(
    asked: list[Asked], mine: Plain, desk: Desk, tallies: dict[str, Tally], tick: Ticker
) -> None:
    for done, one in enumerate(asked, start=1):
        cells, expected = await asyncio.gather(
            ours.report(desk, one), asyncio.to_thread(one.expected, mine)
        )
        compare_cells(tallies, one.about(), cells, expected)
        tick(done, len(asked))


async def _facts(
    source: Source, mine: Plain, desk: Desk, tallies: dict[str, Tally], tick: Ticker
) -> None:
    cases = mine.measures["created"].facts["case"]
    names = {ticket_id(source.source, case): case for case in cases}
    question = whole(mine, ZONES[0])
    todo = [(name, False) for name in mine.measures] + [(name, True) for name in BUSINESS]
    months = monthly(question)
    for done, (name, business) in enumerate(todo, start=1):
        found = [one async for one in ours.facts(desk, name, question, names, business=business)]
        wanted = facts_of(mine.measures[name], question, business=business)
        compare_facts(tallies[name], found, wanted)
        tick(done, len(todo) + len(months))
    for done, month in enumerate(months, start=len(todo) + 1):
        for name, stretches in (("backlog", mine.backlog), ("unassigned", mine.unassigned)):
            found = [one async for one in ours.facts(desk, name, month, names)]
            compare_facts(tallies[name], found, facts_standing(stretches, month.end))
        tick(done, len(todo) + len(months))


def _unstated(metrics: list[str], tallies: dict[str, Tally]) -> list[str]:
    """Every metric is compared, or there is a reason why it cannot be."""
    return [
        f"{name} is neither compared nor is it said why it cannot be"
        for name in metrics
        if name not in tallies and name not in NOT_IN_THE_LOGS
    ]


def _total(mine: Plain, name: str) -> str:
    if name in STANDING:
        stretches = mine.unassigned if name == "unassigned" else mine.backlog
        return f"{int(stretches['end'].isna().sum()):,} in the end"
    return _total_of(mine.measures[name])


def _total_of(measure: Measure) -> str:
    facts = measure.facts
    if measure.kind == "share" and len(facts):
        part = int(facts["value"].astype(bool).sum())
        return f"{part:,} of {len(facts):,} = {float(Fraction(part, len(facts))):.4f}"
    if measure.kind == "distribution" and len(facts):
        figures = distribution(facts, [])[()]
        return f"p50 {figures['p50']:,}, p90 {figures['p90']:,}, sum {figures['sum']:,}"
    return f"{len(facts):,}"

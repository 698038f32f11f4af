"""Cell by cell: what the report engine answers, and what the file says. Exact, or different."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from bench.equality.plain.answers import Answer, Question
from bench.equality.plain.buckets import Key
from bench.equality.plain.measures import Measure

EXAMPLES_MAX: Final = 20
SECOND_US: Final = 1_000_000
NOTHING: Final = {"count": 0, "sum": 0}
"""What an aggregate of no facts is; any other one has no value."""

Cells = Iterable[tuple[Key, str, str, float | int | None, int]]
"""(period and keys, metric, aggregate, value, number of facts) of an answer of ours."""
Fact = tuple[str, int, int | None]
"""Ticket (its name in the log), microseconds since 1970, value."""


@dataclass
class Tally:
    """One metric of one log. `facts` and `tickets` were compared one by one, `cells` are figures of
    reports. `differences` names up to EXAMPLES_MAX of `different`."""

    metric: str
    facts: int = 0
    tickets: int = 0
    cells: int = 0
    different: int = 0
    total: str = ""
    differences: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return self.different == 0 and self.cells > 0

    def differs(self, text: str) -> None:
        self.different += 1
        if len(self.differences) < EXAMPLES_MAX:
            self.differences.append(text)


def compare_cells(
    tallies: Mapping[str, Tally], about: str, cells: Cells, expected: Mapping[str, Answer]
) -> None:
    """Every cell that ours has, and no figure of the file that ours has not."""
    seen: dict[str, set[Key]] = {name: set() for name in expected}
    for key, metric, aggregate, value, facts in cells:
        if metric not in expected:
            continue
        tally = tallies[metric]
        tally.cells += 1
        seen[metric].add(key)
        mine = expected[metric].get(key, {})
        wanted = mine.get(aggregate, NOTHING.get(aggregate))
        if not same(value, wanted, facts) or facts != mine.get("count", 0):
            tally.differs(
                f"{about} {_named(key)} {aggregate}: {value} of {facts} facts, not {wanted}"
            )
    for metric, answer in expected.items():
        for key in answer.keys() - seen[metric]:
            tallies[metric].differs(f"{about} {_named(key)}: not answered, {answer[key]}")


def same(value: float | None, wanted: int | Fraction | None, facts: int) -> bool:
    """Whole numbers are equal; a share or a mean is the number that is nearest to the fraction."""
    if value is None or wanted is None:
        return value is None and wanted is None
    if isinstance(wanted, Fraction):
        near = Fraction(value).limit_denominator(max(facts, 1)) == wanted
        return near and value == wanted.numerator / wanted.denominator
    return value == wanted


def compare_facts(tally: Tally, ours: Iterable[Fact], wanted: Iterable[Fact]) -> None:
    """Per ticket: the same facts, at the same instants, with the same values."""
    one, two = _by_ticket(ours), _by_ticket(wanted)
    tally.facts += sum(len(facts) for facts in two.values())
    tally.tickets = max(tally.tickets, len(two))
    for ticket in sorted(one.keys() | two.keys()):
        if one.get(ticket) != two.get(ticket):
            tally.differs(f"{ticket}: {one.get(ticket)}, not {two.get(ticket)}")


def facts_of(measure: Measure, question: Question, *, business: bool = False) -> list[Fact]:
    """The facts of a measure of the file, in the period of the question."""
    frame = measure.facts
    frame = frame[(frame["at"] >= question.start) & (frame["at"] < question.end)]
    if measure.kind == "count":
        values: list[int | None] = [None] * len(frame)
    else:
        column = "value_b" if business else "value"
        values = [int(value) for value in frame[column].tolist()]
    instants = [at * SECOND_US for at in frame["at"].tolist()]
    return list(zip(frame["case"].tolist(), instants, values, strict=True))


def facts_standing(stretches: Any, end: int) -> list[Fact]:
    """What holds right before an instant: the ticket, and since when its present stretch lasts."""
    holds = (stretches["start"] < end) & ~(stretches["end"] < end)
    chosen = stretches[holds]
    instants = [at * SECOND_US for at in chosen["start"].tolist()]
    return [(case, at, None) for case, at in zip(chosen["case"].tolist(), instants, strict=True)]


def _by_ticket(facts: Iterable[Fact]) -> dict[str, list[tuple[int, int | None]]]:
    found: dict[str, list[tuple[int, int | None]]] = {}
    for ticket, at, value in facts:
        found.setdefault(ticket, []).append((at, value))
    for own in found.values():
        own.sort(key=lambda one: (one[0], one[1] is not None, one[1] or 0))
    return found


def _named(key: Key) -> str:
    return " ".join("none" if part is None else str(part) for part in key)

"""The result for people: docs/reference/equality.md, between its marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.equality.compare import Tally
from bench.report import write_between

BEGIN: Final = "<!-- table: written by `python -m bench.equality` -->"
END: Final = "<!-- end of the table -->"


@dataclass
class Found:
    """What came of one log."""

    name: str
    title: str
    tickets: int
    events: int
    questions: int
    tallies: Mapping[str, Tally]
    problems: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not self.problems and all(tally.equal for tally in self.tallies.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "log": self.name,
            "tickets": self.tickets,
            "events": self.events,
            "questions": self.questions,
            "equal": self.equal,
            "problems": self.problems,
            "metrics": {
                name: {
                    "equal": tally.equal,
                    "facts_compared": tally.facts,
                    "tickets_compared": tally.tickets,
                    "figures_compared": tally.cells,
                    "different": tally.different,
                    "differences": tally.differences,
                    "total": tally.total,
                }
                for name, tally in self.tallies.items()
            },
        }


def table(metrics: Sequence[str], found: Sequence[Found], not_here: Mapping[str, str]) -> str:
    """Markdown: a row per metric; per log the verdict, what was compared, and the total."""
    heads = "".join(f" | {one.title} | compared | total" for one in found)
    lines = [f"| metric{heads} |", "|---" * (1 + 3 * len(found)) + "|"]
    for name in metrics:
        if name in not_here:
            lines.append(f"| `{name}` | not applicable: {not_here[name]}" + " |" * (3 * len(found)))
            continue
        lines.append(f"| `{name}`" + "".join(_cells(one.tallies[name]) for one in found) + " |")
    figures = sum(tally.cells for one in found for tally in one.tallies.values())
    facts = sum(tally.facts for one in found for tally in one.tallies.values())
    sums = "; ".join(
        f"{one.title}: {one.tickets:,} tickets, {one.events:,} events, {one.questions} questions"
        for one in found
    )
    lines += ["", f"{sums}. {facts:,} facts of tickets and {figures:,} figures were compared."]
    return "\n".join(lines)


def _cells(tally: Tally) -> str:
    verdict = "equal" if tally.equal else f"**{tally.different:,} differ**"
    facts = f"{tally.facts:,} facts of {tally.tickets:,} tickets, " if tally.facts else ""
    return f" | {verdict} | {facts}{tally.cells:,} figures | {tally.total}"


def write(page: Path, text: str) -> None:
    """Put the table into the page. Raises ValueError when it has not both marks, once."""
    write_between(page, BEGIN, END, text)

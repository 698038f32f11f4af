"""Does the ticket say what the file's last row says? Every difference, explained by rule or not.

What is expected is read from the file on its own, not from the commands that were made of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from cli.importing.changes import ticket_id
from cli.importing.columns import PRIORITIES, STATES, Positions
from cli.importing.servicenow import SOURCE, value_of
from cli.importing.table import Row
from libs.events import Priority, Ticket

FIELDS: Final = (
    "status",
    "priority",
    "category",
    "subcategory",
    "group",
    "agent",
    "group_changes",
    "reopens",
)
HIDDEN_HAND_OVER: Final = (
    "hidden_hand_over: the log's reassignment count rose in a row whose group did not change; an "
    "event can only name a change that is in the log"
)
UNKNOWN_STATE: Final = (
    "unknown_state: the last row has a state without meaning; the one before it was kept"
)
ACTIVE: Final = "handed_to_desk: the ticket was handed to the live desk and went on there"
EXAMPLES: Final = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a ticket stands: by its last row, or by its fold."""

    status: str
    priority: str
    category: str | None
    subcategory: str | None
    group: str | None
    agent: str | None
    group_changes: int
    reopens: int


@dataclass(frozen=True, slots=True)
class Expected:
    """One incident by its last row. `hidden`: how far the log's reassignment count rose without a
    visible change of group. `state_known` False: the last state has no meaning."""

    case: str
    ticket_id: str
    outcome: Outcome
    hidden: int
    state_known: bool


@dataclass(slots=True)
class Comparison:
    tickets: int = 0
    equal: int = 0
    missing: int = 0
    by_field: Counter[str] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Every ticket is there, and every difference has its rule."""
        return self.missing == 0 and self.unexplained == 0

    def as_json(self) -> dict[str, Any]:
        return {
            "tickets": self.tickets,
            "equal": self.equal,
            "different": self.tickets - self.equal - self.missing,
            "missing": self.missing,
            "explained": [
                {"rule": rule, "tickets": count} for rule, count in self.explained.most_common()
            ],
            "unexplained": self.unexplained,
            "by_field": dict(self.by_field),
            "examples": self.examples,
        }


def expectation(at: Positions, case: str, rows: Sequence[Row]) -> Expected:
    """What the last of an incident's rows says."""
    last = rows[-1][1]
    hidden = sum(
        int(after[at.reassignments]) - int(before[at.reassignments])
        for (_, before), (_, after) in pairwise(rows)
        if after[at.group] == before[at.group]
    )
    state = last[at.state].strip()
    known: str = next(
        (word for _, cells in reversed(rows) if (word := cells[at.state].strip()) in STATES), "New"
    )
    priorities = [value for _, cells in rows if (value := value_of(cells[at.priority]))]
    outcome = Outcome(
        status=STATES[known][0],
        priority=PRIORITIES[priorities[-1][0]] if priorities else Priority.MEDIUM,
        category=value_of(last[at.category]),
        subcategory=value_of(last[at.subcategory]),
        group=value_of(last[at.group]),
        agent=value_of(last[at.agent]),
        group_changes=int(last[at.reassignments]),
        reopens=int(last[at.reopens]),
    )
    return Expected(case, ticket_id(SOURCE, case), outcome, hidden, state in STATES)


def outcome_of_ticket(ticket: Ticket) -> Outcome:
    return Outcome(**{name: getattr(ticket, name) for name in FIELDS})


def outcome_of_json(ticket: Mapping[str, Any]) -> Outcome:
    """From a state as intake's interface shows it. Raises KeyError when a field is missing."""
    return Outcome(**{name: ticket[name] for name in FIELDS})


def compare(
    result: Comparison, expected: Expected, found: Outcome | None, *, live: bool = False
) -> None:
    """Adds one ticket to `result`. `found` None: there is no such ticket."""
    result.tickets += 1
    if found is None:
        result.missing += 1
        _example(result, expected, {}, "there is no such ticket")
        return
    differences = {
        name: {"file": getattr(expected.outcome, name), "ticket": getattr(found, name)}
        for name in FIELDS
        if getattr(expected.outcome, name) != getattr(found, name)
    }
    if not differences:
        result.equal += 1
        return
    result.by_field.update(list(differences))
    rules = {name: _rule(name, expected, found, live=live) for name in differences}
    for rule in sorted({rule for rule in rules.values() if rule is not None}):
        result.explained[rule] += 1
    unexplained = [name for name, rule in rules.items() if rule is None]
    if unexplained:
        result.unexplained += 1
        _example(result, expected, differences, f"no rule explains {', '.join(unexplained)}")
    elif len(result.examples) < EXAMPLES // 2:
        why = "; ".join(sorted({rule for rule in rules.values() if rule is not None}))
        _example(result, expected, differences, why, explained=True)


def _rule(name: str, expected: Expected, found: Outcome, *, live: bool) -> str | None:
    if live:
        return ACTIVE
    counted = expected.outcome.group_changes - expected.hidden
    if name == "group_changes" and expected.hidden and found.group_changes == counted:
        return HIDDEN_HAND_OVER
    if name == "status" and not expected.state_known:
        return UNKNOWN_STATE
    return None


def _example(
    result: Comparison,
    expected: Expected,
    differences: dict[str, Any],
    why: str,
    *,
    explained: bool = False,
) -> None:
    """Those without an explanation always find a place."""
    if len(result.examples) < EXAMPLES:
        result.examples.append(
            {
                "case": expected.case,
                "ticket_id": expected.ticket_id,
                "explained": explained,
                "why": why,
                "differences": differences,
            }
        )

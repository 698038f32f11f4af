"""From the state of a ticket after each row of a log to the single changes, in order.

A row of a log is a state; what changed within a row happened in this order: a reopening, the
holder, the tier, any other change of status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

SETTLED = ("solved", "closed")
HOLDER = ["group", "agent", "tier"]
STATE = ["status", *HOLDER]


@dataclass(frozen=True)
class Log:
    """`steps`: a row per change of a ticket, in order: case, t (seconds since 1970, UTC), create
    (True for the first of a case), and the state after it (status, group, agent, tier).
    `tickets`: by case, what the ticket says of itself in the end: priority, category, …; `heard` is
    when the log last said something new of it.
    `notes`: a row per internal note: case, t, group, agent, tier."""

    name: str
    steps: Any
    tickets: Any
    notes: Any


def settled(status: Any) -> Any:
    return status.isin(SETTLED)


def steps_of(rows: Any) -> Any:
    """`rows`, in order within a case: case, t, opened (when the ticket was opened; only that of a
    case's first row counts), and the state after the row. None stands for nobody."""
    rows = rows.reset_index(drop=True)
    first = rows["case"] != rows["case"].shift()
    before = rows[STATE].shift().where(~first, None)
    opened = rows["opened"].where(rows["opened"] < rows["t"], rows["t"])
    at_once = first & (opened == rows["t"])
    before.loc[first, "status"] = rows.loc[first, "status"].where(at_once[first], "new")
    before.loc[first, "tier"] = 1
    for name in ("group", "agent"):
        before.loc[first, name] = rows.loc[first, name]
    moved = rows["status"] != before["status"]
    again = moved & settled(before["status"]) & ~settled(rows["status"])
    held = _differ(rows["group"], before["group"]) | _differ(rows["agent"], before["agent"])
    raised = rows["tier"] != before["tier"]

    def step(chosen: Any, sub: int, **state: Any) -> Any:
        made = pd.DataFrame(
            {"case": rows["case"], "t": rows["t"], "row": rows.index, "sub": sub, "create": sub < 0}
            | {name: before[name] for name in STATE}
            | state
        )
        return made[chosen]

    midway = before["status"].where(~again, rows["status"])
    holder = {"group": rows["group"], "agent": rows["agent"]}
    parts = [
        step(first, -1, t=opened),
        step(again, 0, status=rows["status"]),
        step(held, 1, status=midway, **holder),
        step(raised, 2, status=midway, tier=rows["tier"], **holder),
        step(moved & ~again, 3, status=rows["status"], tier=rows["tier"], **holder),
    ]
    made = pd.concat(parts).sort_values(["row", "sub"], kind="stable")
    made["tier"] = made["tier"].astype("int64")
    made["t"] = made["t"].astype("int64")
    return made[["case", "t", "create", *STATE]].reset_index(drop=True)


def _differ(one: Any, two: Any) -> Any:
    """None equals None."""
    return (one != two) & ~(one.isna() & two.isna())

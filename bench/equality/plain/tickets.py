"""What the changes of a log come to: per ticket, per happening, and per stretch of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.equality.plain.hours import Hours
from bench.equality.plain.steps import Log, settled

LENGTHS = {
    "requester_wait": ("new", "open", "on_hold"),
    "agent_work": ("new", "open"),
    "on_hold": ("on_hold",),
}
"""Time in these statuses, up to the resolution that stands."""


@dataclass(frozen=True)
class Facts:
    """`tickets` by case; `happenings`: case, kind, t, group, agent, tier, value_s, value_b, detail;
    `stretches`: case, start, end (none while it lasts), status, group, agent, tier."""

    tickets: Any
    happenings: Any
    stretches: Any


def facts_of(log: Log, hours: Hours) -> Facts:
    steps = _moves(log.steps)
    stretches = _stretches(steps)
    tickets = _tickets(steps, stretches, log.tickets, hours)
    return Facts(tickets, _happenings(steps, hours), stretches)


def _moves(steps: Any) -> Any:
    """Beside each change: what it was, in the words of the definitions."""
    steps = steps.copy()
    case = steps["case"]
    steps["place"] = steps.groupby(case).cumcount()
    steps["created"] = steps["t"].groupby(case).transform("first")
    was = steps["status"].groupby(case).shift()
    done, was_done = settled(steps["status"]), settled(was)
    steps["solved"] = done & ~was_done
    steps["reopened"] = was_done & ~done
    steps["closed"] = (steps["status"] == "closed") & (was != "closed")
    # The instant of a resolution: a closed ticket that goes back to solved is resolved anew.
    steps["resolves"] = steps["solved"] | (was == "closed") & (steps["status"] == "solved")
    _hold(steps)
    return steps


def _hold(steps: Any) -> None:
    case = steps["case"]
    holder = steps["agent"].where(steps["agent"].notna(), steps["group"])
    kind = np.where(steps["agent"].notna(), "agent", "group")
    steps["holder"] = (kind + ":" + holder.fillna("")).where(holder.notna(), None)
    before = steps["holder"].groupby(case).shift()
    group = steps["group"].groupby(case).shift()
    had_agent = steps["agent"].groupby(case).shift().notna()
    both = before.notna() & steps["holder"].notna()
    # A person of the group that holds the ticket takes it: that is no hand-over.
    taken = ~had_agent & group.notna() & (group == steps["group"])
    moved = ~steps["create"]
    steps["handed_over"] = moved & both & (before != steps["holder"]) & ~taken
    same_group = (group == steps["group"]) | (group.isna() & steps["group"].isna())
    steps["group_changed"] = moved & ~same_group
    entered = steps["holder"].notna() & (before != steps["holder"])
    had_before = steps.assign(entered=entered).groupby(["case", "holder"])["entered"].cumsum()
    steps["ping_pong"] = steps["handed_over"] & (had_before > 1)
    raised = steps["tier"] > steps["tier"].groupby(case).shift()
    steps["escalated"] = moved & raised
    agent = steps["agent"].groupby(case).shift()
    steps["assigned"] = steps["agent"].notna() & (agent != steps["agent"])


def _stretches(steps: Any) -> Any:
    made = steps[["case", "place", "t", "status", "group", "agent", "tier", "solved"]].copy()
    # Time may run back in a log: each stretch begins where the one before ended.
    made["t"] = made["t"].groupby(made["case"]).cummax()
    made["end"] = made["t"].groupby(made["case"]).shift(-1)
    return made.rename(columns={"t": "start"})


def _tickets(steps: Any, stretches: Any, known: Any, hours: Hours) -> Any:
    by = steps.groupby("case")
    last = by.last()
    tickets = known.join(by["created"].first())
    tickets["status"] = by["status"].agg(lambda s: s.iloc[-1])
    for name in ("group", "agent", "tier"):
        tickets[name] = by[name].agg(lambda s: s.iloc[-1])
    done = settled(tickets["status"])
    tickets["first_solved"] = steps[steps["solved"]].groupby("case")["t"].first()
    resolution = steps[steps["resolves"]].groupby("case").last()
    tickets["solved"] = resolution["t"].where(done)
    tickets["solved_by"] = _at(steps[steps["resolves"]], "agent").where(done)
    closed = steps[steps["closed"]].groupby("case")["t"].last()
    tickets["closed"] = closed.where(last["status"] == "closed")
    tickets["updated"] = by["t"].last()
    for name, end in (("first_resolution", "first_solved"), ("resolution", "solved")):
        _length(tickets, name, tickets["created"], tickets[end], hours)
    for name in ("reopened", "handed_over", "group_changed", "ping_pong", "escalated"):
        tickets[f"n_{name}"] = by[name].sum()
    tickets["agents"], tickets["groups"] = by["agent"].nunique(), by["group"].nunique()
    tickets["one_touch"] = done & (tickets["n_reopened"] == 0)
    _times(tickets, stretches, hours)
    return tickets


def _at(steps: Any, column: str) -> Any:
    """The value of each case's last row; pandas' `last` would pass over what is missing."""
    return steps.drop_duplicates("case", keep="last").set_index("case")[column]


def _length(frame: Any, name: str, start: Any, end: Any, hours: Hours) -> None:
    there = end.notna()
    frame[f"{name}_s"] = (end - start).where(there).astype("Int64")
    open_s = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    open_s[there] = hours.until(end[there]) - hours.until(start[there])
    frame[f"{name}_b"] = open_s


def _times(tickets: Any, stretches: Any, hours: Hours) -> None:
    """Sums of stretches that begin before the resolution that stands."""
    solved = stretches[stretches["solved"]].groupby("case")["place"].last()
    until = stretches["case"].map(solved)
    inside = stretches[(stretches["place"] < until) & stretches["end"].notna()].copy()
    inside["s"] = inside["end"].astype("int64") - inside["start"]
    inside["b"] = hours.until(inside["end"].astype("int64")) - hours.until(inside["start"])
    done = tickets["solved"].notna()
    chosen = {name: inside["status"].isin(names) for name, names in LENGTHS.items()}
    chosen["handling"] = (inside["status"] == "open") & inside["agent"].notna()
    for name, rows in chosen.items():
        for unit in ("s", "b"):
            sums = inside[rows].groupby("case")[unit].sum()
            whole = sums.reindex(tickets.index).fillna(0).astype("Int64")
            tickets[f"{name}_{unit}"] = whole.where(done)


def _happenings(steps: Any, hours: Hours) -> Any:
    kinds = (
        "create",
        "assigned",
        "handed_over",
        "group_changed",
        "ping_pong",
        "escalated",
        "solved",
        "reopened",
        "closed",
    )
    columns = ["case", "place", "t", "created", "group", "agent", "tier", "holder"]
    parts = [steps.loc[steps[kind], columns].assign(kind=kind) for kind in kinds]
    made = pd.concat(parts, ignore_index=True)
    made["kind"] = made["kind"].replace("create", "created")
    solved = made["kind"] == "solved"
    value_s = (made["t"] - made["created"]).where(solved).astype("Int64")
    open_s = pd.Series(pd.NA, index=made.index, dtype="Int64")
    open_s[solved] = hours.until(made.loc[solved, "t"]) - hours.until(made.loc[solved, "created"])
    again = made.groupby(["case", "kind"]).cumcount() > 0
    detail = pd.Series(np.where(again, "again", "first"), index=made.index).where(solved)
    return made.assign(value_s=value_s, value_b=open_s, detail=detail)

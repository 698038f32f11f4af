"""Every metric that the logs determine, as the facts that it is made of.

Names and meaning are those of docs/reference/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.equality.plain.attainment import ENDED, Change, Verdict
from bench.equality.plain.steps import Log
from bench.equality.plain.tickets import Facts

DAY_S = 86_400
REPEAT_DAYS = 30
OF_TICKET = ["priority", "category", "subcategory", "channel"]
BUSINESS = (
    "first_resolution_time",
    "resolution_time",
    "requester_wait_time",
    "agent_work_time",
    "on_hold_time",
)


@dataclass(frozen=True)
class Measure:
    """`facts`: case, at (when it counts), value and, of times, value_b in business time; the columns
    of OF_TICKET; group, agent and tier. `kind`: count, distribution or share."""

    name: str
    kind: str
    facts: Any


def measures_of(log: Log, facts: Facts) -> dict[str, Measure]:
    made = [*_happened(log, facts), *_took(facts), *_went(facts)]
    return {one.name: one for one in made}


def at_work(facts: Facts) -> Any:
    """The stretches in which a ticket is neither solved nor closed, with the ticket's columns."""
    chosen = facts.stretches[~facts.stretches["status"].isin(ENDED)]
    return _with_ticket(chosen, facts).merge(
        facts.tickets[["created"]], left_on="case", right_index=True
    )


def unassigned(stretches: Any) -> Any:
    return stretches[stretches["status"].isin(("new", "open")) & stretches["agent"].isna()]


def _happened(log: Log, facts: Facts) -> Iterable[Measure]:
    tickets = facts.tickets.assign(at=facts.tickets["created"], value=0)
    yield Measure("created", "count", tickets.rename_axis("case").reset_index())
    names = {
        "solved": "solved",
        "reopened": "reopened",
        "closed": "closed",
        "assignments": "assigned",
        "hand_overs": "handed_over",
        "group_changes": "group_changed",
        "ping_pong": "ping_pong",
        "escalated": "escalated",
    }
    happened = _with_ticket(facts.happenings.rename(columns={"t": "at"}), facts)
    for name, kind in names.items():
        yield Measure(name, "count", happened[happened["kind"] == kind].assign(value=0))
    notes = log.notes.rename(columns={"t": "at"}).assign(value=0)
    yield Measure("notes", "count", _with_ticket(notes, facts))
    first = happened[(happened["kind"] == "solved") & (happened["detail"] == "first")]
    values = {"value": first["value_s"], "value_b": first["value_b"]}
    yield Measure("first_resolution_time", "distribution", first.assign(**values))


def _took(facts: Facts) -> Iterable[Measure]:
    solved = _solved(facts)
    for name in ("resolution", "requester_wait", "agent_work", "on_hold", "handling"):
        values = {"value": solved[f"{name}_s"]}
        if name != "handling":
            values["value_b"] = solved[f"{name}_b"]
        yield Measure(f"{name}_time", "distribution", solved.assign(**values))


def _went(facts: Facts) -> Iterable[Measure]:
    solved, tickets = _solved(facts), facts.tickets.rename_axis("case").reset_index()
    yield Measure("one_touch_rate", "share", solved.assign(value=solved["one_touch"]))
    yield Measure(
        "hand_overs_per_ticket", "distribution", solved.assign(value=solved["n_handed_over"])
    )
    ever = tickets[tickets["first_solved"].notna()]
    ever = ever.assign(at=ever["first_solved"].astype("int64"), value=ever["n_reopened"] > 0)
    yield Measure("reopen_rate", "share", ever)
    again = _came_before(tickets)
    rated = tickets.assign(at=tickets["created"], value=again)
    yield Measure("repeat_contact_rate", "share", rated)
    yield Measure("repeat_contacts", "count", rated[again].assign(value=0))


def _solved(facts: Facts) -> Any:
    solved = facts.tickets[facts.tickets["solved"].notna()]
    return solved.assign(at=solved["solved"].astype("int64")).rename_axis("case").reset_index()


def _came_before(tickets: Any) -> Any:
    """The requester had another ticket of the same category in the 30 days before."""
    ordered = tickets.sort_values("created", kind="stable")
    same = ordered.groupby(["requester", ordered["category"].fillna("")])["created"]
    return (ordered["created"] - same.shift() <= REPEAT_DAYS * DAY_S).reindex(tickets.index)


def _with_ticket(frame: Any, facts: Facts) -> Any:
    return frame.merge(facts.tickets[OF_TICKET], left_on="case", right_index=True, how="left")


# ------------------------------------------------------------------------------ service levels


def changes_for_clocks(log: Log) -> Iterable[tuple[str, list[Change]]]:
    """A log whose priorities never change, as the clocks see it."""
    for case, steps in log.steps.groupby("case", sort=False):
        priority = log.tickets.loc[case, "priority"]
        times, statuses = steps["t"].tolist(), steps["status"].tolist()
        changes = [Change(times[0], "priority", priority), Change(times[0], "status", statuses[0])]
        for before, status, t in zip(statuses, statuses[1:], times[1:], strict=False):
            if status != before:
                changes.append(Change(t, "status", status))
        yield case, changes


def clocks(verdicts: dict[tuple[str, str, int], Verdict], facts: Facts) -> dict[str, Measure]:
    """Of the clocks that came to an end: kept when they ended, missed when they fell due. Imported
    history counts in its own time: a clock that runs is judged as of what was last heard of its ticket."""
    rows = [
        (case, metric, one.missed, one.breach_s if one.missed else one.ended_s, one.started_s)
        for (case, metric, _), one in verdicts.items()
    ]
    frame = pd.DataFrame(rows, columns=["case", "sla_metric", "missed", "at", "started"])
    frame = _with_ticket(frame.astype({"at": "Int64"}), facts)
    frame["value"] = ~frame["missed"]
    ended = frame[frame["at"].notna()].astype({"at": np.int64})
    started = frame.assign(at=frame["started"], value=0)
    return {
        "sla_attainment": Measure("sla_attainment", "share", ended),
        "sla_kept": Measure("sla_kept", "count", ended[ended["value"]].assign(value=0)),
        "sla_breaches": Measure("sla_breaches", "count", ended[~ended["value"]].assign(value=0)),
        "sla_started": Measure("sla_started", "count", started),
    }

"""The event log of an Italian software company's help desk: a row is an activity on a case.

What an activity means is stated in cli/importing/mappings/helpdesk.yaml, and here a second time.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.equality.plain.steps import HOLDER, Log, steps_of

STATUS = {
    "Insert ticket": "new",
    "Take in charge ticket": "open",
    "Resolve SW anomaly": "open",
    "Wait": "on_hold",
    "Require upgrade": "on_hold",
    "Schedule intervention": "on_hold",
    "Create SW anomaly": "on_hold",
    "Resolve ticket": "solved",
    "Closed": "closed",
}
"""The other activities do not move a ticket on."""
NOTES = ("Assign seriousness", "Resolve SW anomaly", "RESOLVED", "VERIFIED")
TAGS = ("Require upgrade", "Create SW anomaly", "INVALID", "DUPLICATE")
TAKES = "Take in charge ticket"
RAISES = "Create SW anomaly"


def read(path: Path) -> Log:
    raw = pd.read_csv(path, dtype=str, keep_default_na=False).drop_duplicates()
    stamps = pd.to_datetime(raw["time:timestamp"], format="ISO8601", utc=True)
    raw["t"] = stamps.astype("datetime64[s, UTC]").astype("int64")
    raw = raw.rename(columns={"case:concept:name": "case"})
    raw = raw.sort_values(["case", "t"], kind="stable")
    case, activity = raw["case"], raw["Activity"]
    agent = raw["Resource"].where(activity == TAKES)
    agent = agent.groupby(case).ffill()
    rows = pd.DataFrame(
        {
            "case": case,
            "t": raw["t"],
            "opened": raw["t"],
            "status": activity.map(STATUS).groupby(case).ffill().fillna("new"),
            "group": None,
            "agent": agent.where(agent.notna(), None),
            "tier": 1 + (activity == RAISES).groupby(case).cummax(),
        }
    )
    tickets = pd.DataFrame(
        {
            "priority": "medium",
            "category": None,
            "subcategory": None,
            "channel": "api",
            "requester": "unknown",
        },
        index=case.drop_duplicates().rename(None),
        dtype=object,
    )
    steps = steps_of(rows)
    notes = rows.loc[activity.isin(NOTES), ["case", "t", *HOLDER]]
    # What else an activity says: how a ticket is on hold, and that it gets a tag.
    held = activity.where(activity.isin(STATUS)).groupby(case).ffill()
    said = rows.loc[(held != held.groupby(case).shift()) | activity.isin(TAGS), ["case", "t"]]
    moments = pd.concat([steps[["case", "t"]], notes[["case", "t"]], said])
    tickets["heard"] = moments.groupby("case")["t"].max()
    return Log("helpdesk", steps, tickets, notes)

"""The incident log of a ServiceNow desk: a row is an incident after an update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bench.equality.plain.steps import HOLDER, Log, steps_of

STATUS = {
    "New": "new",
    "Active": "open",
    "Awaiting User Info": "pending",
    "Awaiting Vendor": "on_hold",
    "Awaiting Problem": "on_hold",
    "Awaiting Evidence": "on_hold",
    "Resolved": "solved",
    "Closed": "closed",
}
"""Any other word (`-100`) has no meaning: the status stays."""
PRIORITY = {"1": "critical", "2": "high", "3": "medium", "4": "low", "5": "low"}
CHANNEL = {
    "Phone": "phone",
    "IVR": "phone",
    "Self service": "form",
    "Email": "email",
    "Direct opening": "api",
}
USED = [
    "number",
    "incident_state",
    "opened_at",
    "sys_updated_at",
    "priority",
    "category",
    "subcategory",
    "assignment_group",
    "assigned_to",
    "contact_type",
    "caller_id",
]


def read(path: Path) -> Log:
    raw = pd.read_csv(path, usecols=USED, dtype=str, keep_default_na=False)
    case = raw["number"]
    known = raw["incident_state"].map(STATUS)
    rows = pd.DataFrame(
        {
            "case": case,
            "t": _seconds(raw["sys_updated_at"]),
            "opened": _seconds(raw["opened_at"]),
            "status": known.groupby(case).ffill().fillna("new"),
            "group": _value(raw["assignment_group"]),
            "agent": _value(raw["assigned_to"]),
            "tier": 1,
        }
    )
    # Channel and requester are those of the first row: a later change becomes a free field.
    begin, end = raw.groupby(case).first(), raw.groupby(case).last()
    tickets = pd.DataFrame(
        {
            "priority": end["priority"].str[0].map(PRIORITY),
            "category": _value(end["category"]),
            "subcategory": _value(end["subcategory"]),
            "channel": begin["contact_type"].map(CHANNEL),
            "requester": _value(begin["caller_id"]).fillna("unknown"),
            "heard": rows.groupby("case")["t"].max(),
        }
    )
    return Log("incidents", steps_of(rows), tickets, rows.iloc[:0][["case", "t", *HOLDER]])


def _value(column: Any) -> Any:
    column = column.str.strip()
    return column.where(~column.isin(("", "?")), None)


def _seconds(column: Any) -> Any:
    stamps = pd.to_datetime(column, format="%d/%m/%Y %H:%M", utc=True)
    return stamps.astype("datetime64[s, UTC]").astype("int64")

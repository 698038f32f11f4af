"""The two logs: how each is imported, and what the file itself determines of each metric."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.equality.plain import helpdesk, incidents
from bench.equality.plain.attainment import CLOSED, SHIFTS, ZONE, attainment, verdicts_of
from bench.equality.plain.hours import Hours
from bench.equality.plain.measures import (
    Measure,
    at_work,
    changes_for_clocks,
    clocks,
    measures_of,
    unassigned,
)
from bench.equality.plain.steps import Log
from bench.equality.plain.tickets import Facts, facts_of
from bench.harness import ROOT, SAMPLE

WEEKDAYS: Final = (0, 1, 2, 3, 4)
_MESSAGES: Final = "neither log holds what was written"
NOT_IN_THE_LOGS: Final[Mapping[str, str]] = {
    "first_replies": _MESSAGES,
    "replies": _MESSAGES,
    "requester_messages": _MESSAGES,
    "first_reply_time": _MESSAGES,
    "next_reply_time": _MESSAGES,
    "replies_per_ticket": _MESSAGES,
    "satisfaction": "neither log holds ratings",
    "ratings": "neither log holds ratings",
    "merged": "neither log holds merged tickets",
    "incidents": "neither log links incidents to problem tickets",
    "present_time": "neither log says when people were at work",
    "agent_load": "neither log says when people were at work",
    "utilization": "neither log says when people were at work",
}
"""Metrics that cannot be computed from the files, and why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A log file. `arguments`: of `bitacora import`; `source`: the name that ticket ids derive from."""

    name: str
    title: str
    path: Path
    arguments: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Plain:
    """What the file alone comes to. `backlog`: stretches at work; `until`: its last change."""

    measures: dict[str, Measure]
    backlog: Any
    unassigned: Any
    first: int
    until: int
    tickets: int = field(default=0)


def data_folder() -> Path:
    """Where the whole logs lie, on machines that have them: see `BITACORA_TEST_DATA`."""
    return Path(os.environ.get("BITACORA_TEST_DATA", ROOT.parent / "shared" / "data"))


def sources(*, sample: bool) -> list[Source]:
    """The logs that are here. The sample of the incident log always is."""
    if sample:
        return [_incidents(SAMPLE, "the sample of the incident log")]
    folder = data_folder()
    whole = _incidents(folder / "incident_event_log.csv.gz", "the incident log")
    desk = folder / "helpdesk.csv.gz"
    arguments = ("log", str(desk), "--mapping", "helpdesk")
    return [
        one
        for one in (whole, Source("helpdesk", "the help-desk log", desk, arguments, "helpdesk"))
        if one.path.exists()
    ]


def _incidents(path: Path, title: str) -> Source:
    return Source("incidents", title, path, ("servicenow", str(path)), "servicenow")


def plain(source: Source) -> Plain:
    """Everything that the file determines, without anything of ours: some seconds of work."""
    hours = Hours(ZONE, WEEKDAYS, SHIFTS, CLOSED)
    log = helpdesk.read(source.path) if source.name == "helpdesk" else incidents.read(source.path)
    facts = facts_of(log, hours)
    first, until = int(facts.tickets["created"].min()), int(log.steps["t"].max())
    measures = measures_of(log, facts) | _clocks(source, log, facts, first, until)
    working = at_work(facts)
    return Plain(measures, working, unassigned(working), first, until, len(facts.tickets))


def _clocks(source: Source, log: Log, facts: Facts, first: int, until: int) -> dict[str, Measure]:
    if source.name != "helpdesk":
        return clocks(attainment(source.path), facts)
    heard = log.tickets["heard"].to_dict()
    return clocks(verdicts_of(changes_for_clocks(log), first, until, heard), facts)

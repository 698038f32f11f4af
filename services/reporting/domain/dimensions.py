"""By what figures can be grouped and filtered, each defined once.

SQL over `facts.tables`, always giving text, NULL for "none". A metric can be asked by a dimension when
its source has it, when the metric adds it (`Definition.dimensions`), or when it is one of the ticket's,
which is then joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from libs.events import Channel, Priority, Status

Source = Literal["tickets", "activities", "intervals", "verdicts", "presences"]
OfInstant = Literal["", "hour", "weekday"]

_TICKET_TABLES: Final[tuple[Source, ...]] = ("tickets", "activities", "intervals", "verdicts")
BANDS: Final = ((0, 5), (5, 10), (10, 15), (15, 20), (20, 30), (30, 60))
"""Minutes of handling: from, up to (not included)."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """`columns`: source → SQL. `joined`: SQL over the columns of `tickets`, each with `t_` before its
    name, for tables of tickets that lack it. `values`: all there are, in their order; empty when
    that is open. `complete`: each value is shown, also without facts. `many`: sources where the SQL gives a list,
    and a fact counts under each of its values. `of_instant`: made of the fact's own instant, in the zone asked for.
    """

    name: str
    title: str
    about: str
    columns: Mapping[Source, str] = field(default_factory=dict)
    joined: str = ""
    values: tuple[str, ...] = ()
    complete: bool = False
    many: frozenset[Source] = frozenset()
    of_instant: OfInstant = ""


def handling_band(seconds: str) -> str:
    """SQL for the band of minutes of a column of seconds."""
    steps = " ".join(f"WHEN {seconds} < {high * 60} THEN '{low}–{high}'" for low, high in BANDS)
    return f"CASE WHEN {seconds} IS NULL THEN NULL {steps} ELSE '{BANDS[-1][1]}+' END"


def _everywhere(column: str) -> dict[Source, str]:
    return dict.fromkeys(_TICKET_TABLES, column)


_LIVE: Final = "CASE WHEN live THEN 'live' ELSE 'imported' END"
_NOW: Final = "as the ticket is now"
_HELD: Final = "For metrics of tickets: now. Of activities, levels and SLA clocks: at that instant."
_WEEKDAYS: Final = tuple("1234567")

_ALL: Final[tuple[Dimension, ...]] = (
    Dimension(
        "priority",
        "Priority",
        f"Priority, {_NOW}.",
        _everywhere("priority"),
        values=tuple(priority.value for priority in Priority),
    ),
    Dimension("category", "Category", f"Category, {_NOW}.", _everywhere("category")),
    Dimension("subcategory", "Subcategory", f"Subcategory, {_NOW}.", _everywhere("subcategory")),
    Dimension(
        "channel",
        "Channel",
        "The channel through which the ticket came.",
        _everywhere("channel"),
        values=tuple(channel.value for channel in Channel),
    ),
    Dimension("language", "Language", "Language of the ticket (BCP 47).", _everywhere("language")),
    Dimension(
        "organization",
        "Organization",
        "Organization of the requester.",
        _everywhere("organization"),
    ),
    Dimension(
        "origin",
        "Live or imported",
        "`imported`: history from another system that was not handed to the desk.",
        _everywhere(_LIVE),
        values=("live", "imported"),
    ),
    Dimension(
        "group",
        "Group",
        "The group that holds the ticket. " + _HELD + " Of agents: each group they belong to.",
        {**_everywhere("group_name"), "presences": "groups"},
        many=frozenset(("presences",)),
    ),
    Dimension(
        "agent",
        "Agent",
        "The agent who holds the ticket. " + _HELD,
        {**_everywhere("agent"), "presences": "agent"},
    ),
    Dimension(
        "tier",
        "Tier",
        "1 first answer, 2 specialists, 3 experts. " + _HELD,
        _everywhere("CAST(tier AS VARCHAR)"),
        values=("1", "2", "3"),
    ),
    Dimension(
        "status",
        "Status",
        "Of levels: at that instant. Otherwise now.",
        {"tickets": "status", "intervals": "status"},
        joined="t_status",
        values=tuple(status.value for status in Status),
    ),
    Dimension(
        "tag",
        "Tag",
        "A ticket counts under each of its tags, so groups may add up to more than the whole.",
        {"tickets": "tags"},
        joined="t_tags",
        many=frozenset(_TICKET_TABLES),
    ),
    Dimension(
        "requester",
        "Requester",
        "Id of the requester. As a filter, or for a small part of the desk.",
        {"tickets": "requester"},
        joined="t_requester",
    ),
    Dimension(
        "problem",
        "Problem",
        "Id of the problem ticket whose incident this is.",
        {"tickets": "problem"},
        joined="t_problem",
    ),
    Dimension(
        "imported_from",
        "Imported from",
        "Name of the system that the history came from.",
        {"tickets": "imported_from"},
        joined="t_imported_from",
    ),
    Dimension(
        "handling_minutes",
        "Minutes of handling",
        "Handling time in bands; the lower end belongs to the band. Of ratings: up to the rated "
        "resolution. Otherwise up to the one that stands; none while at work.",
        {"tickets": handling_band("handling_s")},
        joined=handling_band("t_handling_s"),
        values=(*(f"{low}–{high}" for low, high in BANDS), f"{BANDS[-1][1]}+"),
        complete=True,
    ),
    Dimension(
        "hour",
        "Hour of day",
        "0 to 23, of the fact's instant in the zone asked for.",
        values=tuple(str(hour) for hour in range(24)),
        complete=True,
        of_instant="hour",
    ),
    Dimension(
        "weekday",
        "Weekday",
        "1 Monday to 7 Sunday (ISO 8601), of the fact's instant in the zone asked for.",
        values=_WEEKDAYS,
        complete=True,
        of_instant="weekday",
    ),
    Dimension(
        "actor",
        "Actor",
        "Who did it: `agent:…`, `requester:…`, `service:…`, `system`.",
        {"activities": "actor"},
    ),
    Dimension("policy", "SLA policy", "The policy of the clock.", {"verdicts": "policy"}),
    Dimension(
        "sla_metric",
        "SLA metric",
        "What the clock measures: first_reply, next_reply, requester_wait …",
        {"verdicts": "metric"},
    ),
    Dimension("calendar", "SLA calendar", "The calendar of the clock.", {"verdicts": "calendar"}),
    Dimension(
        "outcome",
        "SLA outcome",
        "How the clock ended.",
        {"verdicts": "outcome"},
        values=("kept", "breached", "running", "cancelled"),
    ),
    Dimension("rating", "Rating", "Good or bad; for ratings only.", values=("good", "bad")),
    Dimension(
        "cause",
        "Cause of the escalation",
        "manual, rule, sla, hand_over_limit; for escalations only.",
        values=("manual", "rule", "sla", "hand_over_limit"),
    ),
)

DIMENSIONS: Final[Mapping[str, Dimension]] = {dimension.name: dimension for dimension in _ALL}
"""By name, in the order in which documentation shows them."""

LEVELS_LACK: Final = frozenset(("hour", "weekday"))
"""What stands at the end of a period has no hour of its own."""

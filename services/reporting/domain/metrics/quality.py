"""How well it goes: shares, effort per ticket, service levels, satisfaction, what comes again."""

from __future__ import annotations

from typing import Final

from services.reporting.domain.dimensions import handling_band
from services.reporting.domain.metrics.definition import Better, Definition, Kind, Unit

REPEAT_DAYS: Final = 30
"""Within how many days another ticket of a requester, of the same category, is a repeat contact."""

_REPEAT_US: Final = REPEAT_DAYS * 86_400_000_000
_STANDS: Final = "solved_us IS NOT NULL AND merged_into IS NULL"
_NOT_MERGED: Final = " Merged tickets do not count."
_OF_RATING: Final = {"handling_minutes": handling_band("value_s"), "rating": "detail"}
_SLA_EVENTS: Final = ("ClockStarted", "ClockSatisfied", "SlaBreached", "ClockCancelled")


def _per_ticket(
    name: str, title: str, column: str, formula: str, events: tuple[str, ...], better: Better
) -> Definition:
    return Definition(
        name,
        title,
        "times",
        "distribution",
        "tickets",
        "solved_us",
        formula,
        events,
        when=_STANDS,
        value=column,
        better=better,
        edges="Solved tickets only, at the resolution that stands; what comes after it counts too."
        + _NOT_MERGED,
    )


def _clocks(
    name: str,
    title: str,
    kind: Kind,
    formula: str,
    *,
    when: str,
    unit: Unit = "clocks",
    at: str = "at_us",
    value: str = "",
    better: Better = "neither",
    edges: str = "",
) -> Definition:
    return Definition(
        name,
        title,
        unit,
        kind,
        "verdicts",
        at,
        formula,
        _SLA_EVENTS,
        when=when,
        value=value,
        better=better,
        edges=edges,
    )


_REPEATED: Final = f"""(
    SELECT *, lag(created_us) OVER (PARTITION BY requester, category ORDER BY created_us, number)
        AS before_us
    FROM tickets WHERE created_us >= $start - {_REPEAT_US} AND created_us < $end)"""  # noqa: S608 - our own words
_CAME_BEFORE: Final = (
    f"coalesce(requester IS NOT NULL AND created_us - before_us <= {_REPEAT_US}, false)"
)

QUALITY: Final[tuple[Definition, ...]] = (
    Definition(
        "one_touch_rate",
        "One-touch rate",
        "share",
        "share",
        "tickets",
        "solved_us",
        "Of the tickets that are solved: those never reopened, with one public reply at most.",
        ("TicketCreated", "StatusChanged", "MessageAdded"),
        when=_STANDS,
        value="one_touch",
        better="more",
        edges="By the resolution that stands. A ticket leaves the share when it is reopened."
        + _NOT_MERGED,
    ),
    Definition(
        "reopen_rate",
        "Reopen rate",
        "share",
        "share",
        "tickets",
        "first_solved_us",
        "Of the tickets that were solved for the first time in the period: those reopened since.",
        ("TicketCreated", "StatusChanged"),
        when="first_solved_us IS NOT NULL AND merged_into IS NULL",
        value="reopens > 0",
        better="less",
        edges="Younger periods may still grow, because a ticket may be reopened until it is closed."
        + _NOT_MERGED,
    ),
    _per_ticket(
        "replies_per_ticket",
        "Replies per ticket",
        "replies",
        "Public messages by agents on each solved ticket.",
        ("MessageAdded", "StatusChanged"),
        "less",
    ),
    _per_ticket(
        "hand_overs_per_ticket",
        "Hand-overs per ticket",
        "hand_overs",
        "Changes of holder on each solved ticket.",
        ("Assigned", "StatusChanged"),
        "less",
    ),
    _clocks(
        "sla_attainment",
        "SLA attainment",
        "share",
        "Of the clocks that came to an end, kept or breached: those kept.",
        unit="share",
        when="outcome IN ('kept', 'breached') AND at_us IS NOT NULL",
        value="outcome = 'kept'",
        better="more",
        edges="A kept clock counts when it was kept, a breached one at its due time, however late it "
        "was noticed. Running and cancelled clocks do not count. Of imported tickets only verdicts are "
        "known, unless the SLA service publishes all edges: a clock that goes on after a reopening then "
        "keeps its verdict until it ends again.",
    ),
    _clocks(
        "sla_kept",
        "SLA kept",
        "count",
        "Clocks that ended within their target.",
        when="outcome = 'kept' AND at_us IS NOT NULL",
        better="more",
    ),
    _clocks(
        "sla_breaches",
        "SLA breaches",
        "count",
        "Clocks that passed their due time, at that time.",
        when="outcome = 'breached' AND at_us IS NOT NULL",
        better="less",
    ),
    _clocks(
        "sla_started",
        "SLA clocks started",
        "count",
        "Clocks, by the instant they were started.",
        when="started_us IS NOT NULL",
        at="started_us",
        edges="Those that were cancelled later are included; by outcome tells them apart.",
    ),
    Definition(
        "satisfaction",
        "Satisfaction",
        "share",
        "share",
        "activities",
        "time_us",
        "Of the ratings given: those that are good.",
        ("SatisfactionRated",),
        when="kind = 'rated'",
        value="detail = 'good'",
        better="more",
        edges="By the instant of the rating. A requester who rates again has rated twice. Tickets "
        "without a rating do not count. Group and agent are those of the rated resolution.",
        dimensions=_OF_RATING,
    ),
    Definition(
        "ratings",
        "Ratings",
        "ratings",
        "count",
        "activities",
        "time_us",
        "Ratings given, good and bad.",
        ("SatisfactionRated",),
        when="kind = 'rated'",
        dimensions=_OF_RATING,
    ),
    Definition(
        "incidents",
        "Incidents of problems",
        "tickets",
        "count",
        "tickets",
        "created_us",
        "Tickets that are linked to a problem as its incident, by their creation.",
        ("TicketCreated", "TicketLinked"),
        when="problem IS NOT NULL AND created_us IS NOT NULL",
        better="less",
        edges="Linking may come later: the ticket then counts on the day it was created.",
    ),
    Definition(
        "repeat_contacts",
        "Repeat contacts",
        "tickets",
        "count",
        "tickets",
        "created_us",
        "Tickets whose requester had created another one of the same category within the "
        f"{REPEAT_DAYS} days before.",
        ("TicketCreated", "CategoryChanged"),
        when=_CAME_BEFORE,
        better="less",
        derived=_REPEATED,
        edges="The category is that of now; none is as good as the same. The earlier ticket counts "
        "whatever filter is set.",
    ),
    Definition(
        "repeat_contact_rate",
        "Repeat contact rate",
        "share",
        "share",
        "tickets",
        "created_us",
        "Of the tickets created: the repeat contacts.",
        ("TicketCreated", "CategoryChanged"),
        when="created_us IS NOT NULL",
        value=_CAME_BEFORE,
        better="less",
        derived=_REPEATED,
    ),
)

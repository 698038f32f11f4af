"""A proof as a document: what `GET /v1/clocks/{ticket_id}/proof` answers and `bitacora sla explain` shows.

Lengths are whole microseconds, so that they can be added up without rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from libs.events import format_time
from libs.worktime.calendar import Calendar
from libs.worktime.hours import WEEKDAYS, Span
from libs.worktime.instants import to_datetime
from services.sla.domain.book import Book
from services.sla.domain.metrics import METRICS
from services.sla.domain.proof import Check, Interval, Period, Proof, proof_of
from services.sla.domain.state import Clock, Edge, Held
from services.sla.domain.ticket import TicketClocks, expire

INSTANTS: Final = frozenset({"breach", "due"})
"""Checks that compare instants; the others compare lengths or words."""


COMPARED: Final = (
    "verdict",
    "state",
    "started",
    "started_by",
    "ended",
    "target_us",
    "elapsed_us",
    "due",
    "breached_at",
)


def proofs(
    ticket_id: str,
    ticket: TicketClocks,
    past: Iterable[Clock],
    book: Book,
    now_us: int,
    metric: str | None = None,
) -> dict[str, Any]:
    """The proofs of all clocks of a ticket, or of one metric's.

    What fell due by now is stated first. The clocks of imported history stand at its last event: its
    time does not go on.
    """
    as_of_us = max(now_us, ticket.last_us) if ticket.live else ticket.last_us
    ticket, _ = expire(ticket, as_of_us, book)
    order = {name: number for number, name in enumerate(METRICS)}
    clocks = sorted(
        (clock for clock in (*past, *ticket.clocks) if metric in (None, clock.metric)),
        key=lambda clock: (order[clock.metric], clock.activation),
    )
    found = [proof_of(ticket, clock, book, as_of_us) for clock in clocks]
    return {
        "ticket_id": ticket_id,
        "live": ticket.live,
        "as_of": _time(as_of_us),
        "tzdata": book.tzdata,
        "holds": all(proof.holds for proof in found),
        "clocks": [document(ticket_id, proof) for proof in found],
        "calendars": _calendars(found, book),
    }


def document(ticket_id: str, proof: Proof) -> dict[str, Any]:
    """One clock's proof."""
    clock = proof.clock
    return {
        "metric": clock.metric,
        "activation": clock.activation,
        "verdict": proof.verdict,
        "state": clock.state,
        "started": _time(proof.start_us),
        "started_by": _event(ticket_id, clock.started_by),
        "ended": _time(clock.ended_us),
        "target_us": clock.target_us,
        "elapsed_us": proof.elapsed_us,
        "left_us": clock.target_us - proof.elapsed_us,
        "due": _time(proof.due_us),
        "breached_at": _time(proof.breach_us),
        "tzdata": clock.tzdata,
        "terms": [_period(ticket_id, one) for one in proof.periods],
        "edges": [_edge(ticket_id, edge) for edge in clock.edges],
        "intervals": _intervals(ticket_id, proof.intervals),
        "intervals_before_breach": _intervals(ticket_id, proof.before_breach),
        "sums_us": _sums(proof.intervals),
        "checks": [_check(check) for check in proof.checks],
        "holds": proof.holds,
    }


def compared(recorded: Mapping[str, Any], replayed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the verdicts of two answers of `proofs` differ: clock, field, both values."""
    ways = [
        {(one["metric"], one["activation"]): one for one in answer["clocks"]}
        for answer in (recorded, replayed)
    ]
    differences = []
    for key in sorted(ways[0].keys() | ways[1].keys()):
        for field in COMPARED:
            values = [way.get(key, {}).get(field) for way in ways]
            if values[0] != values[1]:
                differences.append(
                    {
                        "metric": key[0],
                        "activation": key[1],
                        "field": field,
                        "recorded": values[0],
                        "replayed": values[1],
                    }
                )
    return differences


def _intervals(ticket_id: str, intervals: Iterable[Interval]) -> list[dict[str, Any]]:
    return [
        {
            "start": _time(one.start_us),
            "end": _time(one.end_us),
            "length_us": one.end_us - one.start_us,
            "counted": one.why == "counted",
            "why": one.why,
            "name": one.name,
            "calendar_version": one.calendar_version,
            "begun_by": _event(ticket_id, one.begun_by),
            "ended_by": _event(ticket_id, one.ended_by),
        }
        for one in intervals
    ]


def _sums(intervals: Iterable[Interval]) -> dict[str, int]:
    """Length by reason; together they are the whole time of the clock."""
    sums: dict[str, int] = {"counted": 0}
    for one in intervals:
        sums[one.why] = sums.get(one.why, 0) + one.end_us - one.start_us
    return sums


def _period(ticket_id: str, period: Period) -> dict[str, Any]:
    return {
        **_held(period.held),
        "from": _time(period.start_us),
        "until": _time(period.end_us),
        "reason": period.reason,
        "cause": _event(ticket_id, period.cause),
        "used_up": _time(period.due_us),
    }


def _held(held: Held) -> dict[str, Any]:
    return held._asdict()


def _edge(ticket_id: str, edge: Edge) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "kind": edge.kind,
        "at": _time(edge.at_us),
        "cause": _event(ticket_id, edge.cause),
    }
    if edge.fraction:
        shown["fraction"] = edge.fraction
    if edge.reason:
        shown["reason"] = edge.reason
    return shown


def _check(check: Check) -> dict[str, Any]:
    found, recorded = check.found, check.recorded
    if check.name in INSTANTS:
        found, recorded = (
            _time(value) if isinstance(value, int) else None for value in (found, recorded)
        )
    return {"name": check.name, "found": found, "recorded": recorded, "ok": check.ok}


def _calendars(found: Iterable[Proof], book: Book) -> list[dict[str, Any]]:
    """Every version of a calendar that a proof refers to."""
    wanted: dict[tuple[str, int], None] = {}
    for proof in found:
        for one in proof.intervals:
            if one.calendar_version is not None:
                wanted[proof.clock.calendar, one.calendar_version] = None
        for period in proof.periods:
            wanted[period.held.calendar, period.held.calendar_version] = None
    return [
        _calendar(book.calendars[name][version - 1].calendar) for name, version in sorted(wanted)
    ]


def _calendar(calendar: Calendar) -> dict[str, Any]:
    return {
        "id": calendar.name,
        "version": calendar.version,
        "zone": calendar.zone,
        "hours": None if calendar.week is None else _week(calendar.week),
        "holidays": len(calendar.holidays),
        "special_days": len(calendar.special_days),
    }


def _week(week: Iterable[Iterable[Span]]) -> dict[str, list[str]]:
    return {
        name: [f"{_clock(first)}-{_clock(last)}" for first, last in spans]
        for name, spans in zip(WEEKDAYS, week, strict=True)
        if spans
    }


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _event(ticket_id: str, sequence: int | None) -> str | None:
    return None if sequence is None else f"{ticket_id}:{sequence}"


def _time(instant_us: int | None) -> str | None:
    return None if instant_us is None else format_time(to_datetime(instant_us))

"""What others may ask: the clocks of a ticket at an instant, what is due next, the definitions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from libs.events import format_time
from services.sla.domain.clocks import Clock, breached, terms_of, used_us
from services.sla.domain.instants import SECOND_US, to_datetime
from services.sla.domain.policy import Book
from services.sla.store import calendars, decode, policies, tickets
from services.sla.timers.table import timers


def clocks_of(
    connection: Connection, book: Book, ticket_id: str, now_us: int
) -> dict[str, Any] | None:
    """Every clock of the ticket as of `now_us`, or None when the ticket is unknown here.

    The clocks of imported history stand at its last event: its time does not go on.
    """
    state = connection.scalar(select(tickets.c.state).where(tickets.c.ticket_id == ticket_id))
    if state is None:
        return None
    ticket = decode(state)
    as_of_us = max(now_us, ticket.last_us) if ticket.live else ticket.last_us
    return {
        "ticket_id": ticket_id,
        "live": ticket.live,
        "status": ticket.status,
        "as_of": _text(as_of_us),
        "clocks": [_clock(clock, book, as_of_us) for clock in ticket.clocks],
    }


def due_next(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The next warnings and breaches of live tickets, the earliest first."""
    query = (
        select(timers.c.ticket_id, timers.c.metric, timers.c.kind, timers.c.at_us)
        .order_by(timers.c.at_us, timers.c.ticket_id)
        .limit(limit)
    )
    return [
        {"ticket_id": ticket_id, "metric": metric, "kind": kind, "at": _text(at_us)}
        for ticket_id, metric, kind, at_us in connection.execute(query)
    ]


def policy_versions(connection: Connection) -> list[dict[str, Any]]:
    """All versions of the list of policies, the newest first."""
    query = select(policies.c.version, policies.c.effective_from_us, policies.c.document)
    return [
        {"version": version, "effective_from": _text(effective_us), "policies": document}
        for version, effective_us, document in connection.execute(
            query.order_by(policies.c.version.desc())
        )
    ]


def calendar_versions(connection: Connection) -> list[dict[str, Any]]:
    """All versions of all calendars: by name, the newest version first."""
    c = calendars.c
    query = select(c.version, c.effective_from_us, c.document).order_by(c.name, c.version.desc())
    return [
        {**document, "version": version, "effective_from": _text(effective_us)}
        for version, effective_us, document in connection.execute(query)
    ]


def _clock(clock: Clock, book: Book, as_of_us: int) -> dict[str, Any]:
    used = used_us(clock, terms_of(clock, book).calendar, as_of_us)
    return {
        "metric": clock.metric,
        "activation": clock.activation,
        "state": clock.state,
        "breached": breached(clock),
        "policy": clock.policy,
        "policy_version": clock.policy_version,
        "calendar": clock.calendar,
        "calendar_version": clock.calendar_version,
        "target_s": clock.target_us // SECOND_US,
        "elapsed_s": used // SECOND_US,
        "remaining_s": (clock.target_us - used) // SECOND_US,
        "started": _text(clock.started_us),
        "due": _text(clock.due_us),
        "breached_at": _text(clock.breach_us),
        "ended": _text(clock.ended_us),
        "warned_per_cent": clock.warned,
    }


def _text(instant_us: int | None) -> str | None:
    return None if instant_us is None else format_time(to_datetime(instant_us))

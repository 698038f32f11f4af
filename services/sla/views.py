"""What others may ask: the clocks of a ticket at an instant, what is due next, the definitions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from libs.events import format_time
from libs.worktime.instants import SECOND_US, to_datetime
from services.sla.domain.book import Book
from services.sla.domain.metrics import METRICS
from services.sla.domain.proof_document import proofs
from services.sla.domain.standing import standing
from services.sla.domain.state import Clock, Edge
from services.sla.domain.ticket import TicketClocks
from services.sla.store import calendars, decode, past_of, policies, tickets
from services.sla.timers.table import timers


def clocks_of(
    connection: Connection, book: Book, ticket_id: str, now_us: int, at_us: int | None = None
) -> dict[str, Any] | None:
    """Every clock of the ticket as it stands at `at_us` (None: now), or None when the ticket is unknown
    here. Ended activations of reply clocks come before the latest.

    Beyond its last event a ticket is shown as it will stand if nothing happens. The clocks of imported
    history stand at its last event: its time does not go on.
    """
    state = connection.scalar(select(tickets.c.state).where(tickets.c.ticket_id == ticket_id))
    if state is None:
        return None
    ticket = decode(state)
    as_of_us = max(now_us, ticket.last_us) if at_us is None else at_us
    if not ticket.live:
        as_of_us = min(as_of_us, ticket.last_us)
    order = {metric: number for number, metric in enumerate(METRICS)}
    clocks = sorted(
        [*past_of(connection, ticket_id), *ticket.clocks],
        key=lambda clock: (order[clock.metric], clock.activation),
    )
    shown = [_clock(ticket_id, ticket, clock, book, as_of_us) for clock in clocks]
    return {
        "ticket_id": ticket_id,
        "live": ticket.live,
        "status": _status_at(ticket, as_of_us),
        "as_of": _text(as_of_us),
        "clocks": [clock for clock in shown if clock is not None],
    }


def proofs_of(
    connection: Connection, book: Book, ticket_id: str, now_us: int, metric: str | None
) -> dict[str, Any] | None:
    """The proofs of the ticket's clocks, as of `proof_document`, or None when it is unknown here."""
    state = connection.scalar(select(tickets.c.state).where(tickets.c.ticket_id == ticket_id))
    if state is None:
        return None
    return proofs(ticket_id, decode(state), past_of(connection, ticket_id), book, now_us, metric)


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


def _status_at(ticket: TicketClocks, at_us: int) -> str | None:
    found = None
    for moment in ticket.history:
        if moment.at_us <= at_us:
            found = moment.status
    return found


def _clock(
    ticket_id: str, ticket: TicketClocks, clock: Clock, book: Book, as_of_us: int
) -> dict[str, Any] | None:
    stands = standing(clock, ticket.history, book, as_of_us)
    if stands is None:
        return None
    held = stands.held
    return {
        "metric": clock.metric,
        "activation": clock.activation,
        "state": stands.state,
        "breached": stands.breach_us is not None or stands.left_us <= 0,
        "policy": held.policy,
        "policy_version": held.policy_version,
        "calendar": held.calendar,
        "calendar_version": held.calendar_version,
        "tzdata": held.tzdata,
        "target_s": held.target_us // SECOND_US,
        "elapsed_s": stands.used_us // SECOND_US,
        # Both are whole seconds and add up to the target.
        "remaining_s": held.target_us // SECOND_US - stands.used_us // SECOND_US,
        "started": _text(clock.started_us),
        "started_by": f"{ticket_id}:{clock.started_by}",
        "due": _text(stands.due_us),
        "breached_at": _text(stands.breach_us),
        "ended": _text(stands.ended_us),
        "warned_per_cent": stands.warned,
        "history": [_edge(ticket_id, edge) for edge in clock.edges if edge.at_us <= as_of_us],
    }


def _edge(ticket_id: str, edge: Edge) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "kind": edge.kind,
        "at": _text(edge.at_us),
        "cause": f"{ticket_id}:{edge.cause}",
    }
    if edge.fraction:
        shown["fraction"] = edge.fraction
    if edge.reason:
        shown["reason"] = edge.reason
    if edge.held is not None:
        shown |= edge.held._asdict()
        shown["target_s"] = shown.pop("target_us") // SECOND_US
    return shown


def _text(instant_us: int | None) -> str | None:
    return None if instant_us is None else format_time(to_datetime(instant_us))

"""The table of the timers: what each running clock of a live ticket will state next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    select,
)

from libs.runtime.database import upsert
from services.sla.domain.ticket import TicketClocks

timers: Final = Table(
    "timers",
    MetaData(),
    Column("ticket_id", String(200), primary_key=True),
    Column("metric", String(40), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Index("timers_by_instant", "at_us", "ticket_id"),
)
"""The next thing that each running clock of a live ticket will state: a warning, or the breach."""

Timer = tuple[str, str, str, int]
"""Ticket id, metric, kind, instant."""


def timers_of(ticket_id: str, ticket: TicketClocks | None) -> dict[tuple[str, str], Timer]:
    """The timers that this ticket must have."""
    if ticket is None or not ticket.live:
        return {}
    return {
        (ticket_id, clock.metric): (
            ticket_id,
            clock.metric,
            "breach" if clock.next_us == clock.due_us else "warning",
            clock.next_us,
        )
        for clock in ticket.clocks
        if clock.next_us is not None
    }


def due_timers(connection: Connection, until_us: int, limit: int) -> list[str]:
    """Ids of tickets with something to state by `until_us`, the longest overdue first."""
    query = (
        select(timers.c.ticket_id)
        .where(timers.c.at_us <= until_us)
        .order_by(timers.c.at_us)
        .limit(limit)
    )
    return list(dict.fromkeys(connection.scalars(query)))


def next_timer_us(connection: Connection) -> int | None:
    """The earliest instant at which something falls due."""
    at_us: int | None = connection.scalar(select(func.min(timers.c.at_us)))
    return at_us


def save_timers(
    connection: Connection,
    before: Mapping[str, TicketClocks],
    changed: Mapping[str, TicketClocks],
) -> int | None:
    """Write the timers of the tickets that changed, as far as these did.

    Returns the earliest instant among those that were set, or None.
    """
    armed: list[dict[str, Any]] = []
    gone: list[dict[str, Any]] = []
    for key, ticket in changed.items():
        old_ticket = before.get(key)
        if not ticket.live and (old_ticket is None or not old_ticket.live):
            continue
        old, new = timers_of(key, old_ticket), timers_of(key, ticket)
        armed += [
            dict(zip(("ticket_id", "metric", "kind", "at_us"), timer, strict=True))
            for place, timer in new.items()
            if old.get(place) != timer
        ]
        gone += [{"b_ticket": place[0], "b_metric": place[1]} for place in old if place not in new]
    if gone:
        of_clock = (timers.c.ticket_id == bindparam("b_ticket")) & (
            timers.c.metric == bindparam("b_metric")
        )
        connection.execute(timers.delete().where(of_clock), gone)
    upsert(connection, timers, armed)
    return min((row["at_us"] for row in armed), default=None)

"""Timers of a database that an older version made: they follow from the clocks, so they are made anew."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, inspect, select

from services.sla.store import decode, tickets
from services.sla.timers.table import save_timers, timers

PAGE_TICKETS: Final = 1000


def remake_timers(connection: Connection) -> int | None:
    """Make the table of the timers anew if it lacks a column, from the clocks of all live tickets, in
    the caller's transaction. Returns how many timers there are then; None: nothing was to be done."""
    known = {column["name"] for column in inspect(connection).get_columns(timers.name)}
    if known >= set(timers.c.keys()):
        return None
    timers.drop(connection)
    timers.create(connection)
    made, last, full = 0, "", True
    while full:
        query = (
            select(tickets.c.ticket_id, tickets.c.state)
            .where(tickets.c.live, tickets.c.ticket_id > last)
            .order_by(tickets.c.ticket_id)
            .limit(PAGE_TICKETS)
        )
        page = {row[0]: decode(row[1]) for row in connection.execute(query)}
        made += len(save_timers(connection, {}, page))
        full = len(page) == PAGE_TICKETS
        last = max(page, default=last)
    return made

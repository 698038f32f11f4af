"""The table of the timers: what each running clock of a live ticket will state next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    select,
    tuple_,
)

from libs.runtime.database import upsert
from libs.runtime.share import Share, slot_of
from services.sla.domain.ticket import TicketClocks

timers: Final = Table(
    "timers",
    MetaData(),
    Column("ticket_id", String(200), primary_key=True),
    Column("metric", String(40), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("slot", Integer, nullable=False),
    Index("timers_by_instant", "at_us", "ticket_id"),
    sqlite_with_rowid=False,
)
"""The next thing that each running clock of a live ticket will state: a warning, or the breach.

`slot` modulo the number of partitions is the partition of the ticket's events, whatever that number
is: so the processes of a group know which timers are whose, and nothing is to be written when
partitions change hands."""


class Due(NamedTuple):
    """A timer as far as those who wait for it need to know; ordered as they fall due."""

    at_us: int
    ticket_id: str


class Armed(NamedTuple):
    """A timer that was set."""

    at_us: int
    ticket_id: str
    slot: int


def page(connection: Connection, share: Share, after: Due, until_us: int, limit: int) -> list[Due]:
    """The timers of this share that come after `after`, due by `until_us`, the earliest first.

    By the index: what it costs does not depend on how many timers there are.
    """
    query = (
        select(timers.c.at_us, timers.c.ticket_id)
        .where(tuple_(timers.c.at_us, timers.c.ticket_id) > tuple_(after.at_us, after.ticket_id))
        .where(timers.c.at_us <= until_us)
        .order_by(timers.c.at_us, timers.c.ticket_id)
        .limit(limit)
    )
    if not share.everything:
        query = query.where((timers.c.slot % share.partitions).in_(sorted(share.mine)))
    return [Due(at_us, ticket_id) for at_us, ticket_id in connection.execute(query)]


def save_timers(
    connection: Connection,
    before: Mapping[str, TicketClocks],
    changed: Mapping[str, TicketClocks],
) -> list[Armed]:
    """Write the timers of the tickets that changed, as far as these did. Returns those that were set."""
    rows: list[dict[str, Any]] = []
    gone: list[dict[str, Any]] = []
    for key, ticket in changed.items():
        old_ticket = before.get(key)
        if not ticket.live and (old_ticket is None or not old_ticket.live):
            continue
        old, new = _timers_of(old_ticket), _timers_of(ticket)
        if old == new:
            continue
        rows += [
            {
                "ticket_id": key,
                "metric": metric,
                "kind": kind,
                "at_us": at_us,
                "slot": slot_of(key),
            }
            for metric, (kind, at_us) in new.items()
            if old.get(metric) != (kind, at_us)
        ]
        gone += [{"b_ticket": key, "b_metric": metric} for metric in old if metric not in new]
    if gone:
        connection.execute(_DELETE, gone)
    upsert(connection, timers, rows)
    return [Armed(row["at_us"], row["ticket_id"], row["slot"]) for row in rows]


def _timers_of(ticket: TicketClocks | None) -> dict[str, tuple[str, int]]:
    """Metric → kind and instant of the timers that this ticket must have."""
    if ticket is None or not ticket.live:
        return {}
    return {
        clock.metric: ("breach" if clock.next_us == clock.due_us else "warning", clock.next_us)
        for clock in ticket.clocks
        if clock.next_us is not None
    }


_DELETE: Final = timers.delete().where(
    timers.c.ticket_id == bindparam("b_ticket"), timers.c.metric == bindparam("b_metric")
)

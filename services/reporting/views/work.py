"""One row per live ticket that is not settled: who holds it, and since when it waits if nobody does.

The rules are those by which routing keeps its queue: a ticket waits while it is live, new or open,
not merged, and has no agent.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, String, Table, delete, select

from libs.events import EventEnvelope, Status, Ticket
from libs.events import ticket as t
from services.reporting.domain import SETTLED, microseconds
from services.reporting.views.sql import METADATA, Save, clean

AT_WORK = Table(
    "at_work",
    METADATA,
    Column("id", String, primary_key=True),
    Column("group_name", String),
    Column("holder", String),
    Column("eligible_us", BigInteger),
    Column("waiting_us", BigInteger),
)
"""`holder` is the agent whose capacity the ticket uses (pending and on-hold tickets use none).
`eligible_us` is when it could first be given to an agent since it was created or reopened;
`waiting_us`, when it last began to wait, None while it does not wait."""

WORKING: Final = frozenset((Status.NEW, Status.OPEN))
_MOVES: Final = frozenset(
    (
        t.TicketCreated,
        t.StatusChanged,
        t.Assigned,
        t.Unassigned,
        t.TicketMerged,
        t.ImportedTicketActivated,
    )
)
_save = Save(AT_WORK)


def waits(ticket: Ticket | None) -> bool:
    """May this ticket be given to an agent?"""
    return (
        ticket is not None
        and ticket.live
        and ticket.agent is None
        and ticket.status in WORKING
        and ticket.merged_into is None
    )


class Work:
    """What one batch changes in `at_work`."""

    def __init__(self) -> None:
        self._moves: list[tuple[Ticket | None, Ticket, int]] = []

    def note(self, before: Ticket | None, after: Ticket, envelope: EventEnvelope) -> None:
        """One event of a ticket, in order per ticket."""
        if after.live and type(envelope.event) in _MOVES:
            self._moves.append((before, after, microseconds(envelope.time)))

    def save(self, connection: Connection) -> None:
        if not self._moves:
            return
        known = _load(connection, [after.id for before, after, _ in self._moves if before])
        latest: dict[str, Ticket] = {}
        since: dict[str, tuple[int | None, int | None]] = {}
        for before, after, time_us in self._moves:
            latest[after.id] = after
            since[after.id] = _since(before, after, time_us, known.get(after.id, _NEVER))
            known[after.id] = since[after.id]
        gone = [ticket.id for ticket in latest.values() if ticket.status in SETTLED]
        if gone:
            connection.execute(delete(AT_WORK).where(AT_WORK.c.id.in_(gone)))
        _save(
            connection,
            [
                _row(ticket, *since[ticket.id])
                for ticket in latest.values()
                if ticket.status not in SETTLED
            ],
        )


_Since = tuple[int | None, int | None]
_NEVER: Final[_Since] = (None, None)


def _since(before: Ticket | None, after: Ticket, time_us: int, known: _Since) -> _Since:
    """(eligible_us, waiting_us) after this event."""
    if after.status in SETTLED:
        return _NEVER
    eligible_us = known[0]
    if not waits(after):
        return eligible_us, None
    if waits(before):
        return known
    return (time_us if eligible_us is None else eligible_us), time_us


def _load(connection: Connection, ids: list[str]) -> dict[str, _Since]:
    c = AT_WORK.c
    query = select(c.id, c.eligible_us, c.waiting_us).where(c.id.in_(ids))
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)} if ids else {}


def _row(ticket: Ticket, eligible_us: int | None, waiting_us: int | None) -> tuple[Any, ...]:
    uses = ticket.status in WORKING and ticket.merged_into is None
    holder = clean(ticket.agent) if uses and ticket.agent is not None else None
    group = None if ticket.group is None else clean(ticket.group)
    return (ticket.id, group, holder, eligible_us, waiting_us)

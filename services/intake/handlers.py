"""What intake does by itself: it closes tickets that have been solved long enough.

(Commands from `tickets.commands` go straight to `Desk.submit_many`; see `app.py`.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import uuid_utils
from sqlalchemy import Connection

from libs.events import CommandEnvelope
from libs.events.commands import CloseSolvedTicket
from libs.runtime.commit import Outcome
from libs.runtime.outbox import Outgoing
from services.intake.store import Desk

CLOSE_BATCH_TICKETS = 500
POLL_S_MIN = 0.2


class Closer:
    """Closes live tickets `close_after` after they were solved.

    It keeps nothing in memory: the table `solved_tickets` says who is due, so a stop or a crash
    only delays. `poll_s` is in real seconds.
    """

    def __init__(self, desk: Desk, close_after: timedelta, poll_s: float) -> None:
        self._desk = desk
        self._close_after = close_after
        self._poll_s = max(poll_s, POLL_S_MIN)

    async def run(self) -> None:
        """For ever. Raises Transient when the database is away."""
        while True:
            if await self.close_due() < CLOSE_BATCH_TICKETS:
                await asyncio.sleep(self._poll_s)

    async def close_due(self) -> int:
        """Close at most one batch of those that are due; returns how many were looked at."""
        books, store = self._desk.books, self._desk.store
        before = store.clock.now() - self._close_after
        due = await store.read(lambda c: books.due(c, before, CLOSE_BATCH_TICKETS))
        if not due:
            return 0
        outcomes = await self._desk.submit_many([_close(ticket_id) for ticket_id in due])
        waiting = _refused(outcomes, lambda code: code == "not_live")
        others = _refused(outcomes, lambda code: code not in {"not_live", "not_due"})
        if waiting or others:

            def tidy(connection: Connection, _: Outgoing) -> None:
                books.not_live(connection, waiting)
                books.forget(connection, others)

            await store.write(tidy)
        return len(due)


def _close(ticket_id: str) -> CommandEnvelope:
    # A fresh id each time: closing twice is harmless, and a refusal must not be remembered.
    return CommandEnvelope(
        command_id=str(uuid_utils.uuid7()),
        ticket_id=ticket_id,
        command=CloseSolvedTicket(),
        actor="system",
    )


def _refused(outcomes: Sequence[Outcome], of_kind: Callable[[str], bool]) -> list[str]:
    return [o.ticket_id for o in outcomes if o.status == "rejected" and of_kind(o.code)]

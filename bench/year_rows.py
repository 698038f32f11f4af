"""The rows of reporting's `history` and `tickets` for a year of a desk, made in several processes.

The rows are those of reporting: the public fold, and the functions that the views themselves use.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final

from bench.desk_year import Plan, piece
from libs.events import EventEnvelope, evolve
from libs.events.topics import SLA_EVENTS, TICKETS_EVENTS
from libs.runtime.database import Database
from services.reporting.domain import SETTLED, microseconds
from services.reporting.views import HISTORY, POSITIONS, TICKETS, history, tickets
from services.reporting.views.history import SLA_PREFIX
from services.reporting.views.sql import Save

AHEAD: Final = 4
"""Pieces that are made before they are written."""
TOLD_EVERY: Final = 100

_save_history = Save(HISTORY, keep=True)
_save_tickets = Save(TICKETS)
_save_positions = Save(POSITIONS)

Rows = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


def rows_of_piece(plan: Plan, number: int) -> Rows:
    """(rows of `history`, rows of `tickets`), each in the order of its key."""
    streams = piece(plan, number)
    rows = [history.row_of(e) for stream in streams for e in stream]
    rows.sort(key=lambda row: row[:2])
    made = [_ticket(s) for s in streams if not s[0].stream_id.startswith(SLA_PREFIX)]
    return rows, made


def _ticket(stream: list[EventEnvelope]) -> tuple[Any, ...]:
    state = None
    first_solved_us: int | None = None
    for envelope in stream:
        state = evolve(state, envelope)
        if first_solved_us is None and state.status in SETTLED:
            first_solved_us = microseconds(envelope.time)
    if state is None:
        raise ValueError("a stream without events")
    return tickets.row_of(state, first_solved_us)


def fill(database: Database, plan: Plan, pieces: int, tell: Callable[[str], None]) -> int:
    """Write the first `pieces` pieces. Returns the number of events."""
    events = latest_us = of_tickets = 0
    workers = (os.cpu_count() or 2) if pieces > AHEAD else 1
    with ProcessPoolExecutor(workers, get_context("spawn"), gc.disable) as pool:  # no cycles there
        coming: deque[Future[Rows]] = deque()
        asked = 0
        for number in range(pieces):
            while asked < pieces and len(coming) < AHEAD + workers:
                coming.append(pool.submit(rows_of_piece, plan, asked))
                asked += 1
            rows, made = coming.popleft().result()
            with database.transaction() as connection:
                _save_history(connection, rows)
                _save_tickets(connection, made)
            events += len(rows)
            of_tickets += sum(not row[0].startswith(SLA_PREFIX) for row in rows)
            latest_us = max(latest_us, *(row[4] for row in rows))
            if (number + 1) % TOLD_EVERY == 0:
                tell(f"{number + 1:,} of {pieces:,} pieces, {events:,} events")
    positions = [
        (SLA_EVENTS, events, events - of_tickets, latest_us),
        (TICKETS_EVENTS, events, of_tickets, latest_us),
    ]
    with database.transaction() as connection:
        _save_positions(connection, positions)
    return events

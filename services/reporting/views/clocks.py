"""SLA verdicts: one row per ticket and metric, from the streams of the clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final, Literal

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, String, Table, select

from libs.events import EventEnvelope, sla
from services.reporting.domain import microseconds
from services.reporting.views.sql import METADATA, Save, big, clean

CLOCKS = Table(
    "clocks",
    METADATA,
    Column("ticket_id", String, primary_key=True),
    Column("metric", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("policy_version", BigInteger, nullable=False),
    Column("target_s", BigInteger),
    Column("due_us", BigInteger),
    Column("elapsed_s", BigInteger),
    Column("started", Integer, nullable=False),
    Column("warned", Integer, nullable=False),
    Column("breached", Integer, nullable=False),
    Column("satisfied", Integer, nullable=False),
    Column("kept", Integer, nullable=False),
)
"""`state` is that of the latest clock of the metric (a reply clock starts anew with each question);
`started`, `warned`, `breached`, `satisfied` and `kept` (satisfied without a breach) count them all."""

Index("clocks_breached", CLOCKS.c.metric, CLOCKS.c.breached)
_RUNNING = CLOCKS.c.state == "running"
Index(
    "clocks_due",
    CLOCKS.c.due_us,
    CLOCKS.c.ticket_id,
    sqlite_where=_RUNNING,
    postgresql_where=_RUNNING,
)

State = Literal["running", "paused", "satisfied", "cancelled"]


@dataclass(slots=True)
class _Clock:
    """One row of `clocks`, its fields in the order of the columns."""

    ticket_id: str
    metric: str
    state: State = "running"
    policy: str = ""
    policy_version: int = 1
    target_s: int | None = None
    due_us: int | None = None
    elapsed_s: int | None = None
    started: int = 0
    warned: int = 0
    breached: int = 0
    satisfied: int = 0
    kept: int = 0


_values = attrgetter(*(field.name for field in fields(_Clock)))
_save = Save(CLOCKS)


class ClocksView:
    """Keeps `clocks`."""

    def apply(self, connection: Connection, envelopes: Sequence[EventEnvelope]) -> None:
        """Fold the clock events, in order per stream. Unknown types change nothing."""
        known = [e.event for e in envelopes if isinstance(e.event, sla.ClockEvent)]
        if not known:
            return
        clocks = _load(connection, list({event.ticket_id for event in known}))
        touched: dict[tuple[str, str], _Clock] = {}
        for event in known:
            key = (clean(event.ticket_id), str(event.metric))
            clock = touched.get(key) or clocks.get(key) or _Clock(*key)
            touched[key] = clock
            clock.policy, clock.policy_version = clean(event.policy), big(event.policy_version)
            _CHANGES[type(event)](clock, event)
        _save(connection, [_values(clock) for clock in touched.values()])


def _load(connection: Connection, ids: Sequence[str]) -> dict[tuple[str, str], _Clock]:
    rows = connection.execute(select(CLOCKS).where(CLOCKS.c.ticket_id.in_(ids)))
    return {(row[0], row[1]): _Clock(*row) for row in rows}


def _started(c: _Clock, e: sla.ClockStarted) -> None:
    c.state, c.target_s, c.due_us = "running", big(e.target_s), microseconds(e.due)
    c.elapsed_s = None
    c.started += 1


def _paused(c: _Clock, e: sla.ClockPaused) -> None:
    c.state, c.elapsed_s, c.due_us = "paused", big(e.elapsed_s), None


def _resumed(c: _Clock, e: sla.ClockResumed) -> None:
    c.state, c.elapsed_s, c.due_us = "running", big(e.elapsed_s), microseconds(e.due)


def _retargeted(c: _Clock, e: sla.ClockRetargeted) -> None:
    c.target_s, c.due_us = big(e.target_s), None if e.due is None else microseconds(e.due)


def _warned(c: _Clock, _: sla.SlaWarning) -> None:
    c.warned += 1


def _breached(c: _Clock, e: sla.SlaBreached) -> None:
    c.breached += 1
    c.due_us, c.target_s = microseconds(e.due), big(e.target_s)


def _satisfied(c: _Clock, e: sla.ClockSatisfied) -> None:
    c.state, c.elapsed_s, c.target_s = "satisfied", big(e.elapsed_s), big(e.target_s)
    c.satisfied += 1
    c.kept += not e.breached


def _cancelled(c: _Clock, _: sla.ClockCancelled) -> None:
    c.state, c.due_us = "cancelled", None


_CHANGES: Final[dict[type, Any]] = {
    sla.ClockStarted: _started,
    sla.ClockPaused: _paused,
    sla.ClockResumed: _resumed,
    sla.ClockRetargeted: _retargeted,
    sla.SlaWarning: _warned,
    sla.SlaBreached: _breached,
    sla.ClockSatisfied: _satisfied,
    sla.ClockCancelled: _cancelled,
}

"""One row per event of every stream, as recorded; refusals beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Index, String, Table

from libs.events import EventEnvelope
from services.reporting.domain import microseconds
from services.reporting.views.sql import METADATA, RowTuple, Save, clean

HISTORY = Table(
    "history",
    METADATA,
    Column("stream_id", String, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("type", String, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("recorded_us", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("data", String, nullable=False),
    # A stream's rows lie together: written as fast, and read by streams in two thirds of the time.
    sqlite_with_rowid=False,
)
"""A ticket's streams are `<id>`, `sla:<id>` and `decision:<id>`; `data` is the event's JSON."""

REJECTIONS = Table(
    "rejections",
    METADATA,
    Column("command_id", String, primary_key=True),
    Column("command_type", String, nullable=False),
    Column("ticket_id", String, nullable=False),
    Column("code", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("recorded_us", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
)
"""The topic keeps refusals for 30 days; this table keeps what it has seen."""

Index("rejections_ticket", REJECTIONS.c.ticket_id)

SLA_PREFIX: Final = "sla:"
CALENDAR_PREFIX: Final = "calendar:"
DECISION_PREFIX: Final = "decision:"
NEEDS_PREFIX: Final = "needs:"
NOTIFICATION_PREFIX: Final = "notification:"
REFUSAL_PREFIX: Final = "refusal:"
RULES_STREAM: Final = "rules"
AGENT_PREFIX: Final = "agent:"

_save_history = Save(HISTORY, keep=True)
_save_rejections = Save(REJECTIONS, keep=True)


def streams_of(ticket_id: str) -> tuple[str, str, str]:
    """The streams that tell about one ticket."""
    return ticket_id, SLA_PREFIX + ticket_id, DECISION_PREFIX + ticket_id


def row_of(e: EventEnvelope) -> RowTuple:
    """An event's row, in the order of the columns."""
    recorded_us = microseconds(e.recorded_time)
    time_us = recorded_us if e.time == e.recorded_time else microseconds(e.time)
    actor, cause = e.actor, e.causation_id
    if "\x00" in actor or "\x00" in cause:
        actor, cause = clean(actor), clean(cause)
    return (e.stream_id, e.sequence, e.type, time_us, recorded_us, actor, cause, e.data.decode())


class HistoryView:
    def apply(self, connection: Connection, envelopes: Sequence[EventEnvelope]) -> None:
        """Keep the events of all streams."""
        rows = [row_of(envelope) for envelope in envelopes]
        _save_history(connection, rows)

    def apply_rejections(
        self,
        connection: Connection,
        envelopes: Sequence[EventEnvelope],
    ) -> None:
        """Keep refusals, one row per refused command."""
        rows = [
            (
                clean(e.stream_id),
                e.event.command_type,
                clean(e.event.ticket_id),
                clean(e.event.code),
                clean(e.event.detail),
                microseconds(e.time),
                microseconds(e.recorded_time),
                clean(e.actor),
            )
            for e in envelopes
        ]
        _save_rejections(connection, rows)

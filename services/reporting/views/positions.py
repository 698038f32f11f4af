"""How far reporting has come in each topic, so that others can see whether it has caught up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import BigInteger, Column, Connection, String, Table, func, select

from libs.events import EventEnvelope
from services.reporting.domain import microseconds
from services.reporting.views.sql import METADATA, Save

POSITIONS = Table(
    "positions",
    METADATA,
    Column("topic", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("recorded_us", BigInteger, nullable=False),
)
"""`position` is the greatest `ce_position` applied, `events` how many were, `recorded_us` the
latest instant at which one of them was recorded. Streams interleave, so a greatest position says
"caught up" only together with the count."""

_save = Save(POSITIONS, add=["events"], greatest=["position", "recorded_us"])


def stamp(connection: Connection) -> int:
    """Grows with every applied event: equal stamps, equal read models."""
    return int(connection.execute(select(func.sum(POSITIONS.c.events))).scalar() or 0)


class PositionsView:
    def apply(
        self,
        connection: Connection,
        by_topic: Mapping[str, Sequence[EventEnvelope]],
    ) -> None:
        rows = [
            (
                topic,
                max(e.position for e in envelopes),
                len(envelopes),
                microseconds(max(e.recorded_time for e in envelopes)),
            )
            for topic, envelopes in sorted(by_topic.items())
            if envelopes
        ]
        _save(connection, rows)

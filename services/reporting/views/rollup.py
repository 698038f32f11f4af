"""Counters that only add up: events per hour of business time, and tickets by status.

Adding commutes, so the order in which streams arrive, and how they are cut into batches, never
shows. Days and months are sums of hours.
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import BigInteger, Column, Connection, String, Table

from libs.events import Status
from services.reporting.views.sql import METADATA, Save

HOURLY = Table(
    "hourly",
    METADATA,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("measure", String, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
"""`hour` counts from 1970 in UTC; `measure` is a name of `domain.MEASURES`."""

STATUS_COUNTS = Table(
    "status_counts",
    METADATA,
    Column("status", String, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

_add_hours = Save(HOURLY, add=["count"])
_add_statuses = Save(STATUS_COUNTS, add=["count"])


class Tally:
    """What one batch adds to `hourly`."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, str]] = Counter()

    def add(self, hour: int, measure: str) -> None:
        self._counts[hour, measure] += 1

    def save(self, connection: Connection) -> None:
        # Sorted, so that two writers lock rows in the same order.
        rows = [(hour, name, count) for (hour, name), count in sorted(self._counts.items())]
        _add_hours(connection, rows)


class StatusCounts:
    """How one batch moves tickets between statuses.

    Every status is written, also with 0: which rows are there must not depend on where a batch
    began and ended.
    """

    def __init__(self) -> None:
        self._counts = Counter({status.value: 0 for status in Status})

    def move(self, before: Status | None, after: Status) -> None:
        if before is after:
            return
        if before is not None:
            self._counts[before.value] -= 1
        self._counts[after.value] += 1

    def save(self, connection: Connection) -> None:
        _add_statuses(connection, sorted(self._counts.items()))

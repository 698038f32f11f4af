"""Instants as whole microseconds since 1970 in UTC: how they lie in columns and are compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def micros(when: datetime) -> int:
    return (when - EPOCH) // MICROSECOND


def instant(value_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=value_us)

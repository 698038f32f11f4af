"""What reporting counts and measures, each defined once (`metrics`, `dimensions`); instants.

Pure: no I/O, clock or random.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from libs.events import Status, format_time

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_US: Final = 3_600_000_000
SETTLED: Final = frozenset((Status.SOLVED, Status.CLOSED))

WAIT_LONG_S: Final = 900
WAIT_VERY_LONG_S: Final = 3_600
"""From when the operator's view calls the oldest wait of a queue long, and very long."""


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 in UTC; negative before it."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def instant_of(us: int) -> datetime:
    """The reverse of `microseconds`."""
    return EPOCH + timedelta(microseconds=us)


def words(us: int | None) -> str | None:
    """The instant as RFC 3339 in UTC, as every API here gives it."""
    return None if us is None else format_time(instant_of(us))

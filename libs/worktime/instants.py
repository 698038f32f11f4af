"""Between datetimes and the whole microseconds in which business time is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ONE_US: Final = timedelta(microseconds=1)
FIRST_US: Final = (datetime(1, 1, 2, tzinfo=UTC) - EPOCH) // ONE_US
LAST_US: Final = (datetime(9999, 12, 30, tzinfo=UTC) - EPOCH) // ONE_US
"""Instants are kept between these, so that every one of them has a local time in every zone."""


def to_us(instant: datetime) -> int:
    """An aware datetime as an instant, clamped to the years that can be reckoned with."""
    return min(max((instant - EPOCH) // ONE_US, FIRST_US), LAST_US)


def to_datetime(instant_us: int) -> datetime:
    """An instant as a datetime in UTC."""
    return EPOCH + timedelta(microseconds=instant_us)

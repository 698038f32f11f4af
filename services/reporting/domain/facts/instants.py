"""Instants in the data of events, as microseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from libs.events import parse_time

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=65_536)
def instant_us(text: str) -> int:
    """RFC 3339, as our contracts write it, to microseconds since 1970 (negative before it)."""
    since = parse_time(text) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

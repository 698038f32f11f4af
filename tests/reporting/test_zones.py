"""Where the buckets of a period begin."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from libs.runtime.errors import Poison
from services.reporting.domain import HOUR_US
from services.reporting.report.zones import bucket_starts

UTC = ZoneInfo("UTC")
MONDAY_US = 1_780_272_000_000_000  # 2026-06-01T00:00Z


@pytest.mark.parametrize(
    ("granularity", "length_us"),
    [("hour", HOUR_US), ("day", 24 * HOUR_US), ("week", 168 * HOUR_US)],
)
def test_exactly_so_many_buckets_as_are_allowed(granularity: str, length_us: int) -> None:
    end_us = MONDAY_US + 2_000 * length_us
    starts = bucket_starts(MONDAY_US, end_us, UTC, granularity, 2_000)  # type: ignore[arg-type]
    assert starts == list(range(MONDAY_US, end_us, length_us))
    with pytest.raises(Poison, match="more than 2,000 buckets"):
        bucket_starts(MONDAY_US, end_us + 1, UTC, granularity, 2_000)  # type: ignore[arg-type]


def test_a_period_of_many_centuries_is_refused_at_once() -> None:
    with pytest.raises(Poison, match="more than 2,000 buckets"):
        bucket_starts(-(10**16), 10**17, ZoneInfo("Europe/Madrid"), "hour", 2_000)

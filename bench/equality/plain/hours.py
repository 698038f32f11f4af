"""Business time by counting: every minute of twenty years is open or it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

MINUTE_S = 60


class Hours:
    """Open seconds up to an instant.

    `zone`: IANA name; `weekdays`: Monday is 0; `shifts`: "09:00" to "13:00", local time;
    `closed`: local days. Edges of shifts are whole minutes, and so are the zone's changes.
    """

    def __init__(
        self,
        zone: str,
        weekdays: tuple[int, ...],
        shifts: tuple[tuple[str, str], ...],
        closed: tuple[str, ...] = (),
        years: tuple[int, int] = (2009, 2019),
    ) -> None:
        minutes = pd.date_range(
            f"{years[0]}-01-01", f"{years[1]}-01-01", freq="min", tz="UTC", inclusive="left"
        )
        local = minutes.tz_convert(zone)
        clock = local.hour * 60 + local.minute
        in_shift = np.zeros(len(minutes), dtype=bool)
        for start, end in shifts:
            in_shift |= (clock >= _minute(start)) & (clock < _minute(end))
        is_open = in_shift & np.isin(local.day_of_week, weekdays)
        if closed:
            is_open &= ~local.normalize().tz_localize(None).isin(pd.DatetimeIndex(closed))
        self._first_s = int(minutes[0].timestamp())
        self._open = is_open
        self._before = np.concatenate(([0], np.cumsum(is_open, dtype=np.int64))) * MINUTE_S

    def until(self, t: Any) -> Any:
        """Open seconds before each instant (whole seconds since 1970), since the first minute.
        Raises ValueError for an instant outside the years that are counted."""
        since = np.asarray(t, dtype=np.int64) - self._first_s
        if len(since) and (since.min() < 0 or since.max() >= len(self._open) * MINUTE_S):
            raise ValueError("an instant lies outside the years that are counted")
        minute, second = np.divmod(since, MINUTE_S)
        return self._before[minute] + np.where(self._open[minute], second, 0)


def _minute(clock: str) -> int:
    hour, _, minute = clock.partition(":")
    return int(hour) * 60 + int(minute)

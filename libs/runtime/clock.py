"""Time comes from an injected clock: the real one, or an accelerated one for demos and tests.

`BITACORA_CLOCK` is `real`, or `accelerated:<start>,<epoch>,<rate>`: at the real instant `epoch`
(RFC 3339, shared by all processes) the clock shows `start`, and from there runs `rate` times as fast.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from libs.events import parse_time


class Clock(Protocol):
    """The only source of "now"."""

    @property
    def rate(self) -> float:
        """Seconds of this clock per real second."""

    def now(self) -> datetime:
        """The present instant, in UTC."""


@dataclass(frozen=True, slots=True)
class RealClock:
    rate: float = 1.0

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AcceleratedClock:
    start: datetime
    epoch: datetime
    rate: float

    def now(self) -> datetime:
        return self.start + (datetime.now(UTC) - self.epoch) * self.rate

    def __str__(self) -> str:
        return f"accelerated:{self.start.isoformat()},{self.epoch.isoformat()},{self.rate:g}"


@dataclass(slots=True)
class ManualClock:
    """Stands still until it is moved: for tests."""

    instant: datetime
    rate: float = 1.0

    def now(self) -> datetime:
        return self.instant

    def advance(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


def parse_clock(text: str) -> Clock:
    """The clock that `BITACORA_CLOCK` names. Raises ValueError with what is wrong."""
    if text in ("", "real"):
        return RealClock()
    kind, _, rest = text.partition(":")
    parts = rest.split(",")
    if kind != "accelerated" or len(parts) != 3:  # noqa: PLR2004 - start, epoch, rate
        raise ValueError(
            f"BITACORA_CLOCK is {text!r}; it must be 'real' or 'accelerated:START,EPOCH,RATE'"
        )
    rate = float(parts[2])
    if not 0 < rate <= 1_000_000:  # noqa: PLR2004
        raise ValueError("the rate of BITACORA_CLOCK must be above 0 and at most 1,000,000")
    return AcceleratedClock(parse_time(parts[0]), parse_time(parts[1]), rate)


def monotonic_s() -> float:
    """Real seconds since some fixed point; for time-outs and durations, never for business time."""
    return time.monotonic()

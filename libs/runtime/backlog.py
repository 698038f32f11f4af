"""How much a relay has still to send, and how long the oldest of it has waited."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from libs.events import parse_time
from libs.runtime.clock import Clock

RECORDED: Final = "ce_recordedtime"
SEEN_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Unsent:
    """What is stored and not yet acknowledged by the broker: how many positions, and for how many
    real seconds the oldest has been (0.0 when there is none)."""

    messages: int = 0
    oldest_s: float = 0.0


class Waiting:
    """Remembers when which position was first seen to be the last one stored. So it knows for how long
    something has waited at least, also of messages that do not say when they were recorded."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, float]] = deque()

    def look(self, acknowledged: int, last: int, now_s: float) -> float:
        """Real seconds that the oldest message behind `acknowledged` is known to have waited; `last` is
        the last position stored, `now_s` a monotonic instant."""
        seen = self._seen
        while seen and seen[0][0] <= acknowledged:
            seen.popleft()
        if last > acknowledged and len(seen) < SEEN_MAX and (not seen or seen[-1][0] < last):
            seen.append((last, now_s))
        return now_s - seen[0][1] if seen else 0.0


def recorded_ago_s(headers: Iterable[tuple[str, bytes | None]], clock: Clock) -> float:
    """Real seconds since the message with these headers was recorded; 0.0 when it does not say."""
    for name, value in headers:
        if name == RECORDED and value is not None:
            ago = clock.now() - parse_time(value.decode())
            return max(0.0, ago.total_seconds() / clock.rate)
    return 0.0

"""When a metric counted, from the statuses of its ticket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.sla.domain.metrics import MetricRules, Phase
from services.sla.domain.state import Kept, Run


class Moment(Kept, frozen=True, array_like=True, gc=False):
    """A status, when it began, and the sequence of the event that brought it."""

    at_us: int
    status: str
    cause: int = 1


def runs_of(history: Iterable[Moment], rules: MetricRules, from_us: int) -> Iterator[Run]:
    """The spans from `from_us` on during which this metric counted; the last may be open."""
    since_us: int | None = None
    for moment in history:
        running = rules.phases[moment.status] is Phase.RUN
        if running and since_us is None:
            since_us = moment.at_us
        elif not running and since_us is not None:
            if moment.at_us > from_us:
                yield max(since_us, from_us), moment.at_us
            since_us = None
    if since_us is not None:
        yield max(since_us, from_us), None

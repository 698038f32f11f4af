"""What each metric measures: which statuses run it, which pause it, what ends it.

The table of the metrics that this service can time. The three that measure the time between messages
(next reply, periodic and pausable update) are activated anew by each message; they are part of the
published language and are refused in policies until they are timed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from libs.events import Status
from libs.events.sla import Metric

ENDED: Final[frozenset[str]] = frozenset({Status.SOLVED, Status.CLOSED})


class Phase(Enum):
    RUN = auto()
    PAUSE = auto()
    END = auto()


@dataclass(frozen=True)
class MetricRules:
    """`ends_with_reply`: a public reply of an agent ends it. `resumes`: after a reopening it goes on
    with what was left; a metric that does not resume is over for good when it has ended.
    `for_agents`: it also runs on tickets that an agent opened (for a caller, say)."""

    metric: Metric
    paused_by: frozenset[Status] = frozenset()
    ends_with_reply: bool = False
    resumes: bool = True
    for_agents: bool = True
    phases: Mapping[str, Phase] = field(init=False)

    def __post_init__(self) -> None:
        phases: dict[str, Phase] = {
            status: Phase.END
            if status in ENDED
            else Phase.PAUSE
            if status in self.paused_by
            else Phase.RUN
            for status in Status
        }
        object.__setattr__(self, "phases", phases)


METRICS: Final[dict[Metric, MetricRules]] = {
    rules.metric: rules
    for rules in (
        MetricRules("first_reply", ends_with_reply=True, resumes=False, for_agents=False),
        MetricRules("requester_wait", paused_by=frozenset({Status.PENDING})),
        MetricRules("agent_work", paused_by=frozenset({Status.PENDING, Status.ON_HOLD})),
        MetricRules("total_resolution"),
    )
}

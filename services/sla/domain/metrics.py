"""What each metric measures: what begins it, which statuses run it, which pause it, what ends it."""

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


class Begin(Enum):
    """What activates a clock of the metric."""

    CREATION = auto()
    """The ticket's creation. After a reopening the clock goes on with what was left."""
    OPENING = auto()
    """Creation by the requester, and each reopening, anew."""
    QUESTION = auto()
    """The oldest message of the requester that no public reply followed."""
    UPDATE = auto()
    """Each public message of an agent; after a reopening, the reopening."""


@dataclass(frozen=True)
class MetricRules:
    """A metric that does not begin with the creation is a reply metric: a public message of an agent
    ends each activation, and the next one has its whole target again."""

    metric: Metric
    begins: Begin
    paused_by: frozenset[Status] = frozenset()
    ends_with_reply: bool = field(init=False)
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
        object.__setattr__(self, "ends_with_reply", self.begins is not Begin.CREATION)


METRICS: Final[dict[Metric, MetricRules]] = {
    rules.metric: rules
    for rules in (
        MetricRules("first_reply", Begin.OPENING),
        MetricRules("next_reply", Begin.QUESTION),
        MetricRules("periodic_update", Begin.UPDATE),
        MetricRules("pausable_update", Begin.UPDATE, frozenset({Status.PENDING})),
        MetricRules("requester_wait", Begin.CREATION, frozenset({Status.PENDING})),
        MetricRules("agent_work", Begin.CREATION, frozenset({Status.PENDING, Status.ON_HOLD})),
        MetricRules("total_resolution", Begin.CREATION),
    )
}
"""In the order in which a ticket's clocks are listed."""

BY_QUESTION: Final[frozenset[Metric]] = frozenset(
    rules.metric for rules in METRICS.values() if rules.begins is Begin.QUESTION
)
BY_UPDATE: Final[frozenset[Metric]] = frozenset(
    rules.metric for rules in METRICS.values() if rules.begins is Begin.UPDATE
)

"""The figures of the desk, each defined once. The API, the pages and the documentation are made
from these definitions, and nothing else computes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.reporting.domain.metrics.definition import (
    Aggregate,
    Definition,
    Kind,
    Source,
    Unit,
)
from services.reporting.domain.metrics.quality import QUALITY
from services.reporting.domain.metrics.standing import STANDING
from services.reporting.domain.metrics.times import TIMES
from services.reporting.domain.metrics.volume import VOLUME

GROUPS_OF_METRICS: Final[Mapping[str, tuple[Definition, ...]]] = {
    "What happens": VOLUME,
    "How long it takes": TIMES,
    "How well it goes": QUALITY,
    "What stands, and who carries it": STANDING,
}
"""In the order in which documentation shows them."""

METRICS: Final[Mapping[str, Definition]] = {
    metric.name: metric for metrics in GROUPS_OF_METRICS.values() for metric in metrics
}
"""By name, in the order in which documentation shows them."""

_DISTRIBUTION: Final[tuple[Aggregate, ...]] = (
    "mean",
    "p50",
    "p90",
    "count",
    "sum",
    "min",
    "max",
    "p75",
    "p95",
    "p99",
)
_AGGREGATES: Final[Mapping[Kind, tuple[Aggregate, ...]]] = {
    "count": ("count",),
    "distribution": _DISTRIBUTION,
    "share": ("share", "count"),
    "level": ("count",),
    "standing": _DISTRIBUTION,
}
_OF_PRESENCE: Final[Mapping[Unit, Aggregate]] = {
    "seconds": "sum",
    "tickets": "mean",
    "share": "share",
}
_FIRST: Final = 3
"""So many of a distribution's aggregates are given when a question names none."""


def aggregates_of(metric: Definition) -> tuple[Aggregate, ...]:
    """What a metric can be asked for. In a list of tickets or clocks, `count` is how many rows a
    distribution or a share is made of."""
    if metric.kind == "present":
        return (_OF_PRESENCE[metric.unit],)
    return _AGGREGATES[metric.kind]


def defaults_of(metric: Definition) -> tuple[Aggregate, ...]:
    """What it is asked for when a question names no aggregates."""
    able = aggregates_of(metric)
    return able[:_FIRST] if metric.kind in ("distribution", "standing") else able[:1]


__all__ = [
    "GROUPS_OF_METRICS",
    "METRICS",
    "Aggregate",
    "Definition",
    "Kind",
    "Source",
    "Unit",
    "aggregates_of",
    "defaults_of",
]

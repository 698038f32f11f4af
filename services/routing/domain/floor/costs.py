"""Who is the best for a ticket: the strategies, as costs (the smallest is the best).

Whatever the strategy: an agent of a higher tier comes after all those of a lower one who can do the
same, so that experts stay free; between equals the higher level in the skills asked for decides,
then the smaller load, then the smaller id.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.routing.domain.floor.columns import Columns, Floats, Ints
from services.routing.domain.floor.kinds import Kind

TIER_STEP: Final = 1e10
SCORE_STEP: Final = 1e3
LEVELS_MAX: Final = 900.0
IDLE_S_MAX: Final = 30 * 86_400.0
SHARE_PARTS: Final = 10_000
BREADTH_PARTS: Final = 100
GIVEN_STEP_S: Final = 86_400
"""Longest idle: each further ticket of one batch counts as if the agent had been given it a day
later, so that the others come first."""


def primary(kind: Kind, columns: Columns, places: Ints, more: int = 0) -> Floats:
    """What the strategy looks at, for agents who get the ticket after `more` others like it."""
    load = columns.load[places] + more * kind.needs.units
    capacity = columns.capacity[places]
    match kind.strategy:
        case "most_spare":
            cost: Floats = (load - capacity).astype(np.float64)
        case "least_flexible":
            share = load / np.maximum(capacity, 1)
            cost = np.floor(columns.breadth[places] * BREADTH_PARTS) + np.minimum(share, 0.999)
        case "lowest_share":
            cost = np.floor(load * SHARE_PARTS / np.maximum(capacity, 1))
        case _:
            cost = columns.last_given[places] + more * GIVEN_STEP_S
    return cost


def best(kind: Kind, columns: Columns, places: Ints) -> int:
    """The place of the best of these. `places` must not be empty."""
    left = _least(places, columns.top[places])
    for cost_of in (
        lambda some: primary(kind, columns, some),
        lambda some: -kind.level[some],
        lambda some: columns.load[some],
        lambda some: columns.id_order()[some],
    ):
        if len(left) == 1:
            break
        left = _least(left, cost_of(left))
    return int(left[0])


def _least(places: Ints, cost: NDArray[Any]) -> Ints:
    least: Ints = places[cost == cost.min()]
    return least


def costs(kind: Kind, columns: Columns, places: Ints, more: int = 0) -> Floats:
    """The order of `best` as one number per agent, for matching several tickets at once.

    The numbers stay below 1e11, so that the least step is not lost in rounding: idle times beyond
    IDLE_S_MAX count as that, and levels beyond LEVELS_MAX likewise.
    """
    strategic = primary(kind, columns, places, more)
    if kind.strategy == "longest_idle":
        latest = columns.last_given.max()
        strategic = np.maximum(strategic - latest, -IDLE_S_MAX)
    total: Floats = (
        columns.top[places] * TIER_STEP
        + strategic * SCORE_STEP
        - np.minimum(kind.level[places], LEVELS_MAX)
        + columns.id_order()[places] / (columns.size + 1)
    )
    return total


def score(kind: Kind, columns: Columns, places: Ints, now_s: float) -> NDArray[np.float64]:
    """What decision records tell: spare units; share of the capacity that is free; how many kinds of
    work the agent can do; or seconds since the agent was last given a ticket."""
    capacity, load = columns.capacity[places], columns.load[places]
    match kind.strategy:
        case "most_spare":
            told: Floats = (capacity - load).astype(np.float64)
        case "least_flexible":
            told = 2.0 ** columns.breadth[places]
        case "lowest_share":
            told = 1.0 - load / np.maximum(capacity, 1)
        case _:
            told = now_s - columns.last_given[places]
    return np.round(told, 3)

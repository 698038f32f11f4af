"""What stands at an instant: the backlog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.equality.plain.buckets import Key


def level(stretches: Any, ends: Sequence[int], by: Sequence[str]) -> dict[tuple[int, Key], int]:
    """(end of a period, values of the dimensions) → how many stretches hold right before that end.

    What begins at the end sharp belongs to the next period.
    """
    at = np.asarray(ends, dtype=np.int64)
    groups: Any = [((), stretches)]
    if by:
        groups = stretches.groupby([*by], dropna=False, sort=False)
    found: dict[tuple[int, Key], int] = {}
    for key, part in groups:
        starts = np.sort(part["start"].to_numpy(dtype=np.int64))
        over = np.sort(part["end"].dropna().to_numpy(dtype=np.int64))
        standing = np.searchsorted(starts, at, "left") - np.searchsorted(over, at, "left")
        name = tuple(None if one != one else one for one in _parts(key))  # noqa: PLR0124 - NaN
        for end, n in zip(ends, standing.tolist(), strict=True):
            if n:
                found[end, name] = n
    return found


def ages(stretches: Any, end: int) -> Any:
    """Seconds since creation of what holds right before `end`, in order."""
    over = stretches["end"].fillna(np.inf).to_numpy()
    holds = (stretches["start"].to_numpy() < end) & (over >= end)
    return np.sort(end - stretches["created"].to_numpy()[holds])


def _parts(key: Any) -> Key:
    return key if isinstance(key, tuple) else (key,)

"""Periods of a time zone, and what the facts in each come to: exact numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pandas as pd

PERCENTS = (50, 75, 90, 95, 99)
Key = tuple[Any, ...]
"""Where the period begins (seconds since 1970; None: no periods), then the value of each dimension."""


def start_of(t: Any, zone: str, granularity: str) -> Any:
    """The instant where the period of each instant begins, in seconds."""
    if granularity == "hour":
        return t - t % 3600  # zones of whole hours: Madrid, UTC
    local = pd.to_datetime(t, unit="s", utc=True).dt.tz_convert(zone).dt.tz_localize(None)
    if granularity == "day":
        begin = local.dt.normalize()
    elif granularity == "month":
        begin = local.dt.to_period("M").dt.start_time
    else:
        raise ValueError(granularity)
    return _instant(begin.dt.tz_localize(zone).dt.tz_convert("UTC"))


def periods(first: int, last: int, zone: str, granularity: str) -> list[int]:
    """The beginnings of all periods from that of `first` to that of `last`, and of the one after."""
    edges = start_of(pd.Series([first, last]), zone, granularity)
    if granularity == "hour":
        return list(range(int(edges[0]), int(edges[1]) + 7200, 3600))
    begin, end = (
        pd.Timestamp(edge, unit="s", tz="UTC").tz_convert(zone).tz_localize(None) for edge in edges
    )
    step = {"day": "D", "month": "MS"}[granularity]
    after = end + (pd.Timedelta(days=1) if granularity == "day" else pd.offsets.MonthBegin())
    local = pd.Series(pd.date_range(begin, after, freq=step))
    found: list[int] = _instant(local.dt.tz_localize(zone).dt.tz_convert("UTC")).tolist()
    return found


def _instant(stamps: Any) -> Any:
    return stamps.astype("datetime64[s, UTC]").astype("int64")


def counts(facts: Any, by: Sequence[str]) -> dict[Key, int]:
    """How many facts there are for each combination of the columns `by`."""
    sizes = facts.groupby([*by], dropna=False, sort=False).size() if by else None
    if sizes is None:
        return {(): len(facts)}
    return {_key(key): int(n) for key, n in sizes.items()}


def shares(facts: Any, by: Sequence[str]) -> dict[Key, Fraction]:
    """Of the facts, how many have a true `value`."""
    whole, part = counts(facts, by), counts(facts[facts["value"].astype(bool)], by)
    return {key: Fraction(part.get(key, 0), n) for key, n in whole.items() if n}


def distribution(facts: Any, by: Sequence[str]) -> dict[Key, dict[str, int | Fraction]]:
    """Of the column `value`: count, sum, min, max, mean, and percentiles by nearest rank."""
    facts = facts.assign(value=facts["value"].astype("int64"))
    ordered = facts.sort_values("value", kind="stable")
    grouped = [(None, ordered)] if not by else ordered.groupby([*by], dropna=False, sort=False)
    found: dict[Key, dict[str, int | Fraction]] = {}
    for key, part in grouped:
        values = part["value"].to_numpy()
        if not len(values):
            continue
        n, total = len(values), int(values.sum())
        made: dict[str, int | Fraction] = {
            "count": n,
            "sum": total,
            "min": int(values[0]),
            "max": int(values[-1]),
            "mean": Fraction(total, n),
        }
        made |= {f"p{p}": int(values[-(-p * n // 100) - 1]) for p in PERCENTS}
        found[_key(key) if by else ()] = made
    return found


def _key(key: Any) -> Key:
    parts = key if isinstance(key, tuple) else (key,)
    return tuple(None if pd.isna(part) else _plain(part) for part in parts)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value

"""What dashboards ask for, in the few forms in which they do."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Panel, Query

MINE: Final = 'job="bitacora",service=~"$service"'
RATE: Final = "$__rate_interval"
JOB: Final = 'job="bitacora"'


def quantile(part: float, metric: str, labels: str = MINE, by: str = "") -> str:
    """Of a histogram, over all processes."""
    group = f"{by}, le" if by else "le"
    rate = f"rate({metric}_bucket{{{labels}}}[{RATE}])"
    return f"histogram_quantile({part}, sum by ({group}) ({rate}))"


def rate_of(metric: str, by: str, labels: str = MINE) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[{RATE}]))"


def greatest(metric: str, by: str, labels: str = MINE) -> str:
    """Of a gauge that every process of a service reads from the same database."""
    return f"max by ({by}) ({metric}{{{labels}}})"


def number(title: str, description: str, unit: str, query: Query, **limits: float | bool) -> Panel:
    return Panel(title, description, unit, [query], kind="stat", width=3, **limits)  # type: ignore[arg-type]

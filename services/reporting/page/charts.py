"""Chart options for ECharts. Text and grid colours come from the style sheet (SVG renderer)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from services.reporting.views.figures import Bucket, Figures, Granularity

CREATED: Final = "#3b82f6"
SOLVED: Final = "#14a38b"
REOPENED: Final = "#e0912f"
BACKLOG: Final = "#8b6cf0"
_GRID: Final = "rgba(128,140,160,.28)"
_LENGTH: Final[dict[Granularity, slice]] = {
    "hour": slice(5, 16),
    "day": slice(0, 10),
    "month": slice(0, 7),
}


def unit(figures: Figures, *, bars: bool) -> str:
    """What the vertical axis counts."""
    return f"tickets per {figures.granularity}" if bars else f"tickets, {figures.granularity}'s end"


def label(bucket: Bucket, granularity: Granularity) -> str:
    return bucket.start[_LENGTH[granularity]].replace("T", " ")


def flow(figures: Figures) -> dict[str, Any]:
    """Created and solved side by side, reopened beside them; bars, from zero."""
    return _chart(
        figures,
        [
            _bars("Created", CREATED, [b.created for b in figures.flow]),
            _bars("Solved", SOLVED, [b.solved for b in figures.flow]),
            _bars("Reopened", REOPENED, [b.reopened for b in figures.flow]),
        ],
        bars=True,
    )


def backlog(figures: Figures) -> dict[str, Any]:
    """Tickets not solved or closed at the end of each bucket; a stepped line, from zero."""
    line = {
        "name": "Backlog",
        "type": "line",
        "step": "end",
        "showSymbol": len(figures.flow) == 1,
        "data": [b.backlog for b in figures.flow],
        "color": BACKLOG,
        "lineStyle": {"width": 2},
        "areaStyle": {"opacity": 0.14},
    }
    return _chart(figures, [line], bars=False)


def _bars(name: str, color: str, data: Sequence[int]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "bar",
        "data": list(data),
        "color": color,
        "barGap": "5%",
        "barMaxWidth": 26,
        "itemStyle": {"borderRadius": [2, 2, 0, 0]},
    }


def _chart(figures: Figures, series: list[dict[str, Any]], *, bars: bool) -> dict[str, Any]:
    return {
        "animation": False,
        "aria": {"enabled": True},
        "grid": {"left": 8, "right": 12, "top": 34, "bottom": 4, "containLabel": True},
        "legend": {"top": 0, "left": 0, "itemWidth": 14, "itemHeight": 10, "icon": "roundRect"}
        if len(series) > 1
        else {"show": False},
        "tooltip": {
            "trigger": "axis",
            "className": "tip",
            "axisPointer": {"type": "shadow" if bars else "line"},
        },
        "toolbox": {
            "right": 4,
            "top": -4,
            "feature": {"saveAsImage": {"title": "Save", "name": "bitacora", "type": "svg"}},
        },
        "xAxis": {
            "type": "category",
            "data": [label(bucket, figures.granularity) for bucket in figures.flow],
            "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": _GRID}},
            "axisLabel": {"hideOverlap": True},
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            "minInterval": 1,
            "splitLine": {"lineStyle": {"color": _GRID}},
        },
        "series": series,
    }

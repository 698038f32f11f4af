"""Chart options for ECharts. Text and grid colours come from the style sheet (SVG renderer).

The colours can be told apart with any colour vision (after Okabe and Ito, darkened so that each stands out from
white and from the dark card), and lines differ in their strokes and marks too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson

from services.reporting.page.i18n import gettext as _
from services.reporting.page.i18n import reader
from services.reporting.page.parts import DAY_S, HOUR_S, MINUTE_S

BLUE: Final = "#2f6fdb"
ORANGE: Final = "#d9822b"
GREEN: Final = "#12936f"
PINK: Final = "#c2619b"
SKY: Final = "#4a9fd8"
RED: Final = "#c8501e"
VIOLET: Final = "#7b61d9"
PALETTE: Final = (BLUE, ORANGE, GREEN, PINK, SKY, RED, VIOLET)
_GRID: Final = "rgba(128,140,160,.24)"
_STROKES: Final = ("solid", "dashed", "dotted")
_MARKS: Final = ("circle", "rect", "triangle", "diamond")
BARS_MAX: Final = 50
"""More groups of bars than that are thinner than a line."""
Values = Sequence[float | int | None]
Measure = Literal["number", "share", "seconds"]


@dataclass(frozen=True, slots=True)
class Series:
    """One row of values. `kind`: bars side by side, stacked bars, a line, a stepped line with its area."""

    name: str
    values: Values
    color: str = BLUE
    kind: Literal["bars", "stack", "line", "steps"] = "bars"


@dataclass(frozen=True, slots=True)
class Scale:
    """How values become lengths: they are divided by `by`; `unit` stands beside the numbers."""

    by: float = 1
    unit: str = ""
    digits: int = 0
    most: float | None = None


def scale_of(measure: Measure, rows: Sequence[Series]) -> Scale:
    """The unit in which the largest value reads well."""
    if measure == "share":
        return Scale(0.01, "%", 1, 100)
    if measure == "number":
        whole = all(value is None or float(value).is_integer() for s in rows for value in s.values)
        return Scale(1, "", 0 if whole else 1)
    most = max((value for s in rows for value in s.values if value is not None), default=0)
    for by, unit in ((DAY_S, _("days")), (HOUR_S, _("h")), (MINUTE_S, _("min"))):
        if most >= 2 * by:
            return Scale(by, unit, 1)
    return Scale(1, _("s"), 0)


def time_chart(
    labels: Sequence[str],
    rows: Sequence[Series],
    *,
    measure: Measure = "number",
    names: Sequence[str] = (),
) -> dict[str, Any]:
    """Values over time, from zero up. `names`: the labels in full, for the tooltip."""
    if len(rows) > 1 and len(labels) > BARS_MAX:
        rows = [replace(row, kind="line") if row.kind == "bars" else row for row in rows]
    scale = scale_of(measure, rows)
    options = _chart(rows, scale)
    options["xAxis"] = _names(labels, names)
    options["yAxis"] = _values(scale)
    options["series"] = [_series(row, scale, n, len(labels)) for n, row in enumerate(rows)]
    return options


def ranking(
    names: Sequence[str], rows: Sequence[Series], *, measure: Measure = "number"
) -> dict[str, Any]:
    """Lying bars, the first name on top."""
    scale = scale_of(measure, rows)
    options = _chart(rows, scale)
    options["xAxis"] = _values(scale)
    options["yAxis"] = {
        **_names(names),
        "inverse": True,
        "axisLabel": {"width": 130, "overflow": "truncate"},
    }
    options["series"] = [_series(row, scale, n, len(names)) for n, row in enumerate(rows)]
    return options


def heat_map(
    columns: Sequence[str], lines: Sequence[str], values: Sequence[Values], name: str
) -> dict[str, Any]:
    """`values[line][column]` as strength of one colour, from nothing up."""
    cells = [
        [column, line, value or 0]
        for line, row in enumerate(values)
        for column, value in enumerate(row)
    ]
    most = max((cell[2] for cell in cells), default=0)
    options = _chart([], Scale())
    options["grid"] = {"left": 4, "right": 8, "top": 8, "bottom": 4, "containLabel": True}
    options["tooltip"] = {
        "className": "tip",
        ":formatter": "p => "
        + _text(name)
        + " + ': ' + p.data[2].toLocaleString("
        + _locale()
        + ")",
    }
    options["xAxis"] = {**_names(columns), "splitArea": {"show": False}}
    options["yAxis"] = {**_names(lines), "inverse": True}
    options["visualMap"] = {
        "show": False,
        "min": 0,
        "max": max(most, 1),
        "inRange": {"color": ["rgba(47,111,219,.05)", "rgba(47,111,219,1)"]},
    }
    options["series"] = [
        {
            "type": "heatmap",
            "name": name,
            "data": cells,
            "itemStyle": {
                "borderColor": "rgba(128,140,160,.18)",
                "borderWidth": 1,
                "borderRadius": 3,
            },
        }
    ]
    return options


def _series(row: Series, scale: Scale, place: int, points: int) -> dict[str, Any]:
    data = [None if value is None else round(value / scale.by, 4) for value in row.values]
    made: dict[str, Any] = {"name": row.name, "data": data, "color": row.color}
    if row.kind in ("bars", "stack"):
        return {
            **made,
            "type": "bar",
            "barGap": "8%",
            "barMaxWidth": 22,
            "itemStyle": {"borderRadius": 0 if row.kind == "stack" else 2},
            **({"stack": "all"} if row.kind == "stack" else {}),
        }
    return {
        **made,
        "type": "line",
        "symbol": _MARKS[place % len(_MARKS)],
        "symbolSize": 6,
        "showSymbol": points <= 40,  # noqa: PLR2004 - more marks than that hide the line
        "connectNulls": True,
        "lineStyle": {"width": 2.2, "type": _STROKES[place % len(_STROKES)]},
        **({"step": "end", "areaStyle": {"opacity": 0.12}} if row.kind == "steps" else {}),
    }


def _chart(rows: Sequence[Series], scale: Scale) -> dict[str, Any]:
    many = len(rows) > 1
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit"},
        "grid": {
            "left": 4,
            "right": 14,
            "top": 38 if many else 14,
            "bottom": 4,
            "containLabel": True,
        },
        "legend": {
            "type": "scroll",
            "top": 0,
            "left": 0,
            "itemWidth": 18,
            "itemHeight": 9,
            "itemGap": 16,
        }
        if many
        else {"show": False},
        "tooltip": {
            "trigger": "axis",
            "className": "tip",
            "confine": True,
            "axisPointer": {"type": "shadow"},
            ":valueFormatter": _formatter(scale),
        },
        "visualMap": None,
    }


def _names(labels: Sequence[str], names: Sequence[str] = ()) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "type": "category",
        "data": list(labels),
        "axisTick": {"show": False},
        "axisLine": {"lineStyle": {"color": _GRID}},
        "axisLabel": {"hideOverlap": True},
    }
    if names:
        axis["axisPointer"] = {
            ":label": "({formatter: p => "
            + orjson.dumps(list(names)).decode()
            + "[p.seriesData?.[0]?.dataIndex] ?? p.value})"
        }
    return axis


def _values(scale: Scale) -> dict[str, Any]:
    return {
        "type": "value",
        "min": 0,
        **({"max": scale.most} if scale.most else {}),
        **({} if scale.digits else {"minInterval": 1}),
        "splitLine": {"lineStyle": {"color": _GRID}},
        "axisLabel": {
            ":formatter": _formatter(scale, digits=1 if scale.digits and not scale.most else 0)
        },
    }


def _formatter(scale: Scale, *, digits: int | None = None) -> str:
    shown = scale.digits if digits is None else digits
    unit = _text(f"\u00a0{scale.unit}" if scale.unit else "")
    options = "{maximumFractionDigits: " + str(shown) + "}"
    return f"v => v == null ? '–' : v.toLocaleString({_locale()}, {options}) + {unit}"


def _locale() -> str:
    return _text(reader().of_page)


def _text(text: str) -> str:
    """As JavaScript writes it; never a way out of the string."""
    return orjson.dumps(text).decode().replace("<", "\\u003c")

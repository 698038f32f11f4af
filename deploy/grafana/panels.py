"""Panels and dashboards in short, built with Grafana's own types (the Grafana Foundation SDK).

Every panel has a title, a description, a unit, a legend for each query, and thresholds; every query goes
to the data source that is chosen at the top of the dashboard.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard

TAG: Final = "bitacora"
SOURCE: Final = dashboard.DataSourceRef("prometheus", "${datasource}")
COLUMNS: Final = 24
HEIGHT: Final = 8
STAT_HEIGHT: Final = 4
MAKERS: Final[dict[str, Any]] = {"stat": stat.Panel, "lines": timeseries.Panel}


@dataclass(frozen=True, slots=True)
class Query:
    """`legend` may name labels: `{{service}}`."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """`bad` is from where a value is shown in orange, `worse` in red; with `below`, down to where.
    `unit` is one of Grafana's."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    bad: float | None = None
    worse: float | None = None
    below: bool = False
    kind: Literal["lines", "stat"] = "lines"
    width: int = 8


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    description: str
    rows: Sequence[Row]


def json_of(board: Dashboard) -> str:
    """The file as Grafana imports and provisions it."""
    made = builders.Dashboard(board.title).uid(board.uid).description(board.description)
    made = made.tags([TAG]).timezone("browser").refresh("30s").time("now-3h", "now").editable()
    made = made.tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    made = made.with_variable(_source()).with_variable(_service()).link(_others())
    ids = count(1)
    for row in board.rows:
        made = made.with_row(builders.Row(row.title).id(next(ids)))
        for panel in row.panels:
            made = made.with_panel(_panel(panel).id(next(ids)))
    text = json.dumps(made.build(), cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True)
    return text + "\n"


def _source() -> builders.DatasourceVariable:
    variable = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return variable.description("The Prometheus that scrapes Bitácora.")


def _service() -> builders.QueryVariable:
    variable = builders.QueryVariable("service").label("Service").datasource(SOURCE)
    variable = variable.query('label_values(up{job="bitacora"}, service)').multi(True)
    variable = variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED).include_all(True)
    variable = variable.current(dashboard.VariableOption(text="All", value="$__all"))
    return variable.all_value(".*").description("Which services to show.")


def _others() -> builders.DashboardLink:
    link = builders.DashboardLink("Bitácora").type(dashboard.DashboardLinkType.DASHBOARDS)
    return link.tags([TAG]).as_dropdown(True).keep_time(True).include_vars(True)


def _panel(panel: Panel) -> Any:
    made: Any = MAKERS[panel.kind]().title(panel.title).description(panel.description)
    made = made.unit(panel.unit).datasource(SOURCE).thresholds(_thresholds(panel)).span(panel.width)
    made = made.height(STAT_HEIGHT if panel.kind == "stat" else HEIGHT)
    for place, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend)
        target = target.ref_id(chr(ord("A") + place)).datasource(SOURCE)
        made = made.with_target(target.instant() if panel.kind == "stat" else target.range())
    return _stat(made) if panel.kind == "stat" else _lines(made, panel)


def _stat(made: Any) -> Any:
    reduce = common_builders.ReduceDataOptions().calcs(["lastNotNull"])
    by_threshold = builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS)
    made = made.color_scheme(by_threshold).color_mode(common.BigValueColorMode.BACKGROUND)
    made = made.reduce_options(reduce)
    return made.graph_mode(common.BigValueGraphMode.NONE)


def _lines(made: Any, panel: Panel) -> Any:
    legend = common_builders.VizLegendOptions().show_legend(True).calcs(["lastNotNull", "max"])
    legend = legend.display_mode(common.LegendDisplayMode.TABLE)
    legend = legend.placement(common.LegendPlacement.BOTTOM)
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    made = made.legend(legend).tooltip(tooltip.sort(common.SortOrder.DESCENDING))
    made = made.axis_soft_min(0).fill_opacity(8).line_width(1)
    if panel.bad is None and panel.worse is None:
        return made
    style = common_builders.GraphThresholdsStyleConfig()
    return made.thresholds_style(style.mode(common.GraphThresholdsStyleMode.DASHED))


def _thresholds(panel: Panel) -> builders.ThresholdsConfig:
    if panel.below:
        steps = [(None, "red"), (panel.worse, "orange"), (panel.bad, "green")]
    else:
        steps = [(None, "green"), (panel.bad, "orange"), (panel.worse, "red")]
    given = [steps[0], *(step for step in steps[1:] if step[0] is not None)]
    thresholds = [dashboard.Threshold(value, colour) for value, colour in given]
    made = builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE)
    return made.steps(thresholds)

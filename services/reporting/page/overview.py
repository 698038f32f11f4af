"""The overview: figures of the desk, two charts, and the newest tickets, live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from nicegui import ui
from starlette.requests import Request

from services.reporting.page import charts
from services.reporting.page.frame import Frame, fragment, frame, look_again, meet, update
from services.reporting.page.i18n import gettext as _
from services.reporting.page.parts import link, moment_s, number, percent, word
from services.reporting.snapshot import Snapshots
from services.reporting.views.figures import Figures, Range

RANGES: Final[dict[Range, str]] = {
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
    "12m": "12 months",
    "all": "All",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for. `problem` says what in it could not be understood."""

    range: Range
    problem: str


def asked(parameters: Mapping[str, str]) -> Asked:
    """Reads the address. What makes no sense is named and left out, never half applied."""
    wanted = parameters.get("range", "") or "30d"
    range_: Range = next((name for name in get_args(Range) if name == wanted), "30d")
    problem = "" if range_ == wanted else f"there is no range {wanted[:40]!r}"
    unknown = sorted(name[:40] for name in parameters.keys() - {"range", "lang"})
    if unknown:
        problem += f" not understood and left out: {', '.join(unknown)}"
    return Asked(range_, problem.strip())


async def overview(
    request: Request,
    snapshots: Snapshots,
    *,
    interval_s: float,
) -> None:
    """Build the page for one visitor."""
    meet(request)
    wanted = asked(dict(request.query_params))
    figures = await snapshots.get(wanted.range)
    with frame(request, _("Overview"), current="/") as made:
        if wanted.problem:
            made.warn(wanted.problem)
        page = _Overview(made, wanted, figures)

    async def refresh() -> None:
        page.show(await snapshots.get(wanted.range))

    page.show(figures)
    look_again(made, interval_s, refresh)


class _Overview:
    def __init__(
        self,
        made: Frame,
        wanted: Asked,
        figures: Figures,
    ) -> None:
        self._frame = made
        self._wanted = wanted
        self.events = -1
        ranges = [
            (label, link("/", {"range": name}), name == wanted.range)
            for name, label in RANGES.items()
        ]
        fragment("ranges.html", ranges=ranges)
        self._empty = fragment("empty.html")
        self._body = ui.element("div").classes("body")
        with self._body:
            self._tiles = fragment("tiles.html", tag="section", **self._tile_values(figures))
            self._tiles.props('aria-label="Key figures"')
            with ui.element("div").classes("grid"):
                self._flow = _ChartCard("Created and solved", "flow", charts.flow(figures))
                self._status = fragment("status.html", tag="section", figures=figures)
                self._status.classes("card").props('aria-labelledby="h-status"')
                self._backlog = _ChartCard("Backlog over time", "backlog", charts.backlog(figures))
                self._sla = fragment("sla.html", tag="section", figures=figures)
                self._sla.classes("card").props('aria-labelledby="h-sla"')
            self._table_of_flow = fragment("flow_table.html", rows=[], granularity="day")

    def show(self, figures: Figures) -> None:
        """Bring every figure up to date. Does nothing when no event was applied since."""
        if figures.events == self.events:
            return
        self.events = figures.events
        as_of = f"{number(figures.events)} events · last {moment_s(figures.recorded_time)}"
        self._frame.say(as_of if figures.events else "no events yet", ok=True)
        self._empty.set_visibility(not figures.tickets)
        self._body.set_visibility(bool(figures.tickets))
        update(self._tiles, "tiles.html", **self._tile_values(figures))
        update(self._status, "status.html", figures=figures)
        update(self._sla, "sla.html", figures=figures)
        self._flow.show(charts.flow(figures), charts.unit(figures, bars=True))
        self._backlog.show(charts.backlog(figures), charts.unit(figures, bars=False))
        rows = [(charts.label(bucket, figures.granularity), bucket) for bucket in figures.flow]
        update(
            self._table_of_flow,
            "flow_table.html",
            rows=rows,
            granularity=figures.granularity,
        )

    def _tile_values(self, figures: Figures) -> dict[str, Any]:
        durations = {d.name: d for d in figures.durations}
        kept = sum(row.kept for row in figures.sla)
        breached = sum(row.breached for row in figures.sla)
        return {
            "figures": figures,
            "within": f"in {word(RANGES[figures.range].lower())}"
            if figures.range != "all"
            else "of all time",
            "reply": durations["first_reply"],
            "resolution": durations["resolution"],
            "attainment": percent(kept / (kept + breached) if kept + breached else None),
            "breached": breached,
        }


class _ChartCard:
    """A chart under its title; the unit stands beside the title."""

    def __init__(self, title: str, name: str, options: dict[str, Any]) -> None:
        self._values = {"id": f"h-{name}", "title": title}
        card = ui.element("section").classes(f"card chart {name}")
        with card.props(f'aria-labelledby="h-{name}"'):
            self._title = fragment("card_title.html", **self._values, unit="")
            self._chart = ui.echart(options, renderer="svg")
            self._chart.props(f'role="img" aria-label="{title}; the same as a table below"')

    def show(self, options: dict[str, Any], unit: str) -> None:
        update(self._title, "card_title.html", **self._values, unit=unit)
        self._chart.options.clear()
        self._chart.options.update(options)
        self._chart.update()

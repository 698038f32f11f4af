"""A chart under its title, with the same figures as a table and the ways to save it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from services.reporting.page.asking import Answer, Ask
from services.reporting.page.card import About, Sheet, Table
from services.reporting.page.frame import fragment, named, update
from services.reporting.page.i18n import gettext as _
from services.reporting.page.live_table import LiveTable
from services.reporting.page.view import View


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a chart shows. `links[series][place]`: where a click leads; "" nowhere. `csv`: the same as data."""

    options: dict[str, Any]
    table: Table
    unit: str = ""
    links: list[list[str]] = field(default_factory=list)
    csv: str = ""
    empty: bool = False


class ChartMaker(Protocol):
    def __call__(self, answers: Sequence[Answer], view: View, /) -> Drawn: ...


class ChartCard:
    """The chart is drawn anew when figures changed; the table below it is patched in place."""

    def __init__(self, about: About, asks: Sequence[Ask], draw: ChartMaker) -> None:
        self.asks = tuple(asks)
        self._draw = draw
        self._links: list[list[str]] = []
        self.sheet = Sheet(About(about.name, about.title, about.metrics, f"chart {about.classes}"))
        with self.sheet.body:
            self._chart = ui.echart({}, renderer="svg", on_point_click=self._follow)
            self._chart.props('role="img"')
            label = _("{title}: a chart; the same as a table follows").format(title=about.title)
            named(self._chart, label)
            with ui.element("details").classes("astable"):
                fragment("as_table.html", tag="summary")
                box = ui.element("div").classes("box").props('tabindex="0" role="group"')
                with named(box, _("{title} as a table").format(title=about.title)):
                    self._table = LiveTable(about.title, ())
                    self._table.classes("figures")
        with self.sheet.menu:
            self._save = ui.html("", sanitize=False)

    async def prepare(self, answers: Sequence[Answer]) -> None:
        """Nothing else is shown."""

    def show(self, answers: Sequence[Answer], view: View) -> None:
        drawn = self._draw(answers, view)
        left_out = sorted({name for ask in self.asks for name in ask.left_out(view)})
        note = _("Nothing in this period.") if drawn.empty else ""
        self.sheet.say(drawn.unit, note, left_out=left_out)
        self.sheet.fill(empty=drawn.empty)
        self._links = drawn.links
        if self._chart.options != drawn.options:
            self._chart.options.clear()
            self._chart.options.update(drawn.options)
            self._chart.update()
        self._table.head(drawn.table.columns)
        self._table.show(drawn.table.rows)
        about = self.sheet.about
        values = {"chart": self._chart.id, "title": about.title, "csv": drawn.csv}
        update(self._save, "save.html", **values)

    def fail(self, detail: str) -> None:
        self.sheet.fail(detail)

    def _follow(self, event: EChartPointClickEventArguments) -> None:
        if event.series_index < len(self._links):
            row = self._links[event.series_index]
            if event.data_index < len(row) and row[event.data_index]:
                ui.navigate.to(row[event.data_index])

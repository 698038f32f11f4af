"""Key figures: a value, how it moved, its course as a thin line, what it means, and the tickets behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui
from nicegui.element import Element

from services.reporting.domain.metrics import METRICS
from services.reporting.page.asking import Answer, Ask
from services.reporting.page.behind import tickets_behind
from services.reporting.page.frame import named
from services.reporting.page.i18n import gettext as _
from services.reporting.page.say import (
    AGGREGATES,
    Change,
    aggregate_of,
    change,
    edges_of,
    figure,
    formula_of,
    title_of,
)
from services.reporting.page.view import View
from services.reporting.report.model import Aggregate, Cell

WIDTH, HEIGHT = 120, 30
"""Of the thin line, in units of its own drawing."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One key figure; `beside`: aggregates of the same metric, or other metrics, in small below it."""

    metric: str
    aggregate: Aggregate = "p50"
    beside: tuple[tuple[str, Aggregate], ...] = ()


class LiveTile(Element, component="live_tile.js"):
    """One key figure on the page."""

    def __init__(self) -> None:
        super().__init__()
        self._props["tile"] = {}

    def show(self, tile: dict[str, Any]) -> None:
        """What `live_tile.js` shows; nothing is sent when it is what it was."""
        if self._props["tile"] != tile:
            self._props["tile"] = tile
            self.update()


class Tiles:
    """All key figures of a page."""

    def __init__(self, *tiles: Tile) -> None:
        self._tiles = tiles
        names = dict.fromkeys(
            name
            for tile in tiles
            for name in (tile.metric, *(metric for metric, _a in tile.beside))
        )
        course = dict.fromkeys(tile.metric for tile in tiles)
        self.asks = (
            Ask(tuple(names), aggregates=("p50", "p90", "mean")),
            Ask(tuple(course), aggregates=("p50",), in_buckets=True),
        )
        self._section = named(ui.element("section").classes("tiles"), _("Key figures"))
        with self._section:
            self._places = [LiveTile().classes("tile") for _tile in tiles]

    async def prepare(self, answers: Sequence[Answer]) -> None:
        """Nothing else is shown."""

    def show(self, answers: Sequence[Answer], view: View) -> None:
        whole, course = answers
        for place, tile in zip(self._places, self._tiles, strict=True):
            place.show(_shown(tile, whole, course, view))

    def fail(self, detail: str) -> None:
        for place in self._places:
            place.show({"refused": detail})


def _shown(tile: Tile, whole: Answer, course: Answer, view: View) -> dict[str, Any]:
    metric = tile.metric
    aggregate = aggregate_of(metric, tile.aggregate)
    cell = whole.cell(metric, aggregate)
    title = title_of(metric)
    if METRICS[metric].kind in ("distribution", "standing"):
        title = f"{title}, {_(AGGREGATES[aggregate])}"
    names = ", ".join(_(name) for name in Ask((metric,)).left_out(view))
    values = [course.cell(metric, aggregate, (), bucket).value for bucket in course.buckets]
    return {
        "name": metric,
        "title": title,
        "what": _("What is this: {title}?").format(title=title),
        "formula": formula_of(metric),
        "edges": edges_of(metric),
        "value": figure(metric, aggregate, cell.value),
        "href": tickets_behind(whole, cell, view),
        "change": _moved(change(cell)),
        "beside": [
            _beside(tile, whole.cell(name, aggregate_of(name, wanted)))
            for name, wanted in tile.beside
        ],
        "note": _("not filtered by {names}").format(names=names) if names else "",
        "line": line(values),
    }


def _moved(moved: Change | None) -> dict[str, str] | None:
    if moved is None:
        return None
    before = _("before: {value}").format(value=moved.before)
    return {"text": f"{moved.sign} {moved.text}", "mood": moved.mood, "before": before}


def _beside(tile: Tile, cell: Cell) -> list[str]:
    """What, and its figure; of the tile's own metric only the aggregate is said."""
    own = cell.metric == tile.metric
    what = _(AGGREGATES[cell.aggregate]) if own else title_of(cell.metric)
    return [what, figure(cell.metric, cell.aggregate, cell.value)]


def line(values: Sequence[float | int | None]) -> str:
    """The path of a thin line from zero up; empty when there are fewer than two values."""
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(known) < 2:  # noqa: PLR2004 - a line needs two ends
        return ""
    most = max(value for _place, value in known) or 1
    points = [
        f"{WIDTH * place / (len(values) - 1):.1f},{HEIGHT - 2 - (HEIGHT - 4) * value / most:.1f}"
        for place, value in known
    ]
    return "M" + "L".join(points)

"""Key figures: a value, how it moved, its course as a thin line, what it means, and the tickets behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nicegui import ui

from services.reporting.domain.metrics import METRICS
from services.reporting.page.asking import Answer, Ask
from services.reporting.page.behind import tickets_behind
from services.reporting.page.frame import named, update
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


@dataclass(frozen=True, slots=True)
class Shown:
    """For the template."""

    name: str
    title: str
    value: str
    href: str
    change: Change | None
    beside: list[tuple[str, str]]
    line: str
    formula: str
    edges: str


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
            self._places = [ui.html("", sanitize=False).classes("tile") for _tile in tiles]

    async def prepare(self, answers: Sequence[Answer]) -> None:
        """Nothing else is shown."""

    def show(self, answers: Sequence[Answer], view: View) -> None:
        whole, course = answers
        left_out = self.asks[0].left_out(view)
        for place, tile in zip(self._places, self._tiles, strict=True):
            shown = _shown(tile, whole, course, view)
            names = [_(name) for name in left_out if name in Ask((tile.metric,)).left_out(view)]
            update(place, "tile.html", t=shown, left_out=", ".join(names))

    def fail(self, detail: str) -> None:
        for place in self._places:
            update(place, "none.html", text=detail)


def _shown(tile: Tile, whole: Answer, course: Answer, view: View) -> Shown:
    aggregate = aggregate_of(tile.metric, tile.aggregate)
    cell = whole.cell(tile.metric, aggregate)
    title = title_of(tile.metric)
    if METRICS[tile.metric].kind in ("distribution", "standing"):
        title = f"{title}, {_(AGGREGATES[aggregate])}"
    return Shown(
        tile.metric,
        title,
        figure(tile.metric, aggregate, cell.value),
        tickets_behind(whole, cell, view),
        change(cell),
        [_beside(tile, whole.cell(metric, aggregate_of(metric, a))) for metric, a in tile.beside],
        line(
            [
                course.cell(tile.metric, aggregate_of(tile.metric), (), bucket).value
                for bucket in course.buckets
            ]
        ),
        formula_of(tile.metric),
        edges_of(tile.metric),
    )


def _beside(tile: Tile, cell: Cell) -> tuple[str, str]:
    """(what, figure); of the tile's own metric only the aggregate is said."""
    own = cell.metric == tile.metric
    what = _(AGGREGATES[cell.aggregate]) if own else title_of(cell.metric)
    return what, figure(cell.metric, cell.aggregate, cell.value)


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

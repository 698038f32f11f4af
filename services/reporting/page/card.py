"""A card: a titled part of a page with the definitions of its figures, live, whatever it shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from nicegui import ui

from services.reporting.domain.metrics import METRICS
from services.reporting.page.asking import Answer, Ask
from services.reporting.page.frame import fragment, named, update
from services.reporting.page.i18n import gettext as _
from services.reporting.page.live_table import LiveTable, Row
from services.reporting.page.say import edges_of, formula_of, title_of
from services.reporting.page.view import View


@dataclass(frozen=True, slots=True)
class About:
    """`name` is unique on the page; `metrics` are those whose definitions stand under the question mark."""

    name: str
    title: str
    metrics: tuple[str, ...] = ()
    classes: str = ""


class Card(Protocol):
    """What a board asks for and brings up to date. `asks` belong together: they are shown at once."""

    @property
    def asks(self) -> Sequence[Ask]: ...

    async def prepare(self, answers: Sequence[Answer]) -> None:
        """Read what else is to be shown with the answers. Raises Transient without a database."""

    def show(self, answers: Sequence[Answer], view: View) -> None: ...

    def fail(self, detail: str) -> None:
        """The question cannot be answered: say why in place of the figures."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows are those of `live_table.js`."""

    columns: tuple[str, ...]
    rows: list[Row]


class Sheet:
    """The frame of a card. What is made inside `with sheet.body` stands under its head."""

    def __init__(self, about: About) -> None:
        self.about = about
        self._said = ("", "", "")
        self.section = ui.element("section").classes(f"card {about.classes}")
        self.section.props(f'id="{about.name}" aria-labelledby="h-{about.name}"')
        with self.section:
            with ui.element("div").classes("head"):
                self._title = ui.html("", sanitize=False, tag="div").classes("grow")
                if about.metrics:
                    fragment("about.html", title=about.title, metrics=_definitions(about.metrics))
                self.menu = ui.element("div").classes("menu")
            self._note = ui.html("", sanitize=False)
            self.body = ui.element("div").classes("card-body")
        self.say("")

    def say(self, unit: str, note: str = "", *, left_out: Sequence[str] = ()) -> None:
        """`unit` beside the title, `note` below it; filters that do not fit are always named."""
        parts = [note] if note else []
        if left_out:
            names = ", ".join(_(name) for name in left_out)
            parts.append(_("not filtered by {names}").format(names=names))
        update(
            self._title,
            "card_title.html",
            id=f"h-{self.about.name}",
            title=self.about.title,
            unit=unit,
        )
        update(self._note, "none.html", text=" · ".join(parts))

    def fail(self, detail: str) -> None:
        self.body.set_visibility(False)
        self.say("", detail)

    def fill(self, *, empty: bool) -> None:
        """Show the body, or that there is nothing."""
        self.body.set_visibility(not empty)


def _definitions(metrics: Sequence[str]) -> list[tuple[str, str, str, str]]:
    return [
        (title_of(name), formula_of(name), edges_of(name), ", ".join(METRICS[name].events))
        for name in metrics
    ]


class TableCard:
    """A table that is brought up to date in place."""

    def __init__(
        self,
        about: About,
        asks: Sequence[Ask],
        draw: TableMaker,
        *,
        unit: str = "",
        none: str = "",
        csv: CsvAddress | None = None,
        prepare: Callable[[Sequence[Answer]], Awaitable[None]] | None = None,
    ) -> None:
        self.asks = tuple(asks)
        self._draw, self._unit, self._none, self._csv = draw, unit, none, csv
        self._prepare = prepare
        self.sheet = Sheet(about)
        with (
            self.sheet.body,
            ui.element("div").classes("box").props('tabindex="0" role="group"') as box,
        ):
            named(box, about.title)
            self._table = LiveTable(about.title, ())
            self._table.classes("figures")
        with self.sheet.menu:
            self._csv_place = ui.html("", sanitize=False)

    async def prepare(self, answers: Sequence[Answer]) -> None:
        if self._prepare is not None:
            await self._prepare(answers)

    def show(self, answers: Sequence[Answer], view: View) -> None:
        table = self._draw(answers, view)
        left_out = sorted({name for ask in self.asks for name in ask.left_out(view)})
        none = "" if table.rows else self._none or _("Nothing in this period.")
        self.sheet.say(self._unit, none, left_out=left_out)
        self.sheet.fill(empty=not table.rows)
        self._table.head(table.columns)
        self._table.show(table.rows)
        if self._csv is not None:
            update(self._csv_place, "csv.html", href=self._csv(answers, view))

    def fail(self, detail: str) -> None:
        self.sheet.fail(detail)


class TableMaker(Protocol):
    def __call__(self, answers: Sequence[Answer], view: View, /) -> Table: ...


class CsvAddress(Protocol):
    def __call__(self, answers: Sequence[Answer], view: View, /) -> str: ...

"""A page of figures: what every one has, and the round of questions that keeps its cards up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from zoneinfo import available_timezones

from nicegui import ui
from starlette.requests import Request

from libs.events import Channel, Priority
from libs.runtime.clock import monotonic_s
from libs.runtime.errors import Poison
from services.reporting.page.asking import EVERYTHING, Answer
from services.reporting.page.card import Card
from services.reporting.page.desk import Desk
from services.reporting.page.frame import Frame, fragment, frame, look_again, meet, update
from services.reporting.page.i18n import gettext as _
from services.reporting.page.parts import instant, word
from services.reporting.page.say import span
from services.reporting.page.view import RANGES, Period, View, period_of, view_of
from services.reporting.report.model import Report, ReportQuery

FIRST_S: Final = 0.7
"""So long the page is kept back for its figures; later ones come into the page that is there already."""
RESPONSE_S: Final = 20.0
"""NiceGUI gives up on a page that takes longer to build; a busy machine is no reason to."""
ASKING_SHARE_MAX: Final = 0.2
"""Of the time: how much of it an open page may spend on asking anew, however fast the facts change."""
ZONES: Final = tuple(
    sorted(zone for zone in available_timezones() if "/" in zone and zone[:3] != "Etc")
)


class Part(Protocol):
    """A part of a page that reads the lists of the store, whatever period is looked at."""

    async def read(self) -> None:
        """Facts have changed: read anew."""

    def tick(self) -> None:
        """Time has passed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which page: its path in the navigation, its title, and what fills it."""

    path: str
    title: str
    fill: Callable[[Board], None]


async def dashboard(request: Request, desk: Desk, place: Place) -> None:
    """Build a page of figures for one visitor."""
    view = view_of(request.query_params)
    meet(request, view.zone)
    view = view_of(request.query_params)  # again: its problems are said in the reader's language
    values = await desk.values()
    with frame(request, _(place.title), current=place.path, view=view) as made:
        if view.problems:
            made.warn(_("Left out: {problems}.").format(problems="; ".join(view.problems)))
        board = Board(desk, view, made, place, values)
        place.fill(board)
    task = asyncio.create_task(board.refresh())
    await asyncio.wait([task], timeout=FIRST_S)
    first: asyncio.Task[None] | None = task

    async def again() -> None:
        nonlocal first
        if first is None:
            await board.refresh()
        else:
            started, first = first, None
            await started

    look_again(made, desk.interval_s, again)


class Board:
    """The cards of a page. A card is made (`with board.row():`) and then given to `add`."""

    def __init__(
        self,
        desk: Desk,
        view: View,
        made: Frame,
        place: Place,
        values: dict[str, list[tuple[str, str]]],
    ) -> None:
        self.desk = desk
        self.view = view
        self._frame = made
        self._cards: list[Card] = []
        self._parts: list[Part] = []
        self._stamp = -1
        self._rest_until_s = 0.0
        self._agents = dict(values["agent"])
        self._head = fragment("ranges.html", **self._ranges(place, ""))
        self._place = place
        fragment("view.html", **_bar(view, place.path, values))
        self._empty = fragment("empty.html")
        self._empty.set_visibility(False)  # until it is known
        self.body = ui.element("div").classes("board")

    def row(self, classes: str = "") -> ui.element:
        """A line of cards side by side."""
        with self.body:
            return ui.element("div").classes(f"cards {classes}")

    def add(self, *cards: Card) -> None:
        self._cards += cards

    def add_part(self, part: Part) -> None:
        self._parts.append(part)

    def agents(self) -> dict[str, str]:
        """The names of agents by id."""
        return self._agents

    async def refresh(self) -> None:
        """Ask again when facts have changed since. Raises Transient without a database."""
        if monotonic_s() >= self._rest_until_s:
            began_s = monotonic_s()
            known = await self.desk.reports.get(EVERYTHING)
            if known.stamp != self._stamp:
                for part in self._parts:
                    await part.read()
                await self._bring_up_to_date(known)
                self._stamp = known.stamp
                took_s = monotonic_s() - began_s
                self._rest_until_s = monotonic_s() + took_s * (1 / ASKING_SHARE_MAX - 1)
        for part in self._parts:
            part.tick()

    async def _bring_up_to_date(self, known: Report) -> None:
        nothing = known.end_us is None
        self._empty.set_visibility(nothing)
        self.body.set_visibility(not nothing)
        if known.end_us is None:
            self._frame.say(_("no events yet"), ok=True)
            return
        period = period_of(self.view, first_us=known.start_us, last_us=known.end_us - 1)
        compared = not self.view.compare or period.comparable
        said = span(
            period.start_us if period.start_us is not None else known.start_us, period.end_us
        )
        if not compared:
            said += " · " + _("no full period before to compare with")
        update(self._head, "ranges.html", **self._ranges(self._place, said))
        await self._show(period)
        text = _("up to {time}").format(time=instant(known.recorded_us))
        self._frame.say(text, ok=True)

    async def _show(self, period: Period) -> None:
        asked = [[ask.questions(self.view, period) for ask in card.asks] for card in self._cards]
        answers = await self._answers(q for card in asked for ask in card for q in ask)
        for card, asks in zip(self._cards, asked, strict=True):
            found = [[answers[question] for question in ask] for ask in asks]
            refused = [one for ask in found for one in ask if isinstance(one, Poison)]
            if refused:
                card.fail(refused[0].detail)
            else:
                made = [Answer([one for one in ask if isinstance(one, Report)]) for ask in found]
                await card.prepare(made)
                card.show(made, self.view)

    async def _answers(
        self, questions: Iterable[ReportQuery]
    ) -> dict[ReportQuery, Report | Poison]:
        asked = list(dict.fromkeys(questions))
        answers = await asyncio.gather(*(self.desk.answer(question) for question in asked))
        return dict(zip(asked, answers, strict=True))

    def _ranges(self, place: Place, said: str) -> dict[str, Any]:
        view = self.view
        links = [
            (
                _(label),
                view.address(place.path, **{"range": name, "from": "", "to": ""}),
                name == view.range,
            )
            for name, label in RANGES.items()
        ]
        return {"title": _(place.title), "span": said, "ranges": links}


def _bar(view: View, path: str, values: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    """The filter bar, for the template."""
    choices = [
        ("channel", _("Channel"), [(one.value, word(one.value)) for one in Channel]),
        ("group", _("Group"), values["group"]),
        ("category", _("Category"), values["category"]),
        ("priority", _("Priority"), [(one.value, word(one.value)) for one in Priority]),
    ]
    titles = {name: title for name, title, _options in choices}
    set_ = [
        (
            f"{titles[name]}: {word(value) if name in ('channel', 'priority') else value}",
            view.address(path, **{name: ""}),
        )
        for name, value in view.filters
    ]
    if view.zone != "UTC":
        set_.append((view.zone, view.address(path, zone="")))
    switches = [
        (_("Calendar time"), view.address(path, time=""), view.time == "calendar"),
        (_("Business time"), view.address(path, time="business"), view.time == "business"),
    ]
    compare = view.address(path, compare="" if view.compare else "1")
    return {
        "path": path,
        "view": view,
        "filters": dict(view.filters),
        "choices": choices,
        "set": set_,
        "switches": switches,
        "compare": compare,
        "zones": ZONES,
        "kept": {
            name: value
            for name, value in view.parameters.items()
            if value and name in ("range", "compare", "time")
        },
    }

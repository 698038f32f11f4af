"""The operator's view of routing: queues and why they wait, agents and their load, decisions, live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nicegui import ui
from pydantic import ValidationError
from starlette.requests import Request

from libs.events import parse_time
from libs.runtime.clock import Clock
from services.reporting.page.frame import Frame, fragment, frame, look_again, meet, named, update
from services.reporting.page.i18n import N_, ngettext
from services.reporting.page.i18n import gettext as _
from services.reporting.page.live_table import LiveTable
from services.reporting.page.parts import link, number, word
from services.reporting.page.routing_rows import agent_row, decision_row, length, queue_row
from services.reporting.query import RoutingQuery
from services.reporting.snapshot import Floors
from services.reporting.views.floor import PRESENCES, Floor, FloorFilter, part_of

PATH: Final = "/routing"
QUEUE_COLUMNS: Final = (
    N_("Queue"),
    N_("Group"),
    N_("Waiting"),
    N_("Oldest wait"),
    N_("Oldest ticket"),
    N_("Why it waits"),
)
AGENT_COLUMNS: Final = (
    N_("Agent"),
    N_("Presence"),
    N_("Groups"),
    N_("Load"),
    N_("Tickets"),
    N_("Last given"),
    N_("Hours"),
)
DECISION_COLUMNS: Final = (N_("Time"), N_("Ticket"), N_("Decision"), N_("Queue"), N_("Because"))
QUEUES_UNIT: Final = N_("the longest wait first; an agent may count under several reasons")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for. `problem` names what in it could not be understood."""

    query: RoutingQuery
    problem: str

    @property
    def filters(self) -> dict[str, Any]:
        return self.query.model_dump(include={"queue", "group", "presence"}, exclude_none=True)


def asked(parameters: Mapping[str, str]) -> Asked:
    """Reads the address. A filter that makes no sense is named and left out, the others hold."""
    given: dict[str, Any] = {name: value for name, value in parameters.items() if value.strip()}
    for name in ("limit", "lang"):
        given.pop(name, None)
    try:
        return Asked(RoutingQuery.model_validate(given), "")
    except ValidationError as error:
        wrong = {str(e["loc"][0]) for e in error.errors() if e["loc"]}
        rest = {name: value for name, value in given.items() if name not in wrong}
        names = ", ".join(sorted(name[:40] for name in wrong))
        problem = _("this filter was not understood and is left out: {names}").format(names=names)
        return Asked(RoutingQuery.model_validate(rest), problem)


async def routing_page(
    request: Request, floors: Floors, clock: Clock, *, interval_s: float
) -> None:
    """Build the page for one visitor."""
    meet(request)
    wanted = asked(dict(request.query_params))
    floor = await floors.recent()
    with frame(request, _("Live operations"), current=PATH) as made:
        if wanted.problem:
            made.warn(wanted.problem)
        page = _Page(made, wanted, floor)

    async def refresh() -> None:
        page.show(await floors.recent(), clock.now())

    page.show(floor, clock.now())
    look_again(made, interval_s, refresh)


class _Page:
    def __init__(self, made: Frame, wanted: Asked, floor: Floor) -> None:
        self._frame = made
        self._wanted = wanted
        self._head = fragment("routing_head.html", floor=floor)
        self._empty = fragment("routing_empty.html")
        self._body = ui.element("div").classes("body")
        with self._body:
            self._tiles = ui.html("", sanitize=False, tag="section")
            named(self._tiles, _("Key figures"))
            fragment("routing_filters.html", filters=wanted.filters, choices=_choices(floor))
            with _card("queues"):
                fragment("card_title.html", id="h-queues", title=_("Queues"), unit=_(QUEUES_UNIT))
                self._queues = LiveTable(_("Queues"), [_(name) for name in QUEUE_COLUMNS])
                self._no_queue = ui.html("", sanitize=False)
            with _card("agents"):
                self._agents_title = ui.html("", sanitize=False)
                self._agents = LiveTable(_("Agents"), [_(name) for name in AGENT_COLUMNS])
                self._no_agent = ui.html("", sanitize=False)
                self._more = ui.html("", sanitize=False, tag="nav")
                named(self._more, _("Pages of the agents"))
            with _card("decisions"):
                title, unit = _("Recent decisions"), _("newest first, of all queues")
                fragment("card_title.html", id="h-decisions", title=title, unit=unit)
                self._decisions = LiveTable(title, [_(name) for name in DECISION_COLUMNS])
                self._no_decision = ui.html("", sanitize=False)

    def show(self, floor: Floor, now: datetime) -> None:
        """Bring everything up to date; what has not changed is not sent."""
        seen = part_of(floor, self._wanted.query.wanted())
        said = ngettext("{n} event applied", "{n} events applied", floor.events)
        self._frame.say(said.format(n=number(floor.events)), ok=True)
        nothing = not (floor.agents or floor.queues or floor.decisions)
        self._empty.set_visibility(nothing)
        self._body.set_visibility(not nothing)
        names = {agent.id: agent.name for agent in floor.agents}
        update(self._head, "routing_head.html", floor=floor)
        update(self._tiles, "routing_tiles.html", floor=seen, oldest=_oldest(seen, now))
        _fill(self._queues, [queue_row(queue, now) for queue in seen.queues])
        _fill(self._decisions, [decision_row(event, names) for event in floor.decisions])
        filtered = self._wanted.filters
        waiting = (
            _("No ticket waits here.")
            if filtered
            else _("No ticket waits: everything has an agent.")
        )
        update(self._no_queue, "none.html", text="" if seen.queues else waiting)
        update(self._no_decision, "none.html", text="" if floor.decisions else _("None yet."))
        self._show_agents(seen, now)

    def _show_agents(self, seen: Floor, now: datetime) -> None:
        query, count = self._wanted.query, len(seen.agents)
        first = (query.page - 1) * query.limit
        shown = seen.agents[first : first + query.limit]
        span = f"{number(first + 1)}–{number(first + len(shown))}"
        unit = _("{span} of {n}").format(span=span, n=number(count)) if shown else number(count)
        title = {"id": "h-agents", "title": _("Agents"), "unit": unit}
        update(self._agents_title, "card_title.html", **title)
        _fill(self._agents, [agent_row(agent, now) for agent in shown])
        none = _("No agent matches.") if self._wanted.filters else _("No agent is registered.")
        update(self._no_agent, "none.html", text="" if shown else none)
        before, after = query.page > 1, first + query.limit < count
        update(
            self._more,
            "pages.html",
            before=self._page(query.page - 1) if before else None,
            after=self._page(query.page + 1) if after else None,
        )

    def _page(self, page: int) -> str:
        there = {**self._wanted.filters, "page": page if page > 1 else None}
        return link(PATH, there) + "#agents"


def _oldest(floor: Floor, now: datetime) -> str:
    return "–" if floor.oldest_at is None else length(now, parse_time(floor.oldest_at))


def _choices(floor: Floor) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(parameter, label, options) of the filter form."""
    everything = part_of(floor, FloorFilter())
    queues = {queue.queue for queue in everything.queues if queue.queue is not None}
    groups = {queue.group for queue in everything.queues if queue.group is not None}
    groups.update(group for agent in everything.agents for group in agent.groups)
    return [
        ("queue", _("Queue"), [(name, name) for name in sorted(queues)]),
        ("group", _("Group"), [(name, name) for name in sorted(groups)]),
        ("presence", _("Presence"), [(name, word(name)) for name in PRESENCES]),
    ]


def _card(name: str) -> ui.element:
    section = ui.element("section").classes(f"card tickets {name}")
    return section.props(f'id="{name}" aria-labelledby="h-{name}"')


def _fill(table: LiveTable, rows: list[dict[str, Any]]) -> None:
    table.show(rows)
    table.set_visibility(bool(rows))

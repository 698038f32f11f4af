"""The overview: figures of the desk, two charts, and the newest tickets, live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from nicegui import ui
from pydantic import ValidationError
from starlette.requests import Request

from libs.events import Channel, Priority, Status
from libs.runtime.store import ServiceStore
from services.reporting.page import charts
from services.reporting.page.frame import Frame, fragment, frame, look_again, update
from services.reporting.page.parts import duration, link, moment, moment_s, number, percent, word
from services.reporting.query import TicketQuery
from services.reporting.snapshot import Snapshots
from services.reporting.views.figures import Figures, Range
from services.reporting.views.lists import Json, known_values, list_tickets

RANGES: Final[dict[Range, str]] = {
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
    "12m": "12 months",
    "all": "All",
}
PER_PAGE: Final = 25
COLUMNS: Final = (
    "Number",
    "Subject",
    "Status",
    "Priority",
    "Group",
    "Agent",
    "Channel",
    "Created",
    "First reply",
    "Resolution",
    "SLA",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for. `problem` says what in it could not be understood."""

    range: Range
    query: TicketQuery
    problem: str

    @property
    def filters(self) -> dict[str, Any]:
        given = self.query.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)
        return {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in given.items()
        }


def asked(parameters: Mapping[str, str]) -> Asked:
    """Reads the address. A filter that makes no sense is named and left out, never half applied."""
    given = {name: value for name, value in parameters.items() if value.strip()}
    wanted = given.pop("range", "30d")
    range_: Range = next((name for name in get_args(Range) if name == wanted), "30d")
    problem = "" if range_ == wanted else f"there is no range {wanted[:40]!r}; "
    try:
        query = TicketQuery.model_validate({**given, "limit": PER_PAGE})
    except ValidationError as error:
        names = ", ".join(str(e["loc"][0])[:40] for e in error.errors() if e["loc"])
        problem += f"this filter was not understood and is left out: {names}"
        query = TicketQuery(limit=PER_PAGE)
    return Asked(range_, query, problem)


async def overview(
    request: Request,
    store: ServiceStore,
    snapshots: Snapshots,
    *,
    interval_s: float,
) -> None:
    """Build the page for one visitor."""
    wanted = asked(dict(request.query_params))
    figures = await snapshots.get(wanted.range)
    values = await store.read(known_values)
    with frame(request, "Bitácora · Overview") as made:
        if wanted.problem:
            made.warn(wanted.problem)
        page = _Overview(made, wanted, figures, values)
        await page.refresh_table(store)

    async def refresh() -> None:
        current = await snapshots.get(wanted.range)
        if current.events != page.events:
            await page.refresh_table(store)
        page.show(current)

    page.show(figures)
    look_again(made, interval_s, refresh)


class _Overview:
    def __init__(
        self,
        made: Frame,
        wanted: Asked,
        figures: Figures,
        values: dict[str, list[tuple[str, str]]],
    ) -> None:
        self._frame = made
        self._wanted = wanted
        self.events = -1
        ranges = [
            (label, link("/", {**wanted.filters, "range": name}), name == wanted.range)
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
            with ui.element("section").classes("card tickets").props('aria-labelledby="tickets"'):
                fragment(
                    "filters.html",
                    filters=wanted.filters,
                    range=wanted.range,
                    choices=_choices(values),
                )
                self._table = _ticket_table()
                self._none = fragment("nothing_found.html", shown=False)
                self._more = fragment("more.html", tag="nav", older=None, newest=None)
                self._more.props('aria-label="Pages of the list"')

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

    async def refresh_table(self, store: ServiceStore) -> None:
        query = self._wanted.query
        page = await store.read(
            lambda c: list_tickets(c, query.wanted(), limit=query.limit, cursor=query.cursor),
        )
        self._table.update_rows([_shown(ticket) for ticket in page.tickets])
        kept = {**self._wanted.filters, "range": self._wanted.range}
        older = link("/", {**kept, "cursor": page.next}) + "#tickets" if page.next else None
        newest = link("/", kept) + "#tickets" if query.cursor else None
        update(self._none, "nothing_found.html", shown=not page.tickets)
        update(self._more, "more.html", older=older, newest=newest)

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


def _choices(values: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str, Any]]:
    """(parameter, label, options) of the filter form."""
    return [
        ("status", "Status", [(value.value, word(value.value)) for value in Status]),
        ("priority", "Priority", [(value.value, value.value) for value in Priority]),
        ("channel", "Channel", [(value.value, value.value) for value in Channel]),
        ("group", "Group", values["group"]),
        ("agent", "Agent", values["agent"]),
        ("category", "Category", values["category"]),
        ("breached", "SLA", [("true", "breached"), ("false", "not breached")]),
    ]


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


def _ticket_table() -> ui.table:
    columns = [{"name": name, "label": name, "field": name} for name in COLUMNS]
    table = ui.table(rows=[], columns=columns, row_key="id", pagination=0)
    table.props('flat hide-pagination wrap-cells aria-label="Tickets"')
    table.add_slot(
        "header",
        "<tr>" + "".join(f'<th scope="col">{name}</th>' for name in COLUMNS) + "</tr>",
    )
    table.add_slot("body", _ROW)
    table.add_slot("no-data", "<span></span>")
    return table


_ROW: Final = """
<tr :key="props.row.id">
  <td data-label="Number"><a :href="'/tickets/' + props.row.id">#{{ props.row.number }}</a></td>
  <td data-label="Subject" class="wide" dir="auto">{{ props.row.subject }}</td>
  <td data-label="Status"><span :class="'badge status-' + props.row.status_key">
    {{ props.row.status }}</span></td>
  <td data-label="Priority"><span :class="'priority-' + props.row.priority">
    {{ props.row.priority }}</span></td>
  <td data-label="Group">{{ props.row.group }}</td>
  <td data-label="Agent">{{ props.row.agent }}</td>
  <td data-label="Channel">{{ props.row.channel }}</td>
  <td data-label="Created" class="figure">{{ props.row.created }}</td>
  <td data-label="First reply" class="figure">{{ props.row.reply }}</td>
  <td data-label="Resolution" class="figure">{{ props.row.resolution }}</td>
  <td data-label="SLA"><span v-if="props.row.breaches" class="badge breach">
    {{ props.row.breaches }} breached</span><span v-else>–</span></td>
</tr>
"""


def _shown(ticket: Json) -> dict[str, Any]:
    return {
        "id": ticket["id"],
        "number": ticket["number"],
        "subject": ticket["subject"],
        "status_key": ticket["status"],
        "status": word(ticket["substatus"] or ticket["status"]),
        "priority": ticket["priority"],
        "group": ticket["group"] or "–",
        "agent": ticket["agent_name"] or ticket["agent"] or "–",
        "channel": ticket["channel"],
        "created": moment(ticket["created_at"]),
        "reply": duration(ticket["first_reply_s"]),
        "resolution": duration(ticket["resolution_s"]),
        "breaches": int(ticket["breaches"]),
    }

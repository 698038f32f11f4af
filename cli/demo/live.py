"""The view on a terminal: clock, tickets, people, the last events, SLA; once a second."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.demo.api import by_status
from cli.demo.people import ZONE, Agent
from cli.demo.watch import Watch
from cli.demo.world import World
from cli.output import clean
from libs.events import Status
from libs.events import sla as s
from libs.events import ticket as t

REFRESH_S: Final = 0.5
STORIES_MAX: Final = 14
_COLORS: Final = {
    "BREACH": "bold red",
    "warning": "yellow",
    "escalated": "magenta",
    "solved": "green",
}


class LiveView:
    """Draws until its task is cancelled. `dashboard` is the address of reporting's page."""

    def __init__(
        self, console: Console, world: World, watch: Watch, staff: dict[str, Agent], dashboard: str
    ) -> None:
        self._console = console
        self._world = world
        self._watch = watch
        self._staff = staff
        self._dashboard = dashboard
        self.note = ""

    async def run(self) -> None:
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            while True:
                live.update(await self._screen())
                await asyncio.sleep(REFRESH_S)

    async def _screen(self) -> RenderableType:
        figures = await self._world.api.get(
            "reporting", "/v1/report", metrics="created", by="status"
        )
        queue = await self._world.api.get("routing", "/v1/queue", limit=1)
        backlog = by_status(figures) if figures.ok else {}
        return Group(
            self._head(),
            Columns([self._tickets(backlog, queue.body if queue.ok else {}), self._people()]),
            self._stories(),
        )

    def _head(self) -> RenderableType:
        local = self._world.time.now().astimezone(ZONE)
        head = Text.assemble(
            (f" {local:%A %d %B %Y  %H:%M} ", "bold reverse"),
            ("   dashboard ", "dim"),
            (self._dashboard, "underline cyan"),
            ("   Ctrl-C ends", "dim"),
        )
        return Group(head, Text(f" {self.note}", "yellow")) if self.note else head

    def _tickets(self, backlog: dict[str, int], queue: dict[str, Any]) -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(min_width=16)
        table.add_column(justify="right", min_width=5)
        for status in Status:
            table.add_row(status.value.replace("_", " "), str(backlog.get(status.value, 0)))
        table.add_section()
        table.add_row("in the queue", str(queue.get("waiting", len(queue.get("tickets", ())))))
        count = self._watch.count
        table.add_row("escalated", str(count(t.Escalated)))
        table.add_row(Text("SLA warnings", "yellow"), str(count(s.SlaWarning)))
        table.add_row(Text("SLA breaches", "bold red"), str(count(s.SlaBreached)))
        return Panel(table, title="tickets", title_align="left")

    def _people(self) -> RenderableType:
        world, table = self._world, Table(box=None, show_header=False, pad_edge=False)
        for _ in range(2):
            table.add_column(min_width=10)
            table.add_column(min_width=6)
        busy, online = world.busy, world.at_work
        rows = []
        for agent_id in sorted(self._staff):
            if agent_id in busy:
                state = Text("busy", "green")
            elif agent_id in online:
                state = Text("free", "cyan")
            else:
                state = Text("·", "dim")
            rows.append((Text(agent_id), state))
        for left, right in zip(rows[::2], rows[1::2], strict=True):
            table.add_row(*left, *right)
        free = len(online.keys() - busy)
        title = f"agents: {len(busy)} busy, {free} free, {len(self._staff) - len(online)} away"
        return Panel(table, title=title, title_align="left")

    def _stories(self) -> RenderableType:
        lines = []
        for instant, story in list(self._watch.last)[-STORIES_MAX:]:
            style = next((style for word, style in _COLORS.items() if word in story), "")
            line = Text(f"{instant.astimezone(ZONE):%H:%M}  ", "dim")
            lines.append(line.append(clean(story), style))
        lines += [Text("")] * (STORIES_MAX - len(lines))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Panel(Group(*lines), title="last events", title_align="left")

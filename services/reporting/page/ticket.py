"""One ticket: its facts, its clocks, and everything that happened to it, live."""

from __future__ import annotations

from typing import Any

from nicegui import ui
from sqlalchemy import Connection, select
from starlette.requests import Request

from libs.runtime.store import ServiceStore
from services.reporting.page.decisions import decisions, waiting
from services.reporting.page.frame import fragment, frame, look_again, meet, update
from services.reporting.page.i18n import gettext as _
from services.reporting.page.open_hours import Calendars
from services.reporting.page.parts import duration, moment_s, word
from services.reporting.page.stories import entries, who
from services.reporting.page.timeline import Timeline
from services.reporting.page.timeline_rows import calendars_in
from services.reporting.views.agents import AGENTS
from services.reporting.views.calendars import timelines_of
from services.reporting.views.lists import Json, get_ticket


async def ticket_page(
    request: Request,
    ticket_id: str,
    store: ServiceStore,
    *,
    interval_s: float,
) -> None:
    """Build the page for one visitor."""
    meet(request)
    wanted = ticket_id.replace("\x00", "")

    def ask(c: Connection) -> tuple[Json | None, dict[str, str], Calendars]:
        ticket = get_ticket(c, wanted)
        names = {row[0]: row[1] for row in c.execute(select(AGENTS.c.id, AGENTS.c.name))}
        return ticket, names, {} if ticket is None else timelines_of(c, calendars_in(ticket))

    first, names, calendars = await store.read(ask)
    title = f"#{first['number']}" if first else _("No such ticket")
    with frame(request, title, current="/tickets") as made:
        missing = fragment("not_found.html", ticket_id=wanted[:100])
        body = ui.element("div")
        with body:
            head = ui.html("", sanitize=False)
            with ui.element("div").classes("ticket"):
                with ui.element("div").classes("stack"):
                    routing = ui.element("section").classes("card decisions")
                    with routing.props('id="routing" aria-labelledby="h-routing"'):
                        waits = ui.html("", sanitize=False)
                        decided = ui.html("", sanitize=False)
                    timeline = Timeline()
                    history = ui.html("", sanitize=False, tag="section")
                    history.classes("card").props('aria-labelledby="h-history"')
                with ui.element("div").classes("side"):
                    facts = ui.html("", sanitize=False, tag="section")
                    facts.classes("card").props('aria-labelledby="h-facts"')
                    clocks = ui.html("", sanitize=False, tag="section")
                    clocks.classes("card").props('aria-labelledby="h-clocks"')

    def show(ticket: Json | None, known: dict[str, str], hours: Calendars) -> None:
        missing.set_visibility(ticket is None)
        body.set_visibility(ticket is not None)
        if ticket is None:
            made.say(_("waiting for this ticket"), ok=True)
            return
        said = _("last change {time}").format(time=moment_s(ticket["updated_at"]))
        made.say(said, ok=True)
        update(head, "ticket_head.html", t=ticket)
        update(facts, "ticket_facts.html", facts=_facts(ticket))
        update(clocks, "ticket_clocks.html", clocks=ticket["clocks"])
        update(waits, "ticket_waiting.html", w=waiting(ticket, known), number=ticket["number"])
        update(decided, "ticket_routing.html", decisions=decisions(ticket, known))
        timeline.show(ticket, hours, store.clock.now())
        update(
            history,
            "history.html",
            entries=entries(ticket, known),
            rejections=[{**r, "who": who(r["actor"], known)} for r in ticket["rejections"]],
        )

    async def refresh() -> None:
        show(*await store.read(ask))

    show(first, names, calendars)
    look_again(made, interval_s, refresh)


def _facts(t: Json) -> list[tuple[str, Any]]:
    return [
        (_("Requester"), t["requester_id"]),
        (_("Organization"), t["organization"]),
        (_("Channel"), t["channel"]),
        (_("Language"), t["language"]),
        (_("Category"), " / ".join(filter(None, (t["category"], t["subcategory"])))),
        (_("Tags"), ", ".join(t["tags"])),
        (_("Group"), t["group"]),
        (_("Agent"), t["agent_name"] or t["agent"]),
        (_("Tier"), t["tier"]),
        (_("Created"), moment_s(t["created_at"])),
        (_("First reply"), _after(t["first_replied_at"], t["first_reply_s"])),
        (_("Solved"), _after(t["solved_at"], t["resolution_s"])),
        (_("Closed"), moment_s(t["closed_at"])),
        (_("Replies"), t["public_replies"]),
        (_("Reopened"), t["reopens"]),
        (_("Changes of group"), t["group_changes"]),
        (_("Hand-overs"), t["hand_overs"]),
        (_("Rating"), word(t["rating"])),
        (_("Follow-up of"), t["follow_up_of"]),
        (_("Merged into"), t["merged_into"]),
        (_("Reference"), t["external_ref"]),
        *((name, value) for name, value in t["custom_fields"].items()),
        (_("Id"), t["id"]),
    ]


def _after(at: str | None, seconds: int | None) -> str:
    if at is None:
        return "–"
    said = _("{time} (after {duration})")
    return said.format(time=moment_s(at), duration=duration(seconds))

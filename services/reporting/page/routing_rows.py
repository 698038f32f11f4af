"""Routing's queues, agents and decisions as rows of `LiveTable`: texts, links, bars."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from libs.events import parse_time
from libs.events.routing_text import counted_reasons, plain, sentence, trigger_text
from services.reporting.domain import WAIT_LONG_S, WAIT_VERY_LONG_S, instant_of
from services.reporting.page.live_table import Part, Row, bar, cell, linked, text
from services.reporting.page.parts import duration, link, moment, moment_s, number, type_name
from services.reporting.views.floor import Agent, Json, Queue

DAYS: Final = {
    "mon": "Mon",
    "tue": "Tue",
    "wed": "Wed",
    "thu": "Thu",
    "fri": "Fri",
    "sat": "Sat",
    "sun": "Sun",
}
REASONS_MAX: Final = 4
UNDECIDED: Final = "not decided yet"


def length(now: datetime, since: datetime) -> str:
    """How long ago `since` was, in words; a clock that is behind shows 0 s."""
    return duration(max(0.0, (now - since).total_seconds()))


def wait_level(seconds: float) -> tuple[str, str]:
    """(class, word) for a wait: the word says what the colour does."""
    if seconds >= WAIT_VERY_LONG_S:
        return "very-long", "very long"
    return ("long", "long") if seconds >= WAIT_LONG_S else ("", "")


def queue_row(queue: Queue, now: datetime) -> Row:
    since = parse_time(queue.oldest_at)
    level, word = wait_level((now - since).total_seconds())
    reasons = counted_reasons(queue.reasons)
    more = len(reasons) - REASONS_MAX
    shown = reasons[:REASONS_MAX] + ([f"and {more} more"] if more > 0 else [])
    as_of = f"as of {moment_s(queue.reasons_at)}" if reasons else "no reason is known yet"
    waiting = [text(number(queue.waiting), "depth")]
    if queue.asked:
        waiting.append(text(f"{number(queue.asked)} asked for, not answered yet", "sub"))
    oldest = queue.oldest
    ticket = linked(
        f"#{oldest['number']}",
        f"/tickets/{oldest['id']}#routing",
        f"Ticket {oldest['number']}, {oldest['subject']}",
    )
    wait = length(now, since) + (f" · {word}" if word else "")
    return {
        "id": f"{queue.queue}/{queue.group}",
        "attrs": {"data-queue": queue.queue or ""},
        "cells": [
            cell("strong", text(queue.queue or UNDECIDED)),
            cell("", text(queue.group or "–")),
            cell("figure", *waiting),
            cell("figure", text(wait, f"wait {level}")),
            cell("", ticket, text(oldest["priority"], f"priority-{oldest['priority']}")),
            cell("wide why", {"items": shown}, text(as_of, "sub")),
        ],
    }


def agent_row(agent: Agent, now: datetime) -> Row:
    presence = [text(agent.presence, f"presence {agent.presence}")]
    if agent.presence_at:
        reason = f", {plain(agent.presence_reason)}" if agent.presence_reason else ""
        since = length(now, parse_time(agent.presence_at))
        presence.append(text(f"for {since}{reason}", "sub"))
    given = agent.last_given_at
    hours = [text(hours_text(agent.hours))]
    if absent := absence_text(agent.absences, now):
        hours.append(text(absent, "absent"))
    tickets = linked(
        number(agent.tickets),
        link("/tickets", {"agent": agent.id}),
        f"{agent.tickets} tickets of {agent.name}",
    )
    return {
        "id": agent.id,
        "attrs": {"data-agent": agent.id},
        "cells": [
            cell("strong", text(agent.name), text(_can(agent), "sub")),
            cell("", *presence),
            cell("", text(", ".join(agent.groups) or "–")),
            cell("figure", *_load(agent)),
            cell("figure", tickets if agent.tickets else text("0")),
            cell("figure", text(f"{length(now, parse_time(given))} ago" if given else "never")),
            cell("", *hours),
        ],
    }


def decision_row(event: Json, names: Mapping[str, str]) -> Row:
    data, ticket = event["data"], event["number"]
    reasons = counted_reasons(data.get("rejected", ())) if data.get("outcome") == "nobody" else []
    what = "; ".join([sentence(type_name(event["type"]), data, names), *reasons[:2]])
    where = f"/tickets/{event['ticket_id']}#routing"
    because = trigger_text(data["trigger"]) if data.get("trigger") else "–"
    return {
        "id": event["id"],
        "attrs": {},
        "cells": [
            cell("figure", text(moment_s(event["time"]))),
            cell("", linked(f"#{ticket}", where, f"Ticket {ticket}") if ticket else text("–")),
            cell("wide", text(what)),
            cell("", text(data.get("queue") or "–")),
            cell("", text(because)),
        ],
    }


def _load(agent: Agent) -> tuple[Part, Part]:
    """The bar, and the same in figures. More than the capacity is striped and said."""
    share = agent.units / agent.capacity if agent.capacity else 0.0
    said = f"{number(agent.units)} of {number(agent.capacity)}"
    over = agent.units > agent.capacity
    level = "over" if over else "full" if agent.units == agent.capacity else ""
    label = f"Load: {said} units" + (", more than the capacity" if over else "")
    return bar(share, label, level), text(f"{said} · {level}" if level else said)


def hours_text(hours: Json | None) -> str:
    """Mon–Fri 09:00–13:00 14:00–18:00 (Europe/Madrid): days with equal shifts together."""
    if hours is None:
        return "always"
    spans: list[tuple[str, str, str]] = []
    before = ""
    for day, name in DAYS.items():
        shifts = " ".join(f"{s['start']}–{s['end']}" for s in hours["week"].get(day, ()))
        if shifts and shifts == before:
            spans[-1] = (spans[-1][0], name, shifts)
        elif shifts:
            spans.append((name, name, shifts))
        before = shifts
    parts = [f"{a if a == b else f'{a}–{b}'} {shifts}" for a, b, shifts in spans]
    return f"{', '.join(parts) or 'never'} ({hours['zone']})"


def absence_text(absences: list[list[int]], now: datetime) -> str:
    """The absence that holds, or else the next one; empty when there is none."""
    spans = [(instant_of(start), instant_of(end)) for start, end in absences]
    for start, end in spans:
        if start <= now < end:
            return f"out of office until {moment(end.isoformat())}"
    coming = [start for start, _ in spans if start > now]
    return f"out of office from {moment(min(coming).isoformat())}" if coming else ""


def _can(agent: Agent) -> str:
    skills = sorted(agent.skills.items(), key=lambda skill: (-skill[1], skill[0]))[:4]
    parts = [f"{name} {level}" for name, level in skills]
    tiers = f"tier {', '.join(map(str, agent.tiers))}" if agent.tiers else ""
    return " · ".join(part for part in (tiers, ", ".join(parts), " ".join(agent.languages)) if part)

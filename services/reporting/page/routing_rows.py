"""Routing's queues, agents and decisions as rows of tables: texts and numbers, nothing to compute."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from libs.events import parse_time
from libs.events.routing_text import counted_reasons, plain, sentence, trigger_text
from services.reporting.domain import WAIT_LONG_S, WAIT_VERY_LONG_S, instant_of
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


def queue_row(queue: Queue, now: datetime) -> dict[str, Any]:
    since = parse_time(queue.oldest_at)
    level, text = wait_level((now - since).total_seconds())
    reasons = counted_reasons(queue.reasons)
    more = len(reasons) - REASONS_MAX
    return {
        "id": f"{queue.queue}/{queue.group}",
        "queue": queue.queue or UNDECIDED,
        "group": queue.group or "–",
        "waiting": number(queue.waiting),
        "asked": f"({number(queue.asked)} asked for, not answered yet)" if queue.asked else "",
        "wait": length(now, since),
        "level": level,
        "level_text": text,
        "ticket": queue.oldest["id"],
        "number": queue.oldest["number"],
        "subject": queue.oldest["subject"],
        "priority": queue.oldest["priority"],
        "reasons": reasons[:REASONS_MAX] + ([f"and {more} reasons more"] if more > 0 else []),
        "as_of": f"as of {moment_s(queue.reasons_at)}" if reasons else "no reason is known yet",
    }


def agent_row(agent: Agent, now: datetime) -> dict[str, Any]:
    share = 100 * agent.units / agent.capacity if agent.capacity else 0.0
    over = agent.units > agent.capacity
    load = f"{number(agent.units)} of {number(agent.capacity)}"
    since = f"for {length(now, parse_time(agent.presence_at))}" if agent.presence_at else ""
    reason = f", {plain(agent.presence_reason)}" if agent.presence_reason else ""
    given = agent.last_given_at
    return {
        "id": agent.id,
        "name": agent.name,
        "can": _can(agent),
        "presence": agent.presence,
        "since": since + reason,
        "groups": ", ".join(agent.groups) or "–",
        "share": round(min(share, 100.0), 1),
        "load": load + (" · over" if over else " · full" if _full(agent) else ""),
        "load_label": f"Load: {load} units" + (", more than the capacity" if over else ""),
        "load_level": "over" if over else "full" if _full(agent) else "",
        "tickets": agent.tickets,
        "link": link("/", {"agent": agent.id, "range": "all"}) + "#tickets",
        "given": f"{length(now, parse_time(given))} ago" if given else "never",
        "hours": hours_text(agent.hours),
        "absent": absence_text(agent.absences, now),
    }


def decision_row(event: Json, names: Mapping[str, str]) -> dict[str, Any]:
    data = event["data"]
    reasons = counted_reasons(data.get("rejected", ())) if data.get("outcome") == "nobody" else []
    because = trigger_text(data["trigger"]) if data.get("trigger") else "–"
    return {
        "id": event["id"],
        "time": moment_s(event["time"]),
        "ticket": event["ticket_id"],
        "number": event["number"],
        "what": "; ".join([sentence(type_name(event["type"]), data, names), *reasons[:2]]),
        "queue": data.get("queue") or "–",
        "because": because,
    }


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


def _full(agent: Agent) -> bool:
    return agent.units >= agent.capacity


def _can(agent: Agent) -> str:
    skills = sorted(agent.skills.items(), key=lambda skill: (-skill[1], skill[0]))[:4]
    parts = [f"{name} {level}" for name, level in skills]
    tiers = f"tier {', '.join(map(str, agent.tiers))}" if agent.tiers else ""
    return " · ".join(part for part in (tiers, ", ".join(parts), " ".join(agent.languages)) if part)

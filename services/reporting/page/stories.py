"""The history of a ticket in words: what happened, who did it, and what caused it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from libs.events.routing_text import sentence
from services.reporting.page.parts import duration, moment_s, type_name, word
from services.reporting.views.history import DECISION_PREFIX, SLA_PREFIX
from services.reporting.views.lists import Json

ROUTING: Final = frozenset(
    ("TicketRouted", "OfferEnded", "TicketTakenBack", "HandOverLimitReached")
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as the page shows it. `late`: recorded noticeably after it happened."""

    anchor: str
    kind: str
    name: str
    what: str
    body: str
    internal: bool
    who: str
    time: str
    recorded: str
    late: bool
    cause: str
    cause_anchor: str
    sequence: int
    data: str


def entries(ticket: Json, names: dict[str, str]) -> list[Entry]:
    """The events, oldest first. `names` gives agents' names by id."""
    shown = {event["id"]: type_name(event["type"]) for event in ticket["history"]}
    return [_entry(event, shown, names) for event in ticket["history"]]


def _entry(event: Json, shown: dict[str, str], names: dict[str, str]) -> Entry:
    name, data = type_name(event["type"]), event["data"]
    cause = event["cause"] or ""
    return Entry(
        anchor=_anchor(event["id"]),
        kind=_kind(event["stream_id"], name),
        name=name,
        what=_what(name, data, names),
        body=str(data.get("body") or data.get("description") or data.get("comment") or ""),
        internal=data.get("visibility") == "internal",
        who=who(event["actor"], names),
        time=event["time"],
        recorded=event["recorded_time"],
        late=moment_s(event["time"])[:16] != moment_s(event["recorded_time"])[:16],
        cause=f"{shown[cause]}, {cause.rpartition(':')[2]}" if cause in shown else cause,
        cause_anchor=_anchor(cause) if cause in shown else "",
        sequence=event["sequence"],
        data=orjson.dumps(data, option=orjson.OPT_INDENT_2).decode(),
    )


def _anchor(event_id: str) -> str:
    return "e-" + event_id.replace(":", "-")


def _kind(stream_id: str, name: str) -> str:
    if name == "SlaBreached":
        return "late"
    if stream_id.startswith(SLA_PREFIX):
        return "sla"
    if stream_id.startswith(DECISION_PREFIX):
        return "routing"
    return "message" if name == "MessageAdded" else "ticket"


def who(actor: str, names: dict[str, str]) -> str:
    """The actor in words: a name where there is one."""
    kind, _, name = actor.partition(":")
    if kind == "agent":
        return names.get(name, f"agent {name}")
    if kind in ("service", "requester", "import"):
        return {"service": f"{name} service", "import": f"import from {name}"}.get(
            kind,
            f"requester {name}",
        )
    return actor


def _holder(group: str | None, agent: str | None, names: dict[str, str]) -> str:
    person = names.get(agent, f"agent {agent}") if agent else ""
    return " · ".join(part for part in (group, person) if part) or "nobody"


def _what(name: str, d: dict[str, Any], names: dict[str, str]) -> str:
    """One line. A type that is not known here shows its name."""
    if name == "MessageAdded":
        kind = "Internal note" if d.get("visibility") == "internal" else "Message"
        return f"{kind} by {d['author']} ({d['channel']})"
    if name in ("Assigned", "Unassigned"):
        before = _holder(d.get("previous_group"), d.get("previous_agent"), names)
        after = _holder(d.get("group"), d.get("agent"), names)
        return f"Assigned to {after}" + (f", before {before}" if before != "nobody" else "")
    if name in ROUTING:
        return f"Routing: {sentence(name, d, names)}"
    make = _SENTENCES.get(name)
    return make(d) if make else name


def _moved(what: str, before: Any, after: Any) -> str:
    return f"{what}: {word(before)} → {word(after)}"


def _status(d: dict[str, Any]) -> str:
    text = _moved("Status", d["previous"], d["status"])
    text += f" ({d['substatus']})" if d.get("substatus") else ""
    return text + (f": {d['reason']}" if d.get("reason") else "")


def _tags(d: dict[str, Any]) -> str:
    changes = [f"+{tag}" for tag in d.get("added", ())] + [f"-{t}" for t in d.get("removed", ())]
    return f"Tags: {' '.join(changes)}"


def _escalated(d: dict[str, Any]) -> str:
    text = f"Escalated from tier {d['previous_tier']} to {d['tier']} ({word(d['cause'])})"
    return text + (f": {d['reason']}" if d.get("reason") else "")


def _category(d: dict[str, Any]) -> str:
    before = " / ".join(filter(None, (d.get("previous_category"), d.get("previous_subcategory"))))
    after = " / ".join(filter(None, (d.get("category"), d.get("subcategory"))))
    return f"Category: {before or '–'} → {after or '–'}"


_SENTENCES: Final[dict[str, Any]] = {
    "TicketCreated": lambda d: f"Created by {d['channel']}: {d['subject']}",
    "StatusChanged": _status,
    "PriorityChanged": lambda d: _moved("Priority", d["previous"], d["priority"]),
    "CategoryChanged": _category,
    "TagsChanged": _tags,
    "CustomFieldChanged": lambda d: (
        f"{d['field']}: {d.get('previous') or '–'} → {d.get('value') or '–'}"
    ),
    "Escalated": _escalated,
    "TicketMerged": lambda d: f"Merged into {d['into']}",
    "TicketLinked": lambda d: f"Linked: {word(d['kind'])} {d['other']}",
    "SatisfactionRated": lambda d: f"Rated {d['rating']}",
    "ImportedTicketActivated": lambda _: "Handed to the live desk",
    "ClockStarted": lambda d: (
        f"SLA {word(d['metric'])}: clock started, "
        f"{duration(d['target_s'])}, due {moment_s(d['due'])}"
    ),
    "ClockPaused": lambda d: f"SLA {word(d['metric'])}: paused at {duration(d['elapsed_s'])}",
    "ClockResumed": lambda d: f"SLA {word(d['metric'])}: resumed, due {moment_s(d['due'])}",
    "ClockRetargeted": lambda d: f"SLA {word(d['metric'])}: new target {duration(d['target_s'])}",
    "SlaWarning": lambda d: f"SLA {word(d['metric'])}: {d['fraction']} % of the time is used up",
    "SlaBreached": lambda d: f"SLA {word(d['metric'])}: breached, was due {moment_s(d['due'])}",
    "ClockSatisfied": lambda d: (
        f"SLA {word(d['metric'])}: met after {duration(d['elapsed_s'])}"
        + (", late" if d["breached"] else "")
    ),
    "SlaActionTaken": lambda d: (
        f"SLA {word(d['metric'])}: {word(d['action'])}"
        + (f" to {', '.join(d['whom'])}" if d.get("whom") else "")
    ),
    "ClockCancelled": lambda d: f"SLA {word(d['metric'])}: cancelled ({d['reason']})",
}

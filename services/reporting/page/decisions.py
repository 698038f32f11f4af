"""The routing of one ticket in words: why it waits, and every decision on it with its candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from libs.events.routing_text import (
    counted_reasons,
    needs_text,
    reasons_of_one,
    score_text,
    sentence,
    strategy_text,
    trigger_text,
)
from services.reporting.page.parts import moment_s, type_name
from services.reporting.views.history import DECISION_PREFIX
from services.reporting.views.lists import Json

STANDINGS: Final = {
    "assigned": "It was given to {agent}: the assignment is not confirmed yet.",
    "offered": "It is offered to {agent} until {until}.",
    "accepted": "{agent} accepted it: the assignment is not confirmed yet.",
    "declined": "{agent} declined it; the next one is sought.",
    "timed_out": "{agent} let the offer run out; the next one is sought.",
    "taken_back": "It was taken back from {agent}, to be routed anew.",
}
"""What routing's last word means for a ticket that has no agent; "nobody" has its reasons instead."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One agent who was looked at. `why` is empty for those who could have taken the ticket."""

    name: str
    score: str
    why: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """One routing event; `facts` and what follows only for decisions."""

    anchor: str
    what: str
    time: str
    facts: list[tuple[str, str]]
    reasons: list[str]
    candidates: list[Candidate]


def decisions(ticket: Json, names: Mapping[str, str]) -> list[Decision]:
    """Decisions, offers, take-backs and notifications on the ticket, the newest first."""
    events = [e for e in ticket["history"] if e["stream_id"].startswith(DECISION_PREFIX)]
    events += ticket["notifications"]
    events.sort(key=lambda event: event["time"])  # each stream keeps its order
    return [_decision(event, names) for event in reversed(events)]


def waiting(ticket: Json, names: Mapping[str, str]) -> Json | None:
    """Why the ticket waits, for the template; None when it does not."""
    standing = ticket["routing"]
    if standing is None or not standing["waits"]:
        return None
    agent = names.get(standing["agent"] or "", f"agent {standing['agent']}")
    said = STANDINGS.get(standing["outcome"] or "", "")
    return {
        **standing,
        "said": said.format(agent=agent, until=moment_s(standing["offer_until_at"])),
        "reasons": counted_reasons(standing["reasons"]),
        "undecided": standing["outcome"] is None,
    }


def _decision(event: Json, names: Mapping[str, str]) -> Decision:
    name, data = type_name(event["type"]), event["data"]
    routed = name == "TicketRouted"
    return Decision(
        anchor="d-" + event["id"].replace(":", "-"),
        what=sentence(name, data, names),
        time=event["time"],
        facts=_facts(data) if routed else [],
        reasons=counted_reasons(data.get("rejected", ())) if routed else [],
        candidates=[_candidate(c, data, names) for c in data.get("candidates", ())],
    )


def _facts(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    batch = data.get("batch", 1)
    together = f"{batch} tickets matched together" if batch > 1 else "this ticket alone"
    facts = [
        ("Because", trigger_text(data["trigger"])),
        ("Queue", data.get("queue")),
        ("Asked for", needs_text(data.get("needs")) or ", ".join(data.get("required_skills", ()))),
        ("Preferred", strategy_text(data.get("strategy"))),
        ("Matched", together),
        ("Rules", f"version {data['rule_version']}"),
        ("Offer until", moment_s(data["offer_until"]) if data.get("offer_until") else ""),
    ]
    return [(label, value) for label, value in facts if value]


def _candidate(
    c: Mapping[str, Any], data: Mapping[str, Any], names: Mapping[str, str]
) -> Candidate:
    return Candidate(
        name=names.get(c["agent"], f"agent {c['agent']}"),
        score=score_text(data.get("strategy"), c.get("score")) or "–",
        why=reasons_of_one(c.get("rejected", ())),
        chosen=c["agent"] == data.get("agent"),
    )

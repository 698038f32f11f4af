"""The codes on `routing.decisions` in words, for pages, commands and reports.

Everything takes the event's fields as they are published (JSON without the fields that have their
default value), and says codes that it does not know as they stand, without the underscores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "out_of_office": ("is out of office", "are out of office"),
    "offline": ("is offline", "are offline"),
    "away": ("is away", "are away"),
    "off_hours": ("is outside working hours", "are outside working hours"),
    "not_in_group": ("is not in a group asked for", "are not in a group asked for"),
    "tier": ("does not work in the tier asked for", "do not work in the tier asked for"),
    "channel": ("does not serve the channel", "do not serve the channel"),
    "language": ("does not speak the language", "do not speak the language"),
    "skill": (
        "lacks a skill asked for, or the level of it",
        "lack a skill asked for, or the level of it",
    ),
    "no_capacity": ("has no room for more", "have no room for more"),
    "channel_full": (
        "holds as many of this channel as may be",
        "hold as many of this channel as may be",
    ),
    "declined": (
        "said no to it, or let the offer pass, a short time ago",
        "said no to it, or let the offer pass, a short time ago",
    ),
    "kept_for_specialists": (
        "is kept for waiting work that only specialists can do",
        "are kept for waiting work that only specialists can do",
    ),
}
"""Reason code → what it says of one agent, and of several."""

NO_AGENTS: Final = "no_agents"

TRIGGERS: Final[Mapping[str, str]] = {
    "ticket_created": "the ticket was created",
    "ticket_in_group": "the ticket came into a group",
    "ticket_unassigned": "the ticket lost its agent",
    "status_changed": "its status changed",
    "priority_changed": "its priority changed",
    "category_changed": "its category changed",
    "tags_changed": "its tags changed",
    "custom_field_changed": "one of its fields changed",
    "ticket_escalated": "it was escalated",
    "ticket_activated": "it was handed to the live desk",
    "ticket_changed": "the ticket changed",
    "sla_warning": "an SLA clock warned",
    "sla_breached": "an SLA target was missed",
    "assignment_refused": "an assignment was refused",
    "assignment_unanswered": "an assignment was not answered in time",
    "agent_freed": "an agent got room",
    "agent_changed": "an agent changed",
    "agent_away": "an agent was gone for too long",
    "rules_changed": "the rules changed",
    "offer_answered": "an offer was answered",
    "offer_declined": "an offer was declined",
    "offer_accepted": "an offer was accepted",
    "offer_timed_out": "an offer ran out",
    "sweep": "time passed: a shift, an absence, or a time-out",
}
"""Trigger → what made routing look at the ticket."""

STRATEGIES: Final[Mapping[str, tuple[str, str]]] = {
    "most_spare": ("most spare capacity", "spare units"),
    "lowest_share": ("lowest share of capacity in use", "free share"),
    "longest_idle": ("longest since the last assignment", "seconds idle"),
    "least_flexible": ("the one who can do the fewest other kinds of work", "kinds of work"),
}
"""Strategy → its name, and what a candidate's score counts under it."""

OFFER_ENDS: Final[Mapping[str, str]] = {
    "accepted": "accepted it",
    "declined": "declined it",
    "timed_out": "let the offer run out",
    "withdrawn": "was no longer needed: the offer was withdrawn",
}

TAKEN_BACK: Final[Mapping[str, str]] = {
    "out_of_office": "the agent is out of office",
    "offline": "the agent is offline for too long",
    "retired": "the agent has left",
    "unavailable": "the agent is not available",
    "escalated": "the agent does not work in the tier it was escalated to",
    "needs_changed": "it needs something else since it was asked for",
    "sla": "an SLA target is at risk",
}

TOLD: Final[Mapping[str, str]] = {
    "assigned": "of the assignment",
    "offered": "of the offer",
    "taken_back": "that the ticket was taken back",
    "hand_over_limit": "that the ticket was handed over too often",
    "presence_lowered": "that they were set away",
    "sla": "of an SLA clock",
}


def plain(code: str) -> str:
    """A code without its underscores."""
    return code.replace("_", " ")


def counted_reason(reason: str, agents: int) -> str:
    """`("offline", 3)` → "3 agents are offline"."""
    if reason == NO_AGENTS:
        return "there is no agent at all"
    one, several = REASONS.get(reason, (plain(reason),) * 2)
    return f"1 agent {one}" if agents == 1 else f"{agents:,} agents {several}"


def counted_reasons(rejected: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every count in words, the most frequent first."""
    ordered = sorted(rejected, key=lambda count: (-count["agents"], count["reason"]))
    return [counted_reason(count["reason"], count["agents"]) for count in ordered]


def reasons_of_one(rejected: Sequence[str]) -> str:
    """Why one agent was not taken: "is offline; does not speak the language"."""
    return "; ".join(REASONS.get(reason, (plain(reason), ""))[0] for reason in rejected)


def trigger_text(trigger: str) -> str:
    return TRIGGERS.get(trigger, plain(trigger))


def strategy_text(strategy: str | None) -> str:
    return STRATEGIES.get(strategy or "", (plain(strategy or ""), ""))[0]


def score_text(strategy: str | None, score: float | None) -> str:
    """A candidate's score with what it counts; empty without a score."""
    if score is None:
        return ""
    unit = STRATEGIES.get(strategy or "", ("", ""))[1]
    return f"{unit}: {score:,g}" if unit else f"{score:,g}"


def needs_text(needs: Mapping[str, Any] | None) -> str:
    """`TicketNeeds` on one line: "chat, tier 1, language es, billing at level 3, group payments"."""
    if not needs:
        return ""
    parts = [str(needs.get("channel", "")), f"tier {needs.get('tier', 1)}"]
    if needs.get("language"):
        parts.append(f"language {needs['language']}")
    parts += [_skill_text(skill) for skill in needs.get("skills", ())]
    if groups := needs.get("groups"):
        parts.append(f"group {' or '.join(groups)}")
    units = needs.get("units", 1)
    parts.append(f"{units} unit{'s' if units != 1 else ''}")
    return ", ".join(part for part in parts if part)


def _skill_text(skill: Mapping[str, Any]) -> str:
    level, importance = skill.get("level", 1), skill.get("importance")
    text = str(skill["name"]) + (f" at level {level}" if level > 1 else "")
    return f"{text} (optional, {importance})" if importance else text


def sentence(name: str, data: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """One routing event in one line; `name` is its type without namespace and version, `names`
    gives agents' names by id."""

    def who(agent: str | None) -> str:
        return names.get(agent, f"agent {agent}") if agent else "nobody"

    if name == "TicketRouted":
        return _routed(data, who(data.get("agent")))
    if name == "OfferEnded":
        text = f"{who(data['agent'])} {OFFER_ENDS.get(data['outcome'], plain(data['outcome']))}"
        return text + (f": {data['reason']}" if data.get("reason") else "")
    if name == "TicketTakenBack":
        why = TAKEN_BACK.get(data["reason"], plain(data["reason"]))
        return f"Taken back from {who(data['agent'])}: {why}"
    if name == "HandOverLimitReached":
        leads = ", ".join(map(who, data.get("leads", ()))) or "nobody: there is no lead"
        done = "escalated" if data.get("command_id") else "at the highest tier already"
        return (
            f"Handed over {data['hand_overs']} times (limit {data['limit']}): {done}; told {leads}"
        )
    if name == "AgentNotified":
        return _notified(data, who(data["agent"]))
    return name


def _routed(data: Mapping[str, Any], agent: str) -> str:
    if data["outcome"] == "nobody":
        return "Nobody was free: the ticket waits"
    place = f"{data['group']} · {agent}" if data.get("group") else agent
    return f"Offered to {place}" if data["outcome"] == "offered" else f"Given to {place}"


def _notified(data: Mapping[str, Any], agent: str) -> str:
    what = TOLD.get(data["kind"], plain(data["kind"]))
    by = f" by {data['channel']}" if data.get("channel") else ""
    if data["outcome"] == "sent":
        return f"Told {agent} {what}{by}"
    because = f": {data['reason']}" if data.get("reason") else ""
    done = "Could not tell" if data["outcome"] == "failed" else "Did not tell"
    return f"{done} {agent} {what}{by}{because}"

"""Routing's own facts on `routing.decisions`.

One `TicketRouted` for every assignment, offer and "nobody"; what became of offers and of tickets
that were taken back; which rules were in force; who was told of what; what was refused.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from libs.events.base import Channel, Count, Event, Instant, Line, Tier, Value, Word
from libs.events.registry import EVENTS


class Candidate(Value):
    """One agent who was looked at. `rejected` is empty for those who could have taken the ticket."""

    agent: Word
    score: float | None = None
    rejected: tuple[Word, ...] = Field((), description="Reason codes, e.g. no_capacity, offline.")


class RejectedCount(Value):
    reason: Word
    agents: Count = Field(ge=0)


class SkillNeed(Value):
    """`importance` None: required, never dropped. Otherwise the skill is optional, and `low` is
    dropped before `medium` before `high`."""

    name: Word
    level: int = Field(1, ge=1, le=10)
    importance: Literal["low", "medium", "high"] | None = None


class TicketNeeds(Value):
    """What was asked of an agent at the time of the decision. Empty `groups`: no matter which."""

    skills: tuple[SkillNeed, ...] = ()
    language: Word | None = None
    tier: Tier = 1
    channel: Channel
    groups: tuple[Word, ...] = ()
    units: int = Field(1, ge=1, description="Of capacity, that the ticket uses while it is held.")


@EVENTS.register("bitacora.TicketRouted.v1")
class TicketRouted(Event):
    """Stream id = `decision:<ticket id>`: the decisions on one ticket, in order.

    `outcome` "assigned" names the agent that intake is asked to assign (by `command_id`); "offered"
    names the agent who may accept until `offer_until`; "nobody" says that the ticket waits.
    `candidates` lists the best ones up to a limit; `rejected` counts all.
    """

    decision_id: Word
    ticket_id: Word
    outcome: Literal["assigned", "offered", "nobody"]
    agent: Word | None = None
    group: Word | None = None
    command_id: Word | None = None
    trigger: Word
    candidates: tuple[Candidate, ...] = ()
    rejected: tuple[RejectedCount, ...] = ()
    required_skills: tuple[Word, ...] = ()
    rule_version: Word
    queue: Word | None = None
    needs: TicketNeeds | None = None
    needs_key: Word | None = Field(None, description="Tickets with the same key need the same.")
    strategy: Word | None = None
    batch: Count = Field(
        1, ge=1, description="How many tickets were matched together, this one included."
    )
    offer_until: Instant | None = None


@EVENTS.register("bitacora.OfferEnded.v1")
class OfferEnded(Event):
    """On the stream `decision:<ticket id>`. `decision_id` is that of the offer's TicketRouted.

    "accepted": intake is asked to assign the ticket, with this `decision_id`. "withdrawn": the ticket
    no longer needed an agent.
    """

    decision_id: Word
    ticket_id: Word
    agent: Word
    outcome: Literal["accepted", "declined", "timed_out", "withdrawn"]
    reason: Line | None = None


@EVENTS.register("bitacora.TicketTakenBack.v1")
class TicketTakenBack(Event):
    """Intake is asked to unassign the ticket, so that it is routed anew. On the stream
    `decision:<ticket id>`."""

    ticket_id: Word
    agent: Word
    reason: Literal[
        "out_of_office", "offline", "retired", "unavailable", "escalated", "needs_changed", "sla"
    ]
    command_id: Word


@EVENTS.register("bitacora.HandOverLimitReached.v1")
class HandOverLimitReached(Event):
    """The ticket was handed over too often: intake is asked to escalate it, and the leads are told.
    On the stream `decision:<ticket id>`."""

    ticket_id: Word
    hand_overs: Count = Field(ge=1)
    limit: Count = Field(ge=1)
    leads: tuple[Word, ...] = ()
    command_id: Word | None = Field(None, description="None: it is at the highest tier already.")


@EVENTS.register("bitacora.WaitReasonsChanged.v1")
class WaitReasonsChanged(Event):
    """Why the tickets of one queue that need the same all wait; no reasons: none waits any more.

    Stream id = `needs:<needs_key>`; TicketRouted names the same `needs_key`.
    """

    queue: Word
    needs: TicketNeeds
    waiting: Count = Field(ge=0)
    oldest_since: Instant | None = None
    reasons: tuple[RejectedCount, ...] = ()


@EVENTS.register("bitacora.RoutingRulesChanged.v1")
class RoutingRulesChanged(Event):
    """The whole rule set that holds from now on. Stream id = `rules`; `version` counts from 1."""

    version: Count = Field(ge=1)
    rules: dict[str, Any]
    note: Line | None = None


@EVENTS.register("bitacora.AgentNotified.v1")
class AgentNotified(Event):
    """An agent was told of something outside the desk, or could not be.

    Stream id = `notification:<notification id>`.
    """

    notification_id: Word
    agent: Word
    ticket_id: Word | None = None
    kind: Literal["assigned", "offered", "taken_back", "hand_over_limit", "presence_lowered", "sla"]
    channel: Word | None = Field(None, description="`smtp`, `webhook`; None when none is set up.")
    outcome: Literal["sent", "failed", "skipped"]
    attempts: Count = Field(ge=0)
    reason: Line | None = None


@EVENTS.register("bitacora.AgentCommandRefused.v1")
class AgentCommandRefused(Event):
    """A command on an agent was not carried out. Stream id = `refusal:<command id>`.

    `detail` is a sentence for people; `code` is what HTTP answers with in the same case.
    """

    command_id: Word
    command_type: Word
    agent: Word
    code: Word
    detail: Line


RoutingEvent = (
    TicketRouted
    | OfferEnded
    | TicketTakenBack
    | HandOverLimitReached
    | WaitReasonsChanged
    | RoutingRulesChanged
    | AgentNotified
    | AgentCommandRefused
)

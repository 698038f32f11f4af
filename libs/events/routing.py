"""Decision records on `routing.decisions`: one for every assignment and for every "nobody"."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from libs.events.base import Count, Event, Value, Word
from libs.events.registry import EVENTS


class Candidate(Value):
    """One agent who was looked at. `rejected` is empty for those who could have taken the ticket."""

    agent: Word
    score: float | None = None
    rejected: tuple[Word, ...] = Field((), description="Reason codes, e.g. no_capacity, offline.")


class RejectedCount(Value):
    reason: Word
    agents: Count = Field(ge=0)


@EVENTS.register("bitacora.TicketRouted.v1")
class TicketRouted(Event):
    """Stream id = `decision:<ticket id>`: the decisions on one ticket, in order.

    `outcome` "assigned" names the agent that intake is asked to assign (by `command_id`); "nobody"
    says that the ticket waits. `candidates` lists the best ones up to a limit; `rejected` counts all.
    """

    decision_id: Word
    ticket_id: Word
    outcome: Literal["assigned", "nobody"]
    agent: Word | None = None
    group: Word | None = None
    command_id: Word | None = None
    trigger: Word
    candidates: tuple[Candidate, ...] = ()
    rejected: tuple[RejectedCount, ...] = ()
    required_skills: tuple[Word, ...] = ()
    rule_version: Word


RoutingEvent = TicketRouted

"""The events of an agent's stream on `agents.events`. Routing is their only writer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from libs.events.base import Channel, Event, Tier, Value, Word
from libs.events.registry import EVENTS

Presence = Literal["online", "away", "offline"]


class Skill(Value):
    name: Word
    level: int = Field(ge=1, le=10)


@EVENTS.register("bitacora.AgentRegistered.v1")
class AgentRegistered(Event):
    """`name` is the display name of a member of staff."""

    name: Word
    groups: tuple[Word, ...] = ()
    skills: tuple[Skill, ...] = ()
    languages: tuple[Word, ...] = ()
    tiers: tuple[Tier, ...] = (1,)
    capacity: int = Field(ge=0, le=10_000, description="Units of work held at once.")
    channels: tuple[Channel, ...] = Field((), description="Empty: every channel.")


@EVENTS.register("bitacora.AgentSkillsChanged.v1")
class AgentSkillsChanged(Event):
    skills: tuple[Skill, ...]
    previous: tuple[Skill, ...] = ()


@EVENTS.register("bitacora.AgentCapacityChanged.v1")
class AgentCapacityChanged(Event):
    capacity: int = Field(ge=0, le=10_000)
    previous: int = Field(ge=0, le=10_000)


@EVENTS.register("bitacora.AgentGroupsChanged.v1")
class AgentGroupsChanged(Event):
    groups: tuple[Word, ...]
    previous: tuple[Word, ...] = ()


@EVENTS.register("bitacora.AgentLanguagesChanged.v1")
class AgentLanguagesChanged(Event):
    languages: tuple[Word, ...]
    previous: tuple[Word, ...] = ()


@EVENTS.register("bitacora.PresenceChanged.v1")
class PresenceChanged(Event):
    presence: Presence
    previous: Presence


@EVENTS.register("bitacora.AgentRetired.v1")
class AgentRetired(Event):
    """The agent left. The id is never used again."""


AgentEvent = (
    AgentRegistered
    | AgentSkillsChanged
    | AgentCapacityChanged
    | AgentGroupsChanged
    | AgentLanguagesChanged
    | PresenceChanged
    | AgentRetired
)

"""The events of an agent's stream on `agents.events`. Routing is their only writer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from libs.events.base import Channel, Event, Instant, Line, PersonalData, Tier, Value, Word
from libs.events.registry import EVENTS

Presence = Literal["online", "away", "offline"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ClockTime = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]


class Skill(Value):
    name: Word
    level: int = Field(ge=1, le=10)


class Shift(Value):
    """From `start` to `end` in wall time; an `end` at or before `start` is on the next day."""

    start: ClockTime
    end: ClockTime


class WorkingHours(Value):
    """A week in wall time of `zone` (an IANA name). A weekday that is missing is free."""

    zone: Word
    week: dict[Weekday, tuple[Shift, ...]]


class OutOfOffice(Value):
    """From `start` until `end`, which is no longer part of it."""

    start: Instant
    end: Instant
    note: Line | None = None


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
    channel_limits: dict[Channel, Annotated[int, Field(ge=0, le=10_000)]] = Field(
        default_factory=dict,
        description="Most tickets of a channel held at once; the capacity counts besides.",
    )
    working_hours: WorkingHours | None = Field(None, description="None: always on duty.")
    lead_of: tuple[Word, ...] = Field((), description="Groups whose lead this agent is.")
    email: Annotated[Word | None, PersonalData("email")] = None


@EVENTS.register("bitacora.AgentNameChanged.v1")
class AgentNameChanged(Event):
    name: Word
    previous: Word


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


@EVENTS.register("bitacora.AgentTiersChanged.v1")
class AgentTiersChanged(Event):
    tiers: tuple[Tier, ...]
    previous: tuple[Tier, ...] = ()


@EVENTS.register("bitacora.AgentChannelsChanged.v1")
class AgentChannelsChanged(Event):
    """Empty `channels`: every channel. `channel_limits`: see AgentRegistered."""

    channels: tuple[Channel, ...]
    channel_limits: dict[Channel, Annotated[int, Field(ge=0, le=10_000)]] = Field(
        default_factory=dict
    )


@EVENTS.register("bitacora.AgentWorkingHoursChanged.v1")
class AgentWorkingHoursChanged(Event):
    working_hours: WorkingHours | None = Field(None, description="None: always on duty.")


@EVENTS.register("bitacora.AgentOutOfOfficeChanged.v1")
class AgentOutOfOfficeChanged(Event):
    """All periods that are known from now on, in order and without overlap."""

    periods: tuple[OutOfOffice, ...]


@EVENTS.register("bitacora.AgentContactChanged.v1")
class AgentContactChanged(Event):
    email: Annotated[Word | None, PersonalData("email")] = None


@EVENTS.register("bitacora.AgentLeadershipChanged.v1")
class AgentLeadershipChanged(Event):
    lead_of: tuple[Word, ...]
    previous: tuple[Word, ...] = ()


@EVENTS.register("bitacora.PresenceChanged.v1")
class PresenceChanged(Event):
    presence: Presence
    previous: Presence
    reason: Word | None = Field(
        None, description="`missed_offers` when routing set the agent away; else who asked knows."
    )


@EVENTS.register("bitacora.AgentRetired.v1")
class AgentRetired(Event):
    """The agent left. The id is never used again."""


AgentEvent = (
    AgentRegistered
    | AgentNameChanged
    | AgentSkillsChanged
    | AgentCapacityChanged
    | AgentGroupsChanged
    | AgentLanguagesChanged
    | AgentTiersChanged
    | AgentChannelsChanged
    | AgentWorkingHoursChanged
    | AgentOutOfOfficeChanged
    | AgentContactChanged
    | AgentLeadershipChanged
    | PresenceChanged
    | AgentRetired
)

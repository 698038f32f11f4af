"""What may be asked of an agent. `agent.decide` says what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from libs.events.agent import OutOfOffice, Presence, Skill, WorkingHours
from libs.events.base import Channel


@dataclass(frozen=True, slots=True)
class RegisterAgent:
    name: str
    capacity: int
    groups: tuple[str, ...] = ()
    skills: tuple[Skill, ...] = ()
    languages: tuple[str, ...] = ()
    tiers: tuple[int, ...] = (1,)
    channels: tuple[Channel, ...] = ()
    channel_limits: dict[Channel, int] = field(default_factory=dict)
    working_hours: WorkingHours | None = None
    out_of_office: tuple[OutOfOffice, ...] = ()
    lead_of: tuple[str, ...] = ()
    email: str | None = None


@dataclass(frozen=True, slots=True)
class PutAgent:
    """The agent is to be as described: registered, or changed where it differs."""

    described: RegisterAgent


@dataclass(frozen=True, slots=True)
class SetName:
    name: str


@dataclass(frozen=True, slots=True)
class SetSkills:
    skills: tuple[Skill, ...]


@dataclass(frozen=True, slots=True)
class SetCapacity:
    capacity: int


@dataclass(frozen=True, slots=True)
class SetGroups:
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetLanguages:
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetTiers:
    tiers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetChannels:
    channels: tuple[Channel, ...]
    channel_limits: dict[Channel, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetWorkingHours:
    working_hours: WorkingHours | None


@dataclass(frozen=True, slots=True)
class SetOutOfOffice:
    """All periods, in any order; those that are not named are gone."""

    periods: tuple[OutOfOffice, ...]


@dataclass(frozen=True, slots=True)
class SetContact:
    email: str | None


@dataclass(frozen=True, slots=True)
class SetLeadership:
    lead_of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetPresence:
    presence: Presence
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RetireAgent:
    pass


Setting = (
    SetName
    | SetSkills
    | SetCapacity
    | SetGroups
    | SetLanguages
    | SetTiers
    | SetChannels
    | SetWorkingHours
    | SetOutOfOffice
    | SetContact
    | SetLeadership
    | SetPresence
    | RetireAgent
)
AgentCommand = RegisterAgent | PutAgent | Setting

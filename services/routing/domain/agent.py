"""An agent: what may be asked of it (commands), what happened to it (events), what it is (state).

`decide(command, state) -> events` is the only place that says no; `evolve(state, event) -> state`
is total. Both are pure.

Refusals (`Refused.code`, and the HTTP status that goes with it)::

    agent_exists     409   the id is taken
    agent_retired    409   the agent has left; the id is never used again
    unknown_agent    404
    invalid_agent    422   a capacity, tier, skill or language that cannot be
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, assert_never

from libs.events.agent import (
    AgentCapacityChanged,
    AgentEvent,
    AgentGroupsChanged,
    AgentLanguagesChanged,
    AgentRegistered,
    AgentRetired,
    AgentSkillsChanged,
    Presence,
    PresenceChanged,
    Skill,
)
from libs.events.base import Channel

CAPACITY_MAX: Final = 10_000
LEVELS: Final = range(1, 11)
TIERS: Final = range(1, 4)


class Refused(Exception):
    """A rule says no. `code` is stable and meant for programs; `detail` tells a person what to do."""

    def __init__(self, code: str, detail: str, *, status: int = 409) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status


@dataclass(frozen=True, slots=True)
class Agent:
    """`sequence` is that of the agent's last event. Empty `languages` or `channels`: any.

    `skills` gives the level (1 to 10) of each skill. A new agent is offline until told otherwise.
    """

    id: str
    sequence: int = 0
    name: str = ""
    groups: tuple[str, ...] = ()
    skills: dict[str, int] = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    tiers: tuple[int, ...] = (1,)
    channels: tuple[Channel, ...] = ()
    capacity: int = 0
    presence: Presence = "offline"
    retired: bool = False


@dataclass(frozen=True, slots=True)
class RegisterAgent:
    name: str
    capacity: int
    groups: tuple[str, ...] = ()
    skills: tuple[Skill, ...] = ()
    languages: tuple[str, ...] = ()
    tiers: tuple[int, ...] = (1,)
    channels: tuple[Channel, ...] = ()


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
class SetPresence:
    presence: Presence


@dataclass(frozen=True, slots=True)
class RetireAgent:
    pass


AgentCommand = (
    RegisterAgent | SetSkills | SetCapacity | SetGroups | SetLanguages | SetPresence | RetireAgent
)


def decide(agent_id: str, command: AgentCommand, state: Agent | None) -> tuple[AgentEvent, ...]:
    """The events that answer the command; none when it asks for what is already so.

    Raises Refused (see above).
    """
    if isinstance(command, RegisterAgent):
        return _register(agent_id, command, state)
    if state is None:
        raise Refused("unknown_agent", f"There is no agent {agent_id!r}.", status=404)
    if state.retired:
        raise _retired(agent_id)
    match command:
        case SetSkills():
            return _skills(command, state)
        case SetCapacity():
            return _capacity(command, state)
        case SetGroups():
            return _groups(command, state)
        case SetLanguages():
            return _languages(command, state)
        case SetPresence():
            return _presence(command, state)
        case RetireAgent():
            return (AgentRetired(),)
        case _:
            assert_never(command)


def evolve(state: Agent, event: Any) -> Agent:
    """The agent after this event. Unknown events change nothing but the sequence."""
    after = replace(state, sequence=state.sequence + 1)
    match event:
        case AgentRegistered():
            return replace(
                after,
                name=event.name,
                groups=event.groups,
                skills=_levels(event.skills),
                languages=event.languages,
                tiers=event.tiers,
                channels=event.channels,
                capacity=event.capacity,
            )
        case AgentSkillsChanged():
            return replace(after, skills=_levels(event.skills))
        case AgentCapacityChanged():
            return replace(after, capacity=event.capacity)
        case AgentGroupsChanged():
            return replace(after, groups=event.groups)
        case AgentLanguagesChanged():
            return replace(after, languages=event.languages)
        case PresenceChanged():
            return replace(after, presence=event.presence)
        case AgentRetired():
            return replace(after, retired=True, presence="offline")
        case _:
            return after


def _register(agent_id: str, command: RegisterAgent, state: Agent | None) -> tuple[AgentEvent, ...]:
    if state is not None:
        if state.retired:
            raise _retired(agent_id)
        raise Refused("agent_exists", f"There is already an agent {agent_id!r}.")
    _check_capacity(command.capacity)
    _check_skills(command.skills)
    _distinct("group", command.groups)
    _distinct("language", command.languages)
    _distinct("channel", command.channels)
    if not command.tiers or any(tier not in TIERS for tier in command.tiers):
        raise _invalid("An agent works in at least one of the tiers 1, 2 and 3.")
    registered = AgentRegistered(
        name=command.name,
        groups=command.groups,
        skills=command.skills,
        languages=command.languages,
        tiers=tuple(sorted(set(command.tiers))),
        capacity=command.capacity,
        channels=command.channels,
    )
    return (registered,)


def _skills(command: SetSkills, state: Agent) -> tuple[AgentEvent, ...]:
    _check_skills(command.skills)
    if _levels(command.skills) == state.skills:
        return ()
    previous = tuple(Skill(name=name, level=level) for name, level in state.skills.items())
    return (AgentSkillsChanged(skills=command.skills, previous=previous),)


def _capacity(command: SetCapacity, state: Agent) -> tuple[AgentEvent, ...]:
    _check_capacity(command.capacity)
    if command.capacity == state.capacity:
        return ()
    return (AgentCapacityChanged(capacity=command.capacity, previous=state.capacity),)


def _groups(command: SetGroups, state: Agent) -> tuple[AgentEvent, ...]:
    _distinct("group", command.groups)
    if command.groups == state.groups:
        return ()
    return (AgentGroupsChanged(groups=command.groups, previous=state.groups),)


def _languages(command: SetLanguages, state: Agent) -> tuple[AgentEvent, ...]:
    _distinct("language", command.languages)
    if command.languages == state.languages:
        return ()
    return (AgentLanguagesChanged(languages=command.languages, previous=state.languages),)


def _presence(command: SetPresence, state: Agent) -> tuple[AgentEvent, ...]:
    if command.presence == state.presence:
        return ()
    return (PresenceChanged(presence=command.presence, previous=state.presence),)


def _levels(skills: Sequence[Skill]) -> dict[str, int]:
    return {skill.name: skill.level for skill in skills}


def _check_capacity(capacity: int) -> None:
    if not 0 <= capacity <= CAPACITY_MAX:
        raise _invalid(f"The capacity must be from 0 to {CAPACITY_MAX}, not {capacity}.")


def _check_skills(skills: Sequence[Skill]) -> None:
    _distinct("skill", [skill.name for skill in skills])
    if any(skill.level not in LEVELS for skill in skills):
        raise _invalid("The level of a skill must be from 1 to 10.")


def _distinct(what: str, values: Sequence[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise _invalid(f"The {what} {value!r} is named twice.")
        seen.add(value)


def _invalid(detail: str) -> Refused:
    return Refused("invalid_agent", detail, status=422)


def _retired(agent_id: str) -> Refused:
    return Refused(
        "agent_retired", f"The agent {agent_id!r} has left; choose another id for a new agent."
    )

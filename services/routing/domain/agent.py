"""An agent: what may be asked of it (commands), what happened to it (events), what it is (state).

`decide(agent_id, command, state) -> events` is the only place that says no; `evolve(state, event,
time) -> state` is total. Both are pure.

Refusals (`Refused.code`, and the HTTP status that goes with it)::

    agent_exists     409   the id is taken
    agent_retired    409   the agent has left; the id is never used again
    unknown_agent    404
    stale_version    412   the agent has changed since it was read
    invalid_agent    422   something an agent cannot be (see `agent_checks`)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, assert_never

from libs.events.agent import (
    AgentCapacityChanged,
    AgentChannelsChanged,
    AgentContactChanged,
    AgentEvent,
    AgentGroupsChanged,
    AgentLanguagesChanged,
    AgentLeadershipChanged,
    AgentNameChanged,
    AgentOutOfOfficeChanged,
    AgentRegistered,
    AgentRetired,
    AgentSkillsChanged,
    AgentTiersChanged,
    AgentWorkingHoursChanged,
    OutOfOffice,
    Presence,
    PresenceChanged,
    Skill,
    WorkingHours,
)
from libs.events.base import Channel
from services.routing.domain import agent_checks as checks
from services.routing.domain.agent_checks import Refused
from services.routing.domain.agent_commands import (
    AgentCommand,
    PutAgent,
    RegisterAgent,
    RetireAgent,
    SetCapacity,
    SetChannels,
    SetContact,
    SetGroups,
    SetLanguages,
    SetLeadership,
    SetName,
    SetOutOfOffice,
    SetPresence,
    SetSkills,
    SetTiers,
    Setting,
    SetWorkingHours,
)

__all__ = [
    "Agent",
    "AgentCommand",
    "PutAgent",
    "Refused",
    "RegisterAgent",
    "RetireAgent",
    "SetCapacity",
    "SetChannels",
    "SetContact",
    "SetGroups",
    "SetLanguages",
    "SetLeadership",
    "SetName",
    "SetOutOfOffice",
    "SetPresence",
    "SetSkills",
    "SetTiers",
    "SetWorkingHours",
    "decide",
    "evolve",
]

Events = tuple[AgentEvent, ...]


@dataclass(frozen=True, slots=True)
class Agent:
    """`sequence` is that of the agent's last event. Empty `languages` or `channels`: any.

    `skills` gives the level (1 to 10) of each skill. `channel_limits` gives the most tickets of a
    channel held at once; a channel that is missing has no limit of its own. `working_hours` None:
    always on duty. `out_of_office` is in order and without overlap. `presence_since` is the time of
    the event that set the presence. A new agent is offline until told otherwise.
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
    channel_limits: dict[Channel, int] = field(default_factory=dict)
    working_hours: WorkingHours | None = None
    out_of_office: tuple[OutOfOffice, ...] = ()
    lead_of: tuple[str, ...] = ()
    email: str | None = None
    presence_reason: str | None = None
    presence_since: datetime | None = None


def decide(
    agent_id: str, command: AgentCommand, state: Agent | None, if_sequence: int | None = None
) -> Events:
    """The events that answer the command; none when it asks for what is already so.

    `if_sequence`: only if this is the agent's version. Raises Refused (see above).
    """
    if state is not None and state.retired:
        detail = f"The agent {agent_id!r} has left; choose another id for a new agent."
        raise Refused("agent_retired", detail)
    if isinstance(command, RegisterAgent) and state is not None:
        raise Refused("agent_exists", f"There is already an agent {agent_id!r}.")
    if state is None and not isinstance(command, RegisterAgent | PutAgent):
        raise Refused("unknown_agent", f"There is no agent {agent_id!r}.", status=404)
    _check_version(agent_id, state.sequence if state else 0, if_sequence)
    if isinstance(command, RegisterAgent):
        return _register(agent_id, command)
    if isinstance(command, PutAgent):
        return _put(agent_id, command.described, state)
    return _set(command, state or Agent(agent_id))


def evolve(state: Agent, event: Any, time: datetime) -> Agent:
    """The agent after this event, which happened at `time`. Unknown events change nothing but the
    sequence."""
    change = _CHANGES.get(type(event))
    changes = {} if change is None else change(event, time)
    return replace(state, sequence=state.sequence + 1, **changes)


def _registered(event: AgentRegistered, time: datetime) -> dict[str, Any]:
    return {
        "name": event.name,
        "groups": event.groups,
        "skills": _levels(event.skills),
        "languages": event.languages,
        "tiers": event.tiers,
        "channels": event.channels,
        "capacity": event.capacity,
        "channel_limits": event.channel_limits,
        "working_hours": event.working_hours,
        "lead_of": event.lead_of,
        "email": event.email,
        **_present("offline", None, time),
    }


def _present(presence: Presence, reason: str | None, time: datetime) -> dict[str, Any]:
    return {"presence": presence, "presence_reason": reason, "presence_since": time}


def _retired(_: AgentRetired, time: datetime) -> dict[str, Any]:
    return {"retired": True, **_present("offline", None, time)}


_CHANGES: Final[dict[type, Callable[[Any, datetime], dict[str, Any]]]] = {
    AgentRegistered: _registered,
    AgentNameChanged: lambda e, _: {"name": e.name},
    AgentSkillsChanged: lambda e, _: {"skills": _levels(e.skills)},
    AgentCapacityChanged: lambda e, _: {"capacity": e.capacity},
    AgentGroupsChanged: lambda e, _: {"groups": e.groups},
    AgentLanguagesChanged: lambda e, _: {"languages": e.languages},
    AgentTiersChanged: lambda e, _: {"tiers": e.tiers},
    AgentChannelsChanged: lambda e, _: {
        "channels": e.channels,
        "channel_limits": e.channel_limits,
    },
    AgentWorkingHoursChanged: lambda e, _: {"working_hours": e.working_hours},
    AgentOutOfOfficeChanged: lambda e, _: {"out_of_office": e.periods},
    AgentContactChanged: lambda e, _: {"email": e.email},
    AgentLeadershipChanged: lambda e, _: {"lead_of": e.lead_of},
    PresenceChanged: lambda e, time: _present(e.presence, e.reason, time),
    AgentRetired: _retired,
}


def _check_version(agent_id: str, sequence: int, if_sequence: int | None) -> None:
    if if_sequence is not None and if_sequence != sequence:
        raise Refused(
            "stale_version",
            f"The agent {agent_id!r} is at version {sequence}, not {if_sequence}."
            " Read it again and decide anew.",
            status=412,
            current_sequence=sequence,
        )


def _register(agent_id: str, command: RegisterAgent) -> Events:
    checks.check_id(agent_id)
    registered = AgentRegistered(
        name=checks.check_name(command.name),
        groups=checks.check_words("group", command.groups),
        skills=checks.check_skills(command.skills),
        languages=checks.check_words("language", command.languages),
        tiers=checks.check_tiers(command.tiers),
        capacity=checks.check_capacity(command.capacity),
        channels=checks.check_channels(command.channels),
        channel_limits=checks.check_limits(command.channel_limits),
        working_hours=checks.check_hours(command.working_hours),
        lead_of=checks.check_words("group", command.lead_of),
        email=checks.check_email(command.email),
    )
    periods = checks.check_out_of_office(command.out_of_office)
    return (registered, AgentOutOfOfficeChanged(periods=periods)) if periods else (registered,)


def _put(agent_id: str, described: RegisterAgent, state: Agent | None) -> Events:
    if state is None:
        return _register(agent_id, described)
    settings: tuple[Setting, ...] = (
        SetName(described.name),
        SetSkills(described.skills),
        SetCapacity(described.capacity),
        SetGroups(described.groups),
        SetLanguages(described.languages),
        SetTiers(described.tiers),
        SetChannels(described.channels, described.channel_limits),
        SetWorkingHours(described.working_hours),
        SetOutOfOffice(described.out_of_office),
        SetContact(described.email),
        SetLeadership(described.lead_of),
    )
    return tuple(event for setting in settings for event in _set(setting, state))


def _set(command: Setting, state: Agent) -> Events:  # noqa: C901 - one arm each
    match command:
        case SetName():
            return _name(command, state)
        case SetSkills():
            return _skills(command, state)
        case SetCapacity():
            return _capacity(command, state)
        case SetGroups():
            return _groups(command, state)
        case SetLanguages():
            return _languages(command, state)
        case SetTiers():
            return _tiers(command, state)
        case SetChannels():
            return _channels(command, state)
        case SetWorkingHours():
            return _working_hours(command, state)
        case SetOutOfOffice():
            return _out_of_office(command, state)
        case SetContact():
            return _contact(command, state)
        case SetLeadership():
            return _leadership(command, state)
        case SetPresence():
            return _presence(command, state)
        case RetireAgent():
            return (AgentRetired(),)
        case _:
            assert_never(command)


def _name(command: SetName, state: Agent) -> Events:
    name = checks.check_name(command.name)
    if name == state.name:
        return ()
    return (AgentNameChanged(name=name, previous=state.name),)


def _skills(command: SetSkills, state: Agent) -> Events:
    skills = checks.check_skills(command.skills)
    if _levels(skills) == state.skills:
        return ()
    previous = tuple(Skill(name=name, level=level) for name, level in state.skills.items())
    return (AgentSkillsChanged(skills=skills, previous=previous),)


def _capacity(command: SetCapacity, state: Agent) -> Events:
    capacity = checks.check_capacity(command.capacity)
    if capacity == state.capacity:
        return ()
    return (AgentCapacityChanged(capacity=capacity, previous=state.capacity),)


def _groups(command: SetGroups, state: Agent) -> Events:
    groups = checks.check_words("group", command.groups)
    if groups == state.groups:
        return ()
    return (AgentGroupsChanged(groups=groups, previous=state.groups),)


def _languages(command: SetLanguages, state: Agent) -> Events:
    languages = checks.check_words("language", command.languages)
    if languages == state.languages:
        return ()
    return (AgentLanguagesChanged(languages=languages, previous=state.languages),)


def _tiers(command: SetTiers, state: Agent) -> Events:
    tiers = checks.check_tiers(command.tiers)
    if tiers == state.tiers:
        return ()
    return (AgentTiersChanged(tiers=tiers, previous=state.tiers),)


def _channels(command: SetChannels, state: Agent) -> Events:
    channels = checks.check_channels(command.channels)
    limits = checks.check_limits(command.channel_limits)
    if (channels, limits) == (state.channels, state.channel_limits):
        return ()
    return (AgentChannelsChanged(channels=channels, channel_limits=limits),)


def _working_hours(command: SetWorkingHours, state: Agent) -> Events:
    hours = checks.check_hours(command.working_hours)
    if hours == state.working_hours:
        return ()
    return (AgentWorkingHoursChanged(working_hours=hours),)


def _out_of_office(command: SetOutOfOffice, state: Agent) -> Events:
    periods = checks.check_out_of_office(command.periods)
    if periods == state.out_of_office:
        return ()
    return (AgentOutOfOfficeChanged(periods=periods),)


def _contact(command: SetContact, state: Agent) -> Events:
    email = checks.check_email(command.email)
    if email == state.email:
        return ()
    return (AgentContactChanged(email=email),)


def _leadership(command: SetLeadership, state: Agent) -> Events:
    lead_of = checks.check_words("group", command.lead_of)
    if lead_of == state.lead_of:
        return ()
    return (AgentLeadershipChanged(lead_of=lead_of, previous=state.lead_of),)


def _presence(command: SetPresence, state: Agent) -> Events:
    if command.presence == state.presence:
        return ()
    changed = PresenceChanged(
        presence=command.presence, previous=state.presence, reason=command.reason
    )
    return (changed,)


def _levels(skills: Sequence[Skill]) -> dict[str, int]:
    return {skill.name: skill.level for skill in skills}

"""Agents: decisions on commands, and the fold of their events."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from libs.events.agent import (
    AgentCapacityChanged,
    AgentGroupsChanged,
    AgentLanguagesChanged,
    AgentRegistered,
    AgentRetired,
    AgentSkillsChanged,
    PresenceChanged,
    Skill,
)
from libs.events.rejection import CommandRejected
from services.routing.domain.agent import (
    Agent,
    AgentCommand,
    Refused,
    RegisterAgent,
    RetireAgent,
    SetCapacity,
    SetGroups,
    SetLanguages,
    SetPresence,
    SetSkills,
    decide,
    evolve,
)

VPN = Skill(name="vpn", level=3)
BILLING = Skill(name="billing", level=9)
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
REGISTERED = AgentRegistered(name="Ana", skills=(VPN,), groups=("g",), capacity=2)


def given(*events: object) -> Agent:
    state = Agent("ana")
    for event in events:
        state = evolve(state, event, NOW)
    return state


def test_registering_states_the_agent_who_is_offline_at_first() -> None:
    command = RegisterAgent("Ana", 2, groups=("g",), skills=(VPN,), tiers=(2, 1, 2))
    [event] = decide("ana", command, None)
    assert event == AgentRegistered(
        name="Ana", skills=(VPN,), groups=("g",), capacity=2, tiers=(1, 2)
    )
    agent = given(event)
    assert (agent.sequence, agent.presence, agent.skills) == (1, "offline", {"vpn": 3})


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (SetSkills((BILLING,)), AgentSkillsChanged(skills=(BILLING,), previous=(VPN,))),
        (SetCapacity(5), AgentCapacityChanged(capacity=5, previous=2)),
        (SetGroups(()), AgentGroupsChanged(groups=(), previous=("g",))),
        (SetLanguages(("es",)), AgentLanguagesChanged(languages=("es",), previous=())),
        (SetPresence("online"), PresenceChanged(presence="online", previous="offline")),
        (RetireAgent(), AgentRetired()),
    ],
)
def test_each_command_is_one_event_and_twice_is_nothing_new(
    command: AgentCommand, event: object
) -> None:
    state = given(REGISTERED)
    assert decide("ana", command, state) == (event,)
    after = evolve(state, event, NOW)
    assert after.sequence == 2
    if not isinstance(command, RetireAgent):
        assert decide("ana", command, after) == ()


@pytest.mark.parametrize(
    ("command", "state", "code", "status"),
    [
        (RegisterAgent("Ana", 1), given(REGISTERED), "agent_exists", 409),
        (RegisterAgent("Ana", 1), given(REGISTERED, AgentRetired()), "agent_retired", 409),
        (SetCapacity(1), given(REGISTERED, AgentRetired()), "agent_retired", 409),
        (RetireAgent(), given(REGISTERED, AgentRetired()), "agent_retired", 409),
        (SetPresence("away"), None, "unknown_agent", 404),
        (RegisterAgent("Ana", -1), None, "invalid_agent", 422),
        (SetCapacity(10_001), given(REGISTERED), "invalid_agent", 422),
        (SetSkills((VPN, VPN)), given(REGISTERED), "invalid_agent", 422),
        (SetGroups(("a", "a")), given(REGISTERED), "invalid_agent", 422),
        (RegisterAgent("Ana", 1, tiers=()), None, "invalid_agent", 422),
        (RegisterAgent("Ana", 1, tiers=(4,)), None, "invalid_agent", 422),
    ],
)
def test_refusals(command: AgentCommand, state: Agent | None, code: str, status: int) -> None:
    with pytest.raises(Refused) as refused:
        decide("ana", command, state)
    assert (refused.value.code, refused.value.status) == (code, status)
    assert refused.value.detail.endswith(".")


def test_the_fold_tolerates_any_event() -> None:
    strange = CommandRejected(command_id="c", command_type="t", ticket_id="t", code="c", detail="d")
    assert given(REGISTERED, strange, None).capacity == 2

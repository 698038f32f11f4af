"""Agents: decisions on commands, and the fold of their events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from libs.events.agent import (
    AgentCapacityChanged,
    AgentChannelsChanged,
    AgentContactChanged,
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
    PresenceChanged,
    Shift,
    Skill,
    WorkingHours,
)
from libs.events.base import Channel
from libs.events.rejection import CommandRejected
from services.routing.domain.agent import (
    Agent,
    AgentCommand,
    PutAgent,
    Refused,
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
    SetWorkingHours,
    decide,
    evolve,
)
from tests.routing.house import House

VPN = Skill(name="vpn", level=3)
BILLING = Skill(name="billing", level=9)
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOURS = WorkingHours(zone="Europe/Madrid", week={"mon": (Shift(start="09:00", end="17:00"),)})


def absent(first_day: int, last_day: int) -> OutOfOffice:
    month = datetime(2026, 8, 1, tzinfo=UTC)
    return OutOfOffice(start=month.replace(day=first_day), end=month.replace(day=last_day))


def week(zone: str = "UTC", **days: str) -> SetWorkingHours:
    shifts = {
        day: tuple(Shift(start=s, end=e) for s, _, e in (o.partition("-") for o in text.split()))
        for day, text in days.items()
    }
    return SetWorkingHours(WorkingHours.model_validate({"zone": zone, "week": shifts}))


REGISTERED = AgentRegistered(name="Ana", skills=(VPN,), groups=("g",), capacity=2)


ONLINE: Any = {"presence": "online", "previous": "offline"}


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
        (SetName("Anna"), AgentNameChanged(name="Anna", previous="Ana")),
        (SetTiers((2, 1, 2)), AgentTiersChanged(tiers=(1, 2), previous=(1,))),
        (
            SetChannels((Channel.CHAT,), {Channel.CHAT: 2}),
            AgentChannelsChanged(channels=(Channel.CHAT,), channel_limits={Channel.CHAT: 2}),
        ),
        (SetWorkingHours(HOURS), AgentWorkingHoursChanged(working_hours=HOURS)),
        (
            SetOutOfOffice((absent(20, 25), absent(3, 20))),
            AgentOutOfOfficeChanged(periods=(absent(3, 20), absent(20, 25))),
        ),
        (SetContact("ana@example.com"), AgentContactChanged(email="ana@example.com")),
        (SetLeadership(("g",)), AgentLeadershipChanged(lead_of=("g",))),
        (SetPresence("online"), PresenceChanged(presence="online", previous="offline")),
        (
            SetPresence("away", "missed_offers"),
            PresenceChanged(presence="away", previous="offline", reason="missed_offers"),
        ),
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
        (PutAgent(RegisterAgent("Ana", -1)), given(REGISTERED), "invalid_agent", 422),
        (PutAgent(RegisterAgent("A", 1)), given(REGISTERED, AgentRetired()), "agent_retired", 409),
    ],
)
def test_refusals(command: AgentCommand, state: Agent | None, code: str, status: int) -> None:
    with pytest.raises(Refused) as refused:
        decide("ana", command, state)
    assert (refused.value.code, refused.value.status) == (code, status)
    assert refused.value.detail.endswith(".")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (SetName(" "), "name"),
        (SetName("Ana\x1b[2J"), "control characters"),
        (SetGroups(("a\nb",)), "control characters"),
        (SetTiers(()), "tiers"),
        (SetChannels((Channel.CHAT, Channel.CHAT)), "named twice"),
        (SetChannels((), {Channel.CHAT: -1}), "'chat' must be from 0 to 10000, not -1"),
        (week("Mars/Olympus", mon="09:00-10:00"), "no time zone 'Mars/Olympus'"),
        (week("../../etc/passwd", mon="09:00-10:00"), "no time zone"),
        (week("Europe", mon="09:00-10:00"), "no time zone"),
        (week(), "no shift"),
        (week(mon=""), "no shift"),
        (week(mon="09:00-13:00 12:59-18:00"), "mon 09:00-13:00 and mon 12:59-18:00 overlap"),
        (week(mon="22:00-06:00", tue="05:00-09:00"), "mon 22:00-06:00 and tue 05:00-09:00"),
        (week(sun="22:00-06:00", mon="05:00-09:00"), "sun 22:00-06:00 and mon 05:00-09:00"),
        (week(mon="09:00-09:00", tue="08:00-10:00"), "overlap"),
        (week(mon="24:00-06:00"), "starts at 24:00"),
        (SetOutOfOffice((absent(3, 3),)), "is empty"),
        (SetOutOfOffice((absent(3, 2),)), "is reversed"),
        (
            SetOutOfOffice((absent(10, 20), absent(3, 11))),
            "to 2026-08-11T00:00:00Z and 2026-08-10T00:00:00Z to 2026-08-20T00:00:00Z overlap",
        ),
        (
            SetOutOfOffice((OutOfOffice(start=NOW, end=datetime.max.replace(tzinfo=UTC)),)),
            "between the years",
        ),
        *(
            (SetContact(email), "no e-mail address")
            for email in (
                "ana",
                "@example.com",
                "ana@",
                "ana@-x.com",
                "a b@example.com",
                "ana@example.com, bo@example.com",
                "Ana <ana@example.com>",
                "ana@example.com\r\nBcc: bo@example.com",
                "ana@example..com",
            )
        ),
    ],
)
def test_what_an_agent_cannot_be(command: AgentCommand, told: str) -> None:
    with pytest.raises(Refused) as refused:
        decide("ana", command, given(REGISTERED))
    assert (refused.value.code, refused.value.status) == ("invalid_agent", 422)
    assert told in refused.value.detail


@pytest.mark.parametrize(
    "command",
    [
        week(mon="09:00-13:00 13:00-18:00 22:00-06:00", tue="06:00-24:00", sun="22:00-09:00"),
        week(mon="00:00-00:00", tue="00:00-24:00"),
        SetContact("o'neil+desk@mail.example.co.uk"),
        SetContact("ñandú@correo.example"),
        SetContact("desk@localhost"),
        SetSkills((Skill(name="nobody else has it", level=1),)),
    ],
)
def test_what_is_unusual_and_fine(command: AgentCommand) -> None:
    assert len(decide("ana", command, given(REGISTERED))) == 1


def test_hours_are_kept_in_one_form() -> None:
    [event] = decide("ana", week(tue="14:00-18:00 09:00-13:00", mon=""), given(REGISTERED))
    kept = AgentWorkingHoursChanged.model_validate(event).working_hours
    assert kept is not None
    assert list(kept.week) == ["tue"]
    assert [shift.start for shift in kept.week["tue"]] == ["09:00", "14:00"]
    again = week(tue="09:00-13:00 14:00-18:00")
    assert decide("ana", again, given(REGISTERED, event)) == ()


WHOLE = RegisterAgent(
    "Ana",
    2,
    groups=("g",),
    skills=(VPN,),
    channel_limits={Channel.CHAT: 1},
    working_hours=HOURS,
    out_of_office=(absent(3, 20),),
    lead_of=("g",),
    email="ana@example.com",
)


@pytest.mark.parametrize("command", [WHOLE, PutAgent(WHOLE)])
def test_a_whole_agent_at_once(command: AgentCommand) -> None:
    registered, away = decide("ana", command, None)
    agent = given(registered, away)
    assert (agent.name, agent.capacity, agent.channel_limits) == ("Ana", 2, {Channel.CHAT: 1})
    assert (agent.working_hours, agent.out_of_office) == (HOURS, (absent(3, 20),))
    assert (agent.lead_of, agent.email) == (("g",), "ana@example.com")
    assert decide("ana", PutAgent(WHOLE), agent) == ()


def test_a_whole_agent_says_only_what_differs() -> None:
    events = decide("ana", PutAgent(WHOLE), given(REGISTERED, PresenceChanged(**ONLINE)))
    assert {type(event) for event in events} == {
        AgentChannelsChanged,
        AgentWorkingHoursChanged,
        AgentOutOfOfficeChanged,
        AgentContactChanged,
        AgentLeadershipChanged,
    }
    after = given(REGISTERED, PresenceChanged(**ONLINE), *events)
    assert after.presence == "online"
    assert decide("ana", PutAgent(WHOLE), after) == ()
    bare = decide("ana", PutAgent(RegisterAgent("Ana", 2)), after)
    emptied = given(REGISTERED, PresenceChanged(**ONLINE), *events, *bare)
    assert (emptied.email, emptied.working_hours, emptied.out_of_office) == (None, None, ())


def test_only_for_the_version_that_was_read() -> None:
    state = given(REGISTERED)
    assert decide("ana", SetCapacity(5), state, 1)
    with pytest.raises(Refused) as refused:
        decide("ana", SetCapacity(5), state, 2)
    assert (refused.value.code, refused.value.status) == ("stale_version", 412)
    assert refused.value.extra == {"current_sequence": 1}
    with pytest.raises(Refused, match="at version 0, not 3"):
        decide("ana", PutAgent(WHOLE), None, 3)


def test_the_presence_has_a_time_and_a_reason() -> None:
    later = datetime(2026, 3, 2, 10, tzinfo=UTC)
    registered = given(REGISTERED)
    assert (registered.presence, registered.presence_since) == ("offline", NOW)
    away = evolve(registered, PresenceChanged(**ONLINE), later)
    assert (away.presence_since, away.presence_reason) == (later, None)
    missed = PresenceChanged(presence="away", previous="online", reason="missed_offers")
    assert evolve(away, missed, later).presence_reason == "missed_offers"
    assert evolve(away, AgentCapacityChanged(capacity=3, previous=2), NOW).presence_since == later
    assert evolve(evolve(away, missed, NOW), AgentRetired(), later).presence_reason is None


@pytest.mark.parametrize("agent_id", ["", " ana", "a/b", "a\nb", "x" * 201])
def test_ids_that_cannot_be(agent_id: str) -> None:
    with pytest.raises(Refused, match="cannot be the id"):
        decide(agent_id, PutAgent(WHOLE), None)


def test_the_fold_tolerates_any_event() -> None:
    strange = CommandRejected(command_id="c", command_type="t", ticket_id="t", code="c", detail="d")
    assert given(REGISTERED, strange, None).capacity == 2


def test_an_agent_is_kept_as_it_is(house: House) -> None:
    made = house.change("ana", PutAgent(WHOLE))
    away = house.change("ana", SetPresence("away", "missed_offers"))
    assert (away.sequence, away.presence_since) == (made.sequence + 1, house.clock.now())
    with house.store.database.reading() as connection:
        assert house.tables.agent(connection, "ana") == away
    bare = house.change("ana", PutAgent(RegisterAgent("Ana", 0)))
    with house.store.database.reading() as connection:
        assert house.tables.agent(connection, "ana") == bare

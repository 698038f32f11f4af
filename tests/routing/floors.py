"""Agents, tickets and rule sets for tests of the floor."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st

from libs.events import Priority
from libs.events.agent import OutOfOffice, Shift, WorkingHours
from libs.events.base import Channel
from libs.events.routing import SkillNeed
from services.routing.domain import Agent, Work
from services.routing.domain.conditions import Condition
from services.routing.domain.floor import Floor
from services.routing.domain.rules import (
    Offers,
    Overflow,
    QueueRule,
    RoutingRules,
    SkillRule,
    TakeBack,
    VersionedRules,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""A Monday."""

EARLY = WorkingHours(zone="UTC", week={"mon": (Shift(start="08:00", end="12:00"),)})
LATE = WorkingHours(zone="Europe/Madrid", week={"mon": (Shift(start="10:30", end="18:00"),)})

CHANNELS = (Channel.EMAIL, Channel.CHAT, Channel.PHONE)
SKILLS = ("billing", "vpn")
GROUPS = ("front", "back")

RICH = RoutingRules(
    weights={Channel.CHAT: 2, Channel.PHONE: 3},
    skills=(
        SkillRule(
            when=Condition(tags=("hard",)),
            skills=(
                SkillNeed(name="vpn", level=5, importance="low"),
                SkillNeed(name="billing", level=2, importance="high"),
            ),
        ),
    ),
    queues=(
        QueueRule(
            name="live",
            when=Condition(channel=(Channel.CHAT,)),
            group="front",
            mode="offer",
            overflow=Overflow(groups=("back",)),
            optional_timeout_s=60,
            precedence=1,
        ),
        QueueRule(
            name="late",
            when=Condition(channel=(Channel.PHONE,)),
            group="front",
            overflow=Overflow(groups=("back",), after_s=300),
            strategy="longest_idle",
        ),
        QueueRule(name="dues", when=Condition(priority=(Priority.CRITICAL,)), order="sla"),
        QueueRule(
            name="hard", when=Condition(tags=("hard",)), optional_timeout_s=120, ageing_s=3_600
        ),
    ),
    offers=Offers(timeout_s=30, decline_pause_s=90),
)
RULE_SETS = (
    RoutingRules(),
    RoutingRules(keep_specialists=False, strategy="lowest_share", affinity=False),
    RoutingRules(
        unknown_skills_required=True,
        strategy="longest_idle",
        weights={Channel.CHAT: 2},
        queues=(QueueRule(name="all", ageing_s=None),),
        take_back=TakeBack(out_of_office_s=60, offline_s=120),
    ),
    RICH,
)

rule_sets = st.sampled_from(RULE_SETS)
levels = st.sampled_from((1, 3, 5, 9))
tiers = st.sampled_from(((1,), (1,), (1,), (1, 2), (2,), (1, 2, 3)))
absences = st.tuples(st.integers(0, 600), st.integers(1, 900)).map(
    lambda span: (
        OutOfOffice(start=NOW + timedelta(seconds=span[0]), end=NOW + timedelta(seconds=sum(span))),
    )
)


def agents(agent_id: str) -> st.SearchStrategy[Agent]:
    """Agents with this id: mostly there, mostly plain."""
    return st.builds(
        Agent,
        id=st.just(agent_id),
        groups=st.sampled_from(((), ("front",), ("back",), GROUPS)),
        skills=st.dictionaries(st.sampled_from(SKILLS), levels, max_size=2),
        languages=st.sampled_from(((), (), ("es",), ("ru", "es-MX"))),
        tiers=tiers,
        channels=st.sampled_from(((), (), (Channel.EMAIL,), CHANNELS[:2])),
        capacity=st.integers(0, 5),
        presence=st.sampled_from(("online", "online", "online", "away", "offline")),
        presence_since=st.just(NOW),
        channel_limits=st.dictionaries(st.sampled_from(CHANNELS), st.integers(0, 2), max_size=1),
        working_hours=st.sampled_from((None, None, EARLY, LATE)),
        out_of_office=st.one_of(st.just(()), st.just(()), absences),
    )


def tickets(ticket_id: str, at: datetime = NOW) -> st.SearchStrategy[Work]:
    """Tickets with this id that wait since `at`."""
    return st.builds(
        Work,
        id=st.just(ticket_id),
        sequence=st.just(1),
        eligible_since=st.integers(0, 7_200).map(lambda s: at - timedelta(seconds=s)),
        waiting_since=st.just(at),
        priority=st.sampled_from(Priority),
        category=st.sampled_from((*SKILLS, "rare", None, None)),
        language=st.sampled_from((None, None, "es", "ru-RU")),
        channel=st.sampled_from(CHANNELS),
        tags=st.sampled_from(((), (), ("hard",))),
        group=st.sampled_from((None, None, None, "back")),
        tier=st.sampled_from((1, 1, 1, 2, 3)),
        solved_by=st.sampled_from((None, None, "a", "c")),
        dues=st.dictionaries(
            st.just("first_reply"), st.integers(-600, 600).map(lambda s: at + timedelta(seconds=s))
        ),
    )


FEATURES = ("skills", "languages", "tiers", "channels", "limits", "hours", "presence", "groups")
"""What agents and tickets may differ in. A run leaves some out: where everything differs nobody is
able to take anything, and little happens."""

_OF_AGENTS: dict[str, dict[str, Any]] = {
    "skills": {"skills": {}},
    "languages": {"languages": ()},
    "tiers": {"tiers": (1,)},
    "channels": {"channels": ()},
    "limits": {"channel_limits": {}},
    "hours": {"working_hours": None, "out_of_office": ()},
    "presence": {"presence": "online"},
    "groups": {"groups": GROUPS},
}
_OF_TICKETS: dict[str, dict[str, Any]] = {
    "skills": {"category": None},
    "languages": {"language": None},
    "tiers": {"tier": 1},
    "channels": {"channel": Channel.EMAIL},
    "groups": {"group": None},
}


def plain_agent(agent: Agent, features: Collection[str]) -> Agent:
    """The agent without what is no feature of this run."""
    off = [values for name, values in _OF_AGENTS.items() if name not in features]
    return replace(agent, **{name: value for values in off for name, value in values.items()})


def plain_ticket(work: Work, features: Collection[str]) -> Work:
    off = [values for name, values in _OF_TICKETS.items() if name not in features]
    return replace(work, **{name: value for values in off for name, value in values.items()})


def floor_of(rules: RoutingRules, *, now: datetime = NOW, **what: Any) -> Floor:
    """A floor with these `agents` and `works`, put in the order given."""
    floor = Floor(VersionedRules(1, rules))
    for agent in what.get("agents", ()):
        floor.put_agent(agent, now)
    for work in what.get("works", ()):
        floor.put_work(work, now)
    return floor


def agent(agent_id: str, capacity: int = 1, **values: Any) -> Agent:
    """An agent on duty."""
    return Agent(agent_id, capacity=capacity, presence="online", **values)


def ticket(ticket_id: str, since_s: float = 0, **values: Any) -> Work:
    """A ticket that waits since so many seconds after NOW."""
    since = NOW + timedelta(seconds=since_s)
    return Work(ticket_id, sequence=1, eligible_since=since, waiting_since=since, **values)

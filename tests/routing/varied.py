"""What may be drawn for the random house of test_capacity_stateful.py."""

from __future__ import annotations

import hypothesis.strategies as st

from libs.events.agent import Skill
from libs.events.base import Channel
from services.routing.domain.conditions import Condition
from services.routing.domain.rules import Offers, Overflow, QueueRule, RoutingRules, TakeBack

SKILLS = ("billing", "vpn")
AGENTS = ("a", "b", "c")
WEIGHTS = {Channel.CHAT: 2}

RULE_SETS = (
    RoutingRules(weights=WEIGHTS),
    RoutingRules(
        weights=WEIGHTS,
        queues=(
            QueueRule(
                name="live", when=Condition(channel=(Channel.CHAT,)), mode="offer", precedence=1
            ),
            QueueRule(name="front", group="front", overflow=Overflow(groups=("back",))),
        ),
        offers=Offers(timeout_s=30, decline_pause_s=90, misses_to_away=2),
        hand_over_limit=2,
        take_back=TakeBack(out_of_office_s=60, offline_s=120),
    ),
    RoutingRules(
        weights=WEIGHTS,
        keep_specialists=False,
        affinity=False,
        strategy="longest_idle",
        queues=(QueueRule(name="all", mode="offer", order="sla", ageing_s=60),),
    ),
)

agent_ids = st.sampled_from(AGENTS)
categories = st.sampled_from((*SKILLS, "rare", None, None))
languages = st.sampled_from(("es", "ru", None, None))
priorities = st.sampled_from(("low", "medium", "high", "critical"))
channels = st.sampled_from((Channel.EMAIL, Channel.CHAT))
skill_sets = st.sets(st.sampled_from(SKILLS)).map(
    lambda names: tuple(Skill(name=name, level=3) for name in sorted(names))
)
spoken = st.sampled_from(((), (), ("es",), ("ru", "es")))
groups = st.sampled_from(((), ("front",), ("back",), ("front", "back")))
pieces = st.sampled_from((0, 1, 2, None))
presences = st.sampled_from(("online", "online", "away", "offline"))
picks = st.integers(0, 10_000)

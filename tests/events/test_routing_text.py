"""Every code that routing uses has words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from libs.events import routing
from libs.events.base import Channel
from libs.events.routing_text import (
    NO_AGENTS,
    OFFER_ENDS,
    REASONS,
    STRATEGIES,
    TAKEN_BACK,
    TOLD,
    TRIGGERS,
    counted_reason,
    counted_reasons,
    needs_text,
    reasons_of_one,
    score_text,
    sentence,
    trigger_text,
)
from services.routing.domain import reasons
from services.routing.domain.rules import Strategy

ROUTING: Final = Path(__file__).resolve().parents[2] / "services" / "routing"


def choices(event: type[Any], field: str) -> set[str]:
    return set(get_args(event.model_fields[field].annotation))


def used_triggers() -> set[str]:
    """What stands in routing's source as the trigger of a decision."""
    texts = [file.read_text("utf-8") for file in (ROUTING / "store").glob("*.py")]
    found = {name for text in texts for name in re.findall(r'Cause\(\s*"(\w+)"', text)}
    by_event = r'^    (?:ticket|sla)\.\w+: "(\w+)",$'
    found |= {name for text in texts for name in re.findall(by_event, text, re.MULTILINE)}
    assert {"ticket_created", "sla_breached", "agent_changed"} <= found, "the search is out of date"
    return found


def test_every_code_has_words() -> None:
    assert set(REASONS) == set(reasons.WORDS.values())
    assert reasons.NO_AGENTS == NO_AGENTS
    assert used_triggers() <= set(TRIGGERS)
    assert set(get_args(Strategy)) <= set(STRATEGIES)
    assert set(OFFER_ENDS) == choices(routing.OfferEnded, "outcome")
    assert set(TAKEN_BACK) == choices(routing.TicketTakenBack, "reason")
    assert set(TOLD) == choices(routing.AgentNotified, "kind")


def test_counts_are_said_for_one_for_several_and_for_none() -> None:
    assert counted_reason("offline", 1) == "1 agent is offline"
    assert counted_reason("offline", 1234) == "1,234 agents are offline"
    assert counted_reason(NO_AGENTS, 0) == "there is no agent at all"
    assert counted_reason("on_the_moon", 2) == "2 agents on the moon"
    counts = [{"reason": "away", "agents": 1}, {"reason": "skill", "agents": 4}]
    assert counted_reasons(counts)[0].startswith("4 agents lack")
    assert reasons_of_one(["away", "language"]) == "is away; does not speak the language"


def test_needs_and_scores() -> None:
    skills = (
        routing.SkillNeed(name="refunds", level=4),
        routing.SkillNeed(name="tact", importance="low"),
    )
    needs = routing.TicketNeeds(
        channel=Channel.CHAT, language="es", skills=skills, groups=("a", "b")
    )
    text = (
        "chat, tier 1, language es, refunds at level 4, tact (optional, low), group a or b, 1 unit"
    )
    for data in (
        needs.model_dump(mode="json"),
        needs.model_dump(mode="json", exclude_defaults=True),
    ):
        assert needs_text(data) == text
    assert needs_text(None) == ""
    assert score_text("longest_idle", 1200.0) == "seconds idle: 1,200"
    assert (score_text(None, 2.5), score_text("most_spare", None)) == ("2.5", "")
    assert trigger_text("moon_rose") == "moon rose"


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("TicketRouted", {"outcome": "nobody"}, "Nobody was free: the ticket waits"),
        ("TicketRouted", {"outcome": "assigned", "agent": "1", "group": "a"}, "Given to a · Ana"),
        ("TicketRouted", {"outcome": "offered", "agent": "2"}, "Offered to agent 2"),
        (
            "OfferEnded",
            {"agent": "1", "outcome": "declined", "reason": "lunch"},
            "Ana declined it: lunch",
        ),
        (
            "TicketTakenBack",
            {"agent": "1", "reason": "retired"},
            "Taken back from Ana: the agent has left",
        ),
        (
            "HandOverLimitReached",
            {"hand_overs": 4, "limit": 3, "leads": ["1"], "command_id": "c"},
            "Handed over 4 times (limit 3): escalated; told Ana",
        ),
        (
            "HandOverLimitReached",
            {"hand_overs": 4, "limit": 3},
            "Handed over 4 times (limit 3): at the highest tier already; told nobody: there is no lead",
        ),
        (
            "AgentNotified",
            {"agent": "1", "kind": "assigned", "channel": "smtp", "outcome": "sent"},
            "Told Ana of the assignment by smtp",
        ),
        (
            "AgentNotified",
            {"agent": "1", "kind": "offered", "outcome": "skipped", "reason": "no address"},
            "Did not tell Ana of the offer: no address",
        ),
        ("SomethingNew", {}, "SomethingNew"),
    ],
)
def test_sentences(name: str, data: dict[str, Any], told: str) -> None:
    assert sentence(name, data, {"1": "Ana"}) == told

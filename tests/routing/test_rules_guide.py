"""The guide to the routing rules says what is so."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from services.routing.domain import rule_check
from services.routing.domain.conditions import Condition
from services.routing.domain.rule_check import check
from services.routing.domain.rule_text import document_of
from services.routing.domain.rules import (
    Offers,
    Overflow,
    QueueRule,
    RoutingRules,
    SkillRule,
    TakeBack,
)
from services.routing.rules_file import parse_rules

GUIDE = (Path(__file__).parents[2] / "docs/guides/routing-rules.md").read_text("utf-8")


def test_the_document_in_the_guide_is_right_and_shows_every_field() -> None:
    example = GUIDE.split("```yaml\n")[1].split("```")[0]
    rules = parse_rules(example.encode())
    assert check(rules) == []
    shown, default = document_of(rules), document_of(RoutingRules())
    assert [name for name in default if shown[name] == default[name]] == []
    for part in (RoutingRules, SkillRule, QueueRule, Overflow, Offers, TakeBack, Condition):
        for name in part.model_fields:
            assert f"{name}:" in example, name
            assert f"`{name}`" in GUIDE, name


def test_the_guide_lists_every_finding() -> None:
    said = set(
        re.findall(r'Finding\(\s*"(?:error|warning)", "(\w+)"', inspect.getsource(rule_check))
    )
    assert len(said) == 16
    assert [code for code in sorted(said) if f"`{code}`" not in GUIDE] == []

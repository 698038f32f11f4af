"""The rule set: reading it, checking it, choosing the queue, and its versions in the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.base import Channel, Priority
from services.routing.domain.conditions import Condition
from services.routing.domain.rule_check import Finding, check, errors_of
from services.routing.domain.rule_text import InvalidRules, document_of, rules_of
from services.routing.domain.rules import (
    DEFAULT_QUEUE,
    RoutingRules,
)
from services.routing.rules_file import parse_rules, rules_text


@dataclass(frozen=True)
class Facts:
    channel: Channel = Channel.EMAIL
    category: str | None = None
    subcategory: str | None = None
    language: str | None = None
    priority: Priority = Priority.MEDIUM
    group: str | None = None
    organization: str | None = None
    tier: int = 1
    tags: tuple[str, ...] = ()
    custom_fields: dict[str, str] = field(default_factory=dict)


def refused(text: str | bytes) -> list[tuple[str, str]]:
    """(code, path) of everything that is wrong with the text."""
    with pytest.raises(InvalidRules) as caught:
        parse_rules(text.encode() if isinstance(text, str) else text)
    return [(finding.code, finding.path) for finding in caught.value.findings]


def queues(*whens: dict[str, Any], **values: Any) -> RoutingRules:
    return rules_of(
        {"queues": [{"name": f"q{i}", "when": w} for i, w in enumerate(whens)], **values}
    )


def codes(found: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.path) for finding in found]


# ---------------------------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("when", "facts", "holds"),
    [
        ({}, Facts(), True),
        ({"channel": "chat"}, Facts(channel=Channel.CHAT), True),
        ({"channel": ["phone", "chat"]}, Facts(channel=Channel.CHAT), True),
        ({"channel": ["phone", "chat"]}, Facts(), False),
        ({"category": "vpn"}, Facts(), False),
        ({"language": "es-MX"}, Facts(language="ES_ar"), True),
        ({"language": "es"}, Facts(language="es-419"), True),
        ({"language": "es"}, Facts(language="est"), False),
        ({"priority": ["high", "critical"]}, Facts(priority=Priority.CRITICAL), True),
        ({"tier": 2}, Facts(tier=2), True),
        ({"tags": ["a", "b"]}, Facts(tags=("b", "c")), True),
        ({"tags": ["a", "b"]}, Facts(tags=("c",)), False),
        ({"tags_all": ["a", "b"]}, Facts(tags=("b", "c")), False),
        ({"tags_all": ["a", "b"]}, Facts(tags=("b", "c", "a")), True),
        (
            {"custom_fields": {"plan": ["gold", "silver"]}},
            Facts(custom_fields={"plan": "gold"}),
            True,
        ),
        (
            {"custom_fields": {"plan": "gold", "seat": "1"}},
            Facts(custom_fields={"plan": "gold"}),
            False,
        ),
        ({"channel": "email", "group": "east"}, Facts(group="west"), False),
        (
            {"organization": "o1", "subcategory": "s"},
            Facts(organization="o1", subcategory="s"),
            True,
        ),
    ],
)
def test_a_condition_holds_when_all_its_fields_do(
    when: dict[str, Any], facts: Facts, holds: bool
) -> None:
    assert Condition.model_validate(when).matches(facts) is holds


def test_a_condition_says_only_what_it_asks_for() -> None:
    when = Condition.model_validate({"channel": "chat", "tags": [], "custom_fields": {"plan": "a"}})
    assert when.model_dump() == {"channel": ["chat"], "custom_fields": {"plan": ["a"]}}
    assert not when.empty
    assert Condition().empty


# ------------------------------------------------------------------------------------- reading


def test_all_problems_of_a_document_are_told_at_once() -> None:
    assert refused(
        """
        queues:
        - {nam: a, when: {channel: fax, tier: true, langage: no}, skills: [{name: x, lvl: 3}]}
        - {name: b, precedence: 1.5, group: 7, ageing_s: 0}
        hand_over_limit: -1
        weights: {fax: 2, chat: 0}
        offers: {timout_s: 3}
        strategy: best
        affinity: no
        """
    ) == [
        ("unknown_value", "weights.fax"),
        ("out_of_range", "weights.chat"),
        ("unknown_value", "strategy"),
        ("missing_field", "queues[0].name"),
        ("unknown_value", "queues[0].when.channel[0]"),
        ("wrong_type", "queues[0].when.tier[0]"),
        ("unknown_field", "queues[0].when.langage"),
        ("invalid_value", "queues[0].skills[0]"),
        ("unknown_field", "queues[0].nam"),
        ("wrong_type", "queues[1].group"),
        ("out_of_range", "queues[1].ageing_s"),
        ("wrong_type", "queues[1].precedence"),
        ("out_of_range", "hand_over_limit"),
        ("wrong_type", "affinity"),
        ("unknown_field", "offers.timout_s"),
    ]


def test_messages_say_what_would_be_right() -> None:
    with pytest.raises(InvalidRules, match="did you mean 'language'"):
        parse_rules(b"skills: [{when: {langage: es}, skills: [{name: a}]}]")
    with pytest.raises(InvalidRules, match="'fax' is not one of 'email', 'form'"):
        parse_rules(b"queues: [{name: a, when: {channel: fax}}]")
    with pytest.raises(InvalidRules, match="7 is not a text; put it in quotes"):
        parse_rules(b"queues: [{name: a, group: 7}]")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not_a_document"),
        ("[]", "not_a_document"),
        ("word", "not_a_document"),
        (b"\xff", "invalid_utf8"),
        ("strategy: most_spare\nstrategy: longest_idle", "invalid_yaml"),
        ('{"strategy": "most_spare", "strategy": "most_spare"}', "duplicate_key"),
        ("weights: &w {chat: 2}\nskills: *w", "invalid_yaml"),
        ("weights: !!python/object/apply:os.getcwd []", "invalid_yaml"),
        ('strategy: "\\0"', "invalid_yaml"),
        ('{"strategy": "\\u0000"}', "nul_character"),
        ("[" * 5_000, "invalid_yaml"),
        ('{"a":' * 5_000, "too_deep"),
        ("--- {}\n--- {}", "invalid_yaml"),
        ("? [a]\n: b", "invalid_yaml"),
        (b"# " + b"x" * 1_048_576, "too_large"),
        ('{"hand_over_limit": NaN}', "not_a_number"),
    ],
    ids=range(16),
)
def test_texts_that_are_no_rule_set_are_refused(text: str | bytes, code: str) -> None:
    assert refused(text) == [(code, "")]


def test_words_in_yaml_stay_words() -> None:
    rules = parse_rules(
        b"queues: [{name: on, when: {language: no, tags: [2024-01-01, 1_000, .inf, 0x1f, yes]}}]"
    )
    queue = rules.queues[0]
    assert (queue.name, queue.when.language) == ("on", ("no",))
    assert queue.when.tags == ("2024-01-01", "1_000", ".inf", "0x1f", "yes")
    assert parse_rules(rules_text(document_of(rules)).encode()) == rules


def test_null_means_never_and_is_kept() -> None:
    rules = parse_rules(
        b"take_back: {out_of_office_s: null}\nqueues: [{name: a, ageing_s: ~, overflow: {groups: b}}]"
    )
    assert rules.take_back.out_of_office_s is None
    assert rules.queues[0].ageing_s is None
    again = parse_rules(rules_text(document_of(rules)).encode())
    assert again == rules == RoutingRules.model_validate_json(rules.model_dump_json())


# ------------------------------------------------------------------------- choosing the queue

WORDS = st.sampled_from(["a", "b"])
SMALL = st.fixed_dictionaries(
    {},
    optional={
        "category": st.lists(WORDS, min_size=1, max_size=2),
        "tier": st.lists(st.integers(1, 3), min_size=1, max_size=3),
        "tags": st.lists(WORDS, min_size=1, max_size=2),
        "tags_all": st.lists(WORDS, min_size=1, max_size=2),
        "custom_fields": st.fixed_dictionaries({"plan": st.lists(WORDS, min_size=1, max_size=2)}),
    },
)
"""Conditions that range over a universe small enough to go through all of it."""

UNIVERSE = [
    Facts(category=category, tier=tier, tags=tags, custom_fields={"plan": plan} if plan else {})
    for category, tier, tags, plan in product(
        (None, "a", "b", "other"),
        (1, 2, 3),
        ((), ("a",), ("b",), ("a", "b")),
        (None, "a", "b", "c"),
    )
]


@given(st.lists(SMALL, max_size=5))
def test_every_ticket_has_the_first_queue_that_matches(whens: list[dict[str, Any]]) -> None:
    rules = queues(*whens)
    for facts in UNIVERSE:
        found = rules.queue_for(facts)
        matching = [queue for queue in rules.queues if queue.when.matches(facts)]
        assert found == (matching[0] if matching else DEFAULT_QUEUE)
        assert found == rules_of(document_of(rules)).queue_for(facts)


@given(st.lists(SMALL, max_size=6))
def test_a_queue_is_said_to_be_shadowed_exactly_when_no_ticket_reaches_it(
    whens: list[dict[str, Any]],
) -> None:
    rules = queues(*whens)
    reached = {rules.queue_for(facts).name for facts in UNIVERSE}
    shadowed = {queue.name for queue in rules.queues} - reached
    found = [finding for finding in check(rules) if finding.code == "shadowed_queue"]
    assert {rules.queues[int(f.path[7:-1])].name for f in found} == shadowed


@given(SMALL, SMALL, st.integers(1, 2), st.integers(1, 2))
def test_skill_rules_conflict_exactly_when_a_ticket_matches_both(
    one: dict[str, Any], other: dict[str, Any], level: int, other_level: int
) -> None:
    rules = rules_of(
        {
            "skills": [
                {"when": one, "skills": [{"name": "x", "level": level}]},
                {"when": other, "skills": [{"name": "x", "level": other_level}]},
            ]
        }
    )
    both = any(all(rule.when.matches(facts) for rule in rules.skills) for facts in UNIVERSE)
    expected = [("skill_levels_differ", "skills[1].skills[0]")]
    assert codes(check(rules)) == (expected if both and level != other_level else [])


# ------------------------------------------------------------------------------------ checking


def test_closed_fields_are_known_to_be_exhausted() -> None:
    live, rest = ["chat", "phone", "whatsapp"], ["email", "form", "social", "api"]
    found = check(queues({"channel": live}, {"channel": rest}, {"tier": 2}))
    assert codes(found) == [("shadowed_queue", "queues[2]")]
    assert "'q0' (queues[0]) and 'q1' (queues[1]) before it together take" in found[0].message
    # The single queue that suffices is named alone.
    found = check(queues({"channel": live}, {"tier": [1, 2]}, {"tier": 2, "category": "vpn"}))
    assert "'q1' (queues[1]) before it takes all" in found[0].message


def test_a_language_with_a_region_shadows_the_language() -> None:
    found = check(queues({"language": "es-MX"}, {"language": "es"}))
    assert codes(found) == [
        ("shadowed_queue", "queues[1]"),
        ("language_region", "queues[0].when.language[0]"),
    ]


def test_names_of_queues() -> None:
    twice = rules_of({"queues": [{"name": "a", "when": {"tier": 2}}, {"name": "a"}]})
    assert codes(check(twice)) == [("duplicate_queue", "queues[1].name")]
    early = rules_of({"queues": [{"name": "default", "when": {"tier": 2}}, {"name": "b"}]})
    assert codes(check(early)) == [("reserved_name", "queues[0].name")]
    last = rules_of(
        {"queues": [{"name": "a", "when": {"tier": 2}}, {"name": "default", "tier": 2}]}
    )
    assert check(last) == []
    assert last.queue_for(Facts()).tier == 2


def test_skills_in_conflict_are_warned_of() -> None:
    rules = rules_of(
        {
            "skills": [
                {"when": {"tags": "vip"}, "skills": [{"name": "x", "level": 3}]},
                {"when": {"tier": 2}, "skills": [{"name": "x", "level": 2, "importance": "low"}]},
                {"when": {"tier": 1}, "skills": [{"name": "x", "level": 3}]},
            ],
            "queues": [
                {"name": "a", "when": {"tier": 3}, "skills": [{"name": "x", "level": 9}]},
                {"name": "b", "skills": [{"name": "y"}]},
            ],
        }
    )
    found = check(rules)
    assert errors_of(found) == []
    assert codes(found) == [
        ("skill_required_and_optional", "skills[1].skills[0]"),
        ("skill_levels_differ", "queues[0].skills[0]"),
        ("never_dropped", "skills[1].skills[0]"),
    ]
    assert "level 9 is asked" in found[1].message


def test_odd_things_are_warned_of() -> None:
    rules = rules_of(
        {
            "queues": [
                {"name": "a", "when": {"tags": [], "tier": 2}, "optional_timeout_s": 5},
                {"name": "b", "overflow": {"groups": "east"}},
            ]
        }
    )
    assert codes(check(rules)) == [
        ("empty_list", "queues[0].when.tags"),
        ("nothing_to_drop", "queues[0].optional_timeout_s"),
        ("overflow_without_group", "queues[1].overflow"),
    ]


@pytest.mark.parametrize(
    ("queues", "named"),
    [
        ([], "'default'"),
        ([{"name": "a", "optional_timeout_s": 60}], None),
        ([{"name": "a", "when": {"tier": 2}, "optional_timeout_s": 60}], None),
        ([{"name": "a", "when": {"tags": "x"}, "optional_timeout_s": 60}], "'default'"),
        ([{"name": "a", "when": {"tags": "x"}}, {"name": "b", "optional_timeout_s": 60}], "'a'"),
        ([{"name": "a", "when": {"tier": 1}}, {"name": "b", "optional_timeout_s": 60}], None),
    ],
)
def test_optional_skills_that_are_never_dropped_are_warned_of(
    queues: list[Any], named: str | None
) -> None:
    nice = {"when": {"tier": 2}, "skills": [{"name": "x", "importance": "high"}]}
    found = check(rules_of({"queues": queues, "skills": [nice]}))
    expected = [] if named is None else [("never_dropped", "skills[0].skills[0]")]
    assert codes(found) == expected
    assert all(f"queue {named} has no optional_timeout_s" in f.message for f in found)


SKILLS = {"ana": {"vpn": 5}, "ben": {"mail": 2}, "cyd": {}}
GROUPS = {"ana": ("east",), "ben": ("west",), "cyd": ()}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"queues": [{"name": "a", "group": "east", "skills": [{"name": "vpn", "level": 5}]}]}, []),
        (
            {"queues": [{"name": "a", "group": "north"}]},
            [("unknown_group", "queues[0].group"), ("unserved_queue", "queues[0]")],
        ),
        (
            {"queues": [{"name": "a", "group": "west", "skills": [{"name": "vpn"}]}]},
            [("unserved_queue", "queues[0]")],
        ),
        (  # the overflow can
            {
                "queues": [
                    {
                        "name": "a",
                        "group": "west",
                        "skills": [{"name": "vpn"}],
                        "overflow": {"groups": ["east", "south"]},
                    }
                ]
            },
            [("unknown_group", "queues[0].overflow.groups[1]")],
        ),
        (
            {"queues": [{"name": "a", "skills": [{"name": "vpn", "level": 6}]}]},
            [("unreachable_level", "queues[0].skills[0]"), ("unserved_queue", "queues[0]")],
        ),
        (  # nobody has it, so it is not asked for
            {"queues": [{"name": "a", "skills": [{"name": "sap"}]}]},
            [("unknown_skill", "queues[0].skills[0]")],
        ),
        (
            {
                "unknown_skills_required": True,
                "queues": [{"name": "a", "skills": [{"name": "sap"}]}],
            },
            [("unknown_skill", "queues[0].skills[0]"), ("unserved_queue", "queues[0]")],
        ),
        (  # a skill rule that every ticket of the queue matches counts too
            {
                "skills": [
                    {"when": {"tier": [2, 3]}, "skills": [{"name": "vpn"}]},
                    {"when": {"tier": 2, "tags": "x"}, "skills": [{"name": "mail"}]},
                ],
                "queues": [{"name": "a", "when": {"tier": 2}, "group": "west"}],
            },
            [("unserved_queue", "queues[0]")],
        ),
        (  # a ticket's own group counts, not the queue's
            {"queues": [{"name": "a", "when": {"group": ["east", "north"]}, "group": "west"}]},
            [("unknown_group", "queues[0].when.group[1]"), ("unserved_queue", "queues[0]")],
        ),
    ],
)
def test_what_no_agent_can_do_is_warned_of(
    document: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    found = check(rules_of(document), SKILLS, GROUPS)
    assert codes(found) == expected
    assert errors_of(found) == []


def test_without_agents_only_that_is_said() -> None:
    rules = rules_of({"queues": [{"name": "a", "group": "north", "skills": [{"name": "vpn"}]}]})
    assert codes(check(rules, {}, {})) == [("no_agents", "")]


def test_a_large_rule_set_is_checked_in_a_moment() -> None:
    """500 queues of two fields and tags, then 2,000 skill rules; far from the limit of steps."""
    whens = [
        {"category": f"c{i // 5}", "tier": i % 3 + 1, "tags": [f"t{i}", "x"]} for i in range(499)
    ]
    skills = [
        {"when": {"category": f"c{i}"}, "skills": [{"name": f"s{i % 100}", "level": i % 10 + 1}]}
        for i in range(2_000)
    ]
    found = check(queues(*whens, {}, skills=skills))
    assert "not_checked" not in {finding.code for finding in found}


def test_too_many_pairs_of_rules_are_not_all_compared() -> None:
    skills = [
        {"when": {"category": f"c{i}"}, "skills": [{"name": "x", "level": i % 10 + 1}]}
        for i in range(2_000)
    ]
    assert codes(check(rules_of({"skills": skills}))) == [("not_checked", "skills")]
    skills = [{"when": {}, "skills": [{"name": "x", "level": i % 10 + 1}]} for i in range(100)]
    assert len(check(rules_of({"skills": skills}))) == 200


def pigeons(holes: int) -> RoutingRules:
    """One queue takes the tickets in which two pigeons share a hole, for each two and each hole; the
    last wants every pigeon in some hole, and there is one pigeon more than holes."""
    names = [f"hole {i}" for i in range(holes)]
    two = combinations([f"pigeon {i}" for i in range(holes + 1)], 2)
    whens = [{"custom_fields": dict.fromkeys(pair, hole)} for pair in two for hole in names]
    everywhere = {f"pigeon {i}": names for i in range(holes + 1)}
    return queues(*whens, {"custom_fields": everywhere})


def test_many_queues_may_shadow_one_together() -> None:
    found = check(pigeons(3))
    assert codes(found) == [("shadowed_queue", "queues[18]")]
    assert all(f"(queues[{place}])" in found[0].message for place in range(18))


def test_conditions_too_entangled_to_tell_are_no_error() -> None:
    assert codes(check(pigeons(9))) == [("not_checked", "queues[405]")]

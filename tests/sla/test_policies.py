"""Which policy a ticket is held to, and which definitions are refused."""

from __future__ import annotations

from typing import Any

import pytest

from libs.events import ticket as t
from libs.worktime.errors import InvalidDefinition
from libs.worktime.instants import to_us
from services.sla.domain.book import Book
from services.sla.domain.definitions import policy_set_of
from tests.sla.desk import Case, at, book_of, created, policy, priority, reply, status


def test_the_first_policy_that_matches_counts() -> None:
    vip = policy(id="vip", when={"tags": ["vip"], "channel": ["email", "chat"]})
    case = Case(book_of(vip, policy(id="rest"))).on("10:00", created(tags=["vip"]))
    assert case.clock("first_reply").policy == "vip"
    other = Case(book_of(vip, policy(id="rest"))).on(
        "10:00", created(tags=["vip"], channel="phone")
    )
    assert other.clock("first_reply").policy == "rest"


def test_a_policy_that_matches_nothing_leaves_the_ticket_without_clocks() -> None:
    case = Case(book_of(policy(when={"category": ["network"]}))).on("10:00", created())
    assert case.said() == []
    assert case.on("10:10", status("open", "new")).said() == []


def test_a_target_that_turns_up_later_counts_from_the_original_activation() -> None:
    case = Case(book_of(policy(when={"category": ["network"]}))).on("10:00", created())
    case.on("10:20", status("pending", "new")).on("10:30", status("open", "pending"))
    case.on("10:40", t.CategoryChanged(category="network"))
    assert case.said() == [("started", "10:40"), ("started", "10:40")]
    assert case.due("first_reply") == "11:00"
    assert case.due("requester_wait") == "11:10"


def test_a_target_that_goes_away_cancels_and_its_return_goes_on() -> None:
    case = Case(book_of(policy(when={"group": ["desk"]}))).on("10:00", created(group="desk"))
    case.on("10:10", t.Assigned(group="other", previous_group="desk"))
    assert case.said() == [("cancelled", "10:10"), ("cancelled", "10:10")]
    case.on("10:20", t.Assigned(group="desk", previous_group="other"))
    assert case.said() == [("started", "10:20"), ("started", "10:20")]
    assert case.due("requester_wait") == "11:00"


def test_a_target_that_returns_does_not_warn_again() -> None:
    case = Case(book_of(policy(when={"group": ["desk"]}))).on("10:00", created(group="desk"))
    assert case.wait("10:50").said("requester_wait") == [("warning", "10:45")]
    case.on("10:51", t.Unassigned(previous_group="desk"))
    case.on("10:52", t.Assigned(group="desk"))
    assert case.wait("11:30").said("requester_wait") == [
        ("warning", "10:54"),
        ("breached", "11:00"),
    ]
    case.on("11:31", t.Unassigned(previous_group="desk"))
    case.on("11:32", t.Assigned(group="desk"))
    assert case.said("requester_wait") == [("started", "11:32")]
    assert case.wait("20:00").said() == []


def test_a_clock_keeps_its_policy_when_another_field_changes() -> None:
    case = Case().on("10:00", created()).on("10:10", t.TagsChanged(added=("x",)))
    assert case.said() == []


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        (policy(when={"colour": ["red"]}), "unknown_condition"),
        (policy(targets={"mood": {}}), "unsupported_metric"),
        (policy(targets={"first_reply": {}}), "empty_targets"),
        (policy(when={"category": []}), "empty_condition"),
        (policy(when={"category": [""]}), "bad_condition"),
        (policy(when={"priority": ["urgent"]}), "bad_condition"),
        (policy(when={"channel": ["pigeon"]}), "bad_condition"),
        (policy(when={"tier": ["4"]}), "bad_condition"),
        (policy(when={"status": ["open"]}), "unknown_condition"),
        (policy(when={"custom_fields.": ["x"]}), "unknown_condition"),
        (
            policy(targets={"first_reply": {"urgent": {"target_s": 1, "calendar": "always"}}}),
            "unknown_priority",
        ),
        (
            policy(targets={"first_reply": {"low": {"target_s": 0, "calendar": "always"}}}),
            "bad_target",
        ),
        (
            policy(targets={"first_reply": {"low": {"target_s": -5, "calendar": "always"}}}),
            "bad_target",
        ),
        (
            policy(targets={"first_reply": {"low": {"target_s": 10**12, "calendar": "always"}}}),
            "bad_target",
        ),
        (
            policy(targets={"first_reply": {"low": {"target_s": 60, "calendar": "lunar"}}}),
            "unknown_calendar",
        ),
        (
            policy(targets={"first_reply": {"low": {"target_s": 10**7, "calendar": "brief"}}}),
            "unreachable_target",
        ),
        (policy(warn_at=[100]), "bad_fraction"),
        (policy(on_breach={"first_reply": ["sing"]}), "unsupported_action"),
        (policy(on_breach={"first_reply": [{"whom": ["leads"]}]}), "unsupported_action"),
        (policy(on_breach={"first_reply": ["reroute", "reroute"]}), "bad_action"),
        (policy(on_breach={"first_reply": [{"do": "escalate", "at": 75}]}), "bad_action"),
        (policy(on_breach={"first_reply": [{"do": "escalate", "whom": ["leads"]}]}), "bad_action"),
        (policy(on_breach={"first_reply": [{"do": "notify", "whom": ["mum"]}]}), "bad_action"),
        (policy(on_warning={"first_reply": [{"do": "notify", "at": 50}]}), "bad_action"),
        (
            policy(on_warning={"first_reply": ["notify", {"do": "notify", "at": 75}]}),
            "bad_action",
        ),
    ],
)
def test_bad_policies(definition: dict[str, Any], code: str) -> None:
    brief = {"id": "brief", "zone": "UTC", "hours": {"mon": [["09:00", "09:01"]]}, "holidays": []}
    always: dict[str, Any] = {"id": "always", "zone": "UTC", "hours": None, "holidays": []}
    with pytest.raises(InvalidDefinition) as refusal:
        book_of(definition, calendars=(always, brief))
    assert refusal.value.code == code


def test_two_policies_may_not_share_an_id() -> None:
    with pytest.raises(InvalidDefinition) as refusal:
        book_of(policy(), policy())
    assert refusal.value.code == "duplicate_policy"


def test_the_newest_version_that_is_in_force_counts() -> None:
    book = book_of(policy(id="old"))
    calendars = {name: entries[-1].calendar for name, entries in book.calendars.items()}
    later = policy_set_of(
        [policy(id="new")], version=2, effective_from_us=to_us(at("12:00")), calendars=calendars
    )
    both = type(book)((*book.policy_sets, later), book.calendars)
    assert Case(both).on("11:59", created()).clock("first_reply").policy == "old"
    case = Case(both).on("12:00", created())
    assert case.clock("first_reply").policy_version == 2
    # A clock that was started before keeps its version.
    old = (
        Case(both)
        .on("11:00", created())
        .on("12:30", reply())
        .on("12:31", t.TagsChanged(added=("x",)))
    )
    assert old.clock("requester_wait").policy_version == 1


def test_conditions_on_custom_fields_agents_and_requesters() -> None:
    gold = policy(id="gold", when={"custom_fields.plan": ["gold"]})
    mine = policy(id="mine", when={"agent": ["7"]})
    anna = policy(id="anna", when={"requester": ["anna"]})
    book = book_of(gold, mine, anna, policy(id="rest"))
    case = Case(book).on("10:00", created(custom_fields={"plan": "gold", "note": "x" * 100_000}))
    assert case.clock("first_reply").policy == "gold"
    case.on("10:01", t.CustomFieldChanged(field="plan", value=None, previous="gold"))
    assert case.clock("first_reply").policy == "rest"
    case.on("10:02", t.Assigned(group="desk", agent="7"))
    assert case.clock("first_reply").policy == "mine"
    case.on("10:03", t.Unassigned(previous_agent="7"))
    assert case.clock("first_reply").policy == "rest"
    case.on("10:04", t.CustomFieldChanged(field="plan", value="g" * 100_000))
    assert case.said() == []
    asked = t.Requester(id="anna", organization="acme")
    assert Case(book).on("10:00", created(requester=asked)).clock("first_reply").policy == "anna"


def test_an_empty_list_of_policies_times_nothing_and_lets_go_when_the_ticket_changes() -> None:
    book = book_of(policy())
    empty = policy_set_of([], version=2, effective_from_us=to_us(at("11:00")), calendars={})
    both = Book((*book.policy_sets, empty), book.calendars)
    case = Case(both).on("10:30", created()).on("11:05", reply())
    assert case.said() == [("satisfied", "11:05")]
    assert case.clock("requester_wait").active
    case.on("11:10", priority("low"))
    assert case.said() == [("cancelled", "11:10")]
    assert Case(both).on("11:00", created()).said() == []


def test_a_policy_without_targets_keeps_its_tickets_from_the_ones_behind_it() -> None:
    book = book_of(
        policy(id="inside", when={"organization": ["us"]}, targets={}), policy(id="rest")
    )
    inside = t.Requester(id="r1", organization="us")
    assert Case(book).on("10:00", created(requester=inside)).said() == []
    assert Case(book).on("10:00", created()).said() != []

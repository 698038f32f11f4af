"""Conditions of policies on every field of the published ticket: kept, matched, re-evaluated, refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import Channel, Event, Status, Ticket, fold
from libs.events import ticket as t
from libs.worktime.errors import InvalidDefinition
from libs.worktime.instants import to_us
from services.sla.domain.policy import CONDITION_FIELDS, COUNTS, CUSTOM, REFUSED_FIELDS
from services.sla.domain.ticket import Cause, TicketClocks, advance
from tests.reporting.streams import Desk
from tests.sla.desk import Case, activated, book_of, created, policy, reply, status

SOLVED = (("10:01", status("solved", "new")),)
QUESTION = t.MessageAdded(
    message_id="q", author="requester", author_id="r1", body="And now?", channel=Channel.EMAIL
)


def moved(new: str, previous: str, substatus: str | None = None) -> t.StatusChanged:
    return t.StatusChanged(status=Status(new), previous=Status(previous), substatus=substatus)


def test_every_field_of_the_published_ticket_can_be_asked_for_or_is_refused_with_a_reason() -> None:
    published = {field.name for field in fields(Ticket)} | {"organization"}
    assert set(CONDITION_FIELDS) | set(REFUSED_FIELDS) == published
    assert not set(CONDITION_FIELDS) & set(REFUSED_FIELDS)


@pytest.mark.parametrize("field", sorted(REFUSED_FIELDS))
def test_a_field_that_chooses_no_policy_is_refused_with_its_reason(field: str) -> None:
    with pytest.raises(InvalidDefinition, match=REFUSED_FIELDS[field]) as refusal:
        book_of(policy(when={field: ["x"]}))
    assert refusal.value.code == "unknown_condition"


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ({"requester.email": ["a@b.example"]}, "personal data"),
        ({"reopens": ["often"]}, "whole number"),
        ({"reopens": ["01"]}, "whole number"),
        ({"number": ["-1"]}, "whole number"),
        ({"rating": ["splendid"]}, "bad, good"),
        ({"live": ["yes"]}, "false, true"),
        ({"links": ["cousin_of"]}, "incident_of"),
        ({"links": ["incident_of:"]}, "id of a ticket"),
    ],
)
def test_values_that_could_never_match_are_refused(when: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidDefinition, match=text):
        book_of(policy(when=when))


@pytest.mark.parametrize(
    ("when", "created_with", "events"),
    [
        ({"substatus": ["waiting for parts"]}, {}, (
            ("10:01", moved("open", "new", "waiting for parts")),
        )),
        ({"substatus": ["x"]}, {"substatus": "y", "status": "open"}, (
            ("10:01", moved("open", "open", "x")),
        )),
        ({"rating": ["bad"]}, {}, (
            *SOLVED,
            ("10:02", t.SatisfactionRated(rating="bad", requester_id="r1")),
            ("10:03", status("open", "solved")),
        )),
        ({"reopens": ["1", "2"]}, {}, (*SOLVED, ("10:02", status("open", "solved")))),
        ({"solved_by": ["7"]}, {"agent": "7"}, (*SOLVED, ("10:02", status("open", "solved")))),
        ({"escalations": ["1"]}, {}, (
            ("10:01", t.Escalated(tier=2, previous_tier=1, cause="manual")),
        )),
        ({"hand_overs": ["1"]}, {"group": "a"}, (
            ("10:01", t.Assigned(group="b", previous_group="a")),
        )),
        ({"group_changes": ["1"]}, {}, (("10:01", t.Assigned(group="b")),)),
        ({"public_replies": ["1"]}, {}, (("10:01", reply()),)),
        ({"internal_notes": ["1"]}, {}, (("10:01", reply("internal")),)),
        ({"requester_messages": ["1"]}, {}, (("10:01", QUESTION),)),
        ({"links": ["incident_of"]}, {}, (("10:01", t.TicketLinked(kind="incident_of", other="p")),)),
        ({"links": ["incident_of:p", "related"]}, {}, (
            ("10:01", t.TicketLinked(kind="incident_of", other="p")),
        )),
        ({"live": ["true"]}, {"imported_from": "elsewhere"}, (("10:01", activated()),)),
        ({"custom_fields.plan": ["gold"]}, {}, (
            ("10:01", t.CustomFieldChanged(field="plan", value="gold")),
        )),
    ],
)  # fmt: skip
def test_a_change_of_the_field_is_another_policy_from_then_on(
    when: dict[str, Any], created_with: dict[str, Any], events: tuple[tuple[str, Event], ...]
) -> None:
    book = book_of(policy(id="special", when=when), policy(id="rest"))
    case = Case(book).on("10:00", created(**created_with))
    assert case.clock("requester_wait").policy == "rest"
    for moment, event in events:
        assert case.clock("requester_wait").policy == "rest"
        case.on(moment, event)
    assert case.clock("requester_wait").policy == "special"


@pytest.mark.parametrize(
    ("when", "created_with"),
    [
        ({"imported_from": ["elsewhere"]}, {"imported_from": "elsewhere"}),
        ({"external_ref": ["INC1"]}, {"imported_from": "elsewhere", "external_ref": "INC1"}),
        ({"follow_up_of": ["t-0"]}, {"follow_up_of": "t-0"}),
        ({"number": ["7", "1"]}, {}),
        ({"live": ["false"]}, {"imported_from": "elsewhere"}),
        ({"reopens": ["0"]}, {}),
        ({"public_replies": ["0"], "channel": ["email"]}, {}),
        ({"substatus": ["s"]}, {"substatus": "s"}),
        ({"solved_by": ["7"]}, {"agent": "7", "status": "solved"}),
    ],
)
def test_what_a_new_ticket_has(when: dict[str, Any], created_with: dict[str, Any]) -> None:
    book = book_of(policy(id="special", when=when))
    case = Case(book).on("10:00", created(**created_with))
    if created_with.get("status") == "solved":
        case.on("10:01", status("open", "solved"))
    assert case.clock("requester_wait").policy == "special"


def test_a_substatus_that_changes_with_the_status_moves_the_clock_once_each_way() -> None:
    slow = policy(id="slow", when={"substatus": ["parts"]}, targets={"requester_wait": {
        "critical": {"target_s": 7200, "calendar": "always"}}})  # fmt: skip
    case = Case(book_of(slow, policy(id="rest"))).on("10:00", created())
    case.on("10:20", moved("pending", "new", "parts"))
    assert case.said("requester_wait") == [("paused", "10:20"), ("retargeted", "10:20")]
    case.on("10:50", moved("open", "pending"))
    assert case.said("requester_wait") == [("resumed", "10:50"), ("retargeted", "10:50")]
    assert case.due("requester_wait") == "11:30"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_what_policies_see_is_what_the_published_fold_says(seed: int) -> None:
    stream = Desk(seed).ticket(40)
    clocks: TicketClocks | None = None
    for number, envelope in enumerate(stream, start=1):
        cause = Cause(to_us(envelope.time), envelope.sequence)
        clocks, _ = advance(clocks, envelope.event, cause, book_of())
        assert clocks is not None
        ticket = fold(stream[:number])
        assert ticket is not None
        assert ticket.requester is not None
        expected: dict[str, Any] = {
            name: getattr(ticket, name) for name in CONDITION_FIELDS if name != "organization"
        }
        expected |= {"organization": ticket.requester.organization}
        expected |= {"requester": ticket.requester.id, "live": str(ticket.live).lower()}
        tags, links = expected.pop("tags"), expected.pop("links")
        for name, value in expected.items():
            assert clocks.asked.value(name) == (None if value is None else str(value)), name
        assert set(clocks.tags) == tags
        kinds = {kind for kind, _ in links}
        assert set(clocks.links) == kinds | {f"{kind}:{other}" for kind, other in links}
        custom = {
            name.removeprefix(CUSTOM): value
            for name, value in clocks.fields.items()
            if name.startswith(CUSTOM)
        }
        assert custom == ticket.custom_fields
    assert set(COUNTS) <= set(CONDITION_FIELDS)

"""What a ticket must tell before a person hands it over: the decision itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from libs.events import Command, CommandEnvelope, Event, Ticket, evolve
from libs.events import commands as c
from libs.events import ticket as t
from services.intake.domain import DecisionContext, Refused, decide, requirements_of
from services.intake.domain.requirements import OWN_FIELDS, missing_for_tier
from tests.intake.language import (
    A_SOLVED_TICKET,
    AN_IMPORTED_TICKET,
    AN_OPEN_TICKET,
    CREATED,
    START,
    TICKET,
    given,
    recorded,
)

HARDWARE = t.CategoryChanged(category="hardware")
EVERYBODY = {"category": "*", "fields": ["order"]}
FOR_HARDWARE = {
    "category": "hardware",
    "fields": ["serial"],
    "tiers": {"2": ["steps"], "3": ["log"]},
    "groups": {"field service": ["address"]},
}
UP = c.EscalateTicket()
TO_EXPERTS = c.EscalateTicket(tier=3)
TO_VIDEO = c.AssignTicket(group="video", agent="8")
PEOPLE = ["agent:7", "system", "service:reporting"]


def filled(**fields: str) -> tuple[Event, ...]:
    return tuple(t.CustomFieldChanged(field=name, value=value) for name, value in fields.items())


def missing(refused: Refused) -> Any:
    return refused.extra["missing"]


@pytest.mark.parametrize("actor", PEOPLE)
def test_an_escalation_waits_for_what_the_next_tier_needs(actor: str) -> None:
    desk = given(*AN_OPEN_TICKET, HARDWARE).requiring(EVERYBODY, FOR_HARDWARE)
    refused = desk.when(UP, actor).then_refused("missing_information")
    assert missing(refused) == ["order", "serial", "steps"]
    assert refused.extra["requirements_version"] == 1
    assert "order, serial, steps" in refused.detail


def test_with_everything_filled_in_it_goes_up() -> None:
    whole = (*AN_OPEN_TICKET, HARDWARE, *filled(order="17", serial="X", steps="all"))
    desk = given(*whole).requiring(EVERYBODY, FOR_HARDWARE)
    desk.when(UP).then(t.Escalated(tier=2, previous_tier=1, cause="manual"))
    assert missing(desk.when(TO_EXPERTS).then_refused("missing_information")) == ["log"]


def test_a_tier_that_is_passed_over_counts_too() -> None:
    desk = given(*AN_OPEN_TICKET, HARDWARE, *filled(serial="X", log="y")).requiring(FOR_HARDWARE)
    assert missing(desk.when(TO_EXPERTS).then_refused("missing_information")) == ["steps"]
    at_two = t.Escalated(tier=2, previous_tier=1, cause="sla")
    higher = given(*AN_OPEN_TICKET, HARDWARE, at_two, *filled(serial="X", log="y"))
    assert higher.requiring(FOR_HARDWARE).when(TO_EXPERTS).answer()


@pytest.mark.parametrize("value", ["", " ", "\t\n", "\u200b\u00a0"])
def test_a_blank_field_is_a_missing_one(value: str) -> None:
    desk = given(*AN_OPEN_TICKET, *filled(order=value)).requiring(EVERYBODY)
    assert missing(desk.when(UP).then_refused("missing_information")) == ["order"]


def test_the_ticket_s_own_fields_are_asked_for_by_name() -> None:
    own = {"category": "*", "fields": ["category", "subcategory", "language"]}
    desk = given(*AN_OPEN_TICKET, *filled(category="not this one")).requiring(own)
    refused = desk.when(UP).then_refused("missing_information")
    assert missing(refused) == ["category", "subcategory", "language"]
    told = CREATED.model_copy(update={"category": "a", "subcategory": "b", "language": "es"})
    assert given(told).requiring(own).when(UP).answer()


def test_only_the_ticket_s_category_and_every_category_ask() -> None:
    software = t.CategoryChanged(category="software")
    assert given(*AN_OPEN_TICKET, software).requiring(FOR_HARDWARE).when(UP).answer()
    assert given(*AN_OPEN_TICKET).requiring(FOR_HARDWARE).when(UP).answer()
    odd = given(*AN_OPEN_TICKET, t.CategoryChanged(category="*")).requiring(EVERYBODY)
    assert missing(odd.when(UP).then_refused("missing_information")) == ["order"]


def test_moving_from_group_to_group_is_a_hand_over() -> None:
    desk = given(*AN_OPEN_TICKET, HARDWARE).requiring(FOR_HARDWARE)
    assert missing(desk.when(TO_VIDEO).then_refused("missing_information")) == ["serial"]
    out = c.AssignTicket(group="field service")
    assert missing(desk.when(out).then_refused("missing_information")) == ["serial", "address"]
    no_group = desk.when(c.AssignTicket(agent="8")).then_refused("missing_information")
    assert missing(no_group) == ["serial"], "or two steps would do what one may not"
    whole = given(*AN_OPEN_TICKET, HARDWARE, *filled(serial="X", address="Y"))
    assert whole.requiring(FOR_HARDWARE).when(out).answer()


@pytest.mark.parametrize(
    "command",
    [
        c.AssignTicket(group="audio", agent="8"),
        c.AssignTicket(group="audio"),
        c.UnassignTicket(),
        c.ChangeCategory(category="other"),
    ],
    ids=str,
)
def test_what_is_no_hand_over(command: Command) -> None:
    assert given(*AN_OPEN_TICKET, HARDWARE).requiring(FOR_HARDWARE).when(command).answer()


def test_the_first_group_gets_a_ticket_as_it_is() -> None:
    assert given(CREATED, HARDWARE).requiring(FOR_HARDWARE).when(TO_VIDEO).answer()


@pytest.mark.parametrize("actor", ["service:routing", "service:sla"])
@pytest.mark.parametrize("command", [UP, TO_EXPERTS, TO_VIDEO], ids=str)
def test_machines_are_not_asked_for_what_only_people_know(actor: str, command: Command) -> None:
    desk = given(*AN_OPEN_TICKET, HARDWARE).requiring(EVERYBODY, FOR_HARDWARE)
    assert desk.when(command, actor).answer()


def test_an_import_records_what_happened() -> None:
    held = (*AN_IMPORTED_TICKET, t.Assigned(group="audio", agent="7"))
    desk = given(*held).requiring(EVERYBODY)
    assert desk.when(UP, "import:servicenow").answer()
    assert desk.when(TO_VIDEO, "import:servicenow").answer()


def test_other_refusals_come_first_and_what_is_so_already_is_no_hand_over() -> None:
    desk = given(*A_SOLVED_TICKET).requiring(EVERYBODY)
    desk.when(UP).then_refused("not_escalatable")
    desk.when(TO_VIDEO).then_refused("not_assignable")
    at_three = (*AN_OPEN_TICKET, t.Escalated(tier=3, previous_tier=1, cause="sla"))
    given(*at_three).requiring(EVERYBODY).when(UP).then_refused("highest_tier")
    given(*at_three).requiring(EVERYBODY).when(c.EscalateTicket(tier=2)).then_nothing()
    same = c.AssignTicket(group="audio", agent="7")
    given(*AN_OPEN_TICKET).requiring(EVERYBODY).when(same).then_nothing()


# ------------------------------------------------------------------------------ guarded requests


def test_a_ticket_is_taken_back_from_the_agent_who_was_meant() -> None:
    take_back = c.UnassignTicket(reason="out of office", if_agent="7")
    given(*AN_OPEN_TICKET).when(take_back, "service:routing").then(
        t.Unassigned(previous_group="audio", previous_agent="7", reason="out of office")
    )
    handed_on = (*AN_OPEN_TICKET, t.Assigned(group="audio", agent="8"))
    refused = given(*handed_on).when(take_back, "service:routing").then_refused("not_held_by")
    assert refused.extra == {"agent": "8"}
    nobody = (*AN_OPEN_TICKET, t.Unassigned())
    refused = given(*nobody).when(take_back, "service:routing").then_refused("not_held_by")
    assert refused.extra == {"agent": None}
    group_only = (*AN_OPEN_TICKET, t.Assigned(group="audio"))
    given(*group_only).when(take_back, "service:routing").then_refused("not_held_by")


def test_a_router_never_takes_a_ticket_out_of_a_group_it_did_not_see() -> None:
    def offer(if_group: str) -> c.AssignTicket:
        return c.AssignTicket(group="video", agent="8", if_unassigned=True, if_group=if_group)

    moved = given(CREATED, t.Assigned(group="audio"))
    refused = moved.when(offer("video"), "service:routing").then_refused("group_changed")
    assert refused.extra == {"group": "audio"}
    moved.when(offer(""), "service:routing").then_refused("group_changed")
    assert moved.when(offer("audio"), "service:routing").answer(), "an overflow group, knowingly"
    given(CREATED).when(offer("video"), "service:routing").then_refused("group_changed")
    assert given(CREATED).when(offer(""), "service:routing").answer()


def test_an_escalation_leaves_the_holder() -> None:
    (escalated,) = given(*AN_OPEN_TICKET).when(c.EscalateTicket(cause="hand_over_limit")).answer()
    before = given(*AN_OPEN_TICKET).when(c.UnassignTicket()).ticket
    after = evolve(before, recorded(escalated, 4, time=START))
    assert (after.tier, after.group, after.agent) == (2, "audio", "7")


# ------------------------------------------------------------------------------------ any history

NAMES = st.sampled_from(["order", "serial", "steps", "category", "language"])
LISTS = st.lists(NAMES, min_size=1, max_size=3, unique=True)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "fields": LISTS,
        "tiers": st.dictionaries(st.sampled_from(["2", "3"]), LISTS, min_size=1),
        "groups": st.dictionaries(st.sampled_from(["a", "b"]), LISTS, min_size=1),
    },
)
DOCUMENTS = st.dictionaries(st.sampled_from(["*", "x", "y"]), ENTRIES, max_size=3).map(
    lambda entries: [{"category": name, **entry} for name, entry in entries.items()]
)
WORD = st.none() | st.sampled_from(["a", "b"])
STEPS = st.lists(
    st.one_of(
        st.builds(c.EscalateTicket, tier=st.sampled_from([None, 2, 3])),
        st.builds(c.AssignTicket, group=WORD, agent=WORD),
        st.builds(
            c.ChangeCustomField, field=NAMES, value=st.sampled_from([None, "", " ", "17", "all"])
        ),
        st.builds(c.ChangeCategory, category=st.sampled_from([None, "x", "y"])),
        DOCUMENTS,
    ),
    max_size=30,
)


def naked(ticket: Ticket, names: list[str]) -> list[str]:
    """The names among these that the ticket says nothing about; written without the domain."""
    own = {"category": ticket.category, "language": ticket.language}
    told = {**ticket.custom_fields, **{name: value or "" for name, value in own.items()}}
    return [name for name in names if not told.get(name, "").strip()]


def check_hand_over(ticket: Ticket, event: Event, document: list[dict[str, Any]]) -> None:
    for entry in document:
        if entry["category"] not in ("*", ticket.category):
            continue
        match event:
            case t.Escalated():
                tiers = [str(tier) for tier in range(ticket.tier + 1, event.tier + 1)]
                lists = [entry.get("tiers", {}).get(tier, []) for tier in tiers]
            case t.Assigned() if ticket.group is not None and event.group != ticket.group:
                lists = [entry.get("groups", {}).get(event.group, [])]
            case _:
                continue
        wanted = [*entry.get("fields", []), *(name for names in lists for name in names)]
        assert naked(ticket, wanted) == [], f"{event} without {wanted}"


@settings(max_examples=400, deadline=None)
@for_all(steps=STEPS, document=DOCUMENTS, actor=st.sampled_from(["agent:7", "system", "agent:sla"]))
def test_no_history_holds_a_hand_over_of_a_ticket_that_lacked_what_was_required(
    steps: list[Any], document: list[dict[str, Any]], actor: str
) -> None:
    ticket = evolve(None, recorded(CREATED, 1, time=START))
    for step in steps:
        if isinstance(step, list):
            document = step  # the requirements were changed
            continue
        context = DecisionContext(START, 1001, requirements=requirements_of(1, document))
        try:
            events = decide(CommandEnvelope("c", TICKET, step, actor), ticket, context)
        except Refused as refused:
            if refused.code == "missing_information":
                listed = refused.extra["missing"]
                assert listed, "a refusal says what is missing"
                assert naked(ticket, listed) == listed, "and asks for nothing that is there"
            continue
        for event in events:
            check_hand_over(ticket, event, document)
            ticket = evolve(ticket, recorded(event, ticket.sequence + 1, time=START))


@settings(max_examples=100, deadline=None)
@for_all(document=DOCUMENTS, tier=st.sampled_from([2, 3]))
def test_filling_in_exactly_what_is_listed_is_enough(
    document: list[dict[str, Any]], tier: int
) -> None:
    requirements = requirements_of(1, document)
    ticket = evolve(None, recorded(CREATED, 1, time=START))
    for _ in range(2):  # once a category is filled in, it may ask for more
        for name in missing_for_tier(requirements, ticket, tier):
            if name in OWN_FIELDS:
                told: dict[str, Any] = {name: "x"}
                ticket = replace(ticket, **told)
            else:
                ticket = replace(ticket, custom_fields={**ticket.custom_fields, name: "told"})
    assert missing_for_tier(requirements, ticket, tier) == ()

"""Creation, holders, tiers, details, and what is checked before every command."""

from __future__ import annotations

from datetime import timedelta

import pytest

from libs.events import Channel, Command, CommandEnvelope, Priority, Status
from libs.events import commands as c
from libs.events import ticket as t
from services.intake.domain import DomainSettings, decide, follow_up
from services.intake.domain.model import DecisionContext
from tests.intake.language import (
    A_CLOSED_TICKET,
    A_NEW_TICKET,
    A_SOLVED_TICKET,
    AN_IMPORTED_TICKET,
    AN_OPEN_TICKET,
    ANA,
    ASSIGNED,
    CREATED,
    OPENED,
    START,
    TICKET,
    folded,
    given,
)

CREATE = c.CreateTicket(subject="No sound", requester=ANA, tags=("a", "b", "a"))


def test_a_ticket_is_created_under_the_next_number() -> None:
    given().when(CREATE, "system").then(
        t.TicketCreated(
            number=1001, subject="No sound", requester=ANA, tags=("a", "b"), channel=Channel.API
        )
    )


def test_a_ticket_is_created_once() -> None:
    given(*A_NEW_TICKET).when(CREATE, "system").then_refused("ticket_exists")


@pytest.mark.parametrize(
    "field", ["status", "substatus", "group", "agent", "imported_from", "external_ref"]
)
def test_what_only_imports_may_set(field: str) -> None:
    value = Status.CLOSED if field == "status" else "servicenow"
    command = CREATE.model_copy(update={field: value})
    refused = given().when(command, "agent:7").then_refused("import_only_field")
    assert refused.extra["fields"] == [field]
    (created,) = given().when(command, "import:servicenow").answer()
    assert getattr(created, field) == value


def test_an_import_is_always_marked_as_such() -> None:
    (created,) = given().when(CREATE, "import:servicenow", time=START).answer()
    assert isinstance(created, t.TicketCreated)
    assert created.imported_from == "servicenow"
    lie = CREATE.model_copy(update={"imported_from": "elsewhere"})
    given().when(lie, "import:servicenow").then_refused("import_only_field")


def test_only_imports_say_when() -> None:
    refused = given(*A_NEW_TICKET).when(
        c.ChangePriority(priority=Priority.LOW), "agent:7", time=START
    )
    refused.then_refused("import_only_field")


def test_a_requester_creates_in_their_own_name() -> None:
    assert given().when(CREATE, "requester:ana").answer()
    given().when(CREATE, "requester:bob").then_refused("not_permitted", 403)


# ----------------------------------------------------------------------------- before everything


def test_unknown_ticket_and_stale_version() -> None:
    priority = c.ChangePriority(priority=Priority.HIGH)
    given().when(priority).then_refused("unknown_ticket", 404)
    stale = given(*AN_OPEN_TICKET).when(priority, expected_sequence=2)
    assert stale.then_refused("stale_version", 412).extra == {"current_sequence": 3}
    assert given(*AN_OPEN_TICKET).when(priority, expected_sequence=3).answer()


# --------------------------------------------------------------------------------------- holders


def test_an_assignment_to_a_person_opens_a_new_ticket() -> None:
    given(*A_NEW_TICKET).when(c.AssignTicket(group="audio", agent="7", decision_id="d-1")).then(
        t.Assigned(group="audio", agent="7", decision_id="d-1"),
        t.StatusChanged(status=Status.OPEN, previous=Status.NEW, reason="assigned"),
    )


def test_an_assignment_to_a_group_does_not() -> None:
    given(*A_NEW_TICKET).when(c.AssignTicket(group="audio")).then(t.Assigned(group="audio"))


def test_an_assignment_states_the_whole_new_holder() -> None:
    given(*AN_OPEN_TICKET).when(c.AssignTicket(agent="8")).then(
        t.Assigned(agent="8", previous_group="audio", previous_agent="7")
    )
    given(*AN_OPEN_TICKET).when(c.AssignTicket(group="audio", agent="7")).then_nothing()
    given(*AN_OPEN_TICKET).when(c.AssignTicket()).then_refused("no_holder")


def test_a_router_never_takes_a_ticket_from_somebody() -> None:
    ask = c.AssignTicket(group="audio", agent="8", if_unassigned=True)
    refused = given(*AN_OPEN_TICKET).when(ask, "service:routing").then_refused("already_assigned")
    assert refused.extra == {"agent": "7"}
    group_only = (CREATED, t.Assigned(group="audio"))
    assert given(*group_only).when(ask, "service:routing").answer()


def test_what_cannot_be_assigned() -> None:
    ask = c.AssignTicket(agent="8")
    given(*A_SOLVED_TICKET).when(ask).then_refused("not_assignable")
    given(*A_CLOSED_TICKET).when(ask).then_refused("not_assignable")
    given(*AN_IMPORTED_TICKET).when(ask, "service:routing").then_refused("not_live")
    closed_import = (
        *AN_IMPORTED_TICKET,
        t.StatusChanged(status=Status.CLOSED, previous=Status.NEW),
    )
    assert given(*closed_import).when(ask, "import:servicenow").answer()
    assert len(given(*AN_IMPORTED_TICKET).when(ask, "import:servicenow").answer()) == 1


def test_unassigning() -> None:
    give_back = c.UnassignTicket(reason="gone home")
    given(*AN_OPEN_TICKET).when(give_back).then(
        t.Unassigned(previous_group="audio", previous_agent="7", reason="gone home")
    )
    given(*A_NEW_TICKET).when(give_back).then_nothing()
    given(*A_CLOSED_TICKET).when(give_back).then_refused("ticket_closed")


# ----------------------------------------------------------------------------------------- tiers


def test_escalation_goes_one_tier_up_or_to_the_named_tier() -> None:
    given(*AN_OPEN_TICKET).when(c.EscalateTicket(reason="needs a key")).then(
        t.Escalated(tier=2, previous_tier=1, cause="manual", reason="needs a key")
    )
    given(*AN_OPEN_TICKET).when(c.EscalateTicket(tier=3, cause="sla"), "service:sla").then(
        t.Escalated(tier=3, previous_tier=1, cause="sla")
    )


def test_an_escalation_that_has_happened_is_not_repeated() -> None:
    at_three = (*AN_OPEN_TICKET, t.Escalated(tier=3, previous_tier=1, cause="manual"))
    given(*at_three).when(c.EscalateTicket(tier=2, cause="sla"), "service:sla").then_nothing()
    given(*at_three).when(c.EscalateTicket(tier=3)).then_nothing()
    given(*at_three).when(c.EscalateTicket()).then_refused("highest_tier")


def test_what_is_not_escalated() -> None:
    given(*A_SOLVED_TICKET).when(c.EscalateTicket()).then_refused("not_escalatable")
    given(*AN_IMPORTED_TICKET).when(c.EscalateTicket(tier=2), "service:sla").then_refused(
        "not_live"
    )


# --------------------------------------------------------------------------------------- details


def test_details_change_and_say_what_was_before() -> None:
    open_ = given(*AN_OPEN_TICKET)
    open_.when(c.ChangePriority(priority=Priority.HIGH)).then(
        t.PriorityChanged(priority=Priority.HIGH, previous=Priority.MEDIUM)
    )
    open_.when(c.ChangeCategory(category="hardware", subcategory="sound")).then(
        t.CategoryChanged(category="hardware", subcategory="sound")
    )
    open_.when(c.ChangeCustomField(field="order", value="17")).then(
        t.CustomFieldChanged(field="order", value="17")
    )
    filled = given(*AN_OPEN_TICKET, t.CustomFieldChanged(field="order", value="17"))
    filled.when(c.ChangeCustomField(field="order")).then(
        t.CustomFieldChanged(field="order", previous="17")
    )


def test_a_priority_that_is_only_to_be_raised_is_never_lowered() -> None:
    medium = given(*AN_OPEN_TICKET)
    for lower in (Priority.LOW, Priority.MEDIUM):
        medium.when(c.ChangePriority(priority=lower, raise_only=True)).then_nothing()
    medium.when(c.ChangePriority(priority=Priority.HIGH, raise_only=True)).then(
        t.PriorityChanged(priority=Priority.HIGH, previous=Priority.MEDIUM)
    )


def test_details_that_are_so_already_change_nothing() -> None:
    closed = given(*A_CLOSED_TICKET)
    closed.when(c.ChangePriority(priority=Priority.MEDIUM)).then_nothing()
    closed.when(c.ChangeCategory()).then_nothing()
    closed.when(c.ChangeTags(remove=("x",))).then_nothing()
    closed.when(c.ChangeCustomField(field="order")).then_nothing()


@pytest.mark.parametrize(
    "command",
    [
        c.ChangePriority(priority=Priority.HIGH),
        c.ChangeCategory(category="x"),
        c.ChangeTags(add=("x",)),
        c.ChangeCustomField(field="order", value="17"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_closed_ticket_keeps_its_details(command: Command) -> None:
    given(*A_CLOSED_TICKET).when(command).then_refused("ticket_closed")


def test_tags() -> None:
    tagged = (*AN_OPEN_TICKET, t.TagsChanged(added=("a", "b")))
    given(*tagged).when(c.ChangeTags(add=("c", "a", "c"), remove=("b", "x"))).then(
        t.TagsChanged(added=("c",), removed=("b",))
    )
    given(*tagged).when(c.ChangeTags(add=("a",), remove=("a",))).then_nothing()


def test_a_ticket_does_not_grow_without_end() -> None:
    settings = DomainSettings(tags_max=2, custom_fields_max=1)
    full = (
        *AN_OPEN_TICKET,
        t.TagsChanged(added=("a", "b")),
        t.CustomFieldChanged(field="order", value="17"),
    )
    tight = given(*full).under(settings)
    tight.when(c.ChangeTags(add=("c",))).then_refused("too_many_tags")
    assert tight.when(c.ChangeTags(add=("c",), remove=("a",))).answer()
    tight.when(c.ChangeCustomField(field="site", value="2")).then_refused("too_many_custom_fields")
    assert tight.when(c.ChangeCustomField(field="order", value="18")).answer()


# ------------------------------------------------------------------------------------- follow-up


def test_a_reply_to_a_closed_ticket_becomes_a_linked_ticket() -> None:
    closed = folded(A_CLOSED_TICKET)
    assert closed is not None
    message = c.AddMessage(author="requester", author_id="ana", body="It broke again")
    envelope = CommandEnvelope("c-9", TICKET, message, "requester:ana", correlation_id="talk")
    opened, linked = follow_up(envelope, closed)
    assert follow_up(envelope, closed) == (opened, linked), "the same message, the same follow-up"
    assert opened.command_id != linked.command_id
    assert (opened.correlation_id, opened.causation_id) == ("talk", "c-9")

    context = DecisionContext(START + timedelta(days=9), 1002)
    (created,) = decide(opened, None, context)
    assert isinstance(created, t.TicketCreated)
    assert created.follow_up_of == TICKET
    assert created.description == "It broke again"
    assert created.requester == ANA
    assert decide(linked, closed, context) == (
        t.TicketLinked(kind="followed_up_by", other=opened.ticket_id),
    )


def test_only_messages_are_followed_up() -> None:
    closed = folded(A_CLOSED_TICKET)
    assert closed is not None
    with pytest.raises(TypeError):
        follow_up(CommandEnvelope("c", TICKET, c.UnassignTicket(), "system"), closed)


def test_the_examples_are_what_they_say() -> None:
    state = folded((CREATED, ASSIGNED, OPENED))
    assert state is not None
    assert (state.status, state.agent) == (Status.OPEN, "7")

"""Status: by hand, by messages, by time; imports; merging."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from libs.events import Channel, Event, Priority, Status
from libs.events.commands import (
    ActivateImportedTicket,
    AddMessage,
    ChangePriority,
    ChangeStatus,
    CloseSolvedTicket,
    LinkTicket,
    MergeTicket,
    RateSatisfaction,
)
from libs.events.ticket import (
    ImportedTicketActivated,
    MessageAdded,
    SatisfactionRated,
    StatusChanged,
    TicketLinked,
    TicketMerged,
)
from services.intake.domain import DomainSettings
from services.intake.domain.life import BY_HAND
from tests.intake.language import (
    A_CLOSED_IMPORT,
    A_CLOSED_TICKET,
    A_NEW_TICKET,
    A_PENDING_TICKET,
    A_SOLVED_TICKET,
    AN_IMPORTED_TICKET,
    AN_ON_HOLD_TICKET,
    AN_OPEN_TICKET,
    OTHER,
    SOLVED_AT,
    TICKET,
    given,
)

HISTORY = {
    Status.NEW: A_NEW_TICKET,
    Status.OPEN: AN_OPEN_TICKET,
    Status.PENDING: A_PENDING_TICKET,
    Status.ON_HOLD: AN_ON_HOLD_TICKET,
    Status.SOLVED: A_SOLVED_TICKET,
    Status.CLOSED: A_CLOSED_TICKET,
}
BY_IMPORT = "import:servicenow"
FROM_ANA = AddMessage(author="requester", author_id="ana", body="Still nothing")
FROM_AGENT = AddMessage(author="agent", author_id="7", body="Try the other plug")
NOTE = AddMessage(author="agent", author_id="7", visibility="internal", body="Knows little")
ANA_WROTE = MessageAdded(
    message_id="c-1", author="requester", author_id="ana", body="Still nothing", channel=Channel.API
)
AGENT_WROTE = MessageAdded(
    message_id="c-1", author="agent", author_id="7", body="Try the other plug", channel=Channel.API
)
DUE = SOLVED_AT + timedelta(days=4)


@pytest.mark.parametrize(("start", "to"), list(product(Status, Status)))
def test_by_hand_a_ticket_goes_where_the_table_says(start: Status, to: Status) -> None:
    asked = given(*HISTORY[start]).when(ChangeStatus(status=to, reason="why"))
    if to is start:
        asked.then_nothing()
    elif start is Status.CLOSED:
        asked.then_refused("ticket_closed")
    elif to in BY_HAND[start]:
        asked.then(StatusChanged(status=to, previous=start, reason="why"))
    else:
        refused = asked.then_refused("forbidden_transition")
        assert refused.extra["allowed"] == sorted(BY_HAND[start])


def test_nobody_returns_to_new_and_nobody_closes_by_hand() -> None:
    reachable = set().union(*BY_HAND.values())
    assert not reachable & {Status.NEW, Status.CLOSED}
    assert not BY_HAND[Status.CLOSED]


def test_a_sub_status_may_change_alone() -> None:
    given(*A_PENDING_TICKET).when(ChangeStatus(status=Status.PENDING, substatus="parts")).then(
        StatusChanged(status=Status.PENDING, previous=Status.PENDING, substatus="parts")
    )


@pytest.mark.parametrize("waiting", [Status.PENDING, Status.SOLVED, Status.ON_HOLD])
def test_a_requesters_reply_reopens(waiting: Status) -> None:
    given(*HISTORY[waiting]).when(FROM_ANA, "requester:ana").then(
        ANA_WROTE,
        StatusChanged(status=Status.OPEN, previous=waiting, reason="the requester replied"),
    )


def test_on_hold_stays_on_hold_when_the_organization_wants_it() -> None:
    settings = DomainSettings(reopen_on_hold_on_reply=False)
    given(*AN_ON_HOLD_TICKET).under(settings).when(FROM_ANA).then(ANA_WROTE)


@pytest.mark.parametrize("status", [Status.NEW, Status.OPEN])
def test_a_requesters_reply_to_work_in_progress_changes_no_status(status: Status) -> None:
    given(*HISTORY[status]).when(FROM_ANA).then(ANA_WROTE)


def test_the_first_public_reply_of_an_agent_opens_a_new_ticket() -> None:
    given(*A_NEW_TICKET).when(FROM_AGENT).then(
        AGENT_WROTE,
        StatusChanged(status=Status.OPEN, previous=Status.NEW, reason="first reply"),
    )


@pytest.mark.parametrize("status", [Status.OPEN, Status.PENDING, Status.ON_HOLD, Status.SOLVED])
def test_later_replies_of_agents_change_no_status(status: Status) -> None:
    given(*HISTORY[status]).when(FROM_AGENT).then(AGENT_WROTE)


def test_a_note_changes_no_status() -> None:
    (note,) = given(*A_NEW_TICKET).when(NOTE).answer()
    assert isinstance(note, MessageAdded)
    assert note.visibility == "internal"


def test_a_message_keeps_its_own_channel() -> None:
    phone = given(*AN_OPEN_TICKET).when(
        AddMessage(author="requester", author_id="ana", body="Hello?", channel=Channel.PHONE)
    )
    (message,) = phone.answer()
    assert isinstance(message, MessageAdded)
    assert message.channel is Channel.PHONE


def test_a_message_on_a_closed_ticket() -> None:
    closed = given(*A_CLOSED_TICKET)
    closed.when(FROM_ANA, "requester:ana").then_refused("closed_needs_follow_up")
    closed.when(FROM_AGENT).then_refused("ticket_closed")
    closed.when(NOTE).then_refused("ticket_closed")


def test_who_may_write_as_the_requester() -> None:
    stranger = AddMessage(author="requester", author_id="bob", body="Me too")
    given(*AN_OPEN_TICKET).when(stranger, "system").then_refused("not_on_ticket")
    given(*AN_OPEN_TICKET).when(stranger, "requester:bob").then_refused("not_on_ticket", 403)
    given(*AN_OPEN_TICKET).when(stranger, "requester:ana").then_refused("not_permitted", 403)
    given(*AN_OPEN_TICKET).when(FROM_AGENT, "requester:ana").then_refused("not_permitted", 403)
    hidden = AddMessage(author="requester", author_id="ana", body="x", visibility="internal")
    given(*AN_OPEN_TICKET).when(hidden, "requester:ana").then_refused("internal_by_requester")


def test_what_a_requester_may_do_with_a_status() -> None:
    solve = ChangeStatus(status=Status.SOLVED)
    reopen = ChangeStatus(status=Status.OPEN)
    hold = ChangeStatus(status=Status.ON_HOLD)
    ana = "requester:ana"
    given(*AN_OPEN_TICKET).when(solve, ana).then(
        StatusChanged(status=Status.SOLVED, previous=Status.OPEN)
    )
    given(*A_SOLVED_TICKET).when(reopen, ana).then(
        StatusChanged(status=Status.OPEN, previous=Status.SOLVED)
    )
    given(*AN_OPEN_TICKET).when(hold, ana).then_refused("forbidden_transition")
    given(*AN_OPEN_TICKET).when(ChangePriority(priority=Priority.CRITICAL), ana).then_refused(
        "not_permitted", 403
    )


# -------------------------------------------------------------------------------------- closing


def test_a_solved_ticket_is_closed_when_its_days_are_over() -> None:
    given(*A_SOLVED_TICKET).at(DUE).when(CloseSolvedTicket(), "system").then(
        StatusChanged(status=Status.CLOSED, previous=Status.SOLVED, reason="solved long enough")
    )


def test_it_is_not_closed_a_microsecond_earlier() -> None:
    early = given(*A_SOLVED_TICKET).at(DUE - timedelta(microseconds=1))
    early.when(CloseSolvedTicket(), "system").then_refused("not_due")


def test_closing_again_changes_nothing() -> None:
    given(*A_CLOSED_TICKET).at(DUE).when(CloseSolvedTicket(), "system").then_nothing()


@pytest.mark.parametrize("status", [Status.NEW, Status.OPEN, Status.PENDING, Status.ON_HOLD])
def test_only_solved_tickets_are_closed(status: Status) -> None:
    given(*HISTORY[status]).at(DUE).when(CloseSolvedTicket(), "system").then_refused("not_solved")


@pytest.mark.parametrize("actor", ["agent:7", "requester:ana", "service:sla", "import:servicenow"])
def test_nobody_but_the_system_closes(actor: str) -> None:
    asked = given(*A_SOLVED_TICKET).at(DUE).when(CloseSolvedTicket(), actor)
    code = {"requester:ana": "not_permitted", BY_IMPORT: "not_its_import"}.get(actor)
    asked.then_refused(code or "system_only", 409 if actor == BY_IMPORT else 403)


# --------------------------------------------------------------------------------------- rating

GOOD = RateSatisfaction(rating="good", comment="Quick")


@pytest.mark.parametrize("history", [A_SOLVED_TICKET, A_CLOSED_TICKET])
def test_the_requester_rates_a_resolution(history: tuple[Event, ...]) -> None:
    given(*history).when(GOOD, "requester:ana").then(
        SatisfactionRated(rating="good", comment="Quick", requester_id="ana", solved_at=SOLVED_AT)
    )


def test_nobody_else_rates_and_nothing_unsolved_is_rated() -> None:
    given(*A_SOLVED_TICKET).when(GOOD, "agent:7").then_refused("only_requester", 403)
    given(*A_SOLVED_TICKET).when(GOOD, "requester:bob").then_refused("not_on_ticket", 403)
    given(*AN_OPEN_TICKET).when(GOOD, "requester:ana").then_refused("not_solved")


# -------------------------------------------------------------------------------------- imports


@pytest.mark.parametrize("start", list(Status))
@pytest.mark.parametrize("to", list(Status))
def test_an_import_records_any_change_of_status(start: Status, to: Status) -> None:
    history: tuple[Event, ...] = AN_IMPORTED_TICKET
    if start is not Status.NEW:
        history = (*history, StatusChanged(status=start, previous=Status.NEW))
    asked = given(*history).when(ChangeStatus(status=to), BY_IMPORT)
    if start is to:
        asked.then_nothing()
    else:
        asked.then(StatusChanged(status=to, previous=start))


@pytest.mark.parametrize("actor", ["agent:7", "system"])
def test_only_an_import_is_free_of_the_rules(actor: str) -> None:
    closing = ChangeStatus(status=Status.CLOSED)
    given(*AN_IMPORTED_TICKET).when(closing, actor).then_refused("forbidden_transition")


def test_an_import_writes_its_own_history_only() -> None:
    closing = ChangeStatus(status=Status.CLOSED)
    given(*AN_IMPORTED_TICKET).when(closing, "import:other").then_refused("not_its_import")
    given(*A_NEW_TICKET).when(closing, BY_IMPORT).then_refused("not_its_import")
    live = (*AN_IMPORTED_TICKET, ImportedTicketActivated())
    given(*live).when(closing, BY_IMPORT).then_refused("already_live")


def test_imported_history_is_handed_to_the_desk() -> None:
    hand_over = ActivateImportedTicket(reason="cut-over")
    given(*AN_IMPORTED_TICKET).when(hand_over).then(ImportedTicketActivated(reason="cut-over"))
    given(*AN_IMPORTED_TICKET, ImportedTicketActivated()).when(hand_over).then_nothing()
    given(*A_NEW_TICKET).when(hand_over).then_nothing()
    given(*A_CLOSED_IMPORT).when(hand_over).then_refused("ticket_closed")


def test_the_requesters_reply_makes_history_live() -> None:
    reply = AddMessage(author="requester", author_id="caller", body="Again!")
    solved = (*AN_IMPORTED_TICKET, StatusChanged(status=Status.SOLVED, previous=Status.NEW))
    events = given(*solved).when(reply, "requester:caller").answer()
    assert [type(event).__name__ for event in events] == [
        "ImportedTicketActivated",
        "MessageAdded",
        "StatusChanged",
    ]


def test_a_message_in_an_import_changes_nothing_else() -> None:
    solved = (*AN_IMPORTED_TICKET, StatusChanged(status=Status.SOLVED, previous=Status.NEW))
    reply = AddMessage(author="requester", author_id="somebody", body="Thanks")
    assert len(given(*solved).when(reply, BY_IMPORT).answer()) == 1
    assert len(given(*A_CLOSED_IMPORT).when(reply, BY_IMPORT).answer()) == 1


def test_imported_history_is_not_closed_by_time() -> None:
    solved = (*AN_IMPORTED_TICKET, StatusChanged(status=Status.SOLVED, previous=Status.NEW))
    given(*solved).at(DUE).when(CloseSolvedTicket(), "system").then_refused("not_live")


# ----------------------------------------------------------------------------- merging, linking


def test_a_merged_ticket_is_solved() -> None:
    given(*AN_OPEN_TICKET).when(MergeTicket(into=OTHER)).then(
        TicketMerged(into=OTHER),
        StatusChanged(
            status=Status.SOLVED, previous=Status.OPEN, reason="merged into another ticket"
        ),
    )
    given(*A_SOLVED_TICKET).when(MergeTicket(into=OTHER)).then(TicketMerged(into=OTHER))


def test_what_cannot_be_merged() -> None:
    given(*AN_OPEN_TICKET).when(MergeTicket(into=TICKET)).then_refused("merge_into_itself")
    given(*A_CLOSED_TICKET).when(MergeTicket(into=OTHER)).then_refused("ticket_closed")


def test_a_merged_ticket_only_waits_to_be_closed() -> None:
    merged = (*A_SOLVED_TICKET, TicketMerged(into=OTHER))
    given(*merged).when(MergeTicket(into=OTHER)).then_nothing()
    refused = given(*merged).when(FROM_ANA, "requester:ana").then_refused("ticket_merged")
    assert refused.extra == {"merged_into": OTHER}
    given(*merged).when(LinkTicket(kind="related", other=OTHER)).then_refused("ticket_merged")
    assert given(*merged).at(DUE + timedelta(days=1)).when(CloseSolvedTicket(), "system").answer()


def test_links() -> None:
    related = LinkTicket(kind="related", other=OTHER)
    linked = TicketLinked(kind="related", other=OTHER)
    given(*AN_OPEN_TICKET).when(related).then(linked)
    given(*A_CLOSED_TICKET).when(related).then(linked)
    given(*AN_OPEN_TICKET, linked).when(related).then_nothing()
    given(*AN_OPEN_TICKET).when(LinkTicket(kind="related", other=TICKET)).then_refused(
        "link_to_itself"
    )

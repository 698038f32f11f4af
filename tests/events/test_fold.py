from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import (
    Channel,
    Event,
    EventEnvelope,
    Priority,
    Status,
    Ticket,
    decode_event,
    encode_event,
    evolve,
    fold,
    ticket,
)
from libs.events.fold import _CHANGES
from tests.events.building import MORNING, assigned, created, status, stream_of, streams


def ticket_after(*events: Event) -> Ticket:
    state = fold(stream_of(*events))
    assert state is not None
    return state


def minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


# ------------------------------------------------------------------------------------ properties


@given(streams())
def test_the_fold_of_any_events_never_raises(stream: list[EventEnvelope]) -> None:
    state = fold(stream)
    assert (state is None) is (stream == [])
    if state is not None:
        assert state.exists
        assert state.sequence == len(stream)
        assert state.updated_at == stream[-1].time
        assert asdict(state)
        assert replace(state) == state


@given(stream=streams(), data=st.data())
def test_folding_can_stop_and_go_on_anywhere(
    stream: list[EventEnvelope], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(stream)))
    state = fold(stream[:cut])
    for envelope in stream[cut:]:
        state = evolve(state, envelope)
    assert state == fold(stream)


@given(streams(max_size=6))
def test_what_came_over_the_wire_folds_to_the_same_ticket(stream: list[EventEnvelope]) -> None:
    def received() -> Any:
        for envelope in stream:
            decoded = decode_event(*encode_event(envelope)[1:])
            assert isinstance(decoded, EventEnvelope)
            yield decoded

    assert fold(received()) == fold(stream)


@given(streams(max_size=6))
def test_a_state_is_never_changed_in_place(stream: list[EventEnvelope]) -> None:
    states = [Ticket(id="t")]
    copies = [asdict(states[0])]
    for envelope in stream:
        states.append(evolve(states[-1], envelope))
        copies.append(asdict(states[-1]))
    assert [asdict(state) for state in states] == copies


@given(streams(max_size=8))
def test_counts_only_grow(stream: list[EventEnvelope]) -> None:
    counts = ("reopens", "hand_overs", "group_changes", "escalations", "public_replies")
    state = Ticket(id="t")
    for envelope in stream:
        after = evolve(state, envelope)
        for name in counts:
            assert getattr(state, name) <= getattr(after, name) <= getattr(state, name) + 1
        state = after


def test_every_ticket_event_has_a_rule() -> None:
    assert set(_CHANGES) == set(ticket.TicketEvent.__args__)


def test_of_nothing_is_nothing() -> None:
    assert fold([]) is None
    assert not Ticket(id="t").exists


# ------------------------------------------------------------------------------- worked examples


@pytest.mark.parametrize(
    ("story", "group_changes", "hand_overs"),
    [
        ([created()], 0, 0),
        ([created(group="tier-1", agent="7")], 0, 0),  # holders at creation are no change
        ([created(), assigned("tier-1")], 1, 0),  # from nobody: nobody handed it over
        (
            [created(), assigned("tier-1"), assigned("tier-1", "7")],
            1,
            0,
        ),  # its group's agent took it
        ([created(), assigned("tier-1", "7"), assigned("tier-1", "8")], 1, 1),
        ([created(), assigned("tier-1", "7"), assigned("tier-2", "7")], 2, 0),  # the same person
        ([created(), assigned("tier-1"), assigned("tier-2")], 2, 1),
        ([created(), assigned("tier-1"), assigned("tier-2", "9")], 2, 1),
        ([created(), assigned("tier-1", "7"), assigned("tier-1")], 1, 1),  # back to the queue
        ([created(), assigned(None, "70"), assigned("70")], 1, 1),  # a group named like an agent
        ([created(), assigned("tier-1", "7"), ticket.Unassigned()], 2, 0),
        (
            [created(), assigned("a", "7"), ticket.Unassigned(), assigned("a", "7")],
            3,
            0,
        ),
        ([created(group="a"), assigned("b"), assigned("a"), assigned("b", "7")], 3, 3),
        ([created(), assigned("a", "7"), assigned("a", "7")], 1, 0),  # said twice
    ],
)
def test_group_changes_and_hand_overs(
    story: list[Event], group_changes: int, hand_overs: int
) -> None:
    state = ticket_after(*story)
    assert (state.group_changes, state.hand_overs) == (group_changes, hand_overs)


@pytest.mark.parametrize(
    ("statuses", "reopens"),
    [
        ([], 0),
        (["open", "solved"], 0),
        (["open", "solved", "open"], 1),
        (["solved", "pending", "solved", "new"], 2),
        (["solved", "closed"], 0),
        (["solved", "closed", "open"], 1),  # imports only: elsewhere closed is final
        (["closed", "solved"], 0),
        (["solved", "solved", "open", "open"], 1),
        (["pending", "open", "on_hold", "open"], 0),
    ],
)
def test_reopens(statuses: list[str], reopens: int) -> None:
    state = ticket_after(created(), *(status(each) for each in statuses))
    assert state.reopens == reopens


def test_a_ticket_born_solved_can_be_reopened() -> None:
    state = ticket_after(created(status=Status.SOLVED, agent="7"))
    assert (state.solved_at, state.solved_by) == (MORNING, "7")
    assert ticket_after(created(status=Status.SOLVED), status("open")).reopens == 1


def test_solving_notes_when_and_by_whom_and_reopening_keeps_by_whom() -> None:
    solved = ticket_after(created(), assigned("tier-1", "7"), status("solved"))
    assert (solved.solved_at, solved.solved_by) == (MORNING + minutes(2), "7")
    again = ticket_after(
        created(),
        assigned("tier-1", "7"),
        status("solved"),
        status("open"),
        assigned("tier-1", "8"),
    )
    assert (again.solved_at, again.solved_by, again.closed_at) == (None, "7", None)


def test_a_new_substatus_of_solved_is_no_new_solving() -> None:
    state = ticket_after(created(), status("solved"), status("solved", "solved"))
    assert state.solved_at == MORNING + minutes(1)


def test_closing_keeps_the_time_of_solving() -> None:
    state = ticket_after(created(), status("solved"), status("closed"), status("closed", "closed"))
    assert state.solved_at == MORNING + minutes(1)
    assert state.closed_at == MORNING + minutes(2)


def test_closing_what_was_never_solved_counts_as_solving() -> None:
    state = ticket_after(created(agent="7"), status("closed"))
    assert state.solved_at == state.closed_at == MORNING + minutes(1)
    assert state.solved_by == "7"


def test_back_from_closed_to_solved_is_not_closed() -> None:
    assert ticket_after(created(), status("closed"), status("solved")).closed_at is None


def message(author: str, visibility: str = "public") -> ticket.MessageAdded:
    fields = {"message_id": "m", "author": author, "author_id": "x", "visibility": visibility}
    return ticket.MessageAdded.model_validate({**fields, "body": "…", "channel": "email"})


def test_messages_are_counted_by_who_wrote_and_who_may_read() -> None:
    state = ticket_after(
        created(),
        message("agent", "internal"),
        message("system"),
        message("agent"),
        message("requester"),
        message("agent"),
    )
    assert (state.public_replies, state.requester_messages, state.internal_notes) == (2, 1, 1)
    assert state.first_replied_at == MORNING + minutes(3)
    assert state.last_requester_message_at == MORNING + minutes(4)


def test_creation_says_everything_it_knows() -> None:
    state = ticket_after(
        created(
            number=7,
            priority=Priority.HIGH,
            category="orders",
            tags=("late", "vip"),
            custom_fields={"order": "1"},
            language="ru",
            follow_up_of="t-0",
            imported_from="servicenow",
            external_ref="INC1",
        )
    )
    assert (state.number, state.priority, state.category) == (7, Priority.HIGH, "orders")
    assert (state.tags, state.custom_fields) == (frozenset({"late", "vip"}), {"order": "1"})
    assert (state.language, state.follow_up_of, state.channel) == ("ru", "t-0", Channel.EMAIL)
    assert (state.imported_from, state.external_ref, state.live) == ("servicenow", "INC1", False)


def test_an_imported_ticket_becomes_live_when_it_is_activated() -> None:
    assert ticket_after(created()).live
    activated = ticket_after(created(imported_from="x"), ticket.ImportedTicketActivated())
    assert activated.live


def test_the_rest_of_the_facts() -> None:
    state = ticket_after(
        created(tags=("a", "b"), custom_fields={"x": "1"}),
        ticket.TagsChanged(added=("c",), removed=("a", "z")),
        ticket.CustomFieldChanged(field="y", value="2"),
        ticket.CustomFieldChanged(field="x"),
        ticket.CategoryChanged(category="billing", previous_category="orders"),
        ticket.PriorityChanged(priority=Priority.CRITICAL, previous=Priority.MEDIUM),
        ticket.Escalated(tier=2, previous_tier=1, cause="sla"),
        ticket.TicketLinked(kind="related", other="t-2"),
        ticket.TicketMerged(into="t-3"),
        ticket.SatisfactionRated(rating="bad", requester_id="c-1"),
    )
    assert state.tags == {"b", "c"}
    assert state.custom_fields == {"y": "2"}
    assert (state.category, state.subcategory, state.priority) == ("billing", None, "critical")
    assert (state.tier, state.escalations) == (2, 1)
    assert (state.links, state.merged_into) == ((("related", "t-2"),), "t-3")
    assert state.rating == "bad"


def test_a_second_creation_does_not_wipe_the_ticket() -> None:
    state = ticket_after(created(), assigned("tier-1", "7"), created(number=2, subject="other"))
    assert (state.number, state.agent, state.sequence) == (1, "7", 3)

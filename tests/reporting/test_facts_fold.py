"""The fold of the fact tables: it says what the published fold says, and never raises."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import EventEnvelope, Status, Ticket, evolve, sla
from libs.events import ticket as t
from libs.events.base import Channel, Event, Priority
from services.reporting.domain import SETTLED, microseconds
from services.reporting.domain.facts import (
    TICKET_COLUMNS,
    HistoryRow,
    TicketFacts,
    facts_of_agent,
    facts_of_ticket,
)
from tests.reporting.streams import START, Desk, Stream, envelope

TICKET = "00000000-0000-4000-8000-000000000001"
WORDS = st.sampled_from(("a", "b", "c", None))
AGENT = "agent:1"


def rows_of(stream: Sequence[EventEnvelope]) -> list[HistoryRow]:
    return [
        (
            e.sequence,
            e.type,
            microseconds(e.time),
            microseconds(e.recorded_time),
            e.actor,
            e.data.decode(),
        )
        for e in stream
    ]


def columns(facts: TicketFacts | None) -> dict[str, Any]:
    assert facts is not None
    return dict(zip(TICKET_COLUMNS, facts.ticket, strict=True))


def published(stream: Sequence[EventEnvelope]) -> tuple[Ticket | None, int | None]:
    """The published fold from the creation on, and when it was first settled."""
    state: Ticket | None = None
    first_solved_us: int | None = None
    for event in stream:
        if state is None and type(event.event) is not t.TicketCreated:
            continue
        state = evolve(state, event)
        if first_solved_us is None and state.status in SETTLED:
            first_solved_us = microseconds(event.time)
    return state, first_solved_us


def us(instant: datetime | None) -> int | None:
    return None if instant is None else microseconds(instant)


def agrees(stream: Sequence[EventEnvelope]) -> None:
    made = facts_of_ticket(TICKET, rows_of(stream), [])
    state, first_solved_us = published(stream)
    if state is None:
        assert made is None
        return
    c = columns(made)
    same = (
        "number status substatus priority category subcategory channel language tier solved_by"
        " merged_into rating imported_from external_ref live requester_messages internal_notes"
        " reopens group_changes hand_overs escalations agent sequence"
    ).split()
    assert {name: c[name] for name in same} == {name: getattr(state, name) for name in same}
    assert c["group_name"] == state.group
    assert c["replies"] == state.public_replies
    assert c["tags"] == sorted(state.tags)
    assert state.requester is not None
    assert (c["requester"], c["organization"]) == (
        state.requester.id,
        state.requester.organization,
    )
    assert c["created_us"] == us(state.created_at)
    assert c["first_replied_us"] == us(state.first_replied_at)
    assert c["first_solved_us"] == first_solved_us
    assert c["solved_us"] == us(state.solved_at)
    assert c["closed_us"] == us(state.closed_at)
    assert c["updated_us"] == us(state.updated_at)
    assert made is not None
    kinds = [row.kind for row in made.activities]
    for kind, column in (
        ("reply", "replies"),
        ("requester_message", "requester_messages"),
        ("note", "internal_notes"),
        ("handed_over", "hand_overs"),
        ("group_changed", "group_changes"),
        ("escalated", "escalations"),
        ("reopened", "reopens"),
        ("ping_pong", "ping_pongs"),
    ):
        assert kinds.count(kind) == c[column], kind
    backlog = kinds.count("created") - kinds.count("solved") + kinds.count("reopened")
    assert backlog == (state.status not in SETTLED)


def tiles(made: TicketFacts) -> None:
    """The stretches follow each other from the creation on without gaps, and the last one lasts."""
    c = columns(made)
    assert made.intervals[0].start_us == c["created_us"]
    for one, two in zip(made.intervals, made.intervals[1:], strict=False):
        assert one.end_us == two.start_us
        assert one.start_us < two.start_us
    last = made.intervals[-1]
    assert last.end_us is None
    assert (last.status, last.group_name, last.agent, last.tier) == (
        c["status"],
        c["group_name"],
        c["agent"],
        c["tier"],
    )
    if c["solved_us"] is not None:
        for name, statuses in (
            ("requester_wait_s", {"new", "open", "on_hold"}),
            ("agent_work_s", {"new", "open"}),
            ("on_hold_s", {"on_hold"}),
        ):
            spent = sum(
                (row.end_us or row.start_us) - row.start_us
                for row in made.intervals
                if row.status in statuses
            )
            assert c[name] == spent // 1_000_000


_EVENTS = st.one_of(
    st.builds(t.Assigned, group=WORDS, agent=WORDS),
    st.just(t.Unassigned()),
    st.builds(t.StatusChanged, status=st.sampled_from(Status), previous=st.just(Status.OPEN)),
    st.builds(
        t.MessageAdded,
        message_id=st.just("m"),
        author=st.sampled_from(("agent", "requester", "system")),
        author_id=st.just("x"),
        visibility=st.sampled_from(("public", "internal")),
        body=st.just("Hello"),
        channel=st.just(Channel.EMAIL),
    ),
    st.builds(t.PriorityChanged, priority=st.sampled_from(Priority), previous=st.just("low")),
    st.builds(t.CategoryChanged, category=WORDS, subcategory=WORDS),
    st.builds(
        t.TagsChanged,
        added=st.lists(st.sampled_from("abc"), max_size=2),
        removed=st.lists(st.sampled_from("abc"), max_size=2),
    ),
    st.builds(
        t.Escalated,
        tier=st.integers(1, 3),
        previous_tier=st.just(1),
        cause=st.sampled_from(("manual", "sla")),
    ),
    st.just(t.TicketMerged(into="other")),
    st.just(t.TicketLinked(kind="incident_of", other="problem")),
    st.builds(
        t.SatisfactionRated,
        rating=st.sampled_from(("good", "bad")),
        requester_id=st.just("r"),
        solved_at=st.none() | st.just(START),
    ),
    st.just(t.ImportedTicketActivated()),
    st.builds(
        t.TicketCreated,
        number=st.integers(1, 2**53 - 1),
        subject=st.just("Help"),
        requester=st.builds(t.Requester, id=st.just("r1"), organization=WORDS),
        channel=st.sampled_from(Channel),
        status=st.sampled_from(Status),
        group=WORDS,
        agent=WORDS,
        tags=st.lists(st.sampled_from("abc"), max_size=2),
        imported_from=st.none() | st.just("elsewhere"),
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            _EVENTS,
            st.datetimes(timezones=st.just(UTC)),
        ),
        max_size=12,
    )
)
def test_any_events_in_any_order_and_at_any_time_agree_with_the_published_fold(
    events: list[tuple[Event, datetime]],
) -> None:
    stream = [
        envelope(TICKET, n, event, at, recorded=at) for n, (event, at) in enumerate(events, 1)
    ]
    agrees(stream)
    made = facts_of_ticket(TICKET, rows_of(stream), [])
    if made is not None:
        tiles(made)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_lawful_streams_agree_with_the_published_fold(seed: int) -> None:
    desk = Desk(seed)
    for _ in range(4):
        stream = desk.ticket(25)
        agrees(stream)
        clocks = desk.clocks(stream)
        made = facts_of_ticket(stream[0].stream_id, rows_of(stream), rows_of(clocks))
        assert made is not None
        tiles(made)
        assert len(made.verdicts) == 2


def _written(data: bytes, change: dict[str, Any]) -> str:
    return orjson.dumps({**orjson.loads(data), **change}).decode()


@pytest.mark.parametrize(
    ("event", "change"),
    [
        (t.Assigned(group="billing", agent="1"), {"group": "  billing ", "more": {"x": [1]}}),
        (t.CategoryChanged(category="access"), {"category": "\taccess\n"}),
        (t.TagsChanged(added=("vpn",)), {"added": [" vpn"]}),
        (t.Escalated(tier=2, previous_tier=1, cause="sla"), {"tier": "2", "previous_tier": 1.0}),
        (
            t.SatisfactionRated(rating="good", requester_id="r", solved_at=START),
            {"solved_at": int(START.timestamp())},
        ),
    ],
)
def test_what_the_contract_takes_in_another_spelling_is_read_as_the_contract_reads_it(
    event: Event, change: dict[str, Any]
) -> None:
    stream = _lawful(t.StatusChanged(status=Status.SOLVED, previous=Status.NEW), event)
    plain = rows_of(stream)
    odd = [*plain[:-1], (*plain[-1][:5], _written(stream[-1].data, change))]
    one, two = facts_of_ticket(TICKET, plain, []), facts_of_ticket(TICKET, odd, [])
    assert one is not None
    assert two is not None
    assert one.ticket == two.ticket
    assert one.activities == two.activities


def _lawful(*events: Event) -> Stream:
    created = t.TicketCreated(
        number=1, subject="Help", requester=t.Requester(id="r"), channel=Channel.FORM
    )
    return [
        envelope(TICKET, n, event, START + timedelta(hours=n - 1), actor=AGENT)
        for n, event in enumerate((created, *events), 1)
    ]


def test_events_of_unknown_types_and_data_that_is_none_are_tolerated() -> None:
    rows = rows_of(_lawful(t.Assigned(group="a")))
    rows += [
        (3, "bitacora.Levitated.v1", rows[-1][2], rows[-1][3], "system", '{"x": 1}'),
        (4, "bitacora.Assigned.v1", rows[-1][2], rows[-1][3], "system", "[1, 2"),
        (5, "bitacora.Assigned.v9", rows[-1][2], rows[-1][3], "system", "{}"),
    ]
    c = columns(facts_of_ticket(TICKET, rows, [(1, "x", 0, 0, "system", "{}")]))
    assert (c["group_name"], c["sequence"], c["sla_sequence"]) == ("a", 5, 1)


def test_what_happened_is_told_with_its_holder_and_since_when() -> None:
    def said(author: Literal["agent", "requester"]) -> Event:
        return t.MessageAdded(
            message_id="m", author=author, author_id="x", body="b", channel=Channel.EMAIL
        )

    made = facts_of_ticket(
        TICKET,
        rows_of(
            _lawful(
                t.Assigned(group="first line"),
                t.Assigned(group="first line", agent="1"),
                t.StatusChanged(status=Status.OPEN, previous=Status.NEW),
                said("agent"),
                said("requester"),
                said("requester"),
                t.Assigned(group="network", agent="2"),
                said("agent"),
                t.Assigned(group="first line", agent="1"),
                t.StatusChanged(status=Status.SOLVED, previous=Status.OPEN),
                t.Assigned(group="network"),
                t.SatisfactionRated(rating="bad", requester_id="r"),
            )
        ),
        [],
    )
    assert made is not None
    hour = 3600
    told = [(a.kind, a.agent, a.value_s, a.detail) for a in made.activities]
    assert told == [
        ("created", None, None, None),
        ("group_changed", None, None, None),
        ("assigned", "1", None, None),
        ("reply", "1", 4 * hour, "first"),
        ("requester_message", "1", None, None),
        ("requester_message", "1", None, None),
        ("assigned", "2", None, None),
        ("handed_over", "2", None, None),
        ("group_changed", "2", None, None),
        ("reply", "2", 3 * hour, "next"),
        ("assigned", "1", None, None),
        ("handed_over", "1", None, None),
        ("group_changed", "1", None, None),
        ("ping_pong", "1", None, None),
        ("solved", "1", 10 * hour, "first"),
        ("handed_over", None, None, None),
        ("group_changed", None, None, None),
        ("rated", "1", 7 * hour, "bad"),
    ]
    c = columns(made)
    assert (c["agents"], c["groups"], c["ping_pongs"]) == (2, 2, 1)
    assert (c["requester_wait_s"], c["agent_work_s"], c["handling_s"]) == (
        10 * hour,
        10 * hour,
        7 * hour,
    )
    assert c["one_touch"] is False


def test_a_merge_solves_nothing_that_counts_as_work() -> None:
    made = facts_of_ticket(
        TICKET,
        rows_of(
            _lawful(
                t.TicketMerged(into="other"),
                t.StatusChanged(status=Status.SOLVED, previous=Status.NEW),
            )
        ),
        [],
    )
    assert made is not None
    assert [(a.kind, a.detail) for a in made.activities] == [
        ("created", None),
        ("merged", None),
        ("solved", "merged"),
    ]
    assert columns(made)["merged_into"] == "other"


def test_the_stretches_of_an_agent() -> None:
    rows = rows_of(Desk(1).agent(3))
    later = rows[-1][2] + 60_000_000
    rows.append((4, "bitacora.PresenceChanged.v1", later, later, "x", '{"presence":"away"}'))
    rows.append((5, "bitacora.AgentRetired.v1", later + 5, later + 9, "x", "{}"))
    facts = facts_of_agent(rows)
    assert [(s.presence, s.capacity, s.end_us) for s in facts.stretches] == [
        ("online", 7, later),
        ("away", 7, later + 5),
    ]
    assert (facts.sequence, facts.last_recorded_us) == (5, later + 9)


def test_a_verdict_is_what_the_clock_said_last_with_who_held_the_ticket_then() -> None:
    stream = _lawful(
        t.Assigned(group="g", agent="1"),
        t.Assigned(group="g", agent="2"),
        t.StatusChanged(status=Status.SOLVED, previous=Status.NEW),
    )
    base: dict[str, Any] = {"ticket_id": TICKET, "policy": "p", "policy_version": 1}
    base |= {"calendar": "c", "calendar_version": 1}
    due, later = START + timedelta(minutes=90), START + timedelta(hours=3)
    reply: dict[str, Any] = {**base, "metric": "next_reply"}
    full: dict[str, Any] = {**base, "metric": "total_resolution"}
    kept: dict[str, Any] = {"elapsed_s": 9, "target_s": 60, "breached": False}
    clocks = [
        sla.ClockStarted(**reply, activation=1, at=START, target_s=60, due=due),
        sla.ClockSatisfied(**reply, activation=1, at=due, **kept),
        sla.ClockStarted(**reply, activation=2, at=due, target_s=60, due=later),
        sla.ClockStarted(**full, at=START, target_s=60, due=due),
        sla.SlaBreached(**full, due=due, target_s=60),
        sla.ClockStarted(**{**base, "metric": "agent_work"}, at=START, target_s=60, due=due),
        sla.SlaBreached(**{**base, "metric": "agent_work"}, due=due, target_s=60),
        sla.ClockSatisfied(**{**base, "metric": "agent_work"}, at=due, **kept),  # withdrawn
        sla.ClockStarted(**{**base, "metric": "requester_wait"}, at=START, target_s=60, due=due),
        sla.ClockCancelled(**{**base, "metric": "requester_wait"}, at=later, reason="merged"),
    ]
    rows = rows_of([envelope("sla:x", n, e, START) for n, e in enumerate(clocks, 1)])
    made = facts_of_ticket(TICKET, rows_of(stream), rows)
    assert made is not None
    verdicts = [(v.metric, v.activation, v.outcome, v.at_us, v.holder[1]) for v in made.verdicts]
    assert verdicts == [
        ("next_reply", 1, "kept", microseconds(due), "1"),
        ("next_reply", 2, "running", None, "1"),
        ("total_resolution", 1, "breached", microseconds(due), "1"),
        ("agent_work", 1, "kept", microseconds(due), "1"),
        ("requester_wait", 1, "cancelled", None, "2"),
    ]

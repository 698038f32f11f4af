"""A clock at any instant: from its history alone, and as the clock itself says."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import Event
from libs.events import ticket as t
from libs.worktime.instants import DAY_US, SECOND_US, to_us
from services.sla.domain import clocks as c
from services.sla.domain.metrics import METRICS
from services.sla.domain.spans import runs_of
from services.sla.domain.standing import Standing, standing
from services.sla.domain.state import Clock
from services.sla.domain.ticket import TicketClocks
from services.sla.store import _ENCODE, decode
from tests.sla.desk import Case, activated, at, book_of, created, policy, priority, reply, status

STATUSES = ("new", "open", "pending", "on_hold", "solved", "closed")
BUSINESS = {"target_s": 20_000, "calendar": "business"}
ALWAYS = {"target_s": 9_000, "calendar": "always"}
BOOK = book_of(
    policy(
        id="vip", when={"tags": ["vip"]}, targets={metric: {"high": ALWAYS} for metric in METRICS}
    ),
    policy(
        id="rest",
        targets={metric: {"low": BUSINESS, "high": ALWAYS} for metric in METRICS}
        | {"agent_work": {"high": BUSINESS}},
    ),
)
EVENTS: tuple[Event, ...] = (
    *(status(one) for one in STATUSES),
    *(priority(one) for one in ("low", "medium", "high")),
    *(reply(author=who) for who in ("agent", "requester", "system")),
    reply("internal"),
    t.TagsChanged(added=("vip",)),
    t.TagsChanged(removed=("vip",)),
    activated(),
)
steps = st.lists(
    st.tuples(st.integers(0, 50_000), st.sampled_from(EVENTS), st.booleans()), max_size=16
)


def play(history: list[tuple[int, Event, bool]]) -> list[tuple[int, Case, TicketClocks]]:
    """The ticket after each step."""
    case = Case(BOOK).on("05:00", created(priority="low"))
    now_us = to_us(at("05:00"))
    assert case.ticket is not None
    seen = [(now_us, case, case.ticket)]
    for gap_s, event, fire in history:
        if fire:
            case.until_us(now_us + gap_s * SECOND_US // 2)
        now_us += gap_s * SECOND_US
        case.at_us(now_us, event)
        assert case.ticket is not None
        seen.append((now_us, case, case.ticket))
    return seen


def of_clock(clock: Clock) -> tuple[Any, ...]:
    return clock.state, clock.target_us, clock.breach_us, clock.ended_us, clock.due_us


def of_standing(stands: Standing) -> tuple[Any, ...]:
    return (
        stands.state,
        stands.held.target_us,
        stands.breach_us,
        stands.ended_us,
        stands.due_us,
    )


@settings(max_examples=300, deadline=None)
@given(steps)
def test_the_history_tells_at_every_instant_what_the_clock_itself_said_then(
    history: list[tuple[int, Event, bool]],
) -> None:
    seen = play(history)
    _, _, last = seen[-1]
    final = {(clock.metric, clock.activation): clock for clock in last.clocks}
    for number, (now_us, _, ticket) in enumerate(seen):
        if number + 1 < len(seen) and seen[number + 1][0] == now_us:
            continue  # "at an instant" is after everything that happened then
        for clock in ticket.clocks:
            later = final.get((clock.metric, clock.activation))
            if later is None:
                continue
            stands = standing(later, last.history, BOOK, now_us)
            assert stands is not None
            assert of_standing(stands) == of_clock(clock)
            used_us = c.used_us(clock, c.terms_of(clock, BOOK).calendar, now_us)
            assert (stands.used_us, stands.left_us) == (used_us, clock.target_us - used_us)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_what_is_used_up_is_what_the_statuses_say(history: list[tuple[int, Event, bool]]) -> None:
    for now_us, _, ticket in play(history):
        for clock in ticket.clocks:
            calendar = c.terms_of(clock, BOOK).calendar
            end_us = now_us if clock.ended_us is None else clock.ended_us
            runs = runs_of(ticket.history, METRICS[clock.metric], clock.started_us)
            counted = sum(
                calendar.elapsed_us(begin, end_us if end is None else min(end, end_us))
                for begin, end in runs
            )
            assert c.used_us(clock, calendar, now_us) == counted


@settings(max_examples=200, deadline=None)
@given(steps, st.data())
def test_a_ticket_that_is_stored_and_read_between_any_two_events_goes_on_the_same(
    history: list[tuple[int, Event, bool]], data: st.DataObject
) -> None:

    cut = data.draw(st.integers(0, len(history)))
    whole = play(history)[-1][2]
    now_us, case, ticket = play(history[:cut])[-1]
    case.ticket = decode(_ENCODE(ticket))
    assert case.ticket == ticket
    for gap_s, event, fire in history[cut:]:
        if fire:
            case.until_us(now_us + gap_s * SECOND_US // 2)
        now_us += gap_s * SECOND_US
        case.at_us(now_us, event)
    assert case.ticket == whole


def test_before_between_and_beyond() -> None:
    case = Case(book_of(policy())).on("10:00", created()).on("10:20", status("pending", "new"))
    case.on("11:20", status("open", "pending"))
    assert case.ticket is not None

    def wait(when: str) -> Standing | None:
        assert case.ticket is not None
        return standing(
            case.clock("requester_wait"), case.ticket.history, case.book, to_us(at(when))
        )

    assert wait("09:59") is None
    paused = wait("10:40")
    assert paused is not None
    assert (paused.state, paused.used_us, paused.due_us) == ("paused", 1200 * SECOND_US, None)
    beyond = wait("+1 00:00")
    assert beyond is not None
    assert (beyond.breach_us, beyond.due_us) == (to_us(at("12:00")), to_us(at("12:00")))
    assert beyond.left_us == 3600 * SECOND_US - 1200 * SECOND_US - (DAY_US - 40_800 * SECOND_US)

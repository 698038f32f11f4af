"""Given events, when one more, then these facts: the rules of the clocks, without any I/O.

The default policy: critical tickets 15 minutes to the first reply and 4 hours to the solution, round the
clock; medium ones 4 and 24 hours of the business calendar (Monday to Friday, 07-11 and 12-16 UTC).
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import Event, UnknownEvent
from libs.events import ticket as t
from libs.worktime.instants import SECOND_US, to_us
from services.sla.domain.facts import event_of
from services.sla.domain.state import Fact
from services.sla.domain.ticket import Cause, advance, expire
from tests.sla.desk import Case, activated, at, book_of, created, policy, priority, reply, status


def test_creation_starts_the_clocks() -> None:
    case = Case().on("10:00", created())
    assert case.said() == [("started", "10:00"), ("started", "10:00")]
    assert case.due("first_reply") == "10:15"
    assert case.due("requester_wait") == "14:00"


def test_the_first_public_agent_reply_satisfies() -> None:
    case = Case().on("10:00", created()).on("10:05", reply())
    assert case.said() == [("satisfied", "10:05")]
    assert not case.on("10:06", reply()).said()


@pytest.mark.parametrize(
    "message", [reply("internal"), reply(author="requester"), reply(author="system")]
)
def test_notes_and_others_do_not_satisfy(message: Event) -> None:
    assert not Case().on("10:00", created()).on("10:05", message).said()


def test_solving_ends_both() -> None:
    case = Case().on("10:00", created()).on("10:05", status("solved"))
    assert case.said() == [("satisfied", "10:05"), ("satisfied", "10:05")]
    assert not case.on("+4 10:05", status("closed", "solved")).said()


def test_a_ticket_that_an_agent_opened_owes_no_first_reply() -> None:
    case = Case().on("10:00", created(), actor="agent:7")
    assert [fact.clock.metric for fact in case.facts] == ["requester_wait"]


def test_business_time() -> None:
    case = Case().on("10:30", created(priority="medium"))
    assert case.due("first_reply") == "15:30"
    assert case.due("requester_wait") == "+3 10:30"


def test_pending_pauses_the_wait_but_not_the_reply() -> None:
    case = Case().on("10:00", created()).on("10:05", status("pending", "new"))
    assert case.said() == [("paused", "10:05")]
    case.on("12:05", status("open", "pending"))
    assert case.said("requester_wait") == [("resumed", "12:05")]
    assert case.said("first_reply") == [
        ("warning", "10:11:15"),
        ("warning", "10:13:30"),
        ("breached", "10:15"),
    ]
    assert case.due("requester_wait") == "16:00"


def test_on_hold_does_not_pause_the_wait() -> None:
    case = Case().on("10:00", created()).on("10:05", status("on_hold", "new"))
    assert not case.said()


def test_a_ticket_created_pending_starts_paused() -> None:
    case = Case().on("10:00", created(status="pending"))
    assert case.said("requester_wait") == [("started", "10:00"), ("paused", "10:00")]
    assert case.due("requester_wait") is None
    assert case.on("11:00", status("open", "pending")).due("requester_wait") == "15:00"


def test_warnings_then_one_breach() -> None:
    case = Case().on("10:00", created()).on("10:01", reply())
    assert case.wait("12:59").said() == []
    assert case.wait("13:00").said() == [("warning", "13:00")]
    assert case.wait("20:00").said() == [("warning", "13:36"), ("breached", "14:00")]
    assert case.wait("23:00").said() == []
    case.on("23:00", status("solved"))
    assert case.said() == [("satisfied", "23:00")]
    assert event_of("t", case.facts[0], live=True).breached is True  # type: ignore[attr-defined]


def test_an_answer_after_the_deadline_first_yields_the_breach() -> None:
    case = Case().on("10:00", created()).on("10:20", reply())
    assert case.said() == [
        ("warning", "10:11:15"),
        ("warning", "10:13:30"),
        ("breached", "10:15"),
        ("satisfied", "10:20"),
    ]


def test_an_answer_at_the_very_deadline_is_too_late_and_one_second_before_is_not() -> None:
    late = Case().on("10:00", created()).on("10:15", reply())
    assert ("breached", "10:15") in late.said()
    early = Case().on("10:00", created()).on("10:14:59", reply())
    assert early.said()[-1] == ("satisfied", "10:14:59")
    assert not early.clock("first_reply").breach_said


def test_pause_at_the_very_deadline_is_too_late() -> None:
    case = Case().on("10:00", created()).on("14:00", status("pending", "new"))
    assert case.said("requester_wait")[-2:] == [("breached", "14:00"), ("paused", "14:00")]


def test_reopening_resumes_what_was_left() -> None:
    case = Case().on("10:00", created()).on("11:00", status("solved"))
    case.on("+1 10:00", status("open", "solved"))
    assert case.said("requester_wait") == [("resumed", "+1 10:00")]
    assert case.due("requester_wait") == "+1 13:00"
    assert case.wait("+1 20:00").said("requester_wait")[-1] == ("breached", "+1 13:00")
    case.on("+1 21:00", status("solved"))
    assert case.said("requester_wait") == [("satisfied", "+1 21:00")]


def test_a_second_reopening_after_a_breach_never_breaches_again() -> None:
    case = Case().on("10:00", created()).wait("15:00").on("15:00", status("solved"))
    case.on("+1 10:00", status("open", "solved"))
    assert case.wait("+9 10:00").said("requester_wait") == []


def test_reopening_into_pending_waits() -> None:
    case = Case().on("10:00", created()).on("11:00", status("solved"))
    case.on("12:00", status("pending", "solved"))
    assert case.said("requester_wait") == [("paused", "12:00")]
    assert case.on("13:00", status("open", "pending")).due("requester_wait") == "16:00"


def test_a_new_priority_keeps_activation_and_pauses() -> None:
    case = Case().on("10:00", created(priority="high")).on("10:10", reply())
    case.on("10:30", status("pending")).on("14:30", status("open", "pending"))
    case.on("14:40", priority("critical", "high"))
    # 10:00-10:30 ran, 10:30-14:30 was paused: 4 hours round the clock are used up at 18:00.
    assert case.said() == [("retargeted", "14:40")]
    assert case.due("requester_wait") == "18:00"


def test_another_calendar_counts_the_original_runs_anew() -> None:
    case = Case().on("05:00", created()).on("05:10", reply()).on("06:00", priority("high"))
    # One hour passed, none of it open: 8 hours of business from 07:00.
    assert case.due("requester_wait") == "16:00"


def test_a_new_target_that_is_already_past_breaches_at_the_change() -> None:
    case = Case().on("10:00", created(priority="low")).on("10:01", reply())
    case.on("15:00", priority("critical", "low"))
    assert case.said() == [("retargeted", "15:00"), ("breached", "15:00")]


def test_of_several_warnings_in_the_past_only_the_highest_is_given() -> None:
    case = Case().on("10:00", created(priority="low")).on("10:01", reply())
    case.on("13:50", priority("critical", "low"))
    assert case.said() == [("retargeted", "13:50"), ("warning", "13:50")]
    assert case.facts[-1].fraction == 90
    assert case.wait("20:00").said() == [("breached", "14:00")]


def test_a_paused_clock_that_has_used_up_its_new_target_breaches_at_the_change() -> None:
    case = Case().on("10:00", created(priority="low")).on("10:01", reply())
    case.on("15:00", status("pending")).on("15:30", priority("critical", "low"))
    assert case.said() == [("retargeted", "15:30"), ("breached", "15:30")]
    assert case.on("16:00", status("open", "pending")).said() == [("resumed", "16:00")]
    assert case.wait("+5 10:00").said() == []


def test_priority_change_at_the_deadline_instant_comes_too_late() -> None:
    case = Case().on("10:00", created()).on("10:15", priority("low"))
    assert case.said("first_reply")[-2:] == [("breached", "10:15"), ("retargeted", "10:15")]


def test_an_answer_that_turns_up_after_its_timer_takes_the_verdict_back_but_says_no_second_breach() -> (
    None
):
    case = Case().on("10:00", created()).wait("10:16").on("10:14", reply())
    assert case.said() == [("satisfied", "10:14")]
    verdict: Any = event_of("t", case.facts[0], live=True)
    assert not verdict.breached


def test_events_out_of_order_never_turn_time_back() -> None:
    case = Case().on("10:00", created()).on("12:00", status("pending", "new"))
    case.on("11:00", status("open", "pending"))
    assert case.said("requester_wait") == [("resumed", "12:00")]


def test_merging_cancels() -> None:
    case = Case().on("10:00", created()).on("10:05", t.TicketMerged(into="other"))
    assert case.said() == [("cancelled", "10:05"), ("cancelled", "10:05")]
    assert case.on("10:06", status("open", "new")).on("10:07", priority("low")).said() == []


def test_events_of_unknown_tickets_and_of_unknown_types_change_nothing() -> None:
    book = book_of()
    assert advance(None, status("open"), Cause(0), book) == (None, [])
    case = Case().on("10:00", created())
    before = case.ticket
    ticket, facts = advance(
        before, UnknownEvent("bitacora.Sung.v1"), Cause(to_us(at("10:01"))), book
    )
    assert not facts
    assert ticket is not None
    assert before is not None
    assert ticket.clocks == before.clocks


# ---- any history -------------------------------------------------------------------------------

STATUSES = ("new", "open", "pending", "on_hold", "solved", "closed")

steps = st.lists(
    st.tuples(
        st.integers(0, 50_000),
        st.one_of(
            st.sampled_from(STATUSES).map(status),
            st.sampled_from(("low", "medium", "high", "critical")).map(priority),
            st.sampled_from((reply(), reply("internal"), t.TagsChanged(added=("vip",)))),
            st.sampled_from((t.TagsChanged(removed=("vip",)), activated())),
        ),
        st.booleans(),
    ),
    max_size=14,
)
RULES = book_of(
    policy(id="vip", when={"tags": ["vip"]}, warn_at=[50]),
    {
        "id": "rest",
        "targets": {
            "first_reply": {"high": {"target_s": 5400, "calendar": "business"}},
            "requester_wait": {
                "low": {"target_s": 90_000, "calendar": "business"},
                "high": {"target_s": 30_000, "calendar": "business"},
                "critical": {"target_s": 14_400, "calendar": "always"},
            },
            "agent_work": {"high": {"target_s": 20_000, "calendar": "always"}},
        },
    },
)


def play(history: list[tuple[int, Event, bool]], *, with_timers: bool) -> list[Fact]:
    facts: list[Fact] = []
    ticket, facts = advance(None, created(imported_from="x"), Cause(to_us(at("05:00"))), RULES)
    now_us = to_us(at("05:00"))
    for gap_s, event, fire in history:
        assert ticket is not None
        if with_timers and fire:
            ticket, said = expire(ticket, now_us + gap_s * SECOND_US // 2, RULES)
            facts += said
        now_us += gap_s * SECOND_US
        ticket, said = advance(ticket, event, Cause(now_us), RULES)
        facts += said
    return facts


@settings(max_examples=300, deadline=None)
@given(steps)
def test_whenever_the_timers_fire_the_facts_are_the_same_and_each_clock_breaches_once(
    history: list[tuple[int, Event, bool]],
) -> None:
    facts = play(history, with_timers=False)

    def key(fact: Fact) -> tuple[Any, ...]:
        return fact.at_us, fact.clock.metric, fact.kind, fact.fraction

    # Timers that fire in the middle state the same, only earlier in the stream.
    assert sorted(map(key, play(history, with_timers=True))) == sorted(map(key, facts))
    breaches = [
        (fact.clock.metric, fact.clock.activation) for fact in facts if fact.kind == "breached"
    ]
    assert len(breaches) == len(set(breaches))
    for fact in facts:
        event_of("t", fact, live=False)
        calendar = RULES.calendars[fact.clock.calendar][0].calendar
        if fact.kind == "breached" and fact.clock.since_us is not None:
            used = fact.clock.elapsed_us + calendar.elapsed_us(fact.clock.since_us, fact.at_us)
            assert used >= fact.clock.target_us  # never early


@settings(max_examples=150, deadline=None)
@given(steps, st.data())
def test_replaying_any_prefix_agrees(
    history: list[tuple[int, Event, bool]], data: st.DataObject
) -> None:
    length = data.draw(st.integers(0, len(history)))
    whole = play(history, with_timers=False)
    part = play(history[:length], with_timers=False)
    assert whole[: len(part)] == part

"""The table of the metrics, line by line: what begins a clock, what ends it, what pauses it.

One hour round the clock for every metric and priority, so that instants are easy to follow.
"""

from __future__ import annotations

from typing import Any

import pytest

from libs.events import ticket as t
from services.sla.domain.metrics import METRICS
from tests.sla.desk import Case, book_of, created, policy, priority, reply, status

HOUR = {"target_s": 3600, "calendar": "always"}
EVERY = dict.fromkeys(("low", "medium", "high", "critical"), HOUR)
REPLIES = ("first_reply", "next_reply", "periodic_update", "pausable_update")
WAITS = ("requester_wait", "agent_work", "total_resolution")

ask = reply(author="requester")
answer = reply()


def case_of(*metrics: str, **values: Any) -> Case:
    targets = dict.fromkeys(metrics or tuple(METRICS), EVERY)
    return Case(book_of(policy(targets=targets, warn_at=[], **values)))


def test_a_new_ticket_starts_the_first_reply_and_the_waits() -> None:
    case = case_of().on("10:00", created())
    assert [fact.clock.metric for fact in case.facts] == ["first_reply", *WAITS]


# ---- next reply --------------------------------------------------------------------------------


def test_next_reply_runs_from_the_oldest_unanswered_message_to_the_next_public_reply() -> None:
    case = case_of("next_reply").on("10:00", created()).on("10:05", answer)
    assert case.said() == []
    assert case.on("10:10", ask).said() == [("started", "10:10")]
    assert case.on("10:30", ask).said() == []
    assert case.due("next_reply") == "11:10"
    assert case.on("10:40", reply("internal")).said() == []
    assert case.on("10:41", reply(author="system")).said() == []
    assert case.on("10:50", answer).said() == [("satisfied", "10:50")]
    assert case.on("10:55", answer).said() == []
    assert case.on("12:00", ask).said() == [("started", "12:00")]
    assert case.clock("next_reply").activation == 2
    past = case.facts[0].past
    assert past is not None
    assert past.ended_us is not None
    assert case.wait("14:00").said() == [("breached", "13:00")]
    assert case.on("15:00", answer).said() == [("satisfied", "15:00")]
    assert case.on("15:01", ask).on("16:10", answer).said()[0] == ("breached", "16:01")


def test_what_is_written_before_the_first_reply_waits_for_that() -> None:
    case = case_of("next_reply").on("10:00", created()).on("10:10", ask)
    assert case.said() == []
    assert case.on("10:20", answer).on("10:30", ask).said() == [("started", "10:30")]


def test_the_requester_of_a_ticket_that_an_agent_opened_waits_for_the_next_reply() -> None:
    case = case_of().on("10:00", created(), actor="agent:7")
    assert "first_reply" not in {fact.clock.metric for fact in case.facts}
    assert case.on("10:10", ask).said() == [("started", "10:10")]


@pytest.mark.parametrize("during", ["pending", "on_hold"])
def test_no_status_but_solved_touches_a_reply_clock(during: str) -> None:
    case = case_of("first_reply", "next_reply", "periodic_update").on("10:00", created())
    case.on("10:01", answer).on("10:02", ask)
    assert case.on("10:10", status(during)).said() == []
    assert case.on("10:20", status("solved", during)).said("next_reply") == [("satisfied", "10:20")]


def test_a_solution_answers_what_was_asked() -> None:
    case = case_of("next_reply").on("10:00", created()).on("10:01", answer).on("10:02", ask)
    case.on("10:20", status("solved")).on("11:00", status("open", "solved"))
    assert case.said() == []
    assert case.on("11:10", ask).said() == [("started", "11:10")]


# ---- updates -----------------------------------------------------------------------------------


def test_periodic_update_runs_between_public_agent_messages() -> None:
    case = case_of("periodic_update").on("10:00", created())
    assert case.said() == []
    assert case.on("10:10", answer).said() == [("started", "10:10")]
    assert case.on("10:20", ask).said() == []
    assert case.on("10:30", reply("internal")).said() == []
    assert case.on("10:40", status("pending")).said() == []
    assert case.on("10:50", answer).said() == [("satisfied", "10:50"), ("started", "10:50")]
    assert case.due("periodic_update") == "11:50"
    assert case.on("12:00", answer).said() == [
        ("breached", "11:50"),
        ("satisfied", "12:00"),
        ("started", "12:00"),
    ]
    assert case.on("12:10", status("solved", "pending")).said() == [("satisfied", "12:10")]
    assert case.on("12:20", answer).said() == []


def test_pausable_update_waits_while_pending() -> None:
    case = case_of("pausable_update").on("10:00", created()).on("10:10", answer)
    assert case.on("10:20", status("pending")).said() == [("paused", "10:20")]
    assert case.on("13:20", status("open", "pending")).said() == [("resumed", "13:20")]
    assert case.due("pausable_update") == "14:10"
    case.on("13:30", status("pending"))
    assert case.on("13:40", answer).said() == [
        ("satisfied", "13:40"),
        ("started", "13:40"),
        ("paused", "13:40"),
    ]
    case.on("15:00", status("on_hold", "pending"))
    assert (case.said(), case.due("pausable_update")) == ([("resumed", "15:00")], "16:00")


# ---- waits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "pausing"),
    [
        ("requester_wait", {"pending"}),
        ("agent_work", {"pending", "on_hold"}),
        ("total_resolution", set[str]()),
    ],
)
def test_what_pauses_a_wait(metric: str, pausing: set[str]) -> None:
    for other in ("open", "pending", "on_hold"):
        case = case_of(metric).on("10:00", created()).on("10:10", status(other, "new"))
        assert case.said() == ([("paused", "10:10")] if other in pausing else [])
    closed = case_of(metric).on("10:00", created()).on("10:20", status("closed", "open"))
    assert closed.said() == [("satisfied", "10:20")]


# ---- reopening ---------------------------------------------------------------------------------


def test_a_reopening_starts_reply_clocks_anew_and_resumes_the_waits() -> None:
    case = case_of().on("10:00", created()).on("10:30", answer).on("10:45", status("solved"))
    case.on("12:00", ask)
    assert case.said() == []
    case.on("12:00", status("open", "solved"))
    said = {(fact.clock.metric, fact.kind) for fact in case.facts}
    assert said == {(metric, "started") for metric in REPLIES} | {
        (metric, "resumed") for metric in WAITS
    }
    assert {case.due(metric) for metric in REPLIES} == {"13:00"}
    assert {case.due(metric) for metric in WAITS} == {"12:15"}
    assert case.clock("first_reply").activation == 2
    assert case.clock("next_reply").activation == 1
    assert case.clock("requester_wait").activation == 1


def test_a_reopening_by_hand_starts_the_first_reply_anew_but_nothing_that_nobody_asked() -> None:
    case = case_of("first_reply", "next_reply").on("10:00", created()).on("10:30", answer)
    case.on("10:45", status("solved")).on("12:00", status("open", "solved"))
    assert [fact.clock.metric for fact in case.facts] == ["first_reply"]


def test_each_life_of_a_ticket_may_breach_its_first_reply_once() -> None:
    case = case_of("first_reply").on("10:00", created()).wait("11:00")
    assert case.said() == [("breached", "11:00")]
    case.on("11:30", status("solved")).on("12:00", status("open", "solved"))
    assert case.said() == [("started", "12:00")]
    assert case.wait("20:00").said() == [("breached", "13:00")]
    assert case.wait("23:00").said() == []


def test_a_wait_that_was_breached_is_not_breached_again_and_stays_missed() -> None:
    case = case_of("requester_wait").on("10:00", created()).on("11:30", status("solved"))
    assert case.said() == [("breached", "11:00"), ("satisfied", "11:30")]
    case.on("12:00", status("open", "solved"))
    assert case.said() == [("resumed", "12:00")]
    assert case.wait("20:00").said() == []
    assert case.on("20:00", status("solved")).said() == [("satisfied", "20:00")]
    assert case.clock("requester_wait").breach_said


def test_nothing_happens_after_a_merge() -> None:
    case = case_of().on("10:00", created()).on("10:01", answer).on("10:02", ask)
    case.on("10:05", t.TicketMerged(into="other"))
    ended = ("next_reply", "periodic_update", "pausable_update", *WAITS)
    assert {(f.clock.metric, f.kind, f.reason) for f in case.facts} == {
        (metric, "cancelled", "merged") for metric in ended
    }
    for event in (status("solved"), status("open", "solved"), answer, ask, priority("low")):
        assert case.on("11:00", event).said() == []
    assert case.wait("+9 10:00").said() == []


# ---- targets that change -----------------------------------------------------------------------


def test_a_target_that_turns_up_counts_from_the_message_that_waits() -> None:
    targets = {"next_reply": {"high": HOUR}, "periodic_update": {"high": HOUR}}
    case = Case(book_of(policy(targets=targets, warn_at=[]))).on("10:00", created(priority="low"))
    case.on("10:05", answer).on("10:10", ask).on("10:20", priority("high", "low"))
    assert case.said() == [("started", "10:20"), ("started", "10:20")]
    assert (case.due("next_reply"), case.due("periodic_update")) == ("11:10", "11:05")
    case.on("10:30", priority("low", "high"))
    assert case.said() == [("cancelled", "10:30"), ("cancelled", "10:30")]
    case.on("10:40", priority("high", "low"))
    assert case.clock("next_reply").activation == 1
    assert case.due("next_reply") == "11:10"
    case.on("10:50", priority("low", "high")).on("10:51", answer).on("10:52", ask)
    case.on("12:30", priority("high", "low"))
    assert case.said("next_reply") == [("started", "12:30"), ("breached", "12:30")]
    assert case.clock("next_reply").activation == 2


def test_a_new_priority_keeps_the_pauses_of_an_update() -> None:
    targets = {"pausable_update": {**EVERY, "low": {**HOUR, "target_s": 7200}}}
    case = Case(book_of(policy(targets=targets))).on("10:00", created(priority="low"))
    case.on("10:10", answer).on("10:20", status("pending")).on("12:20", status("open", "pending"))
    assert case.due("pausable_update") == "14:10"
    case.on("12:30", priority("high", "low"))
    assert (case.said(), case.due("pausable_update")) == ([("retargeted", "12:30")], "13:10")

"""Everything at once at the very instant of a deadline: what was due by then comes first."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import Event
from libs.events import ticket as t
from tests.sla.desk import Case, book_of, created, policy, priority, reply, status

AT_THE_INSTANT: tuple[Event, ...] = (
    status("pending", "new"),
    status("open", "pending"),
    status("on_hold", "open"),
    status("solved", "open"),
    status("open", "solved"),
    priority("low"),
    priority("high", "low"),
    reply(),
    reply(author="requester"),
    t.TagsChanged(added=("vip",)),
    t.TicketMerged(into="other"),
)
HOUR = {"target_s": 3600, "calendar": "always"}
LONG = {"target_s": 7200, "calendar": "always"}
TARGETS = {
    "first_reply": {"critical": HOUR, "high": LONG, "low": LONG},
    "requester_wait": {"critical": HOUR, "high": LONG},
    "agent_work": {"critical": HOUR, "low": HOUR},
    "total_resolution": {"critical": HOUR, "low": LONG, "high": {**HOUR, "target_s": 60}},
}
BOOK = book_of(policy(id="vip", when={"tags": ["vip"]}), policy(targets=TARGETS))
METRICS = frozenset(TARGETS)


@settings(max_examples=300, deadline=None)
@given(st.permutations(AT_THE_INSTANT), st.booleans())
def test_whatever_comes_in_whatever_order_each_clock_breaches_once_at_its_deadline(
    events: list[Event], timer_first: bool
) -> None:
    case = Case(BOOK).on("10:00", created())
    facts = list(case.facts)
    if timer_first:
        facts += case.wait("11:00").facts
    for event in events:
        facts += case.on("11:00", event).facts
    facts += case.wait("+9 10:00").facts
    breaches: dict[Any, list[str]] = {}
    for fact in facts:
        if fact.kind == "breached":
            breaches.setdefault((fact.clock.metric, fact.clock.activation), []).append(
                _clock(fact.at_us)
            )
    assert all(len(times) == 1 for times in breaches.values())
    assert {metric: breaches[metric, 1] for metric in METRICS} == {
        metric: ["11:00"] for metric in METRICS
    }


@settings(max_examples=200, deadline=None)
@given(st.permutations(AT_THE_INSTANT))
def test_a_microsecond_before_the_deadline_the_first_reply_decides(events: list[Event]) -> None:
    case = Case(BOOK).on("10:00", created()).on("10:59:59", reply())
    assert not case.clock("first_reply").breach_said
    for event in events:
        case.on("11:00", event)
    first = case.clock("first_reply")
    assert first.activation == 2 or not first.breach_said


def test_a_pause_at_the_deadline_is_too_late_and_a_resumption_starts_no_second_breach() -> None:
    case = Case(BOOK).on("10:00", created())
    case.on("11:00", status("pending", "new"))
    assert case.said("requester_wait")[-2:] == [("breached", "11:00"), ("paused", "11:00")]
    case.on("11:00", status("open", "pending"))
    assert case.said("requester_wait") == [("resumed", "11:00")]
    assert case.wait("+1 10:00").said("requester_wait") == []


def test_a_resumption_at_the_instant_of_a_pause_loses_no_time() -> None:
    case = Case(BOOK).on("10:00", created()).on("10:30", status("pending", "new"))
    case.on("10:30", status("open", "pending"))
    assert case.due("requester_wait") == "11:00"


def test_a_longer_target_at_the_deadline_is_too_late_and_a_shorter_one_breaches_at_once() -> None:
    case = Case(BOOK).on("10:00", created()).on("11:00", priority("high"))
    assert case.said("requester_wait")[-2:] == [("breached", "11:00"), ("retargeted", "11:00")]
    early = Case(BOOK).on("10:00", created()).on("10:30", priority("high"))
    assert early.said("total_resolution") == [("retargeted", "10:30"), ("breached", "10:30")]


def _clock(at_us: int) -> str:
    seconds = at_us // 1_000_000 % 86_400
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}"

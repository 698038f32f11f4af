"""Proofs: what counted, what did not and why, and that it adds up to what the clocks say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import Event
from libs.worktime.calendar import calendar_of
from libs.worktime.instants import SECOND_US, to_us
from libs.worktime.timeline import CalendarVersion
from services.sla.defaults import CALENDARS
from services.sla.domain.book import Book
from services.sla.domain.proof import Interval, Proof, proof_of
from services.sla.domain.standing import standing
from services.sla.domain.state import Clock
from services.sla.domain.ticket import expire
from tests.sla.desk import Case, at, book_of, created, policy, priority, status
from tests.sla.test_edits import desk, edited, shift, wait_of
from tests.sla.test_standing import BOOK, steps

HOUR_S = 3600
WEEK = ("mon", "tue", "wed", "thu", "fri")


def proof(case: Case, metric: str, when: str) -> Proof:
    """Everything that fell due by `when` is stated first, as the service does."""
    assert case.ticket is not None
    as_of_us = to_us(at(when))
    case.ticket, _ = expire(case.ticket, as_of_us, case.book)
    return proof_of(case.ticket, case.clock(metric), case.book, as_of_us)


def shown(intervals: tuple[Interval, ...]) -> list[tuple[str, str, str, int | None, int | None]]:
    """From, to, why (with its name), and the events at the edges."""
    return [
        (
            _short(one.start_us),
            _short(one.end_us),
            f"{one.why} {one.name}".strip(),
            one.begun_by,
            one.ended_by,
        )
        for one in intervals
    ]


def _short(instant_us: int) -> str:
    minutes = (instant_us - to_us(at("00:00"))) // (60 * SECOND_US)
    days, rest = divmod(minutes, 1440)
    return (f"+{days} " if days else "") + f"{rest // 60:02}:{rest % 60:02}"


def desk_of(target_s: int, **calendar: Any) -> Any:
    """requester_wait in a calendar of this test's own, 09:00 to 17:00 in Madrid."""
    document = {
        "id": "desk",
        "zone": "Europe/Madrid",
        "hours": {day: [["09:00", "17:00"]] for day in WEEK},
        **calendar,
    }
    target = {"target_s": target_s, "calendar": "desk"}
    every = dict.fromkeys(("low", "medium", "high"), target)
    every["critical"] = {"target_s": HOUR_S, "calendar": "always"}
    return book_of(policy(targets={"requester_wait": every}), calendars=(*CALENDARS, document))


def test_pauses_are_named_with_their_events() -> None:
    case = Case().on("10:00", created()).on("10:20", status("pending", "new"))
    case.on("11:20", status("open", "pending")).on("11:50", status("solved"))
    found = proof(case, "requester_wait", "20:00")
    assert shown(found.intervals) == [
        ("10:00", "10:20", "counted", 1, 2),
        ("10:20", "11:20", "status pending", 2, 3),
        ("11:20", "11:50", "counted", 3, 4),
    ]
    assert (found.verdict, found.elapsed_us) == ("satisfied", 3000 * SECOND_US)
    assert found.due_us == to_us(at("15:00"))
    assert found.holds


def test_closed_hours_and_holidays_are_named() -> None:
    names = [{"source": "country:ES", "dates": {"2026-06-02": "Made-up Day"}}]
    book = desk_of(10 * HOUR_S, resolved_holidays=names, special_days={"2026-06-03": []})
    case = Case(book).on("14:00", created(priority="low"))
    found = proof(case, "requester_wait", "+3 10:00")
    assert shown(found.intervals) == [
        ("14:00", "15:00", "counted", 1, None),
        ("15:00", "22:00", "hours", None, None),
        ("22:00", "+1 22:00", "holiday Made-up Day", None, None),
        ("+1 22:00", "+2 22:00", "special_day 2026-06-03", None, None),
        ("+2 22:00", "+3 07:00", "hours", None, None),
        ("+3 07:00", "+3 10:00", "counted", None, None),
    ]
    assert (found.verdict, found.elapsed_us) == ("running", 4 * HOUR_S * SECOND_US)
    assert found.due_us == to_us(at("+4 08:00"))
    assert found.holds


def test_a_new_priority_keeps_the_activation_and_another_calendar_counts_anew() -> None:
    case = Case(desk_of(8 * HOUR_S)).on("05:00", created(priority="low"))
    case.on("05:30", status("pending", "new")).on("06:00", status("open", "pending"))
    case.on("06:20", priority("critical", "low"))
    found = proof(case, "requester_wait", "08:00")
    assert shown(found.intervals)[0] == ("05:00", "05:30", "counted", 1, 2)
    assert [(one.held.target_us // SECOND_US, one.reason, one.cause) for one in found.periods] == [
        (8 * HOUR_S, "started", 1),
        (HOUR_S, "ticket", 4),
    ]
    assert (found.verdict, found.breach_us) == ("breached", to_us(at("06:30")))
    assert found.periods[1].due_us == found.breach_us
    assert found.holds


def test_a_breach_under_another_calendar_is_proved_under_that_one() -> None:
    case = Case(desk_of(8 * HOUR_S)).on("05:00", created()).on("06:30", priority("low", "critical"))
    found = proof(case, "requester_wait", "10:00")
    assert found.breach_us == to_us(at("06:00"))
    assert shown(found.before_breach) == [("05:00", "06:00", "counted", 1, None)]
    assert shown(found.intervals) == [
        ("05:00", "07:00", "hours", 1, None),
        ("07:00", "10:00", "counted", None, None),
    ]
    assert found.holds


def test_a_target_that_was_past_when_it_was_given_is_missed_at_that_instant() -> None:
    case = Case(desk_of(8 * HOUR_S)).on("05:00", created(priority="low"))
    case.on("09:00", priority("critical", "low"))
    found = proof(case, "requester_wait", "10:00")
    assert (found.breach_us, found.holds) == (to_us(at("09:00")), True)


@pytest.mark.parametrize(
    ("late", "after", "missed"),
    [
        (status("pending", "new"), (("13:30", status("open", "pending")),), "14:30"),
        (priority("high"), (), "+1 10:00"),
        (status("pending", "new"), (("15:00", status("open", "pending")),), "16:00"),
        (status("pending", "new"), (("15:00", priority("high")),), None),
    ],
)
def test_a_breach_that_was_withdrawn_and_missed_after_all_keeps_its_true_instant(
    late: Event, after: tuple[tuple[str, Event], ...], missed: str | None
) -> None:
    """The timer fires at 14:00; what was done at 13:00 turns up afterwards."""
    case = Case().on("10:00", created()).wait("14:10")
    assert case.said("requester_wait")[-1] == ("breached", "14:00")
    case.on("13:00", late)
    told = list(case.said("requester_wait"))
    for when, event in after:
        case.on(when, event)
        told += case.said("requester_wait")
    case.on("+1 16:00", status("solved"))
    told += case.said("requester_wait")
    found = proof(case, "requester_wait", "+1 17:00")
    instant_us = None if missed is None else to_us(at(missed))
    assert (found.verdict, found.breach_us) == (
        "satisfied" if missed is None else "breached",
        instant_us,
    )
    assert missed is None or found.due_us == instant_us
    assert found.holds, found.checks
    assert "breached" not in {kind for kind, _ in told}
    assert case.ticket is not None
    stood = standing(found.clock, case.ticket.history, case.book, to_us(at("+1 17:00")))
    assert stood is not None
    assert stood.breach_us == instant_us


def test_a_withdrawn_breach_moves_with_an_edit_of_the_calendar() -> None:
    longer, shorter = desk(["09:00", "17:00"]), desk(["09:00", "13:00"])
    before, after = edited(longer, shorter, "12:30", 4 * HOUR_S)
    case = Case(before).on("09:00", created()).wait("13:10")
    assert case.said() == [("breached", "13:00")]
    case.on("12:00", status("pending", "new")).on("12:20", status("open", "pending"))
    assert case.due("requester_wait") == "13:20"
    case.book = after
    found = proof(case, "requester_wait", "+1 12:00")
    assert (found.verdict, found.breach_us) == ("breached", to_us(at("+1 09:20")))
    assert found.holds, found.checks


def test_a_reopening_goes_on_with_what_was_left() -> None:
    case = Case().on("10:00", created()).on("11:00", status("solved"))
    case.on("+1 10:00", status("open", "solved"))
    found = proof(case, "requester_wait", "+1 12:00")
    assert shown(found.intervals) == [
        ("10:00", "11:00", "counted", 1, 2),
        ("11:00", "+1 10:00", "solved solved", 2, 3),
        ("+1 10:00", "+1 12:00", "counted", 3, None),
    ]
    assert (found.due_us, found.holds) == (to_us(at("+1 13:00")), True)


def test_hours_that_a_clock_change_skips_or_repeats() -> None:
    every_night = {day: [["00:00", "06:00"]] for day in (*WEEK, "sat", "sun")}
    for night, hours in (("2026-03-28T23:00:00+00:00", 5), ("2026-10-24T22:00:00+00:00", 7)):
        case = Case(desk_of(100 * HOUR_S, hours=every_night))
        start_us = to_us(datetime.fromisoformat(night))
        case.at_us(start_us, created(priority="low"))
        assert case.ticket is not None
        found = proof_of(
            case.ticket, case.clock("requester_wait"), case.book, start_us + 20 * HOUR_S * SECOND_US
        )
        assert found.elapsed_us == hours * HOUR_S * SECOND_US
        assert found.holds


def test_a_clock_that_does_not_add_up_is_told() -> None:
    case = Case().on("10:00", created()).on("10:20", status("pending", "new"))
    clock: Clock = case.clock("requester_wait")
    assert case.ticket is not None
    wrong = proof_of(case.ticket, clock._replace(elapsed_us=7), case.book, to_us(at("11:00")))
    assert not wrong.holds
    assert [check.name for check in wrong.checks if check.ok is False] == ["elapsed"]
    early = proof_of(
        case.ticket, clock._replace(breach_us=to_us(at("10:10"))), case.book, to_us(at("11:00"))
    )
    assert "breach" in [check.name for check in early.checks if check.ok is False]


# ---- any history -------------------------------------------------------------------------------

late = st.lists(st.integers(0, 30_000), max_size=16)


@settings(max_examples=200, deadline=None)
@given(steps, late, st.integers(0, 200_000))
def test_every_proof_of_any_history_adds_up(
    history: list[tuple[int, Event, bool]], overshoot: list[int], gap_s: int
) -> None:
    case = Case(BOOK).on("05:00", created(priority="low"))
    now_us = to_us(at("05:00"))
    latest_us, past = now_us, list[Clock]()
    for number, (step_s, event, fire) in enumerate(history):
        if fire:
            # Timers may have fired for instants after an event that is still on its way.
            more_s = overshoot[number] if number < len(overshoot) else 0
            fired_us = now_us + (step_s // 2 + more_s) * SECOND_US
            case.until_us(fired_us)
            latest_us = max(latest_us, fired_us)
        now_us += step_s * SECOND_US
        case.at_us(now_us, event)
        past += [fact.past for fact in case.facts if fact.past is not None]
    end_us = max(now_us, latest_us) + gap_s * SECOND_US
    case.until_us(end_us)
    assert case.ticket is not None
    for clock in (*past, *case.ticket.clocks):
        found = proof_of(case.ticket, clock, BOOK, end_us)
        assert [check for check in found.checks if check.ok is False] == []
        covered = sum(one.end_us - one.start_us for one in found.intervals)
        assert covered == found.end_us - found.start_us
        for one in found.intervals:
            assert one.start_us < one.end_us


@settings(max_examples=150, deadline=None)
@given(shift, shift, steps, st.integers(0, 16), st.integers(0, 60), st.integers(1, 30 * HOUR_S))
def test_a_proof_holds_whenever_a_calendar_is_edited_and_noticed(
    old: Any, new: Any, history: Any, noticed: int, effective_h: int, target_s: int
) -> None:
    before = book_of(wait_of(target_s), calendars=(old,))
    start_us = to_us(at("05:00"))
    edit_us = start_us + effective_h * HOUR_S * SECOND_US
    versions = (*before.calendars["desk"], CalendarVersion(edit_us, calendar_of(new, 2)))
    after = Book(before.policy_sets, {"desk": versions})
    case, now_us = Case(before).at_us(start_us, created(priority="low")), start_us
    for number, (gap_s, event, fire) in enumerate(history):
        if number >= noticed or now_us + gap_s * SECOND_US >= edit_us:
            case.book = after  # an edit is made before it is in force
        if fire:
            case.until_us(now_us + gap_s * SECOND_US // 2)
        now_us += gap_s * SECOND_US
        case.at_us(now_us, event)
    case.book = after
    end_us = max(now_us, edit_us) + 40 * HOUR_S * SECOND_US
    case.until_us(end_us)
    assert case.ticket is not None
    for clock in case.ticket.clocks:
        found = proof_of(case.ticket, clock, after, end_us)
        assert [check for check in found.checks if check.ok is False] == []
        counted = {one.calendar_version for one in found.intervals if one.why == "counted"}
        assert counted <= {1, 2}


def test_another_release_of_the_time_zones_is_not_compared() -> None:
    case = Case(Book(BOOK.policy_sets, BOOK.calendars, "2026a"))
    case.on("10:00", created(priority="high")).on("10:05", status("solved"))
    assert case.ticket is not None
    newer = Book(BOOK.policy_sets, BOOK.calendars, "2026b")
    clock: Clock = case.clock("total_resolution")
    found = proof_of(case.ticket, clock, newer, to_us(at("11:00")))
    assert {check.name: check.ok for check in found.checks}["elapsed"] is None
    assert found.holds

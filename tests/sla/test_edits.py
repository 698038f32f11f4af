"""Definitions that change while clocks run: calendars (fault 33), time zones (fault 30), policies.

What was counted stays counted and what was stated stays stated; what is still to come moves.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import sla as e
from libs.worktime.calendar import calendar_of
from libs.worktime.instants import DAY_US, SECOND_US, to_us
from libs.worktime.timeline import CalendarVersion
from services.sla import store as s
from services.sla.defaults import CALENDARS
from services.sla.domain.book import Book
from services.sla.domain.proof_document import proofs
from services.sla.reckoning import Reckoning
from tests.sla.bench import Bench
from tests.sla.desk import Case, Stream, at, book_of, created, policy, priority, reply, status

ALL_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOUR_S = 3600


def desk(*shifts: list[str], zone: str = "UTC", **more: Any) -> dict[str, Any]:
    hours = {day: list(shifts) for day in ALL_WEEK}
    return {"id": "desk", "zone": zone, "hours": hours, "holidays": [], **more}


def wait_of(target_s: int) -> dict[str, Any]:
    target = {"target_s": target_s, "calendar": "desk"}
    every = dict.fromkeys(("low", "medium", "high", "critical"), target)
    return policy(targets={"requester_wait": every}, warn_at=[])


def edited(
    old: dict[str, Any], new: dict[str, Any], effective: str, target_s: int = 4 * HOUR_S
) -> tuple[Book, Book]:
    """The book before the edit and after it."""
    before = book_of(wait_of(target_s), calendars=(old,))
    versions = (
        *before.calendars["desk"],
        CalendarVersion(to_us(at(effective)), calendar_of(new, 2)),
    )
    return before, Book(before.policy_sets, {"desk": versions})


# ---- a calendar edited mid-flight --------------------------------------------------------------


def test_a_running_clock_goes_on_under_the_new_hours_from_their_day_on() -> None:
    before, after = edited(desk(["10:00", "12:00"]), desk(["10:00", "11:00"]), "+1 00:00")
    case = Case(before).on("10:00", created())
    assert case.due("requester_wait") == "+1 12:00"
    case.book = after
    assert case.on("10:30", reply("internal")).said() == [("retargeted", "10:30")]
    assert case.facts[0].reason == "calendar"
    # Two hours on the day it started, then one a day.
    assert case.due("requester_wait") == "+2 11:00"
    assert case.clock("requester_wait").calendar_version == 1
    assert case.wait("+3 10:00").said() == [("breached", "+2 11:00")]
    assert case.clock("requester_wait").calendar_version == 2


def test_an_edit_never_moves_what_was_counted_before_it() -> None:
    before, after = edited(desk(["10:00", "12:00"]), desk(["00:00", "24:00"]), "+1 00:00")
    case = Case(before).on("10:00", created()).on("11:00", status("pending", "new"))
    case.book = after
    case.on("+1 05:00", status("open", "pending"))
    assert case.clock("requester_wait").elapsed_us == HOUR_S * SECOND_US
    assert case.due("requester_wait") == "+1 08:00"


def test_a_verdict_that_was_given_stays_given() -> None:
    before, after = edited(desk(["00:00", "24:00"]), desk(["10:00", "11:00"]), "12:00", HOUR_S)
    case = Case(before).on("10:00", created()).wait("11:00")
    assert case.said() == [("breached", "11:00")]
    case.book = after
    assert case.wait("+9 10:00").said() == []
    assert case.on("+9 10:00", status("solved")).said() == [("satisfied", "+9 10:00")]
    assert case.clock("requester_wait").breach_us == to_us(at("11:00"))


def test_a_timer_that_was_set_by_the_old_hours_is_not_early() -> None:
    before, after = edited(desk(["00:00", "24:00"]), desk(["20:00", "24:00"]), "11:00")
    case = Case(before).on("10:00", created())
    case.book = after
    assert case.wait("14:00").said() == [("retargeted", "14:00")]
    assert case.wait("+1 00:00").said() == [("breached", "23:00")]


def test_an_edit_that_brings_the_deadline_nearer_is_stated_for_its_true_instant() -> None:
    before, after = edited(desk(["20:00", "24:00"]), desk(["00:00", "24:00"]), "11:00")
    case = Case(before).on("10:00", created())
    case.book = after
    # Nobody looked at the ticket between the edit and the new deadline.
    assert case.wait("18:00").said() == [("breached", "15:00"), ("retargeted", "18:00")]


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2 * 86_400),
        st.sampled_from(
            (status("pending"), status("open", "pending"), status("solved"), priority("low"))
        ),
    ),
    max_size=8,
)
shift = st.integers(0, 22).flatmap(
    lambda first: st.integers(first + 1, 23).map(
        lambda last: desk([f"{first:02}:00", f"{last:02}:00"])
    )
)


@settings(max_examples=150, deadline=None)
@given(shift, shift, STEPS, st.integers(0, 7), st.integers(1, 30 * HOUR_S))
def test_whenever_an_edit_is_noticed_the_verdict_is_the_same(
    old: dict[str, Any], new: dict[str, Any], steps: Any, noticed: int, target_s: int
) -> None:
    before, after = edited(old, new, "+1 12:00", target_s)
    verdicts = []
    for look_after in (0, noticed):
        case = Case(after if look_after == 0 else before).on("10:00", created())
        now_us = to_us(at("10:00"))
        for number, (gap_s, event) in enumerate(steps, start=1):
            now_us += gap_s * SECOND_US
            if number == look_after or now_us > to_us(at("+1 12:00")):
                case.book = after
            case.at_us(now_us, event)
        case.book = after
        case.until_us(now_us + 60 * DAY_US)
        clock = case.clock("requester_wait")
        verdicts.append((clock.breach_us, clock.elapsed_us, clock.state))
    assert verdicts[0] == verdicts[1]


# ---- a new release of the time zones -----------------------------------------------------------


def with_zone(zone: str, tzdata: str, target_s: int = 4 * HOUR_S) -> Book:
    """The same calendar under other rules: what a release does, told by another zone's rules."""
    made = book_of(wait_of(target_s), calendars=(desk(["10:00", "12:00"], zone=zone),))
    return Book(made.policy_sets, made.calendars, tzdata)


def test_state_written_under_other_time_zones_is_reckoned_anew() -> None:
    case = Case(with_zone("Europe/Madrid", "2026a")).on("08:00", created())
    assert (case.due("requester_wait"), case.clock("requester_wait").tzdata) == (
        "+1 10:00",
        "2026a",
    )
    case.book = with_zone("Europe/London", "2026b")
    assert case.on("08:30", reply("internal")).said() == [("retargeted", "08:30")]
    assert case.facts[0].reason == "tzdata"
    assert (case.due("requester_wait"), case.clock("requester_wait").tzdata) == (
        "+1 11:00",
        "2026b",
    )
    assert case.wait("+1 10:30").said() == []
    assert case.wait("+1 12:00").said() == [("breached", "+1 11:00")]


def test_the_same_rules_under_another_name_change_nothing() -> None:
    case = Case(with_zone("Europe/Madrid", "2026a")).on("08:00", created())
    case.book = with_zone("Europe/Madrid", "2026b")
    assert case.on("08:30", reply("internal")).said() == []
    assert case.clock("requester_wait").tzdata == "2026b"


def test_a_breach_under_the_old_rules_stays() -> None:
    case = Case(with_zone("Europe/Madrid", "2026a")).on("08:00", created()).wait("+1 10:00")
    assert case.said() == [("breached", "+1 10:00")]
    case.book = with_zone("Europe/London", "2026b")
    assert case.on("+1 10:10", status("solved")).said() == [("satisfied", "+1 10:10")]
    assert case.clock("requester_wait").breach_us == to_us(at("+1 10:00"))


@pytest.mark.parametrize("returns", ["open", "pending"])
def test_a_wait_that_was_solved_meanwhile_is_counted_anew_when_it_goes_on(returns: str) -> None:
    case = Case(with_zone("Europe/Madrid", "2026a"))
    case.on("08:00", created()).on("09:30", status("solved", "new"))
    assert case.clock("requester_wait").elapsed_us == 90 * 60 * SECOND_US
    case.book = with_zone("Europe/London", "2026b")
    case.on("09:40", status(returns, "solved")).wait("09:45")
    assert case.clock("requester_wait").elapsed_us == 30 * 60 * SECOND_US
    if returns == "open":
        assert case.due("requester_wait") == "+2 09:10"
    assert proof_holds(case, "09:50")


@pytest.mark.parametrize("returns", ["open", "pending"])
def test_a_wait_that_was_missed_by_the_new_time_zones_was_missed_at_its_true_instant(
    returns: str,
) -> None:
    case = Case(with_zone("Europe/London", "2026a", HOUR_S))
    case.on("08:00", created()).on("09:30", status("solved", "new"))
    case.book = with_zone("Europe/Madrid", "2026b", HOUR_S)
    case.on("09:40", status(returns, "solved"))
    said = [*case.said(), *case.wait("09:45").said()]
    assert min(said) == ("breached", "09:00")
    assert len(said) == 2
    assert proof_holds(case, "09:50")


def proof_holds(case: Case, when: str) -> bool:
    assert case.ticket is not None
    answer = proofs("ticket", case.ticket, [], case.book, to_us(at(when)), "requester_wait")
    return answer["holds"] is True


# ---- the task that brings every clock up to date -----------------------------------------------


async def test_every_clock_gets_its_new_timer_once(bench: Bench) -> None:
    bench.clock.instant = at("08:00")
    streams = [Stream(f"ticket {number}") for number in range(12)]
    bench.apply(*(stream.add("08:00", created(priority="medium")) for stream in streams))
    due = {event.due for event in bench.events(e.ClockStarted) if event.metric == "first_reply"}
    assert due == {at("13:00")}  # 07-11 and 12-16 UTC
    reckoning = Reckoning(bench.store, bench.clock, bench.books, lambda _: None)
    assert await reckoning.once() == 0
    business = {**CALENDARS[1], "holidays": ["2026-06-02"], "special_days": {}}
    business["hours"] = {day: [["00:00", "24:00"]] for day in ALL_WEEK}
    now_us = to_us(at("09:00"))
    bench.clock.instant = at("09:00")
    bench.store.write_now(lambda c, _: s.put_calendar(c, bench.books.read(c), business, now_us))
    assert await reckoning.once() == 24
    moved = [event for event in bench.events(e.ClockRetargeted) if event.metric == "first_reply"]
    assert {(event.reason, event.due, event.at) for event in moved} == {
        ("calendar", at("12:00"), at("09:00"))
    }
    assert await reckoning.once() == 0
    assert {timer[2] for timer in bench.timers() if timer[0] == "first_reply"} == {
        to_us(at("11:00"))
    }


async def test_a_service_that_comes_back_with_other_time_zones_reckons_anew(
    bench: Bench, database_url: str
) -> None:
    bench.apply(Stream().add("08:00", created(priority="medium")))
    await Reckoning(bench.store, bench.clock, bench.books, lambda _: None).once()
    again = Bench(database_url)
    again.books = s.Books("another release")
    reckoning = Reckoning(again.store, again.clock, again.books, lambda _: None)
    assert await reckoning.once() == 0  # the rules are the same: no due instant moved
    clocks = next(iter(again.read(lambda c: s.load(c, [Stream().id])).values())).clocks
    assert {clock.tzdata for clock in clocks} == {"another release"}
    assert again.read(s.read_basis) == "another release/2"
    again.stop()


# ---- two at once -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["policies", "calendars"])
def test_versions_put_at_the_same_time_follow_each_other(
    bench: Bench, database_url: str, kind: str
) -> None:
    """Two processes: each has its own store and book."""
    lives = [Bench(database_url) for _ in range(4)]
    barrier = threading.Barrier(len(lives))
    made: list[int] = []
    errors: list[BaseException] = []

    def put(life: Bench, number: int) -> None:
        def change(connection: Any, _: Any) -> s.Put:
            s.lock_definitions(connection)
            book = life.books.read(connection)
            if kind == "policies":
                return s.put_policies(connection, book, [policy(id=f"p{number}")], number)
            document = {**CALENDARS[1], "holidays": [f"2026-12-{number + 10}"]}
            return s.put_calendar(connection, book, document, number)

        try:
            barrier.wait(10)
            made.extend(life.store.write_now(change)[0].version for _ in range(3))
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=put, args=(life, n)) for n, life in enumerate(lives)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    rows = s.policies if kind == "policies" else s.calendars
    versions = bench.read(
        lambda c: sorted(
            row.version for row in c.execute(rows.select()) if getattr(row, "name", "") != "always"
        )
    )
    assert versions == list(range(1, len(versions) + 1))
    assert max(made) == len(versions)
    for life in lives:
        life.stop()


def test_an_identical_definition_makes_no_version(bench: Bench) -> None:
    def put(name: str, effective: str) -> s.Put:
        def change(connection: Any, _: Any) -> s.Put:
            s.lock_definitions(connection)
            book = bench.books.read(connection)
            return s.put_policies(connection, book, [policy(id=name)], to_us(at(effective)))

        return bench.store.write_now(change)[0]

    assert put("one", "10:00") == s.Put(2, made=True)
    assert put("one", "10:00") == s.Put(2, made=False)
    assert put("one", "11:00") == s.Put(2, made=False)
    assert put("two", "12:00") == s.Put(3, made=True)
    # The newest says the same, but only from noon on.
    assert put("two", "11:00") == s.Put(4, made=True)
    assert put("one", "11:00") == s.Put(5, made=True)

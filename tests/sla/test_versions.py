"""Whatever versions of policies and calendars were accepted, in force or scheduled: they can be read
back, tickets go on, and nothing takes effect before its instant."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import sla as e
from libs.events.ticket import TagsChanged
from libs.worktime.errors import InvalidDefinition
from libs.worktime.instants import DAY_US, LAST_US, to_datetime, to_us
from services.sla import store as s
from services.sla import views
from services.sla.defaults import CALENDARS
from tests.sla.bench import Bench
from tests.sla.desk import Stream, at, created, policy, status

NUMBERS = count(1)
RARE = {**CALENDARS[1], "hours": {"mon": [["09:00", "09:01"]]}}


def for_hours(hours: int, calendar: str) -> dict[str, Any]:
    target = {"target_s": hours * 3600, "calendar": calendar}
    every = dict.fromkeys(("low", "medium", "high", "critical"), target)
    return policy(id=f"{calendar}-{hours}", targets={"requester_wait": every})


def put_set(bench: Bench, document: list[dict[str, Any]], when: str = "09:00") -> s.Put:
    return bench.store.write_now(
        lambda c, _: s.put_policies(c, bench.books.read(c), document, to_us(at(when)))
    )[0]


def put_calendar(bench: Bench, document: dict[str, Any], when: str = "09:00") -> s.Put:
    return bench.store.write_now(
        lambda c, _: s.put_calendar(c, bench.books.read(c), document, to_us(at(when)))
    )[0]


def goes_on(bench: Bench) -> None:
    """Definitions are read as after a start, and a ticket is applied, timed and shown."""
    bench.books = s.Books()
    stream = Stream(f"ticket {next(NUMBERS)}")
    bench.apply(
        stream.add("10:00", created(priority="medium")),
        stream.add("10:30", status("pending", "new")),
        stream.add("11:00", status("open", "pending")),
    )
    bench.fire(at("12:00"))
    book, now_us = bench.read(bench.books.read), to_us(at("12:00"))
    shown = bench.read(lambda c: views.clocks_of(c, book, stream.id, now_us))
    assert shown["status"] == "open"
    assert bench.read(lambda c: views.proofs_of(c, book, stream.id, now_us, None))["holds"]


def test_an_older_policy_that_its_calendar_now_hardly_allows_is_no_obstacle(bench: Bench) -> None:
    before = Stream("before")
    bench.apply(before.add("08:00", created(priority="medium")))
    assert put_set(bench, [for_hours(1, "always")]).made
    assert put_calendar(bench, RARE).made
    bench.apply(before.add("10:00", status("pending", "new")))
    bench.apply(before.add("10:10", status("open", "pending")))
    goes_on(bench)
    clock = bench.ticket(before.id).clocks[1]
    assert (clock.metric, clock.state, clock.policy_version) == ("requester_wait", "running", 1)
    assert clock.due_us > to_us(at("10:00")) + 20 * 365 * DAY_US


def test_a_clock_that_cannot_become_due_any_more_goes_on_for_ever(bench: Bench) -> None:
    put_set(bench, [for_hours(366 * 24, "business")], "07:00")
    stream = Stream()
    bench.apply(stream.add("08:00", created(priority="medium")))
    put_set(bench, [])
    put_calendar(bench, RARE)
    bench.apply(stream.add("10:00", status("pending", "new")))
    bench.apply(stream.add("10:10", status("open", "pending")))
    (clock,) = bench.ticket(stream.id).clocks
    assert (clock.state, clock.due_us) == ("running", LAST_US)
    assert bench.events(e.ClockResumed)[0].due == to_datetime(LAST_US)
    bench.apply(stream.add("11:00", status("solved")))
    assert bench.events(e.ClockSatisfied)[0].breached is False


def test_every_version_that_may_still_count_is_asked(bench: Bench) -> None:
    assert put_set(bench, [], "+9 09:00").made
    with pytest.raises(InvalidDefinition, match="20 years"):
        put_calendar(bench, RARE)  # version 1 of the policies counts for nine more days
    assert put_calendar(bench, RARE, "+9 09:00").made
    with pytest.raises(InvalidDefinition, match="20 years"):
        put_set(bench, [for_hours(24, "business")])
    goes_on(bench)


EDITS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                [],
                [for_hours(1, "always")],
                [for_hours(24, "business")],
                [for_hours(8784, "business")],
                RARE,
                CALENDARS[1],
            )
        ),
        st.sampled_from(("08:00", "09:00", "10:20", "+1 09:00", "+9 09:00")),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(edits=EDITS)
def test_what_was_accepted_can_be_read_and_applied(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[Any, str]]
) -> None:
    place: Path = tmp_path_factory.mktemp("sla") / "sla.db"
    bench = Bench(f"sqlite:///{place}")
    for document, when in edits:
        try:
            if isinstance(document, list):
                put_set(bench, document, when)
            else:
                put_calendar(bench, document, when)
        except InvalidDefinition as error:
            assert error.code == "unreachable_target"  # noqa: PT017 - the only one allowed
        goes_on(bench)
    bench.stop()


def test_tags_that_say_nothing_new_leave_a_clock_with_its_version(bench: Bench) -> None:
    put_set(bench, [{**for_hours(1, "always"), "when": {"tags": ["vip"]}}], "07:00")
    stream = Stream()
    bench.apply(stream.add("08:00", created(tags=("vip",))))
    put_set(bench, [{**for_hours(2, "always"), "when": {"tags": ["vip"]}}], "08:10")
    bench.apply(stream.add("08:20", TagsChanged(added=("vip",), removed=("none",))))
    assert bench.ticket(stream.id).clocks[0].policy_version == 2

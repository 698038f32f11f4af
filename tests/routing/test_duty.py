"""Who is on duty when, and when time alone changes it: across midnight, weeks and clock changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.events.agent import OutOfOffice, Presence, Shift, WorkingHours
from services.routing.domain.agent import Agent, Refused
from services.routing.domain.agent_checks import check_hours
from services.routing.domain.duty import away_since, next_change, off_duty

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ZONES = (
    "UTC",
    "Europe/Madrid",
    "America/Santiago",  # the clocks change at midnight
    "Australia/Lord_Howe",  # by half an hour
    "Africa/Casablanca",  # twice around Ramadan
    "Asia/Kathmandu",
)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def at(text: str, zone: str = "UTC", *, fold: int = 0) -> datetime:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return local.astimezone(UTC)


def hours(zone: str = "UTC", **week: str) -> WorkingHours:
    """`mon="09:00-13:00 14:00-18:00"`."""
    shifts = {
        day: tuple(
            Shift(start=start, end=end)
            for start, _, end in (one.partition("-") for one in text.split())
        )
        for day, text in week.items()
    }
    return WorkingHours.model_validate({"zone": zone, "week": shifts})


def absent(start: str, end: str) -> OutOfOffice:
    return OutOfOffice(start=at(start), end=at(end))


def agent(
    *absences: OutOfOffice, presence: Presence = "online", working: WorkingHours | None = None
) -> Agent:
    made = Agent("ana", out_of_office=absences, working_hours=working)
    return replace(made, presence=presence, presence_since=at("2026-01-01T00:00"))


# 2 March 2026 is a Monday.


def test_split_shifts_and_a_free_day() -> None:
    ana = agent(working=hours(mon="09:00-13:00 14:00-18:00"))
    told = {
        "2026-03-02T08:59:59.999999": "off_hours",
        "2026-03-02T09:00": None,
        "2026-03-02T12:59:59.999999": None,
        "2026-03-02T13:00": "off_hours",
        "2026-03-02T14:00": None,
        "2026-03-02T18:00": "off_hours",
        "2026-03-03T10:00": "off_hours",
    }
    assert {when: off_duty(ana, at(when)) for when in told} == told
    assert next_change(ana, at("2026-03-02T08:00")) == at("2026-03-02T09:00")
    assert next_change(ana, at("2026-03-02T09:00")) == at("2026-03-02T13:00")
    assert next_change(ana, at("2026-03-02T18:00")) == at("2026-03-09T09:00")


def test_an_overnight_shift_belongs_to_the_day_it_starts_on() -> None:
    ana = agent(working=hours(sun="22:00-06:00"))
    assert off_duty(ana, at("2026-03-01T21:59")) == "off_hours"
    assert off_duty(ana, at("2026-03-01T22:00")) is None
    assert off_duty(ana, at("2026-03-02T05:59")) is None
    assert off_duty(ana, at("2026-03-02T06:00")) == "off_hours"
    assert off_duty(ana, at("2026-03-02T22:30")) == "off_hours"
    assert next_change(ana, at("2026-03-01T23:00")) == at("2026-03-02T06:00")


def test_shifts_that_touch_are_one_and_round_the_clock_never_ends() -> None:
    ana = agent(working=hours(mon="09:00-13:00 13:00-24:00", tue="00:00-08:00"))
    assert next_change(ana, at("2026-03-02T10:00")) == at("2026-03-03T08:00")
    always = agent(working=hours(**dict.fromkeys(WEEKDAYS, "00:00-24:00")))
    assert next_change(always, at("2026-03-02T10:00")) is None
    from_six = agent(working=hours(**dict.fromkeys(WEEKDAYS, "06:00-06:00")))
    assert off_duty(from_six, at("2026-03-02T05:00")) is None
    assert next_change(from_six, at("2026-03-02T10:00")) is None


def test_hours_are_those_of_the_zone_summer_and_winter() -> None:
    ana = agent(working=hours("Europe/Madrid", mon="09:00-17:00"))
    assert next_change(ana, at("2026-01-05T00:00")) == at("2026-01-05T08:00")
    assert next_change(ana, at("2026-07-06T00:00")) == at("2026-07-06T07:00")


def test_a_boundary_in_the_skipped_hour_is_at_the_end_of_the_gap() -> None:
    """On 29 March 2026 the clocks of Madrid go from 02:00 to 03:00 (at 01:00 UTC)."""
    ana = agent(working=hours("Europe/Madrid", sun="02:30-05:00"))
    assert next_change(ana, at("2026-03-29T00:00")) == at("2026-03-29T01:00")
    assert next_change(ana, at("2026-03-29T01:00")) == at("2026-03-29T03:00")
    gone = agent(working=hours("Europe/Madrid", sun="00:30-02:30"))
    assert next_change(gone, at("2026-03-29T00:30")) == at("2026-03-29T01:00")
    inside = agent(working=hours("Europe/Madrid", sun="02:10-02:50"))
    assert next_change(inside, at("2026-03-28T00:00")) == at("2026-04-05T00:10")


def test_what_the_clock_shows_twice_is_worked_twice() -> None:
    """On 25 October 2026 the clocks of Madrid go from 03:00 back to 02:00 (at 01:00 UTC)."""
    ana = agent(working=hours("Europe/Madrid", sun="02:30-02:45"))
    seen, moment = [], at("2026-10-24T12:00")
    for _ in range(4):
        moment = next_change(ana, moment) or moment
        seen.append(moment)
    assert seen == [
        at("2026-10-25T00:30"),
        at("2026-10-25T00:45"),
        at("2026-10-25T01:30"),
        at("2026-10-25T01:45"),
    ]


def test_out_of_office_comes_first_and_its_end_is_outside() -> None:
    leave = absent("2026-03-02T10:00", "2026-03-02T12:00")
    presences: tuple[Presence, ...] = ("online", "away", "offline")
    for presence in presences:
        ana = agent(leave, presence=presence)
        assert off_duty(ana, at("2026-03-02T10:00")) == "out_of_office"
        assert off_duty(ana, at("2026-03-02T12:00")) == (None if presence == "online" else presence)
        assert next_change(ana, at("2026-03-02T09:00")) == at("2026-03-02T10:00")
        assert next_change(ana, at("2026-03-02T10:00")) == at("2026-03-02T12:00")
        assert next_change(ana, at("2026-03-02T12:00")) is None


def test_periods_that_touch_are_one() -> None:
    ana = agent(
        absent("2026-03-02T00:00", "2026-03-03T00:00"),
        absent("2026-03-03T00:00", "2026-06-04T00:00"),
    )
    assert next_change(ana, at("2026-03-02T10:00")) == at("2026-06-04T00:00")
    assert away_since(ana, at("2026-03-05T10:00")) == at("2026-03-02T00:00")


def test_gone_since_when() -> None:
    since = at("2026-03-02T10:00")
    offline = replace(agent(presence="offline"), presence_since=since)
    assert away_since(offline, at("2026-03-02T11:00")) == since
    assert away_since(agent(), at("2026-03-02T11:00")) is None
    assert away_since(agent(presence="away"), at("2026-03-02T11:00")) is None
    idle = agent(working=hours(tue="09:00-17:00"))
    assert away_since(idle, at("2026-03-02T11:00")) is None

    leave = absent("2026-03-02T08:00", "2026-03-02T10:30")
    joined = replace(offline, out_of_office=(leave,))
    assert away_since(joined, at("2026-03-02T12:00")) == at("2026-03-02T08:00")
    assert away_since(replace(joined, presence="online"), at("2026-03-02T12:00")) is None
    ended = absent("2026-03-02T08:00", "2026-03-02T09:59")
    assert away_since(replace(offline, out_of_office=(ended,)), at("2026-03-02T12:00")) == since
    later = absent("2026-03-02T13:00", "2026-03-02T14:00")
    assert away_since(replace(offline, out_of_office=(later,)), at("2026-03-02T13:30")) == since


def test_a_clock_that_jumps_back_gives_no_time_to_come() -> None:
    offline = replace(agent(presence="offline"), presence_since=at("2026-03-02T10:00"))
    assert away_since(offline, at("2026-03-02T09:00")) == at("2026-03-02T09:00")


def test_a_zone_that_this_machine_does_not_know_counts_as_utc() -> None:
    ana = agent(working=hours("Mars/Olympus", mon="09:00-10:00"))
    assert off_duty(ana, at("2026-03-02T09:30")) is None
    assert off_duty(ana, at("2026-03-02T10:00")) == "off_hours"


CLOCK_TIMES = st.integers(0, 47).map(lambda n: f"{n // 2:02}:{n % 2 * 30:02}")
SHIFTS = st.lists(st.builds(lambda a, b: f"{a}-{b}", CLOCK_TIMES, CLOCK_TIMES), max_size=2)
MOMENTS = st.integers(0, 400 * 24 * 60).map(lambda n: at("2026-01-01T00:00") + n * MINUTE)


@st.composite
def agents(draw: st.DrawFn) -> Agent:
    week = {day: " ".join(draw(SHIFTS)) for day in WEEKDAYS if draw(st.booleans())}
    working = hours(draw(st.sampled_from(ZONES)), **week)
    try:
        check_hours(working)
    except Refused:
        assume(condition=False)
    start = draw(MOMENTS)
    leave = OutOfOffice(start=start, end=start + draw(st.integers(1, 5000)) * MINUTE)
    absences = draw(st.sampled_from([(), (leave,)]))
    presences: list[Presence] = ["online", "online", "away", "offline"]
    presence = draw(st.sampled_from(presences))
    return agent(*absences, presence=presence, working=draw(st.sampled_from([working, None])))


@given(agents(), MOMENTS)
def test_nothing_changes_before_the_next_change(ana: Agent, after: datetime) -> None:
    reason, change = off_duty(ana, after), next_change(ana, after)
    last = after + 20 * DAY if change is None else change
    if change is not None:
        assert change > after
        assert off_duty(ana, change) != reason
        assert off_duty(ana, change - timedelta(microseconds=1)) == reason
    moment = after.replace(minute=after.minute // 30 * 30)
    while (moment := moment + 30 * MINUTE) < min(last, after + 20 * DAY):
        assert off_duty(ana, moment) == reason, moment


@given(agents(), MOMENTS)
def test_gone_means_gone_all_the_time_since(ana: Agent, now: datetime) -> None:
    since = away_since(ana, now)
    assert (since is not None) == (off_duty(ana, now) in {"out_of_office", "offline"})
    if since is None:
        return
    assert since <= now
    for part in range(20):
        moment = since + (now - since) * part / 20
        if ana.presence_since is not None and moment >= ana.presence_since:
            assert off_duty(ana, moment) in {"out_of_office", "offline"}


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_changes_alternates_and_agrees_with_the_wall_clock(zone: str) -> None:
    ana = agent(working=hours(zone, **dict.fromkeys(WEEKDAYS, "00:15-02:15 22:00-23:45")))
    moment, end = at("2026-01-01T12:00"), at("2027-01-01T12:00")
    on = off_duty(ana, moment) is None
    while (change := next_change(ana, moment)) is not None and change < end:
        local = (change + MINUTE).astimezone(ZoneInfo(zone))
        wall = local.hour * 60 + local.minute
        assert (15 <= wall < 135 or 1320 <= wall < 1425) is not on
        moment, on = change, not on
    assert moment > end - DAY

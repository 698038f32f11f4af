"""Every metric on a desk of three tickets and one agent, whose numbers are worked out by hand.

#1 chat, "refund", tag vip, of r1. Monday 08:00 created, 08:01 to ana, 08:02 open, 08:10 reply, 08:12 pending,
   09:00 message of the requester and open, 09:05 another message, 09:30 reply and solved, 10:00 rated good.
#2 e-mail, "refund", of r1. Monday 10:00 created, 10:05 to ana and open, 10:20 to bo, 10:40 back to ana, 11:00
   reply and solved; Tuesday 09:00 message of the requester and open, 09:30 on hold, 10:30 open, 11:00 to
   tier 2, 11:30 solved, 12:00 rated bad.
#3 form, "login", of r2, incident of #1. Monday 23:30 created, a note at 23:40, nothing else.
ana is online on Monday from 08:00 to 09:15 and from 10:00 to 12:00.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.events import EventEnvelope, Status, agent, sla
from libs.events import ticket as t
from libs.events.base import Channel, Event
from services.reporting.domain import microseconds
from services.reporting.domain.metrics import METRICS
from services.reporting.facts.facts import Facts
from services.reporting.report.drill import facts_of as facts_behind
from services.reporting.report.engine import look, run
from services.reporting.report.model import Report, ReportQuery
from tests.reporting.house import facts_of
from tests.reporting.streams import envelope

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY_S = 86_400
IDS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(1, 4)]


def at(clock: str, day: int = 0) -> datetime:
    hours, minutes = map(int, clock.split(":"))
    return MONDAY + timedelta(days=day, hours=hours, minutes=minutes)


def us(clock: str, day: int = 0) -> int:
    return microseconds(at(clock, day))


def stream(
    stream_id: str, *told: tuple[str, Event] | tuple[str, Event, int]
) -> list[EventEnvelope]:
    return [
        envelope(stream_id, place, event, at(clock, *day))
        for place, (clock, event, *day) in enumerate(told, start=1)
    ]


def created(number: int, channel: Channel, category: str, who: str, **more: Any) -> t.TicketCreated:
    return t.TicketCreated(
        number=number,
        subject="x",
        requester=t.Requester(id=who),
        channel=channel,
        category=category,
        **more,
    )


def said(author: t.AuthorKind, visibility: t.Visibility = "public") -> t.MessageAdded:
    return t.MessageAdded(
        message_id="m",
        author=author,
        author_id="x",
        visibility=visibility,
        body="x",
        channel=Channel.API,
    )


def moved(status: Status, previous: Status) -> t.StatusChanged:
    return t.StatusChanged(status=status, previous=previous)


def to(who: str) -> t.Assigned:
    return t.Assigned(group="mail", agent=who)


NEW, OPEN, PENDING, HELD, SOLVED = (
    Status.NEW,
    Status.OPEN,
    Status.PENDING,
    Status.ON_HOLD,
    Status.SOLVED,
)

FIRST = stream(
    IDS[0],
    ("08:00", created(1, Channel.CHAT, "refund", "r1", tags=("vip",))),
    ("08:01", to("ana")),
    ("08:02", moved(OPEN, NEW)),
    ("08:10", said("agent")),
    ("08:12", moved(PENDING, OPEN)),
    ("09:00", said("requester")),
    ("09:00", moved(OPEN, PENDING)),
    ("09:05", said("requester")),
    ("09:30", said("agent")),
    ("09:30", moved(SOLVED, OPEN)),
    ("10:00", t.SatisfactionRated(rating="good", requester_id="r1")),
)
SECOND = stream(
    IDS[1],
    ("10:00", created(2, Channel.EMAIL, "refund", "r1")),
    ("10:05", to("ana")),
    ("10:05", moved(OPEN, NEW)),
    ("10:20", to("bo")),
    ("10:40", to("ana")),
    ("11:00", said("agent")),
    ("11:00", moved(SOLVED, OPEN)),
    ("09:00", said("requester"), 1),
    ("09:00", moved(OPEN, SOLVED), 1),
    ("09:30", moved(HELD, OPEN), 1),
    ("10:30", moved(OPEN, HELD), 1),
    ("11:00", t.Escalated(tier=2, previous_tier=1, cause="manual"), 1),
    ("11:30", moved(SOLVED, OPEN), 1),
    ("12:00", t.SatisfactionRated(rating="bad", requester_id="r1"), 1),
)
THIRD = stream(
    IDS[2],
    ("23:30", created(3, Channel.FORM, "login", "r2")),
    ("23:35", t.TicketLinked(kind="incident_of", other=IDS[0])),
    ("23:40", said("agent", "internal")),
)


def clock(number: int, due: str, end: Event | None = None, end_at: str = "") -> list[EventEnvelope]:
    ticket = IDS[number - 1]
    about = common(ticket)
    begin = sla.ClockStarted(
        **about, at=at(due) - timedelta(minutes=30), target_s=1800, due=at(due)
    )
    told: list[tuple[str, Event]] = [(due, begin)]
    if end is not None:
        told.append((end_at, end))
    return stream(f"sla:{ticket}", *told)


def common(ticket: str) -> dict[str, Any]:
    return {
        "ticket_id": ticket,
        "metric": "first_reply",
        "policy": "gold",
        "policy_version": 1,
        "calendar": "desk",
        "calendar_version": 1,
        "activation": 1,
    }


CLOCKS = [
    *clock(
        1,
        "08:30",
        sla.ClockSatisfied(
            **common(IDS[0]), at=at("08:10"), elapsed_s=600, target_s=1800, breached=False
        ),
        "08:10",
    ),
    *clock(2, "10:30", sla.SlaBreached(**common(IDS[1]), due=at("10:30"), target_s=1800), "10:31"),
]
ANA = stream(
    "agent:ana",
    ("07:00", agent.AgentRegistered(name="Ana", groups=("mail",), capacity=5)),
    ("08:00", agent.PresenceChanged(presence="online", previous="offline")),
    ("09:15", agent.PresenceChanged(presence="away", previous="online")),
    ("10:00", agent.PresenceChanged(presence="online", previous="away")),
    ("12:00", agent.PresenceChanged(presence="offline", previous="online")),
)
EVERYTHING = [*FIRST, *SECOND, *THIRD, *CLOCKS, *ANA]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    directory: Path = tmp_path_factory.mktemp("figures")
    with facts_of(f"sqlite:///{directory}/r.sqlite3", [EVERYTHING]) as made:
        yield made


def answer(facts: Facts, query: ReportQuery) -> Report:
    with facts.reading() as reading:
        known = look(
            reading.cursor, stamp=reading.stamp, recorded_us=reading.recorded_us, now_us=None
        )
        return run(reading.cursor, query, known)


MINUTE = 60
RESOLUTIONS = (90 * MINUTE, 25 * 3600 + 30 * MINUTE)
EXPECTED: dict[str, dict[str, Any]] = {
    "created": {"count": 3},
    "solved": {"count": 3},
    "reopened": {"count": 1},
    "closed": {"count": 0},
    "first_replies": {"count": 2},
    "replies": {"count": 3},
    "requester_messages": {"count": 3},
    "notes": {"count": 1},
    "assignments": {"count": 4},
    "hand_overs": {"count": 2},
    "group_changes": {"count": 2},
    "ping_pong": {"count": 1},
    "escalated": {"count": 1},
    "merged": {"count": 0},
    "first_reply_time": {"min": 600, "max": 3600, "mean": 2100.0, "p50": 600, "p90": 3600},
    "next_reply_time": {"count": 1, "sum": 30 * MINUTE},
    "first_resolution_time": {"sum": 150 * MINUTE, "count": 2},
    "resolution_time": {"mean": sum(RESOLUTIONS) / 2, "p50": RESOLUTIONS[0], "max": RESOLUTIONS[1]},
    "requester_wait_time": {"min": 42 * MINUTE, "max": 210 * MINUTE},
    "agent_work_time": {"min": 42 * MINUTE, "max": 150 * MINUTE},
    "on_hold_time": {"min": 0, "max": 60 * MINUTE, "mean": 30.0 * MINUTE},
    "handling_time": {"min": 40 * MINUTE, "max": 145 * MINUTE},
    "one_touch_rate": {"share": 0.0, "count": 2},
    "reopen_rate": {"share": 0.5, "count": 2},
    "replies_per_ticket": {"mean": 1.5},
    "hand_overs_per_ticket": {"mean": 1.0, "max": 2},
    "sla_attainment": {"share": 0.5, "count": 2},
    "sla_kept": {"count": 1},
    "sla_breaches": {"count": 1},
    "sla_started": {"count": 2},
    "satisfaction": {"share": 0.5, "count": 2},
    "ratings": {"count": 2},
    "incidents": {"count": 1},
    "repeat_contacts": {"count": 1},
    "repeat_contact_rate": {"share": 1 / 3, "count": 3},
    "backlog": {"count": 1},
    "unassigned": {"count": 1},
    "backlog_age": {"mean": 12.5 * 3600, "count": 1},  # up to the last event, Tuesday noon
    "present_time": {"sum": 195 * MINUTE},
    "agent_load": {"mean": 109 / 195},
    "utilization": {"share": 61 / 195},
}


def test_every_metric_is_worked_out() -> None:
    assert set(EXPECTED) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_the_figure_is_the_one_worked_out_by_hand(facts: Facts, name: str) -> None:
    for aggregate, value in EXPECTED[name].items():
        query = ReportQuery(
            metrics=(name,),
            start_us=us("00:00"),
            end_us=us("00:00", 7),
            aggregates=(aggregate,),  # type: ignore[arg-type]
        )
        assert answer(facts, query).rows[0].cells[0].value == pytest.approx(value), aggregate


def test_by_day_the_backlog_is_what_stands_at_midnight(facts: Facts) -> None:
    def levels(zone: str, **by: Any) -> list[tuple[Any, int]]:
        query = ReportQuery(
            metrics=("backlog",),
            start_us=us("00:00"),
            end_us=us("00:00", 2),
            zone=zone,
            granularity="day",
            **by,
        )
        return [(row.keys, int(row.cells[0].value or 0)) for row in answer(facts, query).rows]

    assert levels("UTC") == [((), 1), ((), 1)]
    # In Madrid the third ticket came on Tuesday; the first bucket ends on Monday at 23:00 UTC.
    assert levels("Europe/Madrid") == [((), 0), ((), 1), ((), 1)]
    at_ten = ReportQuery(
        metrics=("backlog", "backlog_age"),
        start_us=us("00:00"),
        end_us=us("10:30"),
        by=("agent",),
        aggregates=("count", "mean"),
    )
    row = answer(facts, at_ten).rows[0]
    assert row.keys == ("bo",)
    assert [cell.value for cell in row.cells] == [1, 1, 30 * MINUTE]


def test_satisfaction_by_minutes_of_handling_and_channel(facts: Facts) -> None:
    query = ReportQuery(
        metrics=("satisfaction", "ratings"),
        by=("handling_minutes", "channel"),
        start_us=us("00:00"),
    )
    found = {
        row.keys: [cell.value for cell in row.cells]
        for row in answer(facts, query).rows
        if row.cells[1].value
    }
    assert found == {("30–60", "chat"): [1.0, 1], ("60+", "email"): [0.0, 1]}


def test_who_held_the_ticket_then_is_who_counts(facts: Facts) -> None:
    query = ReportQuery(
        metrics=("first_replies", "hand_overs"), by=("agent",), start_us=us("00:00")
    )
    found = {row.keys[0]: [cell.value for cell in row.cells] for row in answer(facts, query).rows}
    assert found == {"ana": [2, 1], "bo": [0, 1]}


def test_a_ticket_counts_under_each_tag_and_under_none(facts: Facts) -> None:
    query = ReportQuery(metrics=("created", "solved", "ratings"), by=("tag",), start_us=us("00:00"))
    found = {row.keys[0]: [cell.value for cell in row.cells] for row in answer(facts, query).rows}
    assert found == {"vip": [1, 1, 1], None: [2, 2, 1]}


def test_hours_and_weekdays_are_those_of_the_zone(facts: Facts) -> None:
    for zone, hour, day in (
        ("UTC", "23", "1"),
        ("Europe/Madrid", "0", "2"),
        ("Asia/Kathmandu", "5", "2"),
    ):
        query = ReportQuery(
            metrics=("created",),
            zone=zone,
            by=("hour", "weekday"),
            filters=(("category", ("login",)),),
            start_us=us("00:00"),
        )
        rows = answer(facts, query).rows
        assert len(rows) == 24 * 7
        assert [row.keys for row in rows if row.cells[0].value] == [(hour, day)]


def test_the_facts_behind_a_figure_are_its_tickets(facts: Facts) -> None:
    query = ReportQuery(metrics=("resolution_time",), start_us=us("00:00"), by=("channel",))
    with facts.reading() as reading:
        known = look(reading.cursor, stamp=1, recorded_us=None, now_us=None)
        found = facts_behind(
            reading.cursor, query, known, bucket_us=None, keys=("email",), limit=10
        )
    assert (found.total, found.tickets) == (1, 1)
    fact = found.facts[0]
    assert (fact.ticket_id, fact.number, fact.value) == (IDS[1], 2, RESOLUTIONS[1])
    assert fact.at_us == us("11:30", 1)


def test_ana_carried_this_while_she_was_there(facts: Facts) -> None:
    query = ReportQuery(
        metrics=("agent_load",), start_us=us("00:00"), end_us=us("00:00", 2), by=("agent",)
    )
    with facts.reading() as reading:
        known = look(reading.cursor, stamp=1, recorded_us=None, now_us=None)
        found = facts_behind(reading.cursor, query, known, bucket_us=None, keys=("ana",), limit=10)
    parts = [(fact.number, fact.value) for fact in found.facts]
    # The first ticket changed from new to open to pending to open in her hands.
    assert parts == [(1, 60), (1, 600), (1, 48 * 60), (1, 15 * 60), (2, 15 * 60), (2, 20 * 60)]
    row = answer(facts, query).rows[0]
    assert row.cells[0].facts == found.total == 6


@pytest.mark.parametrize(
    ("name", "hours", "first"),
    [("2026-03-29", 23, "00:00+01:00"), ("2026-10-25", 25, "00:00+02:00")],
)
def test_days_on_which_the_clocks_change(facts: Facts, name: str, hours: int, first: str) -> None:
    day = datetime.fromisoformat(f"{name}T{first}")
    query = ReportQuery(
        metrics=("created",),
        start_us=microseconds(day),
        end_us=microseconds(day + timedelta(hours=hours)),
        zone="Europe/Madrid",
        granularity="hour",
    )
    assert len(answer(facts, query).rows) == hours
    whole = ReportQuery(
        metrics=("created",),
        start_us=microseconds(day),
        end_us=microseconds(day + timedelta(hours=hours)),
        zone="Europe/Madrid",
        granularity="day",
    )
    assert len(answer(facts, whole).rows) == 1

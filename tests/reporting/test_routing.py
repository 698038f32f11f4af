"""Routing's floor as reporting keeps it: in step with routing's own fold, whatever the order."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from libs.events import Event, EventEnvelope, agent, routing
from libs.events import ticket as t
from libs.events.base import Channel, Status
from libs.runtime.http import create_http_app
from libs.runtime.store import ServiceStore
from services.reporting import api
from services.reporting.domain import microseconds
from services.reporting.handlers import split
from services.reporting.snapshot import Floors
from services.reporting.views import AT_WORK, POSITIONS, TICKETS
from services.reporting.views.floor import Floor, FloorFilter, part_of, read_floor
from services.reporting.views.lists import get_ticket
from services.routing.domain import work as routings
from tests.reporting.house import feed, open_store
from tests.reporting.streams import START, Desk, batches, by_time, envelope, interleaved

T1, T2, T3 = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
CHAT = routing.TicketNeeds(channel=Channel.CHAT, units=3)
OFFLINE = (routing.RejectedCount(reason="offline", agents=2),)
FULL = (routing.RejectedCount(reason="no_capacity", agents=2),)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_who_waits_and_since_when_is_what_routing_says(database_url: str, seed: int) -> None:
    rng = random.Random(seed)
    streams = Desk(seed).streams(12, events=14)
    events = list(interleaved(streams, rng))
    works: dict[str, routings.Work] = {}
    for event in events:
        if routings.concerns(event.event):
            work = routings.evolve(works.get(event.stream_id), event)
            assert work is not None
            works[event.stream_id] = work
    with open_store(database_url) as store:
        feed(store, batches(events, rng, 9))
        kept = {row[0]: tuple(row) for row in rows_of(store)}
        floor = floor_of(store)
        waiting = count_waiting(store)
    expected = {
        work.id: (
            work.id,
            work.group,
            work.holder,
            work.eligible_since and microseconds(work.eligible_since),
            microseconds(work.waiting_since) if work.eligible and work.waiting_since else None,
        )
        for work in works.values()
        if work.live and work.status not in routings.SETTLED
    }
    assert kept == expected
    assert floor.waiting == waiting == sum(work.eligible for work in works.values())
    held = sum(agent.tickets for agent in floor.agents)
    assert held == sum(work.holder in {"1", "2", "3"} for work in works.values())


def test_a_queue_tells_how_many_wait_and_why_the_oldest_does(database_url: str) -> None:
    with open_store(database_url) as store:
        feed(
            store,
            [
                ticket(T1, 1, minute=0),
                ticket(T2, 2, minute=5),
                ticket(T3, 3, minute=9),
                decision(T1, 0, "nobody", rejected=OFFLINE),
                decision(T2, 5, "nobody", rejected=OFFLINE),
                told_of_line(6, FULL),
            ],
        )
        before = floor_of(store)
        offered = decision(T1, 7, "offered", sequence=2, agent="ana")
        feed(store, [offered])
        after = floor_of(store)
        feed(store, [[put(T1, 2, t.Assigned(group="payments", agent="ana"), 8)]])
        given_ = floor_of(store)
    undecided, chats = sorted(before.queues, key=lambda queue: queue.queue or "")
    assert (undecided.queue, undecided.waiting, undecided.reasons) == (None, 1, [])
    assert (chats.queue, chats.waiting, chats.asked) == ("chats", 2, 0)
    assert chats.oldest["number"] == 1
    # The line was told of after the decision on the ticket: its reasons are the newer ones.
    assert chats.reasons == [{"reason": "no_capacity", "agents": 2}]
    assert chats.reasons_at == "2026-03-02T08:06:00Z"
    assert (before.waiting, before.oldest_at) == (3, "2026-03-02T08:00:00Z")
    assert (after.waiting, after.asked) == (3, 1)
    assert [queue.oldest["number"] for queue in given_.queues] == [2, 3]
    assert given_.decisions[0]["data"]["outcome"] == "offered"
    assert given_.decisions[0]["number"] == 1


def test_agents_with_presence_load_absences_and_without_those_who_left(database_url: str) -> None:
    absence = agent.OutOfOffice(start=START, end=START + timedelta(days=9))
    hours = agent.WorkingHours(
        zone="Europe/Madrid", week={"mon": (agent.Shift(start="09:00", end="18:00"),)}
    )
    registered = agent.AgentRegistered(
        name="Ana",
        groups=("payments",),
        capacity=8,
        skills=(agent.Skill(name="refunds", level=7),),
        tiers=(1, 2),
        working_hours=hours,
    )
    events: list[Event] = [
        registered,
        agent.PresenceChanged(presence="online", previous="offline"),
        agent.AgentOutOfOfficeChanged(periods=(absence,)),
        agent.PresenceChanged(presence="away", previous="online", reason="missed_offers"),
    ]
    gone: list[Event] = [agent.AgentRegistered(name="Bo", capacity=1), agent.AgentRetired()]
    with open_store(database_url) as store:
        feed(
            store,
            [
                [put("agent:ana", n, event, n) for n, event in enumerate(events, 1)],
                [put("agent:bo", n, event, n) for n, event in enumerate(gone, 1)],
                ticket(T1, 1, minute=0),
                ticket(T2, 2, minute=1),
                decision(T1, 1, "assigned", agent="ana"),
                [put(T1, 2, t.Assigned(group="payments", agent="ana"), 2)],
                [put(T2, 2, t.Assigned(group="payments", agent="ana"), 2)],
            ],
        )
        floor = floor_of(store)
        feed(store, [[put(T1, 3, moved(Status.PENDING, Status.NEW), 3)]])
        later = floor_of(store)
    (ana,) = floor.agents
    # One ticket uses the three units that its decision tells; the other, of which nothing is known, one.
    assert (ana.tickets, ana.units, ana.capacity) == (2, 4, 8)
    assert (ana.presence, ana.presence_reason) == ("away", "missed_offers")
    assert ana.presence_at == "2026-03-02T08:04:00Z"
    assert ana.last_given_at == "2026-03-02T08:01:00Z"
    assert ana.skills == {"refunds": 7}
    assert ana.hours is not None
    assert ana.hours["week"]["mon"] == [{"start": "09:00", "end": "18:00"}]
    assert ana.absences == [[microseconds(absence.start), microseconds(absence.end)]]
    assert floor.presences == {"online": 0, "away": 1, "offline": 0}
    assert [(a.tickets, a.units) for a in later.agents] == [(1, 1)], "pending uses no capacity"


def test_a_ticket_tells_how_it_stands_with_routing(database_url: str) -> None:
    told = routing.AgentNotified(
        notification_id="n", agent="ana", ticket_id=T1, kind="offered", outcome="sent", attempts=1
    )
    ended = routing.OfferEnded(decision_id="d", ticket_id=T1, agent="ana", outcome="declined")
    with open_store(database_url) as store:
        feed(store, [ticket(T1, 1, minute=0), ticket(T2, 2, minute=0)])
        nothing_yet = ticket_of(store, T1)["routing"]
        feed(store, [decision(T1, 1, "offered", agent="ana", offer_until=START)])
        offered = ticket_of(store, T1)["routing"]
        feed(store, [[put(f"decision:{T1}", 2, ended, 2)], [put("notification:n", 1, told, 2)]])
        declined = ticket_of(store, T1)
        feed(store, [[put(T1, 2, moved(Status.SOLVED, Status.NEW), 3)]])
        solved = ticket_of(store, T1)["routing"]
        other = ticket_of(store, T2)
    assert (nothing_yet["waits"], nothing_yet["outcome"]) == (True, None)
    assert (offered["outcome"], offered["agent"]) == ("offered", "ana")
    assert offered["offer_until_at"] == "2026-03-02T08:00:00Z"
    assert (declined["routing"]["outcome"], declined["routing"]["offer_until_at"]) == (
        "declined",
        None,
    )
    assert [n["data"]["kind"] for n in declined["notifications"]] == ["offered"]
    assert (solved["waits"], solved["waiting_at"]) == (False, None)
    assert (other["notifications"], other["routing"]["waits"]) == ([], True)


def test_what_routing_says_counts_for_its_own_topic(sqlite_url: str) -> None:
    events = [event for stream in Desk(1).streams(5) for event in stream]
    with open_store(sqlite_url) as store:
        feed(store, [events])
        with store.database.reading() as connection:
            counted = {row.topic: row.events for row in connection.execute(select(POSITIONS))}
    routed = [e for e in events if isinstance(e.event, routing.RoutingEvent)]
    assert counted["routing.decisions"] == len(routed)
    assert counted == {topic: len(part) for topic, part in split(events).items()}


def test_the_filter_holds_for_queues_agents_and_sums(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store:
        feed(store, [by_time(Desk(8).streams(60, events=5, agents=9))])
        floor = floor_of(store)
    for queue in {queue.queue for queue in floor.queues if queue.queue}:
        part = part_of(floor, FloorFilter(queue=queue))
        assert {q.queue for q in part.queues} == {queue}
        assert part.waiting == sum(q.waiting for q in floor.queues if q.queue == queue) > 0
        assert len(part.agents) == 9
    billing = part_of(floor, FloorFilter(group="billing"))
    assert billing.agents == []
    assert all(queue.group == "billing" for queue in billing.queues)
    away = part_of(floor, FloorFilter(presence="away"))
    assert (away.agents, away.queues) == ([], floor.queues)


async def test_over_http(sqlite_url: str) -> None:
    async def ready() -> list[str]:
        return []

    with open_store(sqlite_url) as store:
        feed(store, [by_time(Desk(8).streams(60, events=5, agents=9))])
        app = create_http_app("reporting", readiness=ready)
        app.include_router(api.router(store, Floors(store)))
        async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
            found = (await client.get("/v1/routing", params={"limit": 4, "page": 3})).json()
            assert [a["id"] for a in found["agents"]] == ["9"]
            assert found["presences"]["online"] == 9
            assert found["waiting"] == count_waiting(store)
            for wrong in ("presense=away", "presence=asleep", "page=0"):
                assert (await client.get(f"/v1/routing?{wrong}")).status_code == 422
            feed(store, [ticket(T1, 999, minute=0)])
            now = (await client.get("/v1/routing")).json()
            assert now["waiting"] == found["waiting"] + 1


@pytest.mark.parametrize("count", [1, 3])
def test_one_batch_or_many_make_no_difference_to_a_reopened_ticket(
    sqlite_url: str, count: int
) -> None:
    story: list[Event] = [
        t.TicketCreated(number=1, subject="s", requester=t.Requester(id="r"), channel=Channel.CHAT),
        t.Assigned(group=None, agent="ana"),
        t.Unassigned(previous_agent="ana"),
        t.Assigned(group=None, agent="ana"),
        moved(Status.SOLVED, Status.NEW),
        moved(Status.OPEN, Status.SOLVED),
        t.Unassigned(previous_agent="ana"),
    ]
    events = [put(T1, n, event, n) for n, event in enumerate(story, 1)]
    with open_store(sqlite_url) as store:
        feed(store, [events[:3]])
        (first,) = rows_of(store)
        feed(store, [events[start : start + count] for start in range(3, 7, count)])
        (last,) = rows_of(store)
    assert (first.eligible_us, first.waiting_us) == (at_us(1), at_us(3))
    assert (last.eligible_us, last.waiting_us) == (at_us(7), at_us(7)), "it began anew"


def floor_of(store: ServiceStore) -> Floor:
    with store.database.reading() as connection:
        return read_floor(connection)


def ticket_of(store: ServiceStore, ticket_id: str) -> dict[str, Any]:
    with store.database.reading() as connection:
        found = get_ticket(connection, ticket_id)
    assert found is not None
    return found


def rows_of(store: ServiceStore) -> list[Any]:
    with store.database.reading() as connection:
        return list(connection.execute(select(AT_WORK)))


def count_waiting(store: ServiceStore) -> int:
    """What the ticket rows say."""
    c = TICKETS.c
    query = select(func.count()).where(
        c.status.in_(("new", "open")), c.agent.is_(None), c.live, c.merged_into.is_(None)
    )
    with store.database.reading() as connection:
        return int(connection.execute(query).scalar_one())


def at_us(minute: int) -> int:
    return microseconds(START + timedelta(minutes=minute))


def put(stream_id: str, sequence: int, event: Event, minute: int) -> EventEnvelope:
    return envelope(stream_id, sequence, event, START + timedelta(minutes=minute))


def ticket(ticket_id: str, number: int, *, minute: int) -> list[EventEnvelope]:
    requester = t.Requester(id="r")
    created = t.TicketCreated(
        number=number, subject="A question", requester=requester, channel=Channel.CHAT
    )
    return [put(ticket_id, 1, created, minute)]


def moved(status: Status, previous: Status) -> Event:
    return t.StatusChanged(status=status, previous=previous)


def decision(
    ticket_id: str, minute: int, outcome: Any, *, sequence: int = 1, **values: Any
) -> list[EventEnvelope]:
    fact = routing.TicketRouted(
        decision_id="d",
        ticket_id=ticket_id,
        outcome=outcome,
        trigger="ticket_created",
        rule_version="1",
        queue="chats",
        needs=CHAT,
        **values,
    )
    return [put(f"decision:{ticket_id}", sequence, fact, minute)]


def told_of_line(minute: int, reasons: tuple[routing.RejectedCount, ...]) -> list[EventEnvelope]:
    fact = routing.WaitReasonsChanged(
        queue="chats", needs=CHAT, waiting=2, oldest_since=START, reasons=reasons
    )
    return [put("needs:1", 1, fact, minute)]

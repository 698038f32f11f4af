"""The gauges of the floor: who waits and for how long, who is there, what is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from services.routing.domain.agent_commands import SetPresence
from services.routing.domain.floor import Floor
from services.routing.gauges import FloorGauges, Queue, queues_of
from services.routing.metrics import RoutingMetrics
from tests.routing.house import House, tid


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    made = House(database_url)
    yield made
    made.close()


def samples(metrics: RoutingMetrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("bitacora_routing_"), *sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
    }


async def test_the_floor_as_gauges(house: House) -> None:
    metrics = RoutingMetrics(CollectorRegistry())
    gauges = FloorGauges(metrics, house.store, house.desk)
    house.agent("ana")
    house.agent("bo")
    house.change("bo", SetPresence("away"))
    for number in (1, 2, 3):
        house.ticket(tid(number))
        house.clock.advance(60)
    await gauges.look()
    shown = samples(metrics)
    assert shown["waiting_tickets", "default"] == 2
    since = [work.waiting_since for work in house.works() if work.waiting and work.waiting_since]
    longest = house.clock.now() - min(since)
    assert shown["oldest_waiting_seconds", "default"] == longest.total_seconds() >= 120
    assert (shown["agents", "online"], shown["agents", "away"], shown["agents", "offline"]) == (
        1,
        1,
        0,
    )
    assert shown["agents_on_duty",] == 1
    assert (shown["reserved_tickets", "assign"], shown["reserved_tickets", "offer"]) == (1, 0)


async def test_a_queue_in_which_nobody_waits_is_not_shown(house: House) -> None:
    metrics = RoutingMetrics(CollectorRegistry())
    gauges = FloorGauges(metrics, house.store, house.desk)
    house.ticket(tid(1))
    await gauges.look()
    assert samples(metrics)["waiting_tickets", "default"] == 1
    house.agent("ana")
    await gauges.look()
    assert not [key for key in samples(metrics) if key[0] == "waiting_tickets"]


def test_beyond_the_most_the_rest_is_one(house: House) -> None:
    house.ticket(tid(1))
    floors: list[Floor] = []
    house.store.write_now(house.desk.looking(lambda _, floor, __: floors.append(floor)))
    assert list(queues_of(floors[0], most=1)) == ["default"]
    assert list(queues_of(floors[0], most=0)) == ["other"]
    assert Queue(2, 50) + Queue(3, 40) == Queue(5, 40)

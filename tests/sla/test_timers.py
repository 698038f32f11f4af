"""The task that fires: it sleeps until the next due instant, and is woken for an earlier one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from libs.events import sla as e
from libs.runtime.clock import AcceleratedClock
from services.sla.domain.instants import to_us
from services.sla.timers.task import Timers
from tests.sla.bench import Bench, until
from tests.sla.desk import Stream, at, created, reply


async def caught_up() -> None:
    return None


def live_timers(bench: Bench, clock: AcceleratedClock | None = None) -> Timers:
    timers = Timers(bench.store, clock or bench.clock, bench.books, caught_up=caught_up)
    bench.handler._armed = timers.armed
    return timers


async def test_what_fell_due_while_it_was_down_is_stated_at_once(bench: Bench) -> None:
    stream = Stream()
    bench.apply(stream.add("10:00", created()))
    bench.clock.instant = at("12:00")
    task = asyncio.create_task(live_timers(bench).run())
    await until(lambda: bench.events(e.SlaBreached))
    task.cancel()
    assert [event.due for event in bench.events(e.SlaBreached)] == [at("10:15")]


async def test_it_fires_on_time_and_wakes_for_an_earlier_timer(bench: Bench) -> None:
    # An hour of the desk's clock is a real second; the breach comes 15 minutes after the ticket.
    clock = AcceleratedClock(at("10:00"), datetime.now(UTC), 3600)
    bench.store.outbox.clock = clock
    task = asyncio.create_task(live_timers(bench, clock).run())
    await asyncio.sleep(0)
    stream = Stream()
    envelope = stream.add(clock.now(), created())
    await bench.store.write(lambda c, out: bench.handler.apply(c, [envelope], out))
    await until(lambda: bench.events(e.SlaBreached), 20)
    task.cancel()
    (breach,) = bench.events(e.SlaBreached)
    assert breach.due == envelope.time + timedelta(minutes=15)
    said = next(x for x in bench.envelopes() if x.type == e.SlaBreached.TYPE)
    assert timedelta(0) <= said.recorded_time - breach.due  # never early


async def test_an_answer_that_is_still_on_its_way_is_waited_for(bench: Bench) -> None:
    stream = Stream()
    bench.apply(stream.add("10:00", created()))
    answer = stream.add("10:10", reply())
    arrived = asyncio.Event()

    async def backlog() -> None:
        await arrived.wait()

    bench.clock.instant = at("10:30")
    timers = Timers(bench.store, bench.clock, bench.books, caught_up=backlog)
    firing = asyncio.create_task(timers.fire())
    await asyncio.sleep(0)
    assert not firing.done()
    bench.apply(answer)
    arrived.set()
    assert await firing == 0
    assert bench.events(e.SlaBreached) == []
    assert [event.breached for event in bench.events(e.ClockSatisfied)] == [False]


async def test_an_earlier_timer_wakes_and_a_later_one_does_not(bench: Bench) -> None:
    timers = live_timers(bench)
    task = asyncio.create_task(timers.run())
    await until(lambda: timers._loop is not None)
    stream = Stream()
    bench.clock.instant = at("10:00")
    envelope = stream.add("10:00", created())
    await bench.store.write(lambda c, out: bench.handler.apply(c, [envelope], out))
    await until(lambda: timers._next_us == to_us(at("10:11:15")))
    timers.armed(to_us(at("18:00")))
    assert not timers._woken.is_set()
    task.cancel()

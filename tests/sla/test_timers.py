"""The task that fires: on time, once, in order, for its share, and whatever the wall clock does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from libs.events import sla as e
from libs.runtime.clock import Clock
from libs.runtime.outbox import Outgoing
from libs.runtime.share import NOTHING, WHOLE, Share, slot_of
from libs.worktime.instants import to_us
from services.sla.timers.firing import Fired, fire
from services.sla.timers.task import Timers
from tests.sla.bench import Bench, until
from tests.sla.desk import Stream, at, created, reply


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the clock, and for what it missed, a hundred times as often."""
    monkeypatch.setattr("services.sla.timers.task.NAP_S_MAX", 0.01)
    monkeypatch.setattr("services.sla.timers.task.SWEEP_S", 0.01)


class Watch:
    """The task on a bench, with what it said, and a share and a backlog that tests steer."""

    def __init__(self, bench: Bench, clock: Clock | None = None) -> None:
        self.bench = bench
        self.share = WHOLE
        self.caught_up = asyncio.Event()
        self.caught_up.set()
        self.late_s: list[float] = []
        self.asked = 0
        self.timers = Timers(
            bench.store,
            clock or bench.clock,
            bench.books,
            caught_up=self._caught_up,
            share=lambda: self.share,
            stated=self.late_s.extend,
        )
        bench.handler._armed = self.timers.armed

    async def _caught_up(self) -> None:
        self.asked += 1
        await self.caught_up.wait()

    def breaches(self) -> list[datetime]:
        """The instants, in the order in which they were said."""
        return [event.due for event in self.bench.events(e.SlaBreached)]

    async def quiet(self) -> None:
        """Return when the task sleeps with nothing due, after at least one look at the clock."""
        swept_s = self.timers._swept_s
        await until(lambda: self.timers._swept_s > swept_s)


@asynccontextmanager
async def watching(bench: Bench, clock: Clock | None = None) -> AsyncIterator[Watch]:
    watch = Watch(bench, clock)
    task = asyncio.create_task(watch.timers.run())
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def opened(bench: Bench, name: str, when: str) -> Stream:
    """A critical ticket: its first reply is due 15 minutes later, its wait after 4 hours."""
    stream = Stream(name)
    bench.apply(stream.add(when, created()))
    return stream


async def test_what_fell_due_while_it_was_down_is_stated_once_and_in_order(bench: Bench) -> None:
    opened(bench, "b", "10:05")
    opened(bench, "a", "10:20")
    opened(bench, "c", "10:01")
    bench.clock.instant = at("12:00")
    async with watching(bench) as watch:
        await until(lambda: len(watch.breaches()) == 3)
        await watch.quiet()
    assert watch.breaches() == [at("10:16"), at("10:20"), at("10:35")]
    said = [x for x in bench.envelopes() if x.type in {e.SlaBreached.TYPE, e.SlaWarning.TYPE}]
    assert [x.time for x in said] == sorted(x.time for x in said)
    assert len(said) == 9  # of each: warnings at 75 and 90 per cent, and the breach


async def test_order_holds_over_many_transactions(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sla.timers.task.BATCH_TICKETS", 2)
    monkeypatch.setattr("services.sla.timers.task.PAGE_TIMERS", 3)
    for minute in range(12):
        opened(bench, f"t{minute}", f"10:{minute * 7 % 12:02}")
    bench.clock.instant = at("10:40")
    async with watching(bench) as watch:
        await until(lambda: len(watch.breaches()) == 12)
        await watch.quiet()
    said = [x for x in bench.envelopes() if x.type in {e.SlaBreached.TYPE, e.SlaWarning.TYPE}]
    assert [x.time for x in said] == sorted(x.time for x in said)
    assert len(said) == 36


class Racing:
    """An hour of this clock is a real second."""

    rate = 3600.0

    def __init__(self, start: datetime) -> None:
        self._start, self._began = start, datetime.now(UTC)

    def now(self) -> datetime:
        return self._start + (datetime.now(UTC) - self._began) * self.rate


async def test_it_fires_on_time_and_wakes_for_an_earlier_timer(bench: Bench) -> None:
    clock = Racing(at("10:00"))
    bench.store.outbox.clock = clock
    async with watching(bench, clock) as watch:
        await until(lambda: watch.timers._agenda.share == WHOLE)
        stream = Stream()
        envelope = stream.add(clock.now(), created())
        await bench.store.write(lambda c, out: bench.handler.apply(c, [envelope], out))
        await until(watch.breaches, 20)
    assert watch.breaches() == [envelope.time + timedelta(minutes=15)]
    said = next(x for x in bench.envelopes() if x.type == e.SlaBreached.TYPE)
    assert said.recorded_time >= watch.breaches()[0]  # never early
    assert all(seconds >= 0 for seconds in watch.late_s)


async def test_an_answer_that_is_still_on_its_way_is_waited_for(bench: Bench) -> None:
    stream = opened(bench, "ticket", "10:00")
    answer = stream.add("10:10", reply())
    bench.clock.instant = at("10:30")
    watch = Watch(bench)
    watch.caught_up.clear()
    task = asyncio.create_task(watch.timers.run())
    await until(lambda: watch.asked)
    await bench.store.write(lambda c, out: bench.handler.apply(c, [answer], out))
    watch.caught_up.set()
    await watch.quiet()
    task.cancel()
    assert watch.breaches() == []
    assert [event.breached for event in bench.events(e.ClockSatisfied)] == [False]


async def test_a_timer_whose_transaction_is_rolled_back_states_nothing(bench: Bench) -> None:
    async with watching(bench) as watch:
        await watch.quiet()
        bench.clock.instant = at("12:00")
        envelope = Stream().add("10:00", created())

        def fails(connection: Connection, outgoing: Outgoing) -> None:
            bench.handler.apply(connection, [envelope], outgoing)
            raise LookupError

        with pytest.raises(LookupError):
            await bench.store.write(fails)
        await watch.quiet()
        assert watch.timers._agenda.next_us is None
        assert bench.events() == []
        await bench.store.write(lambda c, out: bench.handler.apply(c, [envelope], out))
        await until(watch.breaches)
    assert watch.breaches() == [at("10:15")]


# -- the wall clock --------------------------------------------------------------------------------


async def test_a_clock_that_is_set_forward_is_noticed_and_set_back_states_nothing_twice(
    bench: Bench,
) -> None:
    bench.clock.instant = at("10:00")
    async with watching(bench) as watch:
        early = opened(bench, "early", "10:00")
        await watch.quiet()
        assert watch.breaches() == []
        bench.clock.advance(3600)  # an hour forward, far beyond what the agenda knows
        await until(lambda: len(watch.breaches()) == 1)
        bench.clock.advance(-3600)
        opened(bench, "late", "10:05")
        await watch.quiet()
        assert watch.breaches() == [at("10:15")]
        bench.clock.instant = at("10:19:59")
        await watch.quiet()
        assert watch.breaches() == [at("10:15")]  # the one is not early, the other not repeated
        bench.clock.instant = at("10:20")
        await until(lambda: len(watch.breaches()) == 2)
        # The rest of the first ticket falls due when it should, by the clock as it is now.
        bench.clock.instant = at("14:00")
        await until(lambda: len(watch.breaches()) == 3)
        await watch.quiet()
    assert watch.breaches() == [at("10:15"), at("10:20"), at("14:00")]
    assert bench.ticket(early.id).clocks[0].breach_said


async def test_a_clock_that_is_set_back_and_forth_at_the_deadline_fires_once(bench: Bench) -> None:
    opened(bench, "ticket", "10:00")
    bench.clock.instant = at("10:14:59")
    async with watching(bench) as watch:
        await watch.quiet()
        for step_s in (1, -1, 1, -3600, 3600, 0.5, -0.5):
            bench.clock.advance(step_s)
            await watch.quiet()
    assert watch.breaches() == [at("10:15")]


@pytest.mark.parametrize(
    ("start", "due"),
    [
        (datetime(2028, 2, 28, 23, 50, tzinfo=UTC), datetime(2028, 2, 29, 0, 5, tzinfo=UTC)),
        (datetime(2028, 2, 29, 23, 50, tzinfo=UTC), datetime(2028, 3, 1, 0, 5, tzinfo=UTC)),
        (datetime(2027, 2, 28, 23, 50, tzinfo=UTC), datetime(2027, 3, 1, 0, 5, tzinfo=UTC)),
        # The minute of a leap second (2016-12-31 23:59:60) has sixty seconds here, as in Unix time.
        (datetime(2016, 12, 31, 23, 50, tzinfo=UTC), datetime(2017, 1, 1, 0, 5, tzinfo=UTC)),
    ],
)
async def test_leap_days_are_days(bench: Bench, start: datetime, due: datetime) -> None:
    bench.clock.instant = start
    stream = Stream()
    bench.apply(stream.add(start, created()))
    async with watching(bench) as watch:
        bench.clock.instant = due - timedelta(microseconds=1)
        await watch.quiet()
        assert watch.breaches() == []
        bench.clock.instant = due
        await until(watch.breaches)
    assert watch.breaches() == [due]


# -- many processes --------------------------------------------------------------------------------


@pytest.fixture
def other(bench: Bench, database_url: str) -> Iterator[Bench]:
    """A second process on the same database."""
    made = Bench(database_url)
    yield made
    made.stop()


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
async def test_processes_fire_their_own_shares_and_take_over_after_a_rebalance(
    bench: Bench, other: Bench
) -> None:
    streams = [opened(bench, f"t{number}", "10:00") for number in range(24)]
    first, second = Share(6, frozenset({0, 2, 5})), Share(6, frozenset({1, 3, 4}))
    mine = [stream for stream in streams if first.has(slot_of(stream.id))]
    assert 0 < len(mine) < len(streams)
    bench.clock.instant = other.clock.instant = at("10:15")
    async with watching(bench) as one, watching(other) as two:
        one.share, two.share = first, NOTHING
        await until(lambda: len(one.breaches()) == len(mine))
        await one.quiet()
        assert {event.ticket_id for event in bench.events(e.SlaBreached)} == {s.id for s in mine}
        two.share = second
        await until(lambda: len(one.breaches()) == len(streams))
        one.share, two.share = NOTHING, Share(6, frozenset(range(6)))
        bench.clock.instant = other.clock.instant = at("14:00")
        await until(lambda: len(one.breaches()) == 2 * len(streams))
        await two.quiet()
    assert len(one.breaches()) == 2 * len(streams)


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
async def test_two_that_think_they_have_the_same_share_state_each_breach_once(
    bench: Bench, other: Bench
) -> None:
    for number in range(300):
        opened(bench, f"t{number}", f"10:{number % 60:02}")
    bench.clock.instant = other.clock.instant = at("11:30")
    async with watching(bench) as one, watching(other) as two:
        await until(lambda: len(one.breaches()) >= 300, 30)
        await one.quiet()
        await two.quiet()
    told = [(event.ticket_id, event.metric) for event in bench.events(e.SlaBreached)]
    assert len(told) == len(set(told)) == 300


def test_a_timer_that_is_fired_twice_states_its_breach_once(bench: Bench) -> None:
    stream = opened(bench, "ticket", "10:00")

    def once_more(connection: Connection, outgoing: Outgoing) -> Fired:
        return fire(connection, outgoing, bench.books, [stream.id], to_us(at("10:30")))

    first, second = bench.store.write_now(once_more)[0], bench.store.write_now(once_more)[0]
    assert first.stated_us == [to_us(at(when)) for when in ("10:11:15", "10:13:30", "10:15")]
    assert second == Fired([], [])
    assert len(bench.events(e.SlaBreached)) == 1


async def test_a_timer_that_another_process_set_is_found(bench: Bench, other: Bench) -> None:
    async with watching(bench) as watch:
        await watch.quiet()  # its page is read: there is nothing for the next minute
        bench.clock.instant = at("10:20")
        opened(other, "ticket", "10:00")
        await until(watch.breaches)
    assert watch.breaches() == [at("10:15")]


async def test_nothing_is_fired_without_a_share(bench: Bench) -> None:
    opened(bench, "ticket", "10:00")
    bench.clock.instant = at("12:00")
    async with watching(bench) as watch:
        watch.share = NOTHING
        await until(lambda: watch.timers._agenda.share == NOTHING)
        assert await watch.timers.fire() is False
        watch.share = WHOLE
        await until(watch.breaches)

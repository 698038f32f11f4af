"""The timers as gauges: when the next is due, what is overdue, what waits."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan

import pytest
from prometheus_client import CollectorRegistry

from libs.runtime.clock import ManualClock
from libs.worktime.instants import to_us
from services.sla.metrics import SlaMetrics
from services.sla.timers.firing import fire
from services.sla.timers.gauges import TimerGauges
from tests.sla.bench import Bench
from tests.sla.desk import Stream, at, created


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    made = Bench(database_url)
    yield made
    made.stop()


async def test_the_timers_as_gauges(bench: Bench) -> None:
    metrics = SlaMetrics(CollectorRegistry())
    gauges = TimerGauges(metrics, bench.store)
    clock = bench.store.clock
    assert isinstance(clock, ManualClock)

    def value(name: str, **labels: str) -> float:
        found = metrics.registry.get_sample_value(f"bitacora_sla_{name}", labels)
        assert found is not None
        return found

    await gauges.due()
    assert isnan(value("next_due_seconds"))
    clock.instant = at("10:00")
    stream = Stream()
    bench.apply(stream.add("10:00", created(priority="critical")))
    await gauges.due()
    await gauges.count()
    first_us = min(instant for _, _, instant in bench.timers())
    assert value("next_due_seconds") == (first_us - to_us(at("10:00"))) / 1e6
    assert value("overdue_timers") == 0
    waiting = value("timers_waiting", kind="warning") + value("timers_waiting", kind="breach")
    assert waiting == len(bench.timers())

    clock.instant = at("10:30")
    await gauges.due()
    assert value("next_due_seconds") == (first_us - to_us(at("10:30"))) / 1e6
    assert value("overdue_timers") >= 1

    fired = bench.store.write_now(
        lambda c, out: fire(c, out, bench.books, [stream.id], to_us(at("10:30")))
    )[0]
    metrics.fired(fired.stated)
    metrics.timers_late([(to_us(at("10:30")) - one) / 1e6 for one in fired.stated_us])
    assert value("timers_fired_total", kind="breached", metric="first_reply") == 1
    count = metrics.registry.get_sample_value("bitacora_timer_lateness_seconds_count")
    assert count == len(fired.stated) > 0
    await gauges.due()
    assert value("overdue_timers") == 0

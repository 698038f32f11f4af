"""The metrics of the SLA service alone: what is due, and how late it was stated."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from libs.runtime.metrics import LONG_SECONDS, MetricSet


class SlaMetrics(MetricSet):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        metric = {"metric": "SLA metrics: seven"}
        self.timers_waiting = self.gauge(
            "bitacora_sla_timers_waiting",
            "Running clocks of live tickets by what they will state next.",
            {"kind": "warning, breach"},
        )
        self.next_due_seconds = self.gauge(
            "bitacora_sla_next_due_seconds",
            "Seconds of the service's clock until the next warning or breach is due; below 0: it is "
            "overdue; NaN without one.",
        )
        self.overdue_timers = self.gauge(
            "bitacora_sla_overdue_timers",
            "Warnings and breaches that are due and not stated yet. Stays above 0: see whether the "
            "service lags behind tickets.events or has lost its database.",
        )
        self.timers_fired = self.counter(
            "bitacora_sla_timers_fired_total",
            "Warnings and breaches that were stated as they fell due.",
            {"kind": "warning, breached", **metric},
        )
        self.timer_lateness_seconds = self.histogram(
            "bitacora_timer_lateness_seconds",
            "Seconds of the service's clock from the instant at which a warning or breach is due until "
            "it is committed. Long after a stop of the service; else it is too slow.",
            buckets=LONG_SECONDS,
        )

    def timers_late(self, seconds: Iterable[float]) -> None:
        """Each of these timers was that late."""
        for one in seconds:
            self.timer_lateness_seconds.observe(one)

    def fired(self, facts: Iterable[tuple[str, str]]) -> None:
        """Each of these (kind, metric) was stated."""
        for kind, metric in facts:
            self.timers_fired.labels(kind, metric).inc()

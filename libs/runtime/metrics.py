"""The metrics of a service, by typed names, in one place.

Each service has its own registry (no global one: two apps in one test process do not collide).
Names end in their unit; labels have few values each, never an id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Metrics:
    """Registers every metric on `registry`. The attributes are the only names to use."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry(auto_describe=True)
        on = self.registry
        self.http_request_seconds = Histogram(
            "bitacora_http_request_seconds",
            "Time to answer a request; its count is the number of requests.",
            ("method", "route", "status"),
            buckets=SECONDS,
            registry=on,
        )
        self.commands = Counter(
            "bitacora_commands_total",
            "Commands by type and outcome (accepted, duplicate, rejected).",
            ("type", "outcome"),
            registry=on,
        )
        self.commit_batch_size = Histogram(
            "bitacora_commit_batch_size",
            "Commands that one group commit carried.",
            buckets=SIZES,
            registry=on,
        )
        self.relay_backlog_events = Gauge(
            "bitacora_relay_backlog_events",
            "Committed messages that the broker has not acknowledged.",
            registry=on,
        )
        self.consumer_lag_records = Gauge(
            "bitacora_consumer_lag_records",
            "Records between the last applied one and the end of the partition.",
            ("topic", "partition"),
            registry=on,
        )
        self.consumed = Counter(
            "bitacora_consumed_total", "Events that were applied.", ("topic",), registry=on
        )
        self.consumer_batch_size = Histogram(
            "bitacora_consumer_batch_size",
            "Records of one poll.",
            buckets=SIZES,
            registry=on,
        )
        self.duplicates_skipped = Counter(
            "bitacora_duplicates_skipped_total",
            "Events that had been applied before.",
            ("topic",),
            registry=on,
        )
        self.unknown_events = Counter(
            "bitacora_unknown_events_total",
            "Events of a type that this version does not know.",
            ("type",),
            registry=on,
        )
        self.sequence_gaps = Counter(
            "bitacora_sequence_gaps_total",
            "Streams that were held because an event was missing.",
            ("topic",),
            registry=on,
        )
        self.parked = Counter(
            "bitacora_parked_total", "Messages that were parked.", ("topic", "code"), registry=on
        )
        self.parked_depth_messages = Gauge(
            "bitacora_parked_depth_messages",
            "Parked messages that nobody has re-driven.",
            registry=on,
        )
        self.notifications = Counter(
            "bitacora_notifications_total",
            "Notifications to agents by channel and outcome (sent, retried, failed, skipped).",
            ("channel", "outcome"),
            registry=on,
        )
        self.timer_lateness_seconds = Histogram(
            "bitacora_timer_lateness_seconds",
            "From the instant at which a warning or breach is due until it is committed.",
            buckets=SECONDS,
            registry=on,
        )

    def timers_late(self, seconds: Iterable[float]) -> None:
        """Each of these timers was that late."""
        for one in seconds:
            self.timer_lateness_seconds.observe(one)

    def exposition(self) -> tuple[bytes, str]:
        """The page for Prometheus, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

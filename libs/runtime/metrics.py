"""The metrics of a service, by typed names, each declared once.

What every service has is here (`Metrics`); what one service alone has is in its own `metrics.py`, a
`MetricSet` on the same registry. The reference page is made from these declarations.

Each service has its own registry (no global one: two apps in one test process do not collide). Names
end in their unit. A label has few values: its declaration says what bounds them, and it is never an id,
a name of a person or a text that somebody else chose (`Few` where such a one cannot be avoided).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG_SECONDS: Final = (*SECONDS, 30.0, 60.0, 300.0, 1800.0)
SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
OTHER: Final = "other"

Labels = Mapping[str, str]
"""Label → what bounds its values, in words."""

NONE: Final[Labels] = MappingProxyType({})
TOPIC: Final = "topics of the house"
GROUP: Final = "consumer groups of the service: one or two"
RELAY: Final = "relays of the service: one or two"
CODE: Final = "reasons in the code"


# A series more for each counter and histogram, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric as it was declared. `name` as it is written in queries, for histograms without
    `_bucket`, `_sum` and `_count`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels


class MetricSet:
    """Metrics that belong together. A subclass declares them in `__init__`; the attributes that hold
    them are the only names to use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.definitions: list[Definition] = []

    def counter(self, name: str, help_: str, labels: Labels = NONE) -> Counter:
        self.definitions.append(Definition(name, "counter", help_, labels))
        return Counter(name, help_, tuple(labels), registry=self.registry)

    def gauge(self, name: str, help_: str, labels: Labels = NONE) -> Gauge:
        self.definitions.append(Definition(name, "gauge", help_, labels))
        return Gauge(name, help_, tuple(labels), registry=self.registry)

    def histogram(
        self, name: str, help_: str, labels: Labels = NONE, *, buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        self.definitions.append(Definition(name, "histogram", help_, labels))
        return Histogram(name, help_, tuple(labels), buckets=buckets, registry=self.registry)


class Metrics(MetricSet):
    """What every service has."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry or CollectorRegistry(auto_describe=True))
        self._process()
        self._requests()
        self._relays()
        self._consumers()
        self._parking()

    def _process(self) -> None:
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        help_ = "The version that runs, in its label; always 1. Differs between services only "
        help_ += "during an upgrade."
        name = "bitacora_build_info"
        self.definitions.append(Definition(name, "gauge", help_, {"version": "one per process"}))
        Info("bitacora_build", help_, registry=self.registry).info({"version": own_version()})
        self.ready = self.gauge(
            "bitacora_ready",
            "1 when /health/ready would answer 200, else 0: ask it for the reasons.",
        )
        self.database_size_bytes = self.gauge(
            "bitacora_database_size_bytes",
            "Size of the service's database. Grows for ever with what is kept for ever: give it disk.",
        )

    def _requests(self) -> None:
        self.http_request_seconds = self.histogram(
            "bitacora_http_request_seconds",
            "Time to answer a request; its count is the number of requests. Status 5xx: see the log.",
            {
                "method": "methods of HTTP",
                "route": "routes of the service, other for the rest",
                "status": "statuses of HTTP, 499 when the client hung up",
            },
        )
        self.commands = self.counter(
            "bitacora_commands_total",
            "Commands that were decided. Many rejected: see tickets.rejections or the answers for why.",
            {
                "type": "types of commands in the contracts",
                "outcome": "accepted, duplicate, rejected, failed",
            },
        )

    def _relays(self) -> None:
        labels = {"relay": RELAY}
        self.relay_backlog_events = self.gauge(
            "bitacora_relay_backlog_events",
            "Committed messages that the broker has not acknowledged. Grows: Kafka is away or slow.",
            labels,
        )
        self.relay_oldest_unsent_seconds = self.gauge(
            "bitacora_relay_oldest_unsent_seconds",
            "Real seconds that the oldest message which the broker has not acknowledged has waited, "
            "0 without one. Above some seconds: see relay_retries in the log.",
            labels,
        )
        self.relay_active = self.gauge(
            "bitacora_relay_active",
            "1 in the process that publishes, 0 in one that stands by. 0 everywhere: nobody publishes.",
            labels,
        )
        self.relay_retries = self.counter(
            "bitacora_relay_retries_total",
            "Times that a relay lost Kafka or its database and began again.",
            labels,
        )
        self.relay_republished = self.counter(
            "bitacora_relay_republished_total",
            "Times that a topic had lost messages and everything was sent again. Look at Kafka's disks "
            "and retention, then run bitacora verify.",
            labels,
        )
        self.relay_sent = self.counter(
            "bitacora_relay_sent_total", "Messages that the broker acknowledged.", {"topic": TOPIC}
        )
        self.relay_send_failures = self.counter(
            "bitacora_relay_send_failures_total",
            "Batches that the broker did not take; they are sent again. Grows: see Kafka's log.",
            {"topic": TOPIC},
        )
        self.outbox_rows = self.gauge(
            "bitacora_outbox_rows",
            "Rows of the outbox, which keeps what lost topics are written again from. Nothing to do.",
        )

    def _consumers(self) -> None:
        topic, group = {"topic": TOPIC}, {"group": GROUP}
        self.consumer_lag_records = self.gauge(
            "bitacora_consumer_lag_records",
            "Records between the last polled one and the end of the partition, as the broker last "
            "told. Grows: the service is too slow, or holds (bitacora_consumer_held).",
            {"topic": TOPIC, "partition": "partitions of the topic"},
        )
        self.consumer_connected = self.gauge(
            "bitacora_consumer_connected",
            "1 while the broker tells where all partitions of the group end, 0 while it is silent: "
            "then no lag is known. 0 also in a process that has no partition.",
            group,
        )
        self.consumer_held = self.gauge(
            "bitacora_consumer_held",
            "1 while the group cannot go on: its database is away, or too much was parked. "
            "/health/ready says which.",
            group,
        )
        self.consumer_apply_seconds = self.histogram(
            "bitacora_consumer_apply_seconds",
            "Time to apply the records of one poll, commit included.",
            group,
            buckets=LONG_SECONDS,
        )
        self.consumer_batch_size = self.histogram(
            "bitacora_consumer_batch_size", "Records of one poll.", group, buckets=SIZES
        )
        self.consumed = self.counter("bitacora_consumed_total", "Events that were applied.", topic)
        self.duplicates_skipped = self.counter(
            "bitacora_duplicates_skipped_total",
            "Events that had been applied before. Usual after a restart.",
            topic,
        )
        self.unknown_events = self.counter(
            "bitacora_unknown_events_total",
            "Events of a type that this version does not know: upgrade this service.",
            {"type": "the first 50 types that came, then other"},
        )
        self.sequence_gaps = self.counter(
            "bitacora_sequence_gaps_total",
            "Events that came before one that is missing. Should heal by itself; if not, look at "
            "bitacora parked list and at who else writes to the topic.",
            topic,
        )

    def _parking(self) -> None:
        self.parked = self.counter(
            "bitacora_parked_total",
            "Messages that were parked, by the topic they came from and why.",
            {"topic": TOPIC, "code": CODE},
        )
        self.parked_depth_messages = self.gauge(
            "bitacora_parked_depth_messages",
            "Messages that lie parked now. Mend what the code says, then bitacora parked redrive.",
            {"topic": TOPIC, "code": CODE},
        )
        self.parked_oldest_seconds = self.gauge(
            "bitacora_parked_oldest_seconds",
            "Real seconds that the oldest parked message of the topic has lain there.",
            {"topic": TOPIC},
        )

    def exposition(self) -> tuple[bytes, str]:
        """The page for Prometheus, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class Few:
    """Keeps the values of a label few: the first `limit` that come, and `other`. Thread-safe enough:
    at worst one more is kept."""

    def __init__(self, limit: int = 50) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._known:
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(value)
        return value


def show(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Give a gauge exactly these values by its labels: what is not named any more is not shown.

    To be called where the page is made, on the event loop, so that nobody sees it half done.
    """
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)


def own_version() -> str:
    """The version of the installed package; `source` where it is not installed."""
    try:
        return version("bitacora")
    except PackageNotFoundError:
        return "source"

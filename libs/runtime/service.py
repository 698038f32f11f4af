"""One service as one process: HTTP, consumers, relays and background tasks on one event loop.

HTTP answers while Kafka is away: what is accepted is in the store, and the relay sends it later.
Anything that fails unexpectedly ends the process (exit status 70) with nothing acknowledged; the
supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import uvicorn
from aiokafka.errors import KafkaError
from fastapi import FastAPI
from faststream.kafka import KafkaBroker
from sqlalchemy import select

from libs.events.topics import TOPICS, parked_topic, topic_named
from libs.runtime import parking
from libs.runtime.answering import AnsweringConsumer, RequestHandler
from libs.runtime.clock import monotonic_s
from libs.runtime.commands import CommandConsumer
from libs.runtime.commit import GroupCommit
from libs.runtime.consume import ConsumerTables, EventHandler, Record, Report, StreamApplier
from libs.runtime.errors import Transient
from libs.runtime.eventstore import EventStore
from libs.runtime.feed import Feed
from libs.runtime.gauges import Gauges, looking
from libs.runtime.http import create_http_app
from libs.runtime.kafka import ensure_topics, producer, wait_until_reachable
from libs.runtime.logs import configure_logs, get_logger
from libs.runtime.metrics import Few, Metrics
from libs.runtime.relay import EventLogSource, OutboxSource, Relay, Source, checkpoint_table
from libs.runtime.requests import Decode, R, RequestConsumer
from libs.runtime.settings import ServiceSettings
from libs.runtime.share import NOTHING, Share
from libs.runtime.store import ServiceStore

log = get_logger(__name__)

EXIT_BUG = 70
REDRIVE_INTERVAL_S = 1.0
GAUGES_INTERVAL_S = 5.0
SIZE_INTERVAL_S = 60.0
STOP_TIMEOUT_S = 10.0
CAUGHT_UP_INTERVAL_S = 0.005

Background = Callable[[], Awaitable[None]]


class Service:
    """Put together in `app.py`, run by `run`.

    `store.metadata` must hold the service's own tables; those of consumers and relays are added
    here, and all are created at start.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        store: ServiceStore,
        *,
        body_limits: Mapping[str, int] | None = None,
    ) -> None:
        self.settings = settings
        self.name = settings.service
        self.store = store
        self.clock = store.clock
        self.metrics = Metrics()
        self.http: FastAPI = create_http_app(
            f"Bitácora {self.name}",
            readiness=self._readiness,
            metrics=self.metrics,
            body_limits=body_limits,
        )
        self._consumer_tables = ConsumerTables(store.metadata)
        self._checkpoints = checkpoint_table(store.metadata)
        self._feeds: list[Feed] = []
        self._background: list[tuple[str, Background]] = []
        self._prepare: list[Callable[[], None]] = []
        self._relays: list[Relay] = []
        self._sources: list[tuple[str, Source]] = [(f"{self.name}-outbox", OutboxSource(store))]
        self._kafka_up = False
        self._unknown_types = Few()
        self._gauges = Gauges(self.metrics, store, self._feeds, self._relays)

    # -- composition --------------------------------------------------------------------------

    def consume(self, topics: Sequence[str], handler: EventHandler) -> None:
        """Apply the events of these topics with `handler`; the group id is the service's name."""
        applier = StreamApplier(self.name, handler, self._consumer_tables, self.clock, topics)

        async def work(records: Sequence[Record]) -> int:
            began_s = monotonic_s()
            report = await self.store.write(lambda c, out: applier.apply(c, out, records))
            self._polled(self.name, len(records), monotonic_s() - began_s)
            self._count(report)
            # What only waits for an event before it is healed by that event: after a topic was lost
            # or its partitions changed there may be thousands of these, and nobody is needed.
            return report.parked - report.waiting

        async def redrive() -> None:
            while True:
                await asyncio.sleep(REDRIVE_INTERVAL_S)
                if await self.store.read(lambda c: parking.redrive_requested(c, topics)):
                    await self.store.write(applier.redrive)

        metrics = self.metrics
        for counter in (metrics.consumed, metrics.duplicates_skipped, metrics.sequence_gaps):
            for topic in topics:
                counter.labels(topic)  # shown as 0 from the beginning
        self._feeds.append(self._feed(self.name, topics, work))
        self.background("redrive", redrive)

    def consume_commands(self, commit: GroupCommit) -> None:
        """Decide what arrives on `tickets.commands`; refusals go to `tickets.rejections`."""
        self._take(self.name, CommandConsumer(self.name, self.store, commit))

    def consume_requests(self, topic: str, decode: Decode[R], handler: RequestHandler[R]) -> None:
        """Carry out what arrives on `topic`, each request in one transaction with its effect; what
        `handler` rejects it says itself. The group id is the service's name with `-requests`: a group
        of its own, so that neither kind of consumer waits for the other one's rebalances."""
        consumer = AnsweringConsumer(
            self.name, self.store, topic_named(topic), decode, handler, self.metrics
        )
        self._take(f"{self.name}-requests", consumer)
        self.background("prune-answers", consumer.prune_for_ever)

    def _take(self, group: str, consumer: RequestConsumer[R]) -> None:
        async def work(records: Sequence[Record]) -> int:
            began_s = monotonic_s()
            parked = await consumer.work(records)
            self._polled(group, len(records), monotonic_s() - began_s)
            for code, count in consumer.parked.items():
                self.metrics.parked.labels(consumer.topic, code).inc(count)
            consumer.parked.clear()
            return parked

        self._feeds.append(self._feed(group, [consumer.topic], work))
        self.background("redrive", consumer.redrive_for_ever)

    def publish(self, events: EventStore, topic: str) -> None:
        """Relay an event store's log to `topic`."""
        self._sources.insert(0, (f"{self.name}-events", EventLogSource(events, topic)))
        self.prepare(events.create_tables)

    def background(self, name: str, run: Background) -> None:
        """Something that runs for ever. A Transient restarts it; anything else ends the process."""
        self._background.append((name, run))

    def measure(
        self, name: str, look: Background, *, interval_s: float, share_max: float = 1.0
    ) -> None:
        """Something that sets gauges, every so many real seconds, beginning at once; less often where it
        would take more than `share_max` of the time. While the database is away gauges keep their last
        values."""
        run = partial(looking, look, interval_s=interval_s, share_max=share_max)
        self.background(f"gauges-{name}", run)

    def prepare(self, step: Callable[[], None]) -> None:
        """Something to be done once at start, after the tables exist (in a thread)."""
        self._prepare.append(step)

    async def caught_up(self) -> None:
        """Return when everything that Kafka is known to hold at this moment has been applied.

        Never returns while the broker has not told lately where the topics end: after a start, and
        while it is away.
        """
        for feed in self._feeds:
            while not feed.heard() or (ends := feed.ends()) is None:
                await asyncio.sleep(CAUGHT_UP_INTERVAL_S)
            while not feed.reached(ends):
                await feed.applied(CAUGHT_UP_INTERVAL_S)

    def share(self, topic: str) -> Share:
        """The partitions of `topic` that this process consumes at this moment."""
        return next((feed.share(topic) for feed in self._feeds if topic in feed.topics), NOTHING)

    def _feed(
        self, group: str, topics: Sequence[str], work: Callable[[Any], Awaitable[int]]
    ) -> Feed:
        return Feed(
            group,
            topics,
            work,
            records_max=self.settings.batch_records_max,
            parked_per_minute_max=self.settings.parked_per_minute_max,
        )

    # -- running ------------------------------------------------------------------------------

    async def serve(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Raises what ended the service otherwise."""
        await asyncio.to_thread(self._create)
        server = uvicorn.Server(
            uvicorn.Config(
                self.http,
                host=self.settings.http_host,
                port=self.settings.http_port,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=int(STOP_TIMEOUT_S),
                ws_ping_interval=20,
            )
        )
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        web = asyncio.create_task(server.serve(), name="http")
        tasks = [asyncio.create_task(self._kafka(), name="kafka")]
        tasks += [
            asyncio.create_task(self._keep_running(name, run), name=name)
            for name, run in [*self._background, *self._watching()]
        ]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait(
                [web, stopping, *tasks], return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                await task
            if stopping not in done and web not in done:
                raise RuntimeError("a task that should run for ever has ended")
        finally:
            await self._stop(server, web, [stopping, *tasks])

    async def _stop(
        self, server: uvicorn.Server, web: asyncio.Task[None], tasks: list[asyncio.Task[Any]]
    ) -> None:
        server.should_exit = True
        with contextlib.suppress(Exception):
            await asyncio.wait_for(asyncio.shield(web), STOP_TIMEOUT_S)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)

    def _create(self) -> None:
        self.store.create_tables()
        for step in self._prepare:
            step()

    async def _kafka(self) -> None:
        """Relays and consumers. Returns never; raises what a consumer failed with."""
        settings = self.settings
        self._relays[:] = [
            Relay(
                name,
                source,
                self.store,
                self._checkpoints,
                bootstrap=settings.kafka_bootstrap_servers,
                make_producer=lambda: producer(
                    settings.kafka_bootstrap_servers, embedded=settings.kafka_embedded
                ),
                ensure_topics=self._ensure_topics,
                metrics=self.metrics,
            )
            for name, source in self._sources
        ]
        async with asyncio.TaskGroup() as group:
            for relay in self._relays:
                group.create_task(relay.run())
            if self._feeds:
                group.create_task(self._consumers())
            else:
                self._kafka_up = True

    async def _consumers(self) -> None:
        await self._connect_first()
        broker = KafkaBroker(
            self.settings.kafka_bootstrap_servers,
            client_id=f"bitacora-{self.name}",
            consumer_only=True,
            allow_auto_create_topics=False,
            metadata_max_age_ms=2_000,
            apply_types=False,
            logger=None,
            graceful_timeout=STOP_TIMEOUT_S,
        )
        for feed in self._feeds:
            feed.attach(
                broker,
                self.settings.kafka_bootstrap_servers,
                embedded=self.settings.kafka_embedded,
            )
        await broker.start()
        self._kafka_up = True
        committing = [asyncio.create_task(feed.commit_for_ever()) for feed in self._feeds]
        fatal = [feed.fatal for feed in self._feeds if feed.fatal is not None]
        try:
            waiting: list[asyncio.Future[Any]] = [*fatal, *committing]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for future in fatal:
                if future.done():
                    raise future.result()
        finally:
            for task in committing:
                task.cancel()
            for feed in self._feeds:
                await feed.commit()
            await broker.stop()

    async def _connect_first(self) -> None:
        while True:
            try:
                await wait_until_reachable(self.settings.kafka_bootstrap_servers)
                await self._ensure_topics()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("kafka_unreachable", error=str(error)[:200])
                await asyncio.sleep(1)
            else:
                return

    async def _ensure_topics(self) -> None:
        await ensure_topics(
            self.settings.kafka_bootstrap_servers,
            [*TOPICS, parked_topic(self.name)],
            replication_factor=self.settings.kafka_replication_factor,
        )

    async def _keep_running(self, name: str, run: Background) -> None:
        while True:
            try:
                await run()
            except Transient as error:
                log.warning("background_retries", task=name, error=error.detail)
                await asyncio.sleep(1)
            else:
                raise RuntimeError(f"background task {name} ended")

    # -- what others see ----------------------------------------------------------------------

    def _watching(self) -> list[tuple[str, Background]]:
        """The gauges that every service has. In tasks of their own: what needs the database waits
        for it, and what needs none goes on."""

        async def ready() -> None:
            self.metrics.ready.set(not await self._readiness())

        gauges = self._gauges
        return [
            ("gauges", lambda: looking(gauges.in_memory, interval_s=GAUGES_INTERVAL_S)),
            ("gauges-ready", lambda: looking(ready, interval_s=GAUGES_INTERVAL_S)),
            ("gauges-database", lambda: looking(gauges.in_database, interval_s=GAUGES_INTERVAL_S)),
            ("gauges-size", lambda: looking(gauges.size, interval_s=SIZE_INTERVAL_S)),
        ]

    async def _readiness(self) -> list[str]:
        reasons = [feed.waiting for feed in self._feeds if feed.waiting]
        try:
            await self.store.read(lambda connection: connection.execute(select(1)))
        except Transient as error:
            reasons.append(f"the database is away: {error.detail}")
        if not self._kafka_up:
            reasons.append(f"Kafka at {self.settings.kafka_bootstrap_servers} is not connected yet")
        return reasons

    def _polled(self, group: str, records: int, seconds: float) -> None:
        self.metrics.consumer_batch_size.labels(group).observe(records)
        self.metrics.consumer_apply_seconds.labels(group).observe(seconds)

    def _count(self, report: Report) -> None:
        metrics = self.metrics
        counters = {
            "applied": metrics.consumed,
            "duplicates": metrics.duplicates_skipped,
            "gaps": metrics.sequence_gaps,
        }
        for (name, topic), count in report.by_topic.items():
            counters[name].labels(topic).inc(count)
        for (topic, code), count in report.parked_by.items():
            metrics.parked.labels(topic, code).inc(count)
        for name, count in report.unknown.items():
            metrics.unknown_events.labels(self._unknown_types(name)).inc(count)


def run(service: Service) -> None:
    """Serve until SIGTERM or SIGINT. Exits with status 70 after an unexpected failure."""
    configure_logs(
        service.name, log_format=service.settings.log_format, level=service.settings.log_level
    )
    try:
        import uvloop

        runner: Callable[..., Any] = uvloop.run
    except ImportError:
        runner = asyncio.run
    # Events are many small objects without cycles: the collector need not look at them so often.
    gc.set_threshold(50_000, 20, 50)
    try:
        runner(_serve(service))
    except BaseException:
        log.exception("service_failed", service=service.name)
        sys.exit(EXIT_BUG)
    finally:
        service.store.close()


async def _serve(service: Service) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await service.serve(stop)

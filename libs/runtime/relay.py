"""The relay: the only producer. It sends what a service has stored to Kafka, in order.

One relay, two kinds of source: the notification log of an event store, and an outbox. What was sent
is remembered (`relay_checkpoints`) only after the broker acknowledged it, so a crash sends some
messages twice and none never; consumers know duplicates by (stream, sequence) or by command id.

Exactly one relay per source is active: an advisory lock on PostgreSQL, a locked file beside an SQLite
database. A second process waits until the first is gone.

The checkpoint also keeps, per partition, the offset behind the last acknowledged message. When a
topic ends before that, it was lost or re-created empty, and everything is sent again from the store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from pydantic_core import from_json, to_json
from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    String,
    Table,
    Text,
    func,
    select,
)

from libs.events.envelope import event_headers
from libs.runtime.backlog import Unsent, Waiting, recorded_ago_s
from libs.runtime.client import prepare_client
from libs.runtime.clock import monotonic_s
from libs.runtime.database import upsert
from libs.runtime.errors import Transient
from libs.runtime.eventstore import EventStore
from libs.runtime.logs import get_logger
from libs.runtime.mapper import unpack_headers
from libs.runtime.metrics import Metrics
from libs.runtime.onlyone import StillOnly, nobody_else, only_one
from libs.runtime.outbox import Outbox
from libs.runtime.store import ServiceStore

log = get_logger(__name__)

CHUNK_MESSAGES = 2_000
CHECKPOINT_INTERVAL_S = 0.5
IDLE_POLL_S = 0.2
TOPIC_CHECK_INTERVAL_S = 2.0
TOPIC_CHECK_TIMEOUT_S = 3.0
LAST_MESSAGE_TIMEOUT_MS = 2_000
RETRY_DELAY_S_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message to send; `position` orders it within its source."""

    position: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Source(Protocol):
    """Where a relay reads from. Called in a reader thread."""

    def read(self, after: int, limit: int) -> list[Message]:
        """The messages behind position `after`, in order."""

    def last(self) -> int:
        """The position of the last message; 0 when there is none."""


class EventLogSource:
    """The notification log of an event store; everything goes to one topic."""

    def __init__(self, events: EventStore, topic: str) -> None:
        self._events = events
        self._topic = topic

    def read(self, after: int, limit: int) -> list[Message]:
        return [
            Message(
                position,
                self._topic,
                stream_id.encode(),
                data,
                _headers(self._events.source, type_name, stream_id, sequence, position, meta),
            )
            for position, stream_id, sequence, type_name, meta, data in self._events.read_frames(
                after, limit
            )
        ]

    def last(self) -> int:
        return self._events.last_position()


class OutboxSource:
    """The outbox table of a service."""

    def __init__(self, store: ServiceStore) -> None:
        self._store = store
        self._outbox: Outbox = store.outbox

    def read(self, after: int, limit: int) -> list[Message]:
        t = self._outbox.rows
        query = select(t).where(t.c.position > after).order_by(t.c.position).limit(limit)
        with self._store.database.reading() as connection:
            rows = connection.execute(query).all()
        return [self._message(row) for row in rows]

    def last(self) -> int:
        with self._store.database.reading() as connection:
            return connection.execute(select(func.max(self._outbox.rows.c.position))).scalar() or 0

    def _message(self, row: Any) -> Message:
        if row.stream_id is None:
            return Message(row.position, row.topic, row.key, row.data, unpack_headers(row.meta))
        headers = _headers(
            self._outbox.source, row.type, row.stream_id, row.sequence, row.position, row.meta
        )
        return Message(row.position, row.topic, row.stream_id.encode(), row.data, headers)


def _headers(
    source: str, type_name: str, stream_id: str, sequence: int, position: int, meta: bytes
) -> list[tuple[str, bytes | None]]:
    m = from_json(meta)
    return [
        *event_headers(
            source=source,
            type_name=type_name,
            stream_id=stream_id,
            sequence=sequence,
            position=position,
            time=m["time"],
            recorded_time=m["recorded"],
            actor=m["actor"],
            correlation_id=m["correlation"],
            causation_id=m["causation"],
            previous_hash=m["previous_hash"],
            hash_=m["hash"],
            traceparent=m.get("traceparent"),
        )
    ]


def checkpoint_table(metadata: MetaData) -> Table:
    """`relay_checkpoints`: per relay the acknowledged position and the offsets behind it."""
    return Table(
        "relay_checkpoints",
        metadata,
        Column("relay", String(100), primary_key=True),
        Column("position", BigInteger, nullable=False),
        Column("next_offsets", Text, nullable=False),
    )


@dataclass(slots=True)
class _Checkpoint:
    position: int = 0
    next_offsets: dict[str, int] = field(default_factory=dict)
    """`topic:partition` → the offset behind the last acknowledged message."""


class TopicLost(Exception):
    """A topic ends before what was acknowledged: it was re-created empty."""


class Relay:
    """Sends one source to Kafka, for ever. `run` returns only when it is cancelled.

    `ensure_topics` is awaited before a lost topic is written again. `position` (acknowledged),
    `unsent()` and `republished` are for whoever watches; what was sent is counted on `metrics`.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        store: ServiceStore,
        table: Table,
        *,
        bootstrap: str,
        make_producer: Callable[[], AIOKafkaProducer],
        ensure_topics: Callable[[], Awaitable[None]],
        metrics: Metrics | None = None,
    ) -> None:
        self.name = name
        self._source = source
        self._store = store
        self._table = table
        self._bootstrap = bootstrap
        self._make_producer = make_producer
        self._ensure_topics = ensure_topics
        self._metrics = metrics or Metrics()
        for counter in (self._metrics.relay_retries, self._metrics.relay_republished):
            counter.labels(name)  # shown as 0 from the beginning, so that the first one is a change
        self._waiting = Waiting()
        self._furthest = 0
        self._wake = store.listen()
        self._checkpoint = _Checkpoint()
        self._saved_at_s = 0.0
        self._saved_position = -1
        self._still_only: StillOnly = nobody_else
        self.active = False
        self.republished = 0

    @property
    def position(self) -> int:
        return self._checkpoint.position

    async def backlog(self) -> int:
        """How many positions are stored and not yet acknowledged by the broker. Raises Transient."""
        return (await self.unsent()).messages

    async def unsent(self) -> Unsent:
        """What the broker has not acknowledged yet, also while another process publishes it.

        While a lost topic is written again, age counts from when that was noticed, not from when the
        oldest event of all was recorded. Raises Transient.
        """
        # What another process sends, or this one sent before it lost Kafka, is told by the table.
        acknowledged = self.position if self.active else (await self._load()).position
        last = await asyncio.to_thread(self._source.last)
        oldest_s = self._waiting.look(acknowledged, last, monotonic_s())
        again = acknowledged < self._furthest
        self._furthest = max(self._furthest, acknowledged)
        if last <= acknowledged:
            return Unsent()
        if not again:
            for message in await asyncio.to_thread(self._source.read, acknowledged, 1):
                oldest_s = max(oldest_s, recorded_ago_s(message.headers, self._store.clock))
        return Unsent(last - acknowledged, oldest_s)

    async def run(self) -> None:
        """Relay until cancelled. While Kafka or the database is away: retried, with growing delays."""
        delay_s = 0.1
        while True:
            try:
                async with only_one(self._store.database, self.name) as self._still_only:
                    self._checkpoint = await self._load()
                    self._saved_position = self._checkpoint.position
                    self.active = True
                    try:
                        async with self._connected() as (producer, watcher):
                            delay_s = 0.1
                            await self._relay(producer, watcher)
                    except TopicLost as lost:
                        log.warning("topic_lost_republishing", relay=self.name, topic=str(lost))
                        self._checkpoint = _Checkpoint()
                        self.republished += 1
                        self._metrics.relay_republished.labels(self.name).inc()
                        await self._save()
                    finally:
                        self.active = False  # the lock goes now, not when it is asked for again
            except (KafkaError, Transient, OSError) as error:
                log.warning("relay_retries", relay=self.name, error=str(error)[:300])
                self._metrics.relay_retries.labels(self.name).inc()
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_DELAY_S_MAX)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[AIOKafkaProducer, AIOKafkaConsumer]]:
        prepare_client()
        await self._ensure_topics()
        producer = self._make_producer()
        watcher = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, metadata_max_age_ms=2_000
        )
        try:
            await producer.start()
            await watcher.start()
            yield producer, watcher
        finally:
            with contextlib.suppress(KafkaError, OSError):
                await producer.stop()
            with contextlib.suppress(KafkaError, OSError):
                await watcher.stop()

    async def _relay(self, producer: AIOKafkaProducer, watcher: AIOKafkaConsumer) -> None:
        await self._check_topics(watcher)
        checked_at_s = monotonic_s()
        try:
            while True:
                self._wake.clear()
                messages = await asyncio.to_thread(
                    self._source.read, self._checkpoint.position, CHUNK_MESSAGES
                )
                if monotonic_s() - checked_at_s > TOPIC_CHECK_INTERVAL_S:
                    await self._still_only()
                    await self._check_topics(watcher)
                    checked_at_s = monotonic_s()
                if messages:
                    await self._send(producer, messages)
                # Not after every chunk: it is a commit, and would hold up the commands that wait
                # for theirs. What a crash sends again is known by its sequence.
                if monotonic_s() - self._saved_at_s > CHECKPOINT_INTERVAL_S:
                    await self._save()
                if len(messages) >= CHUNK_MESSAGES:
                    continue
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), IDLE_POLL_S)
        finally:
            with contextlib.suppress(Transient):
                await asyncio.shield(self._save())

    async def _send(self, producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
        """Send a chunk and wait for every acknowledgement. Raises KafkaError, TopicLost."""
        counts: dict[str, int] = {}
        batches: list[tuple[str, int, Any]] = []
        building: dict[tuple[str, int], Any] = {}
        for message in messages:
            if message.topic not in counts:
                partitions = await producer.partitions_for(message.topic)
                counts[message.topic] = len(partitions)
            partition = partition_of(message.key, counts[message.topic])
            place = (message.topic, partition)
            batch = building.get(place)
            if batch is None or not _append(batch, message):
                batch = building[place] = producer.create_batch()
                batches.append((*place, batch))
                if not _append(batch, message):
                    raise KafkaError(f"a message at position {message.position} fits no batch")
        sent = [
            await producer.send_batch(batch, topic, partition=partition)
            for topic, partition, batch in batches
        ]
        results = await asyncio.gather(*sent, return_exceptions=True)
        for (topic, partition, batch), result in zip(batches, results, strict=True):
            if isinstance(result, BaseException):
                self._metrics.relay_send_failures.labels(topic).inc()
                raise result
            self._acknowledged(f"{topic}:{partition}", result.offset, batch.record_count())
            self._metrics.relay_sent.labels(topic).inc(batch.record_count())
        self._checkpoint.position = messages[-1].position

    def _acknowledged(self, place: str, offset: int, count: int) -> None:
        """Raises TopicLost when the broker put a message where others had been before."""
        if offset < 0:
            return  # an idempotent producer that resent a batch is not told where it went
        if offset < self._checkpoint.next_offsets.get(place, 0):
            raise TopicLost(place)
        self._checkpoint.next_offsets[place] = offset + count

    async def _check_topics(self, watcher: AIOKafkaConsumer) -> None:
        """Raises TopicLost when a topic ends before what was acknowledged.

        A broker may answer with an end that lags behind by a batch. So where the end looks too
        early, the last acknowledged message itself is asked for.
        """
        expected = {_place(name): end for name, end in self._checkpoint.next_offsets.items()}
        if not expected:
            return
        ends = await _ends(watcher, list(expected))
        for place, end in expected.items():
            if ends.get(place, 0) < end and not await _is_there(watcher, place, end - 1):
                raise TopicLost(f"{place.topic}:{place.partition}")

    async def _load(self) -> _Checkpoint:
        t = self._table
        query = select(t.c.position, t.c.next_offsets).where(t.c.relay == self.name)
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return _Checkpoint(row[0], from_json(row[1])) if row else _Checkpoint()

    async def _save(self) -> None:
        if self._saved_position == self._checkpoint.position:
            return
        position = self._checkpoint.position
        row = {
            "relay": self.name,
            "position": position,
            "next_offsets": to_json(self._checkpoint.next_offsets).decode(),
        }
        await self._store.write(lambda connection, _: upsert(connection, self._table, [row]))
        self._saved_position = position
        self._saved_at_s = monotonic_s()


async def _ends(
    watcher: AIOKafkaConsumer, places: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """The ends that the broker tells. Raises TopicLost when a partition is no more, and TimeoutError.

    aiokafka asks for the end of a partition that is not there again and again. One can be gone when
    a topic was made anew with fewer.
    """
    try:
        async with asyncio.timeout(TOPIC_CHECK_TIMEOUT_S):
            return dict(await watcher.end_offsets(places))
    except TimeoutError:
        for place in places:
            there = watcher.partitions_for_topic(place.topic)
            if there and place.partition not in there:
                raise TopicLost(f"{place.topic}:{place.partition}") from None
        raise


async def _is_there(watcher: AIOKafkaConsumer, place: TopicPartition, offset: int) -> bool:
    watcher.assign([place])
    watcher.seek(place, offset)
    found = await watcher.getmany(place, timeout_ms=LAST_MESSAGE_TIMEOUT_MS, max_records=1)
    return any(record.offset == offset for record in found.get(place, ()))


def _append(batch: Any, message: Message) -> bool:
    metadata = batch.append(
        key=message.key, value=message.value, timestamp=None, headers=message.headers
    )
    return metadata is not None


@lru_cache(maxsize=50_000)
def partition_of(key: bytes | None, count: int) -> int:
    """As Kafka's own default partitioner, so that every client finds a key in the same place."""
    if key is None:
        return 0
    return int(murmur2(key) & 0x7FFFFFFF) % count


def _place(name: str) -> TopicPartition:
    topic, _, partition = name.rpartition(":")
    return TopicPartition(topic, int(partition))

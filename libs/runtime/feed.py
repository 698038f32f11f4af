"""The Kafka edge of a consumer: polls through FastStream, retries, commits offsets, stops when told.

FastStream polls batches and hands them over as they are (a parser that makes one bare message per
batch and never looks at headers: a foreign header cannot lose a record; libs/runtime/client.py sees
to headers that not even the client can read). The work of a poll is done
and committed to the database before its offsets are committed to Kafka.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage

from libs.runtime.client import prepare_client
from libs.runtime.clock import RealClock, monotonic_s
from libs.runtime.errors import Transient
from libs.runtime.kafka import RewindOnNewCluster, consumer_options
from libs.runtime.logs import get_logger
from libs.runtime.share import NOTHING, Share

log = get_logger(__name__)

COMMIT_INTERVAL_S = 0.5
POLL_TIMEOUT_MS = 10
RETRY_DELAY_S_MAX = 5.0
HEARD_WITHIN_S = 2.0
"""A broker answers a fetch at least every quarter of a second (`fetch_max_wait_ms`): what it told
longer ago than this is no knowledge of the end of a partition any more."""

Work = Callable[[Sequence[Any]], Awaitable[int]]
"""Does one poll's records, durably; returns how many were parked. Raises Transient to be retried."""


class Feed:
    """One consumer group's subscription in one process.

    `fatal` resolves to the exception that must end the process (a bug); nothing of the failed poll
    is acknowledged then. While the database is unreachable the feed retries; Kafka's heartbeat goes
    on meanwhile, and after `max.poll.interval` another member takes over, which the sequences make
    harmless. When more messages are parked within a minute than allowed, the feed stops for good,
    until a person restarts the service. `waiting` says why nothing moves; "" when all is well.
    """

    def __init__(
        self,
        group: str,
        topics: Sequence[str],
        work: Work,
        *,
        records_max: int,
        parked_per_minute_max: int,
    ) -> None:
        self.group = group
        self.topics = tuple(topics)
        self._work = work
        self._records_max = records_max
        self._parked_per_minute_max = parked_per_minute_max
        self._parked_at: deque[float] = deque()
        self._to_commit: dict[TopicPartition, int] = {}
        self._in_hand: Sequence[Any] = ()
        self._subscriber: Any = None
        self._busy = asyncio.Lock()
        self._applied = asyncio.Event()
        self.fatal: asyncio.Future[BaseException] | None = None
        self._stopped = False
        self.waiting = ""
        self.polled_at_s = monotonic_s()

    def attach(self, broker: KafkaBroker, bootstrap: str, *, embedded: bool) -> None:
        """Declare the subscription on a broker that has not started yet."""
        prepare_client()
        listener = RewindOnNewCluster(bootstrap, lambda: self.consumer) if embedded else None
        self.fatal = asyncio.get_running_loop().create_future()
        self._subscriber = broker.subscriber(
            *self.topics,
            batch=True,
            group_id=self.group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            batch_timeout_ms=POLL_TIMEOUT_MS,
            max_records=self._records_max,
            max_partition_fetch_bytes=1024 * 1024,
            fetch_max_wait_ms=250,
            parser=self._parse,
            decoder=_decode,
            listener=listener,
            **consumer_options(embedded=embedded),
        )
        self._subscriber(self._handle)

    async def commit_for_ever(self) -> None:
        """Commit to Kafka what the database has, every half second, until cancelled."""
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            await self.commit()

    async def commit(self) -> None:
        """Commit what is due. A failure is harmless: the records come again and are duplicates."""
        consumer = self._subscriber.consumer if self._subscriber else None
        if consumer is None or not self._to_commit:
            return
        due, self._to_commit = self._to_commit, {}
        assigned = consumer.assignment()
        offsets = {place: offset for place, offset in due.items() if place in assigned}
        if not offsets:
            return
        try:
            await consumer.commit(offsets)
        except (KafkaError, ValueError) as error:
            # ValueError: aiokafka refuses partitions that were taken away in this very moment.
            log.info("offset_commit_failed", group=self.group, error=str(error)[:200])

    @property
    def consumer(self) -> Any:
        return self._subscriber.consumer if self._subscriber else None

    def ends(self) -> dict[TopicPartition, int] | None:
        """Where the assigned partitions end, as the broker has just told; None while it has not."""
        consumer = self.consumer
        assigned = consumer.assignment() if consumer else ()
        ends = {place: consumer.highwater(place) for place in assigned}
        return None if not ends or None in ends.values() else ends

    def heard(self) -> bool:
        """Has the broker lately told the end of every assigned partition? Not while it is away: an
        event may lie there that nobody here knows of. Not just after the wall clock was set, either:
        that shows as an age that cannot be."""
        consumer = self.consumer
        assigned = consumer.assignment() if consumer else ()
        now_ms = RealClock().now().timestamp() * 1000
        told_ms = [consumer.last_poll_timestamp(place) for place in assigned]
        return bool(told_ms) and all(
            # The client cuts to whole milliseconds.
            at_ms is not None and -1 < now_ms - at_ms < HEARD_WITHIN_S * 1000
            for at_ms in told_ms
        )

    async def applied(self, within_s: float) -> None:
        """Return after the next poll was applied, or after `within_s`."""
        self._applied.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._applied.wait(), within_s)

    def share(self, topic: str) -> Share:
        """The partitions of `topic` that this process has at this moment."""
        consumer = self.consumer
        there = consumer.partitions_for_topic(topic) if consumer else None
        if not there:
            return NOTHING
        mine = {place.partition for place in consumer.assignment() if place.topic == topic}
        return Share(len(there), frozenset(mine))

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Has everything before `ends` been applied? True also for what was taken away since."""
        for record in self._in_hand:
            if record.offset < ends.get(TopicPartition(record.topic, record.partition), 0):
                return False
        subscription = self.consumer._subscription.subscription  # noqa: SLF001 - no request needed
        assignment = subscription.assignment if subscription else None
        for place, end in ends.items():
            state = assignment.state_value(place) if assignment else None
            if state is not None and (not state.has_valid_position or state.position < end):
                return False
        return True

    async def _parse(self, records: Any) -> KafkaAckableMessage:
        self._in_hand = records  # polled, so the position is past them, but not applied yet
        return KafkaAckableMessage(
            body=b"", raw_message=records, consumer=self._subscriber.consumer
        )

    async def _handle(self, records: Any) -> None:
        # An empty context: FastStream's holds the message, and a timer made here would keep it.
        task = asyncio.create_task(self._do(records), context=contextvars.Context())
        await task

    async def _do(self, records: Sequence[Any]) -> None:
        if self.fatal is None or self.fatal.done() or self._stopped:
            await asyncio.Event().wait()  # take no more work; the process is, or will be, stopped
        delay_s = 0.05
        async with self._busy:
            while True:
                try:
                    parked = await self._work(records)
                    break
                except Transient as error:
                    self.waiting = error.detail
                    log.warning("consumer_retries", group=self.group, error=error.detail)
                    await asyncio.sleep(delay_s)
                    delay_s = min(delay_s * 2, RETRY_DELAY_S_MAX)
                except Exception as error:
                    log.exception("consumer_failed", group=self.group)
                    self._stop(error)
            self.waiting = ""
            self._in_hand = ()
            self._applied.set()
            self.polled_at_s = monotonic_s()
            for record in records:
                place = TopicPartition(record.topic, record.partition)
                self._to_commit[place] = record.offset + 1
            self._count_parked(parked)

    def _stop(self, error: BaseException) -> None:
        if self.fatal is not None and not self.fatal.done():
            self.fatal.set_result(error)
        raise asyncio.CancelledError

    def _count_parked(self, parked: int) -> None:
        now_s = monotonic_s()
        self._parked_at.extend([now_s] * min(parked, self._parked_per_minute_max + 1))
        while self._parked_at and self._parked_at[0] < now_s - 60:
            self._parked_at.popleft()
        if len(self._parked_at) > self._parked_per_minute_max:
            self._stopped = True
            self.waiting = (
                f"consumer {self.group} parked more than {self._parked_per_minute_max} messages "
                "within a minute and stopped: look at `bitacora parked list`, mend the cause, "
                "then restart the service"
            )
            log.error("too_many_parked", group=self.group, detail=self.waiting)


async def _decode(message: Any) -> Any:
    return message.raw_message

"""Kafka as the services use it: topics made, producers and consumers configured, one broker or many.

Two flavours speak the same protocol. A real Kafka has the idempotent producer and forgets nothing;
the embedded broker (libs/runtime/embedded.py) has no idempotent producer and starts empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, Final

from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from libs.events.topics import Topic
from libs.runtime.client import prepare_client
from libs.runtime.clock import monotonic_s
from libs.runtime.embedded import EMBEDDED_CLUSTER
from libs.runtime.logs import get_logger

log = get_logger(__name__)

BATCH_BYTES_MAX: Final = 512 * 1024
REQUEST_TIMEOUT_MS: Final = 15_000
_RETRY_S: Final = 0.1


class TopicsNotMade(KafkaError):  # type: ignore[misc]
    """Topics are missing and cannot be made. The message says which and why."""


async def wait_until_reachable(bootstrap: str, *, timeout_s: float = 10.0) -> None:
    """Return when a broker at `bootstrap` answers.

    Raises TimeoutError, with the last error in its message, when none does within `timeout_s`.
    """
    deadline_s = monotonic_s() + timeout_s
    while True:
        try:
            async with asyncio.timeout(max(0.1, deadline_s - monotonic_s())), _admin(bootstrap):
                return
        except (KafkaError, OSError, TimeoutError) as error:
            if monotonic_s() + _RETRY_S >= deadline_s:
                raise TimeoutError(
                    f"no Kafka answers at {bootstrap} within {timeout_s:g} s: {error!r}"
                ) from error
        await asyncio.sleep(_RETRY_S)


async def cluster_id(bootstrap: str) -> str:
    """The id of the cluster at `bootstrap`; "" when it tells none. Raises KafkaError."""
    async with _admin(bootstrap) as admin:
        answer = await admin.describe_cluster()
        return str(answer.get("cluster_id") or "")


async def is_embedded(bootstrap: str) -> bool:
    """Is it the embedded broker that answers at `bootstrap`? Raises KafkaError."""
    return (await cluster_id(bootstrap)).startswith(EMBEDDED_CLUSTER)


async def ensure_topics(
    bootstrap: str,
    topics: Sequence[Topic],
    replication_factor: int = 1,
    *,
    timeout_s: float = 30.0,
) -> list[str]:
    """Make the topics that are not there and wait until they can be used. Returns those made.

    A topic that is there stays as it is, whatever its settings: its operator has chosen them; a
    different number of partitions is logged. Any number of processes may call this at once.
    Raises TopicsNotMade, and KafkaError when no broker answers.
    """
    wanted = {topic.name: topic for topic in topics}
    async with _admin(bootstrap) as admin:
        answer = await admin.create_topics(
            [_new_topic(topic, replication_factor) for topic in wanted.values()]
        )
        made, refused = [], []
        for name, code, *message in answer.topic_errors:
            if code == 0:
                made.append(name)
            elif code != TopicAlreadyExistsError.errno:
                refused.append(f"{name}: {message[0] if message else for_code(code).__name__}")
        if refused:
            raise TopicsNotMade(
                f"Kafka at {bootstrap} refused to make topics ({'; '.join(refused)})."
                " Make them by hand, or check BITACORA_KAFKA_REPLICATION_FACTOR"
            )
        await _await_leaders(admin, wanted, timeout_s)
    return made


def _new_topic(topic: Topic, replication_factor: int) -> NewTopic:
    return NewTopic(
        topic.name,
        topic.partitions,
        replication_factor,
        topic_configs={
            "retention.ms": str(topic.retention_ms),
            "cleanup.policy": topic.cleanup,
        },
    )


async def _await_leaders(
    admin: AIOKafkaAdminClient, wanted: dict[str, Topic], timeout_s: float
) -> None:
    deadline_s = monotonic_s() + timeout_s
    while True:
        described = await admin.describe_topics(list(wanted))
        waiting = [d["topic"] for d in described if d["error_code"] or not _led(d["partitions"])]
        if not waiting:
            break
        if monotonic_s() > deadline_s:
            raise TopicsNotMade(f"topics without a leader: {', '.join(waiting)}")
        await asyncio.sleep(_RETRY_S)
    for answer in described:
        topic, count = wanted[answer["topic"]], len(answer["partitions"])
        if count != topic.partitions:
            log.warning(
                "topic_partitions_differ", topic=topic.name, has=count, wanted=topic.partitions
            )


def _led(partitions: Sequence[dict[str, Any]]) -> bool:
    return bool(partitions) and all(p["leader"] >= 0 for p in partitions)


def producer(bootstrap: str, *, embedded: bool) -> AIOKafkaProducer:
    """A producer that is not started yet; call this inside a running event loop.

    Every message is acknowledged by all replicas. On a real Kafka it is idempotent, so that a resend
    after a lost answer keeps order and adds nothing; on the embedded broker a resend may show twice,
    which consumers know by the sequence.
    """
    prepare_client()
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id="bitacora",
        acks="all",
        enable_idempotence=not embedded,
        linger_ms=5,
        max_batch_size=BATCH_BYTES_MAX,
        compression_type="lz4" if not embedded and find_spec("cramjam") else None,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=10_000,
    )


def consumer_options(*, embedded: bool) -> dict[str, Any]:
    """How often a member of a group shows that it lives; for AIOKafkaConsumer and FastStream.

    The embedded broker lets a member wait half the session time-out (and, after another one has
    left, up to twice of it) before it gets partitions: 10 s, the client's default, mean 5 to 18 s.
    A real Kafka takes over the partitions of a killed process after the session time-out; 6 s is the
    least that its default settings allow.
    """
    if embedded:
        return {"session_timeout_ms": 2_000, "heartbeat_interval_ms": 200}
    return {"session_timeout_ms": 6_000, "heartbeat_interval_ms": 1_500}


class RewindOnNewCluster(ConsumerRebalanceListener):  # type: ignore[misc]
    """Reads from the beginning whenever the broker is another one than before.

    The embedded broker starts empty, takes offsets that are committed past the end of a topic, and
    gives nothing, and no error, to who reads there. A consumer that commits an old offset just after
    a restart would wait for ever, so on that broker no committed offset is trusted: partitions are
    read from offset 0 at the first assignment, and again after each restart of the broker. What was
    applied before is known by its sequence. A real Kafka answers "offset out of range", and the
    consumer begins anew by itself: this listener is not for it.
    """

    def __init__(self, bootstrap: str, consumer: Callable[[], Any]) -> None:
        self._bootstrap = bootstrap
        self._consumer = consumer
        self._cluster = ""
        self.rewinds = 0

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Nothing is to be done: work in hand is harmless when another member does it, too."""

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        try:
            now = await cluster_id(self._bootstrap)
        except (KafkaError, OSError) as error:
            # Gone again: reading from the start is always right, if slow.
            log.info("cluster_id_unknown", error=str(error)[:200])
            now = ""
        if now and now == self._cluster:
            return
        self._cluster = now
        self.rewinds += 1
        consumer = self._consumer()
        for place in assigned:
            consumer.seek(place, 0)


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    prepare_client()
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap,
        client_id="bitacora-admin",
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()

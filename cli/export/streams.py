"""Which events of a topic are new: the stream and the sequence decide, never the offset."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Final

from pydantic_core import from_json

from libs.events import EventEnvelope, Malformed, UnknownEvent

Key = tuple[str, str]
"""(topic, stream id)."""

DIGEST_BITS: Final = 128
_MASK: Final = (1 << DIGEST_BITS) - 1


class Streams:
    """Lets each event through once, in the order of its stream.

    A topic may hold an event twice (delivery is at least once), and after its partitions were changed
    it may give a stream's later events before the earlier ones. Memory: one number per stream.
    """

    def __init__(self) -> None:
        self.last: dict[Key, int] = {}
        self.early: dict[Key, dict[int, EventEnvelope]] = {}
        self.duplicates: Counter[str] = Counter()

    def take(self, topic: str, envelope: EventEnvelope) -> list[EventEnvelope]:
        """The events that are now in order: this one and those that waited for it, or none."""
        key = (topic, envelope.stream_id)
        last = self.last.get(key, 0)
        early = self.early.get(key)
        if envelope.sequence <= last or (early and envelope.sequence in early):
            self.duplicates[topic] += 1
            return []
        if envelope.sequence > last + 1:
            self.early.setdefault(key, {})[envelope.sequence] = envelope
            return []
        taken = [envelope]
        while early and (follower := early.pop(taken[-1].sequence + 1, None)) is not None:
            taken.append(follower)
        if early is not None and not early:
            del self.early[key]
        self.last[key] = taken[-1].sequence
        return taken

    def waiting(self) -> Counter[str]:
        """How many events of each topic wait for one that is missing."""
        count: Counter[str] = Counter()
        for (topic, _), events in self.early.items():
            count[topic] += len(events)
        return count


class Content:
    """A digest of a set of events that does not depend on their order: the sum of a hash of each
    event's id and chain hash. Two sets with the same digest are the same set (128 bits)."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    @classmethod
    def parse(cls, text: str) -> Content:
        return cls(int(text, 16))

    def add(self, id_: str, hash_: str) -> None:
        digest = blake2b(f"{id_}\n{hash_}".encode(), digest_size=DIGEST_BITS // 8).digest()
        self.value = (self.value + int.from_bytes(digest)) & _MASK

    def merge(self, other: Content) -> None:
        self.value = (self.value + other.value) & _MASK

    def __str__(self) -> str:
        return f"{self.value:032x}"


def what_is_wrong(envelope: EventEnvelope | Malformed) -> str:
    """What keeps a record from being a row: it is no event, or its data is no JSON text."""
    if isinstance(envelope, Malformed):
        return f"{envelope.code}: {envelope.detail}"
    if isinstance(envelope.event, UnknownEvent):  # of the others the contract has seen to it
        try:
            from_json(envelope.data.decode())
        except ValueError as error:
            return f"invalid_data: {error}"
    return ""

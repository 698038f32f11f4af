"""What part of a topic's keys this process works on: the partitions that its group gave it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from aiokafka.partitioner import murmur2


@dataclass(frozen=True, slots=True)
class Share:
    """`mine` are the partitions, of `partitions` of the topic, that this process consumes: none
    before the group has given it any, all of them when it is the only one."""

    partitions: int
    mine: frozenset[int]

    @property
    def everything(self) -> bool:
        return len(self.mine) == self.partitions

    def has(self, slot: int) -> bool:
        """Is the key with this slot (see `slot_of`) one of this process?"""
        return slot % self.partitions in self.mine


WHOLE = Share(1, frozenset({0}))
"""For one process that does everything."""
NOTHING = Share(1, frozenset())


@lru_cache(maxsize=4096)
def slot_of(key: str) -> int:
    """A number from 0 to 2³¹ - 1 that says for any number of partitions where Kafka's default
    partitioner puts the key: slot modulo partitions."""
    return int(murmur2(key.encode())) & 0x7FFFFFFF

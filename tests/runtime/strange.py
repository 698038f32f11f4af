"""Sends what no Kafka client sends: records whose header names are not UTF-8."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.codec import lz4_encode
from aiokafka.record.util import calc_crc32c

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
"""Of a record batch, format version 2."""
BEFORE_LENGTH: Final = 12
BEFORE_ATTRIBUTES: Final = 21
LZ4: Final = 3

Strange = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
"""(key, value, headers): a byte that is not UTF-8 stands in a name as Python's surrogate escape."""


async def send_strange(
    sender: AIOKafkaProducer,
    topic: str,
    records: Sequence[Strange],
    *,
    partition: int,
    compressed: bool = False,
) -> None:
    """Send these records as one batch and wait for the broker's answer."""
    batch = sender.create_batch()
    wanted: list[tuple[bytes, bytes]] = []
    for key, value, headers in records:
        plain = []
        for name, content in headers:
            raw = name.encode(errors="surrogateescape")
            stand_in = raw.decode("ascii", errors="replace").replace("\ufffd", "#")
            wanted += [(stand_in.encode(), raw)] if stand_in.encode() != raw else []
            plain.append((stand_in, content))
        batch.append(key=key, value=value, timestamp=None, headers=plain)
    made = bytes(batch._build())
    for stand_in_bytes, raw in wanted:
        assert made.count(stand_in_bytes) == 1, "the name must stand nowhere else"
        made = made.replace(stand_in_bytes, raw)
    batch._buffer = _sealed(made, compressed=compressed)
    await (await sender.send_batch(batch, topic, partition=partition))


def _sealed(batch: bytes, *, compressed: bool) -> bytes:
    """With its body compressed, if asked, and its checksum made anew."""
    fields = list(HEADER.unpack_from(batch))
    body = batch[HEADER.size :]
    if compressed:
        body = lz4_encode(body)
        fields[5] = LZ4
    fields[1] = HEADER.size - BEFORE_LENGTH + len(body)
    fields[4] = calc_crc32c((HEADER.pack(*fields) + body)[BEFORE_ATTRIBUTES:])
    return HEADER.pack(*fields) + body

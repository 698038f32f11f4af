r"""Lets the Kafka client read records whose header names are not UTF-8.

Kafka says that a header's name is text, but no broker looks. aiokafka raises UnicodeDecodeError on
such a record, on every poll again: one foreign message would stop a consumer for good, and what the
same poll had already taken from other partitions would be lost. With `read_any_header_name` such
names are read with their strange bytes written out (the byte FF as `\xff`), so that the message
is applied or parked like any other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

_LENGTH: Final = struct.Struct(">qi")
"""A batch begins with its base offset and the number of bytes that follow."""
_MAGIC_AT: Final = 16
_MAGIC_WITH_HEADERS: Final = 2


@dataclass(frozen=True, slots=True)
class PlainRecord:
    """What aiokafka's own records offer."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    checksum: None = None


class AnyRecords:
    """Stands in for aiokafka's `MemoryRecords`: the batches of one fetch."""

    def __init__(self, data: Any) -> None:
        self._data = memoryview(data)
        self._records = MemoryRecords(data)
        self._at = 0

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        start = self._at
        self._at += _LENGTH.size + _LENGTH.unpack_from(self._data, start)[1]
        if batch is None or self._data[start + _MAGIC_AT] < _MAGIC_WITH_HEADERS:
            return batch
        return _Batch(batch, self._data[start : self._at])


class _Batch:
    """One batch, read by aiokafka's fast reader until that fails."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        last = -1
        try:
            for record in self._batch:
                last = record.offset
                yield record
        except UnicodeDecodeError:
            yield from (record for record in _read(self._data) if record.offset > last)


def _read(data: memoryview) -> Iterator[PlainRecord]:
    """The records of a batch (format version 2). Raises CorruptRecordException."""
    batch = _DefaultRecordBatchPy(data)
    batch._maybe_uncompress()  # noqa: SLF001 - the one thing here worth not writing again
    buffer, at = bytes(batch._buffer), int(batch._pos)  # noqa: SLF001
    try:
        for _ in range(batch._num_records):  # noqa: SLF001
            length, at = decode_varint(buffer, at)
            yield _record(batch, buffer, at)
            at += length
    except (ValueError, IndexError) as error:
        raise CorruptRecordException(f"a record cannot be read: {error!r}") from error


def _record(batch: Any, buffer: bytes, at: int) -> PlainRecord:
    _, at = decode_varint(buffer, at)  # attributes: none are defined
    timestamp_delta, at = decode_varint(buffer, at)
    offset_delta, at = decode_varint(buffer, at)
    key, at = _bytes(buffer, at)
    value, at = _bytes(buffer, at)
    count, at = decode_varint(buffer, at)
    headers = []
    for _ in range(count):
        name, at = _bytes(buffer, at)
        content, at = _bytes(buffer, at)
        headers.append(((name or b"").decode(errors="backslashreplace"), content))
    appended = batch.timestamp_type == batch.LOG_APPEND_TIME
    return PlainRecord(
        offset=batch.base_offset + offset_delta,
        timestamp=batch.max_timestamp if appended else batch.first_timestamp + timestamp_delta,
        timestamp_type=batch.timestamp_type,
        key=key,
        value=value,
        headers=headers,
    )


def _bytes(buffer: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(buffer, at)
    if length < 0:
        return None, at
    if at + length > len(buffer):
        raise IndexError("a record ends early")
    return buffer[at : at + length], at + length


def read_any_header_name() -> None:
    """From now on, every consumer of this process reads as said above. Safe to call again."""
    fetcher.MemoryRecords = AnyRecords

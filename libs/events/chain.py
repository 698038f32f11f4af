"""The hash chain of a stream: tamper evidence that anybody can check from the topic alone.

Each event's hash is SHA-256 over the hash before it and over everything the event says: its stream,
sequence, type, times, actor, the ids that link it to its cause, and the bytes of its data. Left
out are the position in the owner's log (only known once the event is stored), the source (each topic
has one owner) and the trace context (it says nothing about the ticket).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

GENESIS: Final = "0" * 64
"""The hash before the first event of a stream."""


def chain_hash(
    previous: str,
    *,
    stream_id: str,
    sequence: int,
    type_name: str,
    time: str,
    recorded_time: str,
    actor: str,
    correlation_id: str,
    causation_id: str,
    data: bytes,
) -> str:
    r"""The event's hash, as 64 hexadecimal digits. Never raises for text that UTF-8 can hold.

    Times are given as `format_time` writes them. Fields are joined by newlines, the data comes
    last. Should a field contain a backslash or a newline, it is written as `\\` or `\n`, so that
    two different events never hash the same text.
    """
    fields = (
        previous,
        stream_id,
        str(sequence),
        type_name,
        time,
        recorded_time,
        actor,
        correlation_id,
        causation_id,
    )
    head = "\n".join(fields)
    if "\\" in head or head.count("\n") != len(fields) - 1:
        head = "\n".join(part.replace("\\", "\\\\").replace("\n", "\\n") for part in fields)
    return sha256(head.encode() + b"\n" + data).hexdigest()

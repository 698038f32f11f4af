"""The hash chain of a stream: tamper evidence that anybody can check from the topic alone.

Each event's hash is SHA-256 over the hash before it and over everything the event says: its stream,
sequence, type, times, actor, the ids that link it to its cause, and the bytes of its data. The
position in the owner's log is left out, because it is only known once the event is stored.
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
    """The event's hash, as 64 hexadecimal digits.

    Fields are joined by newlines, which none of them can contain (the data, which can, comes last).
    """
    head = "\n".join(
        (
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
    )
    return sha256(head.encode() + b"\n" + data).hexdigest()

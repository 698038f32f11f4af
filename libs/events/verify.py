"""Checks a stream of recorded events for loss, reordering and tampering, from the events alone.

An auditor needs nothing but the topic (or a file made from it)::

    problems = verify_stream(decode_event(record.value, record.headers) for record in records)

What the chain proves: if the newest hash of a stream was noted somewhere safe, nobody can change,
drop, insert or reorder an event before it without a problem showing up here. It cannot show that
the end of a stream was cut off; compare the last hash with the noted one for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from libs.events.chain import GENESIS
from libs.events.envelope import EventEnvelope

Code = Literal[
    "other_stream",
    "gap",
    "out_of_order",
    "conflict",
    "repeated",
    "chain_broken",
    "hash_mismatch",
    "recorded_backwards",
    "from_the_future",
]

ODD: frozenset[Code] = frozenset({"repeated", "recorded_backwards", "from_the_future"})
"""What delivery at least once, and clocks that were set back, explain without any tampering."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `code` is stable, `detail` is for people.

    `broken` is True when the history cannot be trusted as it stands, False when the finding is only
    odd (see ODD).
    """

    stream_id: str
    sequence: int
    code: Code
    detail: str

    @property
    def broken(self) -> bool:
        return self.code not in ODD


class StreamVerifier:
    """Checks one stream, event by event, in constant time and with one hash per event in memory.

    To go on from a verified place, give its sequence and hash.
    """

    def __init__(self, stream_id: str, *, sequence: int = 0, last_hash: str = GENESIS) -> None:
        self.stream_id = stream_id
        self.sequence = sequence
        self.last_hash = last_hash
        self._began_after = sequence
        self._hashes: dict[int, str] = {}
        self._last: EventEnvelope | None = None

    def check(self, envelope: EventEnvelope) -> list[Problem]:
        """The problems that this event brings to light (none: an empty list).

        Never raises for what `decode_event` gave.
        """
        if envelope.stream_id != self.stream_id:
            detail = f"the event belongs to {envelope.stream_id!r}, not to {self.stream_id!r}"
            return [self._problem(envelope, "other_stream", detail)]
        problems = self._content(envelope)
        if envelope.sequence <= self.sequence:
            return problems + self._again(envelope)
        if envelope.sequence > self.sequence + 1:
            missing = f"{self.sequence + 1} to {envelope.sequence - 1}"
            problems.append(self._problem(envelope, "gap", f"the events {missing} are missing"))
        elif envelope.previous_hash != self.last_hash:
            before = "the start of every chain" if self.sequence == 0 else f"event {self.sequence}"
            problems.append(
                self._problem(
                    envelope, "chain_broken", f"previous_hash is not the hash of {before}"
                )
            )
        problems += self._times(envelope)
        self._hashes[envelope.sequence] = envelope.hash
        self.sequence, self.last_hash = envelope.sequence, envelope.hash
        self._last = envelope
        return problems

    def _content(self, envelope: EventEnvelope) -> list[Problem]:
        if envelope.computed_hash() == envelope.hash:
            return []
        detail = "the content was changed after it was recorded: it does not give this hash"
        return [self._problem(envelope, "hash_mismatch", detail)]

    def _again(self, envelope: EventEnvelope) -> list[Problem]:
        """A sequence that was passed already: the same event again, another one, or a late one."""
        if envelope.sequence <= self._began_after:
            detail = f"the verification began after event {self._began_after}"
            return [self._problem(envelope, "repeated", detail)]
        known = self._hashes.get(envelope.sequence)
        if known is None:
            self._hashes[envelope.sequence] = envelope.hash
            detail = f"the event comes after event {self.sequence}"
            return [self._problem(envelope, "out_of_order", detail)]
        if known == envelope.hash:
            return [self._problem(envelope, "repeated", "the same event came before")]
        detail = "another event with this sequence came before"
        return [self._problem(envelope, "conflict", detail)]

    def _times(self, envelope: EventEnvelope) -> list[Problem]:
        problems = []
        if self._last is not None and envelope.recorded_time < self._last.recorded_time:
            detail = f"recorded before event {self._last.sequence}"
            problems.append(self._problem(envelope, "recorded_backwards", detail))
        if envelope.time > envelope.recorded_time:
            detail = "recorded before it happened"
            problems.append(self._problem(envelope, "from_the_future", detail))
        return problems

    def _problem(self, envelope: EventEnvelope, code: Code, detail: str) -> Problem:
        return Problem(self.stream_id, envelope.sequence, code, detail)


def verify_stream(envelopes: Iterable[EventEnvelope]) -> list[Problem]:
    """All problems of one stream, from its first event on; an empty list when it is sound.

    The first envelope says which stream it is; an event of another one is a problem.
    """
    verifier: StreamVerifier | None = None
    problems: list[Problem] = []
    for envelope in envelopes:
        if verifier is None:
            verifier = StreamVerifier(envelope.stream_id)
        problems += verifier.check(envelope)
    return problems


def verify_streams(envelopes: Iterable[EventEnvelope]) -> list[Problem]:
    """All problems of many streams whose events come mixed, as on a topic."""
    verifiers: dict[str, StreamVerifier] = {}
    problems: list[Problem] = []
    for envelope in envelopes:
        verifier = verifiers.get(envelope.stream_id)
        if verifier is None:
            verifier = verifiers[envelope.stream_id] = StreamVerifier(envelope.stream_id)
        problems += verifier.check(envelope)
    return problems

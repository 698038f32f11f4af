"""The Kafka edge of intake: what arrives on `tickets.commands` is decided, refused, or parked.

A command counts once by its `command_id`, in the transaction that appends its events (see
`libs.runtime.commit`). The Kafka offset is committed after that; a crash between the two brings the
same commands again, and they are answered as duplicates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection

from libs.events import CommandEnvelope, Malformed, decode_command
from libs.runtime import parking
from libs.runtime.commit import GroupCommit, Outcome
from libs.runtime.consume import Record
from libs.runtime.errors import Poison
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from libs.runtime.strict_json import check_json

REDRIVE_INTERVAL_S = 1.0

Problem = tuple[Record, Malformed]


def _decode(message: Record | parking.Parked) -> CommandEnvelope | Malformed:
    """As strict as the HTTP edge: what JSON leaves open (the same key twice) is refused."""
    envelope = decode_command(message.value, message.headers)
    if isinstance(envelope, Malformed):
        return envelope
    try:
        check_json(message.value or b"")
    except Poison as error:
        return Malformed(error.code, error.detail, envelope.ticket_id)
    return envelope


class CommandConsumer:
    """Does one poll's commands; see the module's text."""

    def __init__(self, group: str, store: ServiceStore, commit: GroupCommit) -> None:
        self.group = group
        self._store = store
        self._commit = commit

    async def work(self, records: Sequence[Record]) -> int:
        """Decide these commands, in order. Returns how many messages were parked."""
        problems: list[Problem] = []
        good: list[tuple[Record, CommandEnvelope]] = []
        for record in records:
            envelope = _decode(record)
            if isinstance(envelope, Malformed):
                problems.append((record, envelope))
            else:
                good.append((record, envelope))
        outcomes = await self._commit.submit_many(
            [envelope for _, envelope in good], publish_rejections=True
        )
        for (record, envelope), outcome in zip(good, outcomes, strict=True):
            if outcome.status == "failed":
                problem = Malformed(outcome.code, outcome.detail, envelope.ticket_id)
                problems.append((record, problem))
        if not problems:
            return 0
        return await self._store.write(lambda c, out: self._park(c, out, problems))

    async def redrive_for_ever(self) -> None:
        """Try again what an operator asks for, until cancelled."""
        while True:
            await asyncio.sleep(REDRIVE_INTERVAL_S)
            for parked in await self._store.read(parking.redrive_requested):
                await self._redrive(parked)

    async def _redrive(self, parked: parking.Parked) -> None:
        envelope = _decode(parked)
        if isinstance(envelope, Malformed):
            code, detail = envelope.code, envelope.detail
        else:
            outcome: Outcome = await self._commit.submit(envelope, publish_rejections=True)
            if outcome.status != "failed":
                await self._store.write(lambda c, _: parking.remove(c, parked))
                return
            code, detail = outcome.code, outcome.detail
        await self._store.write(lambda c, _: parking.failed_again(c, parked, code, detail))

    def _park(self, connection: Connection, outgoing: Outgoing, problems: Sequence[Problem]) -> int:
        return sum(
            parking.park(
                connection,
                outgoing,
                group=self.group,
                clock=self._store.clock,
                record=record,
                code=problem.code,
                detail=problem.detail,
                stream_id=problem.stream_id,
            )
            for record, problem in problems
        )

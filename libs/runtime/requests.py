"""The Kafka edge of who decides requests: they are done in order, refused, or parked.

Which messages are no requests at all, what becomes of those, and how they are tried again is the same
for all and is here; `libs.runtime.commands` (many commands in one transaction) and
`libs.runtime.answering` (one transaction for each) say how requests are done.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection

from libs.events import Malformed
from libs.events.headers import RawHeaders
from libs.events.requests import Request
from libs.runtime import parking
from libs.runtime.consume import Record
from libs.runtime.errors import Poison
from libs.runtime.logs import get_logger
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from libs.runtime.strict_json import check_json

log = get_logger(__name__)

REDRIVE_INTERVAL_S: Final = 1.0

R = TypeVar("R", bound=Request)
Decode = Callable[[bytes | None, RawHeaders], R | Malformed]
Problem = tuple[Record, Malformed]


class RequestConsumer(ABC, Generic[R]):
    """Does the requests on one topic. A request is known by its command id: doing one that was done
    changes nothing, so a poll may come again."""

    def __init__(self, group: str, store: ServiceStore, topic: str, decode: Decode[R]) -> None:
        self.group = group
        self.topic = topic
        self._store = store
        self._decode_message = decode
        self.parked: Counter[str] = Counter()
        """Code → how many messages this process has parked."""

    @abstractmethod
    async def answer(self, requests: Sequence[R]) -> list[Malformed | None]:
        """Carry these out or refuse them, in order, durably. For each: None, or why it can be neither
        and is to be parked. Raises Transient to be called with all of them again."""

    async def work(self, records: Sequence[Record]) -> int:
        """Do one poll's requests. Returns how many messages were parked. Raises Transient."""
        problems: list[Problem] = []
        good: list[tuple[Record, R]] = []
        for record in records:
            request = self._decode(record)
            if isinstance(request, Malformed):
                problems.append((record, request))
            else:
                good.append((record, request))
        answers = await self.answer([request for _, request in good])
        for (record, _), problem in zip(good, answers, strict=True):
            if problem is not None:
                problems.append((record, problem))
        if not problems:
            return 0
        codes = await self._store.write(lambda c, out: self._park(c, out, problems))
        self.parked.update(codes)
        return len(codes)

    async def redrive_for_ever(self) -> None:
        """Try again what an operator asks for, until cancelled."""
        while True:
            await asyncio.sleep(REDRIVE_INTERVAL_S)
            await self.redrive()

    async def redrive(self) -> None:
        """Try again what an operator has asked for."""
        for parked in await self._store.read(self._asked_for):
            await self._redrive(parked)

    def _asked_for(self, connection: Connection) -> list[parking.Parked]:
        return parking.redrive_requested(connection, (self.topic,))

    async def _redrive(self, parked: parking.Parked) -> None:
        request = self._decode(parked)
        problem = request if isinstance(request, Malformed) else (await self.answer([request]))[0]
        if problem is None:
            await self._store.write(lambda c, _: parking.remove(c, parked))
            return
        code, detail = problem.code, problem.detail
        await self._store.write(lambda c, _: parking.failed_again(c, parked, code, detail))

    def _decode(self, message: Record | parking.Parked) -> R | Malformed:
        """As strict as the HTTP edge: what JSON leaves open (the same key twice) is refused."""
        request = self._decode_message(message.value, message.headers)
        if isinstance(request, Malformed):
            return request
        try:
            check_json(message.value or b"")
        except Poison as error:
            return Malformed(error.code, error.detail, request.stream_id)
        return request

    def _park(
        self, connection: Connection, outgoing: Outgoing, problems: Sequence[Problem]
    ) -> list[str]:
        codes: list[str] = []
        for record, problem in problems:
            new = parking.park(
                connection,
                outgoing,
                group=self.group,
                clock=self._store.clock,
                record=record,
                code=problem.code,
                detail=problem.detail,
                stream_id=problem.stream_id,
            )
            if new:
                codes.append(problem.code)
                _log_parked(self.group, record, problem)
        return codes


def _log_parked(group: str, record: Any, problem: Malformed) -> None:
    log.warning(
        "message_parked",
        group=group,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        code=problem.code,
        detail=problem.detail,
    )

"""The edges that are not HTTP: consumed events, requests, and the sweep in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from libs.events import AgentCommandEnvelope, EventEnvelope
from libs.events.agent_commands import AcceptOffer, DeclineOffer, SetAgentPresence
from libs.events.routing import AgentCommandRefused
from libs.events.topics import ROUTING_DECISIONS
from libs.runtime.clock import Clock
from libs.runtime.errors import Rejected
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.routing.domain.agent_commands import SetPresence
from services.routing.domain.work import ROUTER
from services.routing.store import Desk
from services.routing.store.offers import Answer, who_answers

SLEEP_S_MIN: Final = 0.01


class RoutingHandler:
    """Applies `tickets.events`, `tickets.rejections` and `sla.events`.

    Runs in the writer thread, inside the transaction of one poll, and may be called again with the
    same events after a rollback; ids of commands derive from their causes, so nothing is asked
    twice.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def apply(
        self, connection: Connection, envelopes: Sequence[EventEnvelope], outgoing: Outgoing
    ) -> None:
        self._desk.apply(connection, envelopes, outgoing)


class RequestsHandler:
    """Carries out what arrives on `agents.commands`: as HTTP would, by the same transactions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def answer(
        self, connection: Connection, outgoing: Outgoing, request: AgentCommandEnvelope
    ) -> None:
        """Raises Rejected with the codes of HTTP, and `not_conditional` for an answer to an offer
        with an expected sequence: offers have none."""
        self._transaction(request)(connection, outgoing)

    def _transaction(
        self, request: AgentCommandEnvelope
    ) -> Callable[[Connection, Outgoing], object]:
        command, agent_id, expected = request.command, request.agent_id, request.expected_sequence
        if isinstance(command, SetAgentPresence):
            presence = SetPresence(command.presence, command.reason)
            return self._desk.change_agent(agent_id, presence, request.actor, expected, request)
        if expected is not None:
            detail = "Only a change of an agent takes an expected sequence."
            raise Rejected("not_conditional", detail, status=422)
        agent_id = who_answers(request.actor, agent_id)
        answer: Answer = "accepted" if isinstance(command, AcceptOffer) else "declined"
        reason = command.reason if isinstance(command, DeclineOffer) else None
        return self._desk.answer_offer(command.offer_id, agent_id, answer, reason, request)

    def refuse(self, outgoing: Outgoing, request: AgentCommandEnvelope, refusal: Rejected) -> None:
        """Say it on `routing.decisions`."""
        fact = AgentCommandRefused(
            command_id=request.command_id,
            command_type=request.type,
            agent=request.agent_id,
            code=refusal.code,
            detail=refusal.detail[:500],
        )
        stream = f"refusal:{request.command_id}"
        outgoing.event(ROUTING_DECISIONS, stream, fact, actor=ROUTER, cause=request)


def sweeping(
    store: ServiceStore, desk: Desk, *, interval_s: float
) -> Callable[[], Awaitable[None]]:
    """The background task that sweeps when something falls due, and at least every `interval_s`
    real seconds, for ever."""

    async def sweep_for_ever() -> None:
        while True:
            await store.write(desk.sweep)
            await asyncio.sleep(_until(store.clock, desk.next_due, interval_s))

    return sweep_for_ever


def _until(clock: Clock, due: datetime | None, interval_s: float) -> float:
    """Real seconds to sleep."""
    if due is None:
        return interval_s
    left_s = (due - clock.now()).total_seconds() / clock.rate
    return min(interval_s, max(SLEEP_S_MIN, left_s))

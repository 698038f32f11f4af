"""Deciding an import's commands in memory, with intake's own rules: no desk, nothing is kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from cli.importing.changes import Command
from cli.importing.report import Sent
from libs.events import (
    COMMANDS,
    CommandEnvelope,
    EventEnvelope,
    Ticket,
    evolve,
    parse_time,
)
from services.intake.domain import DecisionContext, Refused, decide

AT_ONCE = datetime(2000, 1, 1, tzinfo=UTC)
"""When a command without a time is decided here; it decides nothing."""


class Rehearsal:
    """Takes the commands of one case after the other. `sent` counts as if intake had answered.

    `tickets` keeps the folded states by ticket id.
    """

    def __init__(self) -> None:
        self.sent = Sent()
        self.tickets: dict[str, Ticket] = {}
        self._seen: set[str] = set()

    def take(self, commands: Iterable[Command]) -> None:
        for command in commands:
            self.sent.add(self._decide(command))
            self.sent.commands += 1

    def _decide(self, command: Command) -> dict[str, Any]:
        answer = {"accepted": 0, "duplicates": 0, "rejected": 0}
        result: dict[str, Any] = {
            "command_id": command["command_id"],
            "ticket_id": command["ticket_id"],
        }
        if command["command_id"] in self._seen:
            result["status"] = "duplicate"
            return answer | {"duplicates": 1, "results": [result]}
        self._seen.add(command["command_id"])
        envelope = _envelope(command)
        ticket = self.tickets.get(envelope.ticket_id)
        context = DecisionContext(now=envelope.time or AT_ONCE, next_number=len(self.tickets) + 1)
        try:
            events = decide(envelope, ticket, context)
        except Refused as refusal:
            result |= {"status": "rejected", "code": refusal.code, "detail": refusal.detail}
            return answer | {"rejected": 1, "results": [result]}
        for event in events:
            sequence = 1 if ticket is None else ticket.sequence + 1
            ticket = evolve(ticket, _recorded(envelope, event, sequence, context.now))
        if ticket is not None:
            self.tickets[envelope.ticket_id] = ticket
        result |= {"status": "accepted", "events": len(events)}
        return answer | {"accepted": 1, "results": [result]}


def _envelope(command: Command) -> CommandEnvelope:
    """Through JSON, as intake would read it."""
    data = orjson.dumps(command["data"])
    return CommandEnvelope(
        command_id=command["command_id"],
        ticket_id=command["ticket_id"],
        command=COMMANDS.decode(f"bitacora.{command['type']}.v1", data),
        actor=command["actor"],
        time=parse_time(command["time"]) if "time" in command else None,
        correlation_id=command["correlation_id"],
    )


def _recorded(envelope: CommandEnvelope, event: Any, sequence: int, now: datetime) -> EventEnvelope:
    return EventEnvelope(
        source="",
        type=event.TYPE,
        stream_id=envelope.ticket_id,
        sequence=sequence,
        position=0,
        time=now,
        recorded_time=now,
        actor=envelope.actor,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.command_id,
        previous_hash="",
        hash="",
        data=b"",
        _event=event,
    )

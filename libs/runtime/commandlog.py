"""What is kept of each command: the answer it got, so that the same command counts once.

The rows stand in `command_log` (libs/runtime/commit.py), keyed by `command_id`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, Protocol

from pydantic_core import from_json, to_json

from libs.events import CommandEnvelope
from libs.events.commands import CreateTicket
from libs.events.rejection import CommandRejected
from libs.events.topics import TICKETS_REJECTIONS
from libs.runtime.outbox import Outgoing


class Refusal(Protocol):
    """What a refusal carries, whatever class the domain raises."""

    code: str
    detail: str
    status: int
    extra: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one command. `sequence` is the ticket's, after it. `failed` is a bug of ours:
    nothing was stored for this command, the others of its batch are not touched."""

    command_id: str
    ticket_id: str
    status: Literal["accepted", "duplicate", "rejected", "failed"]
    sequence: int = 0
    events: int = 0
    number: int | None = None
    code: str = ""
    detail: str = ""
    http_status: int = 200
    extra: dict[str, Any] = field(default_factory=dict)


def fingerprint_of(envelope: CommandEnvelope) -> bytes:
    """What makes two commands the same: everything but the ids that only link it to its cause.

    The ticket id of a creation is left out: a client that repeats a request with the same
    idempotency key gets a fresh id for it each time.
    """
    subject = "" if isinstance(envelope.command, CreateTicket) else envelope.ticket_id
    content = envelope.command.model_dump_json(exclude_defaults=True)
    head = f"{envelope.type}\n{subject}\n{envelope.actor}\n{envelope.expected_sequence}\n"
    return sha256((head + content).encode()).digest()[:16]


def again(known: dict[str, Any], envelope: CommandEnvelope, fingerprint: bytes) -> Outcome:
    if bytes(known["fingerprint"]) != fingerprint:
        return Outcome(
            envelope.command_id,
            envelope.ticket_id,
            "rejected",
            code="idempotency_key_reused",
            detail="this id was used before for a request with another content; use a new one",
            http_status=422,
        )
    if known["status"] == "rejected":
        refusal = from_json(known["refusal"])
        return Outcome(
            envelope.command_id,
            known["ticket_id"],
            "rejected",
            sequence=known["sequence"],
            code=refusal["code"],
            detail=refusal["detail"],
            http_status=refusal["status"],
            extra={**refusal["extra"], "repeated": True},
        )
    return Outcome(
        envelope.command_id,
        known["ticket_id"],
        "duplicate",
        sequence=known["sequence"],
        number=known["number"],
    )


def refused(envelope: CommandEnvelope, refusal: Refusal, sequence: int) -> Outcome:
    return Outcome(
        envelope.command_id,
        envelope.ticket_id,
        "rejected",
        sequence=sequence,
        code=refusal.code,
        detail=refusal.detail,
        http_status=refusal.status,
        extra=dict(refusal.extra),
    )


def log_row(envelope: CommandEnvelope, outcome: Outcome, fingerprint: bytes) -> dict[str, Any]:
    refusal = None
    if outcome.status == "rejected":
        refusal = to_json(
            {
                "code": outcome.code,
                "detail": outcome.detail,
                "status": outcome.http_status,
                "extra": outcome.extra,
            }
        ).decode()
    return {
        "command_id": envelope.command_id,
        "fingerprint": fingerprint,
        "ticket_id": outcome.ticket_id,
        "status": outcome.status,
        "sequence": outcome.sequence,
        "events": outcome.events,
        "number": outcome.number,
        "refusal": refusal,
    }


def say_rejection(outgoing: Outgoing, envelope: CommandEnvelope, outcome: Outcome) -> None:
    if outcome.extra.get("repeated"):
        return
    outgoing.event(
        TICKETS_REJECTIONS,
        envelope.command_id,
        CommandRejected(
            command_id=envelope.command_id,
            command_type=envelope.type,
            ticket_id=envelope.ticket_id,
            code=outcome.code,
            detail=outcome.detail[:500],
            missing=tuple(outcome.extra.get("missing", ())),
        ),
        actor="service:intake",
        cause=envelope,
    )

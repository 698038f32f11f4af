"""Many commands in one request: parsed one by one, so that a bad one does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from libs.events import COMMANDS, Command, CommandEnvelope
from libs.events.commands import AddMessage, CreateTicket
from libs.runtime.commit import Outcome
from libs.runtime.errors import Poison
from libs.runtime.http import check_actor
from services.intake.bodies import BatchItem

COMMANDS_MAX: Final = 5_000
BYTES_MAX: Final = 16 * 1024 * 1024
SOURCE: Final = "/bitacora/intake/batch"
INTAKE_TYPES: Final = frozenset(
    name for cls in (CreateTicket, AddMessage) for name in (cls.__name__, cls.TYPE)
)
"""The commands that the ledger counts."""


def _classes() -> dict[str, type[BaseModel]]:
    """By full name (`bitacora.CreateTicket.v1`) and, for the present ones, by short name."""
    full = dict(COMMANDS.classes())
    return full | {cls.__name__: cls for cls in full.values()}


CLASSES: Final = _classes()


@dataclass(frozen=True, slots=True)
class Parsed:
    """`places[i]` says where command i of the request went: an index into `envelopes`, or the
    outcome that it has already. `malformed_intake` counts those that the ledger must know."""

    envelopes: list[CommandEnvelope]
    places: list[int | Outcome]
    malformed_intake: int

    def outcomes(self, decided: Sequence[Outcome]) -> list[Outcome]:
        """All outcomes in the order of the request."""
        return [decided[place] if isinstance(place, int) else place for place in self.places]


def parse_batch(body: bytes) -> Parsed:
    """Takes strict JSON apart. Raises Poison when it is no batch at all."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Poison("invalid_json", f"the body is not JSON: {error}") from None
    items = value.get("commands") if isinstance(value, dict) else None
    if not isinstance(items, list) or len(value) != 1:
        raise Poison("invalid_body", 'send {"commands": [...]} and nothing beside it')
    if len(items) > COMMANDS_MAX:
        raise Poison(
            "batch_too_large",
            f"a batch has at most {COMMANDS_MAX} commands, not {len(items)}; send several",
        )
    parsed = Parsed([], [], 0)
    malformed = 0
    for item in items:
        try:
            envelope = _envelope(item)
        except (ValidationError, Poison) as error:
            malformed += _is_intake(item)
            parsed.places.append(_malformed(item, error))
        else:
            parsed.places.append(len(parsed.envelopes))
            parsed.envelopes.append(envelope)
    return Parsed(parsed.envelopes, parsed.places, malformed)


def _envelope(raw: Any) -> CommandEnvelope:
    item = BatchItem.model_validate(raw)
    cls = CLASSES.get(item.type)
    if cls is None:
        raise Poison("malformed", f"there is no command {item.type[:100]!r}")
    try:
        ticket_id = str(UUID(item.ticket_id))
    except ValueError:
        raise Poison("malformed", f"ticket_id is not a UUID: {item.ticket_id[:100]!r}") from None
    command = cls.model_validate(item.data)
    if not isinstance(command, Command):
        raise TypeError(f"{item.type} is registered as a command, but is none")
    return CommandEnvelope(
        command_id=item.command_id,
        ticket_id=ticket_id,
        command=command,
        actor=check_actor(item.actor),
        time=item.time,
        correlation_id=item.correlation_id,
        expected_sequence=item.expected_sequence,
        source=SOURCE,
    )


def _is_intake(item: Any) -> bool:
    name = item.get("type") if isinstance(item, dict) else None
    return isinstance(name, str) and name in INTAKE_TYPES


def _malformed(item: Any, error: ValidationError | Poison) -> Outcome:
    def text(name: str) -> str:
        value = item.get(name) if isinstance(item, dict) else None
        return value[:200] if isinstance(value, str) else ""

    if isinstance(error, Poison):
        detail = error.detail
    else:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part)[:100] for part in first["loc"]) or "the command"
        detail = f"{place}: {first['msg']}"
    return Outcome(
        text("command_id"),
        text("ticket_id"),
        "rejected",
        code="malformed",
        detail=detail[:500],
        http_status=422,
    )

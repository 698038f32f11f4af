"""What a decision is given, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from libs.events import CommandEnvelope
from services.intake.domain.requirements import Requirements

SYSTEM: Final = "system"


class Refused(Exception):
    """The rules say no. `code` is stable, `detail` a sentence for people, `status` the HTTP status,
    `extra` what a program needs to go on (for example the current version)."""

    def __init__(self, code: str, detail: str, status: int = 409, **extra: Any) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.status = status
        self.extra = extra


@dataclass(frozen=True, slots=True)
class DomainSettings:
    """What an organization may choose. `close_after` counts from the moment of solving."""

    reopen_on_hold_on_reply: bool = True
    close_after: timedelta = timedelta(days=4)
    tags_max: int = 100
    custom_fields_max: int = 200


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """The world at the moment of the decision. `next_number` is used only by a creation,
    `requirements` only by a person's hand-over (see `asks_for_requirements`)."""

    now: datetime
    next_number: int
    settings: DomainSettings = field(default_factory=DomainSettings)
    requirements: Requirements = field(default_factory=Requirements)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request with everything around it. The actor is taken apart: `agent:7` is of the kind
    `agent` and has the name `7`."""

    envelope: CommandEnvelope
    context: DecisionContext
    kind: str
    name: str

    @property
    def by_service(self) -> bool:
        return self.kind == "service"

    @property
    def by_requester(self) -> bool:
        return self.kind == "requester"

    @property
    def by_import(self) -> bool:
        """It records what another system did: the rules of this desk do not apply."""
        return self.kind == "import"


def ask_of(envelope: CommandEnvelope, context: DecisionContext) -> Ask:
    kind, _, name = envelope.actor.partition(":")
    return Ask(envelope, context, kind, name)

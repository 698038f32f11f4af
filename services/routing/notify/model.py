"""What an agent is told, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import NAMESPACE_URL, uuid5

Kind = Literal["assigned", "offered", "taken_back", "hand_over_limit", "presence_lowered", "sla"]
Outcome = Literal["sent", "failed", "skipped"]
State = Literal["waiting", "sent", "failed", "skipped"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:bitacora:routing:notification")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a text may say of a ticket. There is no field for anything about its requester, nor for
    what was written in it, on purpose: a second channel is not ours.

    `due` is when the ticket's nearest SLA clock is due, `until` when an offer ends, `reason` a word
    such as `out_of_office`, `count` how many hand-overs or missed offers there were.
    """

    number: int | None = None
    priority: str | None = None
    category: str | None = None
    queue: str | None = None
    due: datetime | None = None
    until: datetime | None = None
    reason: str | None = None
    count: int | None = None

    def known(self) -> dict[str, Any]:
        """Those that are there, by name."""
        pairs = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in pairs if value is not None}


@dataclass(frozen=True, slots=True)
class Notification:
    """`agent` is to be told. The same `cause` (an event id, a decision id) tells an agent of one kind
    of thing only once, however often it is processed. `at` is when the cause happened."""

    kind: Kind
    agent: str
    cause: str
    at: datetime
    ticket_id: str | None = None
    facts: Facts = Facts()

    def id_for(self, channel: str) -> str:
        """The id of telling it by this channel: one text of UUID per cause, kind, agent, channel."""
        return str(uuid5(NAMESPACE, f"{self.kind}\n{self.cause}\n{self.agent}\n{channel}"))


@dataclass(frozen=True, slots=True)
class Message:
    """One notification on its way through one channel.

    `id` is the same at every attempt: receivers know a repetition by it. `address` is the agent's
    e-mail address, where there is one; `at` is when the cause happened, `now` the present instant.
    """

    id: str
    kind: Kind
    agent: str
    address: str | None
    ticket_id: str | None
    facts: Facts
    at: datetime
    now: datetime
    subject: str
    text: str

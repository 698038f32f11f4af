"""Commands on agents: what somebody at the desk asks of routing, on the topic `agents.commands`.

Routing carries them out, or refuses them with an `AgentCommandRefused` on `routing.decisions`. Their
names are in a registry of their own (`AGENT_COMMANDS`): intake accepts none of them. Who asks, when,
for which agent, and the id by which a command is recognized when it comes twice are around it
(`AgentCommandEnvelope`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from libs.events.agent import Presence
from libs.events.base import Command, Line, Word
from libs.events.headers import BadMessage, Malformed, RawHeaders, text_of, word_of
from libs.events.registry import AGENT_COMMANDS
from libs.events.requests import Asked, decode_request, encode_request

AGENT_PREFIX: Final = "agent:"


@AGENT_COMMANDS.register("bitacora.SetAgentPresence.v1")
class SetAgentPresence(Command):
    """The agent is online, away or offline from now on."""

    presence: Presence
    reason: Word | None = None


@AGENT_COMMANDS.register("bitacora.AcceptOffer.v1")
class AcceptOffer(Command):
    """The agent takes the ticket that was offered. `offer_id` is the `decision_id` of the offer's
    `TicketRouted`. Refused with `offer_ended` when it is too late."""

    offer_id: Word


@AGENT_COMMANDS.register("bitacora.DeclineOffer.v1")
class DeclineOffer(Command):
    """The agent leaves the ticket to somebody else."""

    offer_id: Word
    reason: Line | None = None


AgentRequest = SetAgentPresence | AcceptOffer | DeclineOffer


@dataclass(slots=True)
class AgentCommandEnvelope:
    """One request for one agent. Treat it as read-only.

    `command_id` recognizes the command when it comes twice. `time` is when it was asked (None: not
    told): what was asked longer ago than the topic keeps its messages is not carried out any more.
    `expected_sequence` is If-Match on the agent's stream, for `SetAgentPresence`.
    """

    command_id: str
    agent_id: str
    command: AgentRequest
    actor: str
    time: datetime | None = None
    correlation_id: str = ""
    causation_id: str = ""
    expected_sequence: int | None = None
    traceparent: str | None = None
    source: str = ""

    @property
    def type(self) -> str:
        return self.command.TYPE

    @property
    def stream_id(self) -> str:
        """`agent:<id>`, the stream of the agent: the key and the subject of the record."""
        return AGENT_PREFIX + self.agent_id


def encode_agent_command(
    envelope: AgentCommandEnvelope,
) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the Kafka record."""
    return encode_request(envelope)


def decode_agent_command(
    value: bytes | None, headers: RawHeaders
) -> AgentCommandEnvelope | Malformed:
    """The command, decoded and validated, or what is wrong with the message. Never raises.

    The ids of the command and of the agent are such that a refusal can name them.
    """
    return decode_request(value, headers, AGENT_COMMANDS, _envelope)


def _envelope(attributes: Mapping[str, str], asked: Asked) -> AgentCommandEnvelope:
    subject = text_of(attributes, "ce_subject")
    if not subject.startswith(AGENT_PREFIX):
        raise BadMessage("bad_header", f"header ce_subject is not agent:<id>: {subject[:100]!r}")
    agent_id = word_of("ce_subject", subject.removeprefix(AGENT_PREFIX))
    return AgentCommandEnvelope(agent_id=agent_id, **asked)


__all__ = [
    "AGENT_COMMANDS",
    "AGENT_PREFIX",
    "AcceptOffer",
    "AgentCommandEnvelope",
    "AgentRequest",
    "DeclineOffer",
    "SetAgentPresence",
    "decode_agent_command",
    "encode_agent_command",
]

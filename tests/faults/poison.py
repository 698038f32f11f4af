"""Bad messages for every topic: what anybody could send by mistake, or to do harm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from libs.events import (
    AgentCommandEnvelope,
    CommandEnvelope,
    Priority,
    encode_agent_command,
    encode_command,
    encode_event,
)
from libs.events.agent_commands import SetAgentPresence
from libs.events.commands import ChangePriority
from libs.events.topics import (
    AGENTS_COMMANDS,
    AGENTS_EVENTS,
    ROUTING_DECISIONS,
    SLA_EVENTS,
    TICKETS_COMMANDS,
    TICKETS_EVENTS,
    TICKETS_REJECTIONS,
)
from tests.runtime.strange import Strange
from tests.runtime.streams import stream

CONSUMERS: Final = {
    TICKETS_COMMANDS: ("intake",),
    TICKETS_EVENTS: ("routing", "sla", "reporting"),
    TICKETS_REJECTIONS: ("routing", "reporting"),
    AGENTS_EVENTS: ("reporting",),
    AGENTS_COMMANDS: ("routing",),
    ROUTING_DECISIONS: ("reporting",),
    SLA_EVENTS: ("routing", "reporting"),
}
"""Who reads which topic."""

_PREFIXES: Final = {
    AGENTS_EVENTS: "agent:",
    ROUTING_DECISIONS: "decision:",
    SLA_EVENTS: "sla:",
}

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Bad:
    """A message, and the code with which it must be parked; "" when it is tolerated."""

    message: Strange
    code: str


def bad_messages(topic: str) -> list[Bad]:
    """One of each kind, each on a stream of its own."""
    made = [
        _bad(topic, "invalid_data", value=b'\xff\xfe{"'),
        _bad(topic, "invalid_data", value=b"[]"),
        _bad(topic, "invalid_data", value=os.urandom(950_000)),
        _bad(topic, "no_value", value=None),
        _bad(topic, "null_header", ce_actor=None),
        _bad(topic, "bad_header", ce_actor=b"\xff"),
        _bad(topic, "bad_header", ce_actor=b"a\0b"),
        Bad((None, b"junk", []), "missing_header"),
        Bad((b"\xff", b"junk", [("\udcffce_type", b"x"), ("ce_\udcfe", b"y")]), "missing_header"),
    ]
    if topic in {TICKETS_COMMANDS, AGENTS_COMMANDS}:
        return [
            *made,
            _bad(topic, "unknown_type", ce_type=b"bitacora.Imagined.v9"),
            _bad(topic, "bad_header", ce_subject=b"of nothing"),
            _bad(topic, "bad_header", ce_expectedsequence=b"-1"),
        ]
    return [
        *made,
        _bad(topic, "", ce_type=b"bitacora.Imagined.v9"),
        _bad(topic, "impossible_sequence", ce_sequence=b"0"),
        _bad(topic, "bad_header", ce_sequence=b"-5"),
        _bad(topic, "bad_header", ce_sequence=b"9" * 30),
        _bad(topic, "gap", ce_sequence=b"999999999999999999"),
    ]


def _bad(topic: str, code: str, **changes: bytes | None) -> Bad:
    key, value, headers = _good(topic)
    if "value" in changes:
        value = changes.pop("value")
    named: dict[str, bytes | None] = {**dict(headers), **changes}
    return Bad((key, value, list(named.items())), code)


def _good(topic: str) -> tuple[bytes, bytes | None, Headers]:
    if topic == TICKETS_COMMANDS:
        command = ChangePriority(priority=Priority.HIGH)
        return encode_command(CommandEnvelope(str(uuid4()), str(uuid4()), command, "system"))
    if topic == AGENTS_COMMANDS:
        online = SetAgentPresence(presence="online")
        asked = AgentCommandEnvelope(str(uuid4()), str(uuid4()), online, "system")
        return encode_agent_command(asked)
    (event,) = stream(f"{_PREFIXES.get(topic, '')}{uuid4()}", 1)
    return encode_event(event)

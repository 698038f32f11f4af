"""The published language of Bitácora: contracts, envelope, registry, fold, topics.

It imports pydantic only, so that a data team can install and use it alone::

    from libs.events import decode_event, evolve

    for record in consumer:                       # any Kafka client
        envelope = decode_event(record.value, record.headers)
        tickets[envelope.stream_id] = evolve(tickets.get(envelope.stream_id), envelope)
"""

from libs.events import agent, agent_commands, commands, rejection, routing, sla, ticket
from libs.events.agent_commands import (
    AgentCommandEnvelope,
    decode_agent_command,
    encode_agent_command,
)
from libs.events.base import Channel, Command, Event, PersonalData, Priority, Status
from libs.events.envelope import (
    CommandEnvelope,
    EventEnvelope,
    Malformed,
    UnknownEvent,
    decode_command,
    decode_event,
    encode_command,
    encode_event,
    format_time,
    parse_time,
)
from libs.events.fold import Ticket, evolve, fold
from libs.events.registry import (
    AGENT_COMMANDS,
    COMMANDS,
    EVENTS,
    ContractError,
    DuplicateType,
    InvalidData,
    Registry,
    UnknownType,
)

__all__ = [
    "AGENT_COMMANDS",
    "COMMANDS",
    "EVENTS",
    "AgentCommandEnvelope",
    "Channel",
    "Command",
    "CommandEnvelope",
    "ContractError",
    "DuplicateType",
    "Event",
    "EventEnvelope",
    "InvalidData",
    "Malformed",
    "PersonalData",
    "Priority",
    "Registry",
    "Status",
    "Ticket",
    "UnknownEvent",
    "UnknownType",
    "agent",
    "agent_commands",
    "commands",
    "decode_agent_command",
    "decode_command",
    "decode_event",
    "encode_agent_command",
    "encode_command",
    "encode_event",
    "evolve",
    "fold",
    "format_time",
    "parse_time",
    "rejection",
    "routing",
    "sla",
    "ticket",
]

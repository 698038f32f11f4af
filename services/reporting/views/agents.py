"""One row per agent: the name that pages show, and presence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Column, Connection, String, Table, select

from libs.events import EventEnvelope, agent
from services.reporting.views.history import AGENT_PREFIX
from services.reporting.views.sql import METADATA, Save, clean

AGENTS = Table(
    "agents",
    METADATA,
    Column("id", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("name", String, nullable=False),
    Column("groups", String, nullable=False),
    Column("presence", String, nullable=False),
    Column("capacity", BigInteger, nullable=False),
    Column("retired", Boolean, nullable=False),
)
"""`groups` is JSON."""


@dataclass(slots=True)
class _Agent:
    """One row of `agents`, its fields in the order of the columns."""

    id: str
    sequence: int = 0
    name: str = ""
    groups: str = "[]"
    presence: str = "offline"
    capacity: int = 0
    retired: bool = False


_values = attrgetter(*(field.name for field in fields(_Agent)))
_save = Save(AGENTS)


class AgentsView:
    def apply(self, connection: Connection, envelopes: Sequence[EventEnvelope]) -> None:
        """Fold the events of agents' streams, in order per stream."""
        ids = {_id(e) for e in envelopes}
        rows = connection.execute(select(AGENTS).where(AGENTS.c.id.in_(list(ids))))
        agents = {row[0]: _Agent(*row) for row in rows}
        for e in envelopes:
            state = agents.setdefault(_id(e), _Agent(_id(e)))
            state.sequence = e.sequence
            _change(state, e.event)
        _save(connection, [_values(agents[agent_id]) for agent_id in sorted(ids)])


def _id(envelope: EventEnvelope) -> str:
    return envelope.stream_id.removeprefix(AGENT_PREFIX)


def _change(state: _Agent, event: Any) -> None:
    if isinstance(event, agent.AgentRegistered):
        state.name, state.capacity, state.retired = clean(event.name), event.capacity, False
        state.groups = orjson.dumps(event.groups).decode()
    elif isinstance(event, agent.AgentNameChanged):
        state.name = clean(event.name)
    elif isinstance(event, agent.AgentGroupsChanged):
        state.groups = orjson.dumps(event.groups).decode()
    elif isinstance(event, agent.AgentCapacityChanged):
        state.capacity = event.capacity
    elif isinstance(event, agent.PresenceChanged):
        state.presence = event.presence
    elif isinstance(event, agent.AgentRetired):
        state.retired = True

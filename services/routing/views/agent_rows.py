"""The table of agents, and an agent as a row of it."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json
from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, Row, String, Table, Text

from libs.events.agent import OutOfOffice, WorkingHours
from services.routing.domain.agent import Agent
from services.routing.views.columns import CHANNELS, instant_of, json_text, micros


def agents_table(metadata: MetaData) -> Table:
    return Table(
        "agents",
        metadata,
        Column("id", String(200), primary_key=True),
        Column("sequence", BigInteger, nullable=False),
        Column("revision", BigInteger, nullable=False, index=True),
        Column("name", Text, nullable=False),
        Column("groups", Text, nullable=False),
        Column("skills", Text, nullable=False),
        Column("languages", Text, nullable=False),
        Column("tiers", Text, nullable=False),
        Column("channels", Text, nullable=False),
        Column("channel_limits", Text, nullable=False),
        Column("capacity", Integer, nullable=False),
        Column("working_hours", Text),
        Column("out_of_office", Text, nullable=False),
        Column("lead_of", Text, nullable=False),
        Column("email", Text),
        Column("presence", String(10), nullable=False),
        Column("presence_reason", Text),
        Column("presence_since_us", BigInteger),
        Column("retired", Boolean, nullable=False),
    )


def agent_of(row: Row[Any]) -> Agent:
    hours = row.working_hours
    return Agent(
        id=row.id,
        sequence=row.sequence,
        name=row.name,
        groups=tuple(from_json(row.groups)),
        skills=from_json(row.skills),
        languages=tuple(from_json(row.languages)),
        tiers=tuple(from_json(row.tiers)),
        channels=tuple(CHANNELS[name] for name in from_json(row.channels)),
        channel_limits={CHANNELS[k]: n for k, n in from_json(row.channel_limits).items()},
        capacity=row.capacity,
        working_hours=None if hours is None else WorkingHours.model_validate_json(hours),
        out_of_office=tuple(map(OutOfOffice.model_validate, from_json(row.out_of_office))),
        lead_of=tuple(from_json(row.lead_of)),
        email=row.email,
        presence=row.presence,
        presence_reason=row.presence_reason,
        presence_since=instant_of(row.presence_since_us),
        retired=row.retired,
    )


def agent_row(agent: Agent, revision: int) -> dict[str, Any]:
    hours, since = agent.working_hours, agent.presence_since
    return {
        "id": agent.id,
        "sequence": agent.sequence,
        "revision": revision,
        "name": agent.name,
        "groups": json_text(agent.groups),
        "skills": json_text(agent.skills),
        "languages": json_text(agent.languages),
        "tiers": json_text(agent.tiers),
        "channels": json_text(agent.channels),
        "channel_limits": json_text(agent.channel_limits),
        "capacity": agent.capacity,
        "working_hours": None if hours is None else hours.model_dump_json(),
        "out_of_office": json_text(agent.out_of_office),
        "lead_of": json_text(agent.lead_of),
        "email": agent.email,
        "presence": agent.presence,
        "presence_reason": agent.presence_reason,
        "presence_since_us": None if since is None else micros(since),
        "retired": agent.retired,
    }

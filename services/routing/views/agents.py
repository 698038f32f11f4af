"""Agents as people see them: what they can, how much they have, whether they are on duty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from services.routing.domain import Agent
from services.routing.domain.duty import next_change, off_duty
from services.routing.views.agent_rows import agent_of
from services.routing.views.tables import Tables


@dataclass(frozen=True, slots=True)
class Loads:
    """Agent id → units of capacity in use: `used` by what is held or reserved, and `reserved` alone."""

    used: Mapping[str, int]
    reserved: Mapping[str, int]


def agent_view(agent: Agent, loads: Loads, now: datetime) -> dict[str, Any]:
    """`load` counts what is held and reserved, `reserved` only the latter. `spare` is below 0 when
    the agent holds more than the capacity (by hand, or when pending tickets reopened).

    `on_duty` and `off_duty_reason` hold at `now`; `next_change` is when time alone changes them.
    """
    reason, used = off_duty(agent, now), loads.used.get(agent.id, 0)
    return {
        "id": agent.id,
        "sequence": agent.sequence,
        "name": agent.name,
        "email": agent.email,
        "groups": agent.groups,
        "lead_of": agent.lead_of,
        "skills": [{"name": name, "level": level} for name, level in agent.skills.items()],
        "languages": agent.languages,
        "tiers": agent.tiers,
        "channels": agent.channels,
        "channel_limits": agent.channel_limits,
        "capacity": agent.capacity,
        "working_hours": agent.working_hours,
        "out_of_office": agent.out_of_office,
        "presence": agent.presence,
        "presence_reason": agent.presence_reason,
        "presence_since": agent.presence_since,
        "retired": agent.retired,
        "on_duty": reason is None,
        "off_duty_reason": reason,
        "next_change": None if agent.retired else next_change(agent, now),
        "load": used,
        "reserved": loads.reserved.get(agent.id, 0),
        "spare": agent.capacity - used,
    }


def agents_view(
    tables: Tables, connection: Connection, loads: Loads, now: datetime, *, after: str, limit: int
) -> dict[str, Any]:
    """The agents who have not left, by id, beginning after `after`."""
    c = tables.agents.c
    here = select(tables.agents).where(c.retired.is_(False))
    page = connection.execute(here.where(c.id > after).order_by(c.id).limit(limit))
    total = connection.scalar(select(func.count()).select_from(here.subquery()))
    return {"agents": [agent_view(agent_of(row), loads, now) for row in page], "total": total}

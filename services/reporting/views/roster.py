"""One row per agent: what bears on who gets which ticket, beside the name in `agents`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import orjson
from sqlalchemy import BigInteger, Column, Connection, String, Table, select

from libs.events import EventEnvelope, agent
from services.reporting.domain import microseconds
from services.reporting.views.history import AGENT_PREFIX
from services.reporting.views.sql import METADATA, Save, clean

ROSTER = Table(
    "roster",
    METADATA,
    Column("id", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("presence_us", BigInteger),
    Column("presence_reason", String),
    Column("hours", String),
    Column("absences", String, nullable=False),
    Column("skills", String, nullable=False),
    Column("languages", String, nullable=False),
    Column("tiers", String, nullable=False),
)
"""`presence_us` is since when the presence holds. `hours` (the week in wall time, None: always) and
`absences` (`[[start, end], …]` in microseconds), `skills` (`{name: level}`), `languages` and `tiers`
are JSON."""


@dataclass(slots=True)
class _Entry:
    """One row of `roster`, its fields in the order of the columns."""

    id: str
    sequence: int = 0
    presence_us: int | None = None
    presence_reason: str | None = None
    hours: str | None = None
    absences: str = "[]"
    skills: str = "{}"
    languages: str = "[]"
    tiers: str = "[1]"


_values = attrgetter(*(field.name for field in fields(_Entry)))
_save = Save(ROSTER)


class RosterView:
    def apply(self, connection: Connection, envelopes: Sequence[EventEnvelope]) -> None:
        """Fold the events of agents' streams, in order per stream."""
        ids = sorted({_id(e) for e in envelopes})
        rows = connection.execute(select(ROSTER).where(ROSTER.c.id.in_(ids)))
        entries = {row[0]: _Entry(*row) for row in rows}
        for e in envelopes:
            entry = entries.setdefault(_id(e), _Entry(_id(e)))
            entry.sequence = e.sequence
            _change(entry, e)
        _save(connection, [_values(entries[agent_id]) for agent_id in ids])


def _id(envelope: EventEnvelope) -> str:
    return envelope.stream_id.removeprefix(AGENT_PREFIX)


def _change(entry: _Entry, envelope: EventEnvelope) -> None:
    event: Any = envelope.event
    if isinstance(event, agent.AgentRegistered):
        entry.skills, entry.hours = _skills(event.skills), _hours(event.working_hours)
        entry.languages, entry.tiers = _json(event.languages), _json(event.tiers)
    elif isinstance(event, agent.AgentSkillsChanged):
        entry.skills = _skills(event.skills)
    elif isinstance(event, agent.AgentLanguagesChanged):
        entry.languages = _json(event.languages)
    elif isinstance(event, agent.AgentTiersChanged):
        entry.tiers = _json(event.tiers)
    elif isinstance(event, agent.AgentWorkingHoursChanged):
        entry.hours = _hours(event.working_hours)
    elif isinstance(event, agent.AgentOutOfOfficeChanged):
        spans = [(microseconds(p.start), microseconds(p.end)) for p in event.periods]
        entry.absences = _json(spans)
    elif isinstance(event, agent.PresenceChanged):
        entry.presence_us = microseconds(envelope.time)
        entry.presence_reason = None if event.reason is None else clean(event.reason)


def _skills(skills: Sequence[agent.Skill]) -> str:
    return _json({skill.name: skill.level for skill in skills})


def _hours(hours: agent.WorkingHours | None) -> str | None:
    return None if hours is None else _json(hours.model_dump(mode="json"))


def _json(value: Any) -> str:
    return clean(orjson.dumps(value).decode())

"""What the SLA service says of its calendars, so that others count business time by the same ones.

`CalendarDefined` on the stream `calendar:<calendar>`: event n is version n. A version is said in the
transaction that stores it; at start, those are said that were stored before anybody said them. Exactly
once each: what is said is what comes after the stream's last event, read in the same transaction under
the lock of the definitions, and the outbox takes (topic, stream, sequence) once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, select

from libs.events.sla import CalendarDefined
from libs.events.topics import SLA_EVENTS
from libs.runtime.commit import EVENT_BYTES_MAX
from libs.runtime.outbox import Outbox, Outgoing
from libs.worktime.calendar import calendar_of
from libs.worktime.errors import InvalidDefinition
from libs.worktime.instants import FIRST_US, to_datetime
from services.sla.handlers import ACTOR
from services.sla.store import calendars

NAME_MAX: Final = 500
"""Characters of a holiday's name that are told."""


def stream_of_calendar(name: str) -> str:
    return f"calendar:{name}"


def announce_calendars(connection: Connection, outgoing: Outgoing, outbox: Outbox) -> int:
    """Say every version that was never said, in order; returns how many. To be called once in a
    transaction that holds the lock of the definitions, after all its versions are stored.

    Raises InvalidDefinition (calendar_too_large) for one that is larger than an event can be.
    """
    c = calendars.c
    names = connection.scalars(select(c.name).distinct())
    said = outbox.said(connection, SLA_EVENTS, [stream_of_calendar(name) for name in names])
    versions = connection.execute(select(c.name, c.version).order_by(c.name, c.version))
    new = [row for row in versions if row.version > said.get(stream_of_calendar(row.name), 0)]
    for name, version in new:
        effective_us, document = connection.execute(
            select(c.effective_from_us, c.document).where(c.name == name, c.version == version)
        ).one()
        event = defined(document, version, effective_us)
        size = len(event.model_dump_json())
        if size > EVENT_BYTES_MAX:
            raise InvalidDefinition(
                "calendar_too_large",
                f"the calendar {name} is {size:,} bytes long with all its dates, and at most"
                f" {EVENT_BYTES_MAX:,} are possible; give it fewer countries or special days",
            )
        outgoing.event(SLA_EVENTS, stream_of_calendar(name), event, actor=ACTOR)
    return len(new)


def defined(document: Mapping[str, Any], version: int, effective_from_us: int) -> CalendarDefined:
    """The event that says a stored version."""
    calendar = calendar_of(document, version)
    names = calendar.holiday_names
    days = {day: names.get(day.isoformat(), "")[:NAME_MAX] for day in sorted(calendar.holidays)}
    special = document.get("special_days") or {}
    return CalendarDefined(
        calendar=calendar.name,
        version=version,
        effective_from=None if effective_from_us == FIRST_US else to_datetime(effective_from_us),
        zone=calendar.zone,
        hours=document["hours"],
        holidays=days,
        special_days={date.fromisoformat(day): special[day] for day in sorted(special)},
    )

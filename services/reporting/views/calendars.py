"""Business calendars as the SLA service says them, from the history of their streams."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from typing import Final

from sqlalchemy import Connection, select

from libs.events import parse_time
from libs.events.sla import CalendarDefined
from libs.worktime.calendar import calendar_of
from libs.worktime.instants import FIRST_US, to_us
from libs.worktime.timeline import CalendarVersion, Timeline
from services.reporting.views.history import CALENDAR_PREFIX, HISTORY

KEPT: Final = 256
"""Calendars that are kept as they were read, with what they have reckoned."""


def timelines_of(connection: Connection, names: Collection[str]) -> dict[str, Timeline]:
    """Name → the calendar through its versions; calendars that nobody has said yet are left out."""
    h = HISTORY.c
    query = (
        select(h.stream_id, h.data)
        .where(h.stream_id.in_([CALENDAR_PREFIX + name for name in names]))
        .where(h.type == CalendarDefined.TYPE)
        .order_by(h.stream_id, h.sequence)
    )
    said: dict[str, list[str]] = {}
    for stream_id, data in connection.execute(query):
        said.setdefault(stream_id.removeprefix(CALENDAR_PREFIX), []).append(data)
    return {name: _timeline(name, tuple(versions)) for name, versions in said.items()}


@lru_cache(maxsize=KEPT)
def _timeline(name: str, versions: tuple[str, ...]) -> Timeline:
    made = []
    for text in versions:
        data = json.loads(text)
        start = data.get("effective_from")
        start_us = FIRST_US if start is None else to_us(parse_time(start))
        made.append(CalendarVersion(start_us, calendar_of({"id": name, **data}, data["version"])))
    return Timeline(name, made)

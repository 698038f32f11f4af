"""The presences of one agent: a row per stretch in which presence, capacity and groups held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from libs.events import agent as a
from services.reporting.domain.facts import decode as d
from services.reporting.domain.facts.ticket import HistoryRow


class Stretch(NamedTuple):
    presence: str
    capacity: int
    groups: tuple[str, ...]
    start_us: int
    end_us: int | None


class AgentFacts(NamedTuple):
    stretches: list[Stretch]
    sequence: int
    first_recorded_us: int
    last_recorded_us: int


def facts_of_agent(events: Sequence[HistoryRow]) -> AgentFacts:
    """The rows of one agent's stream (not empty), in order. They begin with the registration and end
    with the retirement; an agent is offline until something else is said. Never raises."""
    stretches: list[Stretch] = []
    presence, capacity, groups = "offline", 0, ()
    start_us: int | None = None
    for _, name, time_us, _, _, data in events:
        read = d.reader_of(name)
        made: Any = None if read is None else read(data)
        if made is None:
            continue
        before = (presence, capacity, groups)
        kind, ended = d.present_name(name), start_us
        if kind == a.AgentRegistered.TYPE:
            capacity, groups = made.capacity, made.groups
            start_us = time_us if start_us is None else start_us
        elif kind == a.PresenceChanged.TYPE:
            presence = made.presence
        elif kind == a.AgentCapacityChanged.TYPE:
            capacity = made.capacity
        elif kind == a.AgentGroupsChanged.TYPE:
            groups = made.groups
        elif kind == a.AgentRetired.TYPE:
            start_us = None
        else:
            continue
        if ended is not None and (start_us is None or before != (presence, capacity, groups)):
            end_us = max(time_us, ended)
            if end_us > ended:
                stretches.append(Stretch(*before, ended, end_us))
            start_us = None if start_us is None else end_us
    if start_us is not None:
        stretches.append(Stretch(presence, capacity, groups, start_us, None))
    recorded = [event[3] for event in events]
    return AgentFacts(stretches, events[-1][0], min(recorded), max(recorded))

"""Reading routing's floor: which queues wait and why, who is there with how much, what was decided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from sqlalchemy import Connection, case, func, or_, select

from services.reporting.domain import words
from services.reporting.views.agents import AGENTS
from services.reporting.views.history import HISTORY, NOTIFICATION_PREFIX, RULES_STREAM
from services.reporting.views.positions import stamp
from services.reporting.views.roster import ROSTER
from services.reporting.views.routing import GIVEN, LINES, ROUTED, ROUTING_LOG
from services.reporting.views.tickets import TICKETS
from services.reporting.views.work import AT_WORK

Json = dict[str, Any]
DECISIONS_MAX: Final = 12
PRESENCES: Final = ("online", "away", "offline")
ASKED: Final = ("assigned", "offered", "accepted")
"""The last word of routing on a ticket that waits for an answer, not for an agent."""

_W = AT_WORK.c
_R = ROUTED.c
_SENT: Final = '%"outcome":"sent"%'


@dataclass(frozen=True, slots=True)
class Queue:
    """The waiting tickets of one queue and one holding group (None: of no group).

    `queue` None: routing has not yet decided on them. `asked` of the `waiting` ones have been given
    or offered to somebody, and the answer is awaited. `oldest` is the ticket that could have been
    given to an agent first, since `oldest_at`; `reasons` say why it waits, as of `reasons_at`.
    """

    queue: str | None
    group: str | None
    waiting: int
    asked: int
    oldest_at: str
    oldest: Json
    reasons: list[Json]
    reasons_at: str | None


@dataclass(frozen=True, slots=True)
class Agent:
    """`tickets` are new or open and held by the agent; `units` of the `capacity` are what they use,
    as far as routing has told (one each otherwise). `absences` are pairs of microseconds."""

    id: str
    name: str
    groups: list[str]
    presence: str
    presence_at: str | None
    presence_reason: str | None
    capacity: int
    tickets: int
    units: int
    last_given_at: str | None
    tiers: list[int]
    languages: list[str]
    skills: dict[str, int]
    hours: Json | None
    absences: list[list[int]]


@dataclass(frozen=True, slots=True)
class Floor:
    """Everything at one instant: `events` were applied. Agents who have left are not in it.

    `presences` counts the agents; `units` and `capacity` sum up those who are online.
    """

    events: int
    rule_version: str | None
    rules_at: str | None
    waiting: int
    asked: int
    oldest_at: str | None
    presences: dict[str, int]
    units: int
    capacity: int
    queues: list[Queue]
    agents: list[Agent]
    decisions: list[Json]


@dataclass(frozen=True, slots=True)
class FloorFilter:
    """`queue` leaves the agents as they are; `presence`, the queues; `group` holds for both."""

    queue: str | None = None
    group: str | None = None
    presence: str | None = None


def read_floor(connection: Connection) -> Floor:
    """The whole floor, in a handful of queries."""
    rules = connection.execute(
        select(HISTORY.c.time_us, HISTORY.c.data)
        .where(HISTORY.c.stream_id == RULES_STREAM)
        .order_by(HISTORY.c.sequence.desc())
        .limit(1)
    ).first()
    floor = Floor(
        events=stamp(connection),
        rule_version=str(orjson.loads(rules[1])["version"]) if rules else None,
        rules_at=words(rules[0]) if rules else None,
        waiting=0,
        asked=0,
        oldest_at=None,
        presences={},
        units=0,
        capacity=0,
        queues=_queues(connection),
        agents=_agents(connection),
        decisions=_decisions(connection),
    )
    return _summed(floor)


def part_of(floor: Floor, wanted: FloorFilter) -> Floor:
    """What the filter lets through, and its sums."""
    queues: Iterable[Queue] = floor.queues
    agents: Iterable[Agent] = floor.agents
    if wanted.queue is not None:
        queues = (queue for queue in queues if queue.queue == wanted.queue)
    if wanted.group is not None:
        queues = (queue for queue in queues if queue.group == wanted.group)
        agents = (agent for agent in agents if wanted.group in agent.groups)
    if wanted.presence is not None:
        agents = (agent for agent in agents if agent.presence == wanted.presence)
    return _summed(replace(floor, queues=list(queues), agents=list(agents)))


def _summed(floor: Floor) -> Floor:
    online = [agent for agent in floor.agents if agent.presence == "online"]
    counts = dict.fromkeys(PRESENCES, 0)
    for agent in floor.agents:
        counts[agent.presence] += 1
    return replace(
        floor,
        waiting=sum(queue.waiting for queue in floor.queues),
        asked=sum(queue.asked for queue in floor.queues),
        oldest_at=min((queue.oldest_at for queue in floor.queues), default=None),
        presences=counts,
        units=sum(agent.units for agent in online),
        capacity=sum(agent.capacity for agent in online),
    )


def standing_of(connection: Connection, ticket_id: str) -> Json | None:
    """How one ticket stands with routing; None when routing has said nothing and it does not wait.

    `waits` says whether it waits now; `waiting_at` and `eligible_at` since when; `reasons` are the
    latest that are known, as of `reasons_at`.
    """
    work = connection.execute(select(AT_WORK).where(_W.id == ticket_id)).mappings().first()
    routed = connection.execute(select(ROUTED).where(_R.ticket_id == ticket_id)).mappings().first()
    waits = work is not None and work["waiting_us"] is not None
    if routed is None and not waits:
        return None
    said: Json = dict(routed) if routed else dict.fromkeys(_R.keys())
    reasons, reasons_us = _latest_reasons(said, _lines(connection, [said["line"]]))
    return {
        "waits": waits,
        "waiting_at": words(work["waiting_us"]) if work else None,
        "eligible_at": words(work["eligible_us"]) if work else None,
        "outcome": said["outcome"],
        "agent": said["agent"],
        "queue": said["queue"],
        "units": said["units"],
        "rule_version": said["rule_version"],
        "decided_at": words(said["decided_us"]),
        "offer_until_at": words(said["until_us"]),
        "reasons": reasons,
        "reasons_at": words(reasons_us),
    }


def notifications_of(connection: Connection, ticket_id: str) -> list[Json]:
    """Who was told of something about the ticket, oldest first."""
    query = _logged().where(
        ROUTING_LOG.c.ticket_id == ticket_id,
        ROUTING_LOG.c.stream_id.startswith(NOTIFICATION_PREFIX),
    )
    rows = connection.execute(query.order_by(ROUTING_LOG.c.time_us, ROUTING_LOG.c.stream_id))
    return [_event(row) for row in rows.mappings()]


def _queues(connection: Connection) -> list[Queue]:
    """By queue and group, the longest wait first."""
    of = (_R.queue, _W.group_name)
    asked = func.sum(case((_R.outcome.in_(ASKED), 1), else_=0))
    place = func.row_number().over(partition_by=of, order_by=(_W.eligible_us, _W.id)).label("place")
    waiting = (
        select(
            *(_W.id, _W.group_name, _W.eligible_us, _R.queue, _R.line, _R.reasons, _R.decided_us),
            func.count().over(partition_by=of).label("waiting"),
            asked.over(partition_by=of).label("asked"),
            place,
        )
        .select_from(AT_WORK)
        .outerjoin(ROUTED, _R.ticket_id == _W.id)
        .where(_W.waiting_us.isnot(None))
        .subquery()
    )
    c = TICKETS.c
    query = (
        select(waiting, c.number, c.subject, c.priority)
        .join(TICKETS, c.id == waiting.c.id)
        .where(waiting.c.place == 1)
        .order_by(waiting.c.eligible_us, waiting.c.id)
    )
    rows = connection.execute(query).mappings().all()
    lines = _lines(connection, [row["line"] for row in rows])
    return [_queue(dict(row), lines) for row in rows]


def _queue(row: Json, lines: dict[str, tuple[int, str]]) -> Queue:
    reasons, reasons_us = _latest_reasons(row, lines)
    return Queue(
        queue=row["queue"],
        group=row["group_name"],
        waiting=int(row["waiting"]),
        asked=int(row["asked"]),
        oldest_at=words(row["eligible_us"]) or "",
        oldest={name: row[name] for name in ("id", "number", "subject", "priority")},
        reasons=reasons,
        reasons_at=words(reasons_us),
    )


def _lines(connection: Connection, wanted: Iterable[str | None]) -> dict[str, tuple[int, str]]:
    """Line → (when routing last told why its tickets wait, the reasons)."""
    names = sorted({name for name in wanted if name is not None})
    if not names:
        return {}
    c = LINES.c
    query = select(c.line, c.told_us, c.reasons).where(c.line.in_(names), c.waiting > 0)
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


def _latest_reasons(
    routed: Json, lines: dict[str, tuple[int, str]]
) -> tuple[list[Json], int | None]:
    """The reasons of the ticket's last decision, or those of its line when they are newer."""
    own_us, own = routed["decided_us"], routed["reasons"]
    told = lines.get(routed["line"] or "")
    if told is not None and (own_us is None or told[0] >= own_us):
        return orjson.loads(told[1]), told[0]
    return (orjson.loads(own) if own else []), own_us


def _agents(connection: Connection) -> list[Agent]:
    """Those who have not left: online before away before offline, then by name."""
    held = (
        select(
            _W.holder,
            func.count().label("tickets"),
            func.sum(func.coalesce(_R.units, 1)).label("units"),
        )
        .select_from(AT_WORK)
        .outerjoin(ROUTED, _R.ticket_id == _W.id)
        .where(_W.holder.isnot(None))
        .group_by(_W.holder)
        .subquery()
    )
    a, r = AGENTS.c, ROSTER.c
    query = (
        select(
            *(a.id, a.name, a.groups, a.presence, a.capacity, r.presence_us, r.presence_reason),
            *(r.hours, r.absences, r.skills, r.languages, r.tiers),
            *(held.c.tickets, held.c.units, GIVEN.c.last_us),
        )
        .outerjoin(ROSTER, r.id == a.id)
        .outerjoin(held, held.c.holder == a.id)
        .outerjoin(GIVEN, GIVEN.c.agent == a.id)
        .where(a.retired.is_(False))
    )
    found = [_agent(*values) for values in map(tuple, connection.execute(query))]
    found.sort(key=lambda a: (PRESENCES.index(a.presence), a.name.casefold(), a.id))
    return found


def _agent(
    id_: str,
    name: str,
    groups: str,
    presence: str,
    capacity: int,
    presence_us: int | None,
    presence_reason: str | None,
    hours: str | None,
    absences: str | None,
    skills: str | None,
    languages: str | None,
    tiers: str | None,
    tickets: int | None,
    units: int | None,
    last_us: int | None,
) -> Agent:
    return Agent(
        id=id_,
        name=name,
        groups=orjson.loads(groups),
        presence=presence,
        presence_at=words(presence_us),
        presence_reason=presence_reason,
        capacity=capacity,
        tickets=int(tickets or 0),
        units=int(units or 0),
        last_given_at=words(last_us),
        tiers=orjson.loads(tiers or "[]"),
        languages=orjson.loads(languages or "[]"),
        skills=orjson.loads(skills or "{}"),
        hours=orjson.loads(hours) if hours else None,
        absences=orjson.loads(absences or "[]"),
    )


def _logged() -> Any:
    log = ROUTING_LOG.c
    same = (HISTORY.c.stream_id == log.stream_id) & (HISTORY.c.sequence == log.sequence)
    return (
        select(HISTORY, log.ticket_id, TICKETS.c.number)
        .select_from(ROUTING_LOG)
        .join(HISTORY, same)
        .outerjoin(TICKETS, TICKETS.c.id == log.ticket_id)
    )


def _decisions(connection: Connection) -> list[Json]:
    """The newest first. Of notifications, only those that did not reach anybody."""
    log = ROUTING_LOG.c
    on_tickets = ~log.stream_id.startswith(NOTIFICATION_PREFIX)
    query = _logged().where(or_(on_tickets, HISTORY.c.data.not_like(_SENT)))
    newest = query.order_by(log.time_us.desc(), log.stream_id, log.sequence.desc())
    rows = connection.execute(newest.limit(DECISIONS_MAX)).mappings()
    return [_event(row) for row in rows]


def _event(row: Any) -> Json:
    return {
        "id": f"{row['stream_id']}:{row['sequence']}",
        "type": row["type"],
        "time": words(row["time_us"]),
        "ticket_id": row["ticket_id"],
        "number": row["number"],
        "data": orjson.loads(row["data"]),
    }

"""Reading tickets: the list in pages, one ticket with its history, the positions."""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Select, and_, case, func, or_, select

from libs.events import Channel, Priority, Status
from libs.runtime.errors import Poison
from services.reporting.domain import words
from services.reporting.views.agents import AGENTS
from services.reporting.views.clocks import CLOCKS
from services.reporting.views.floor import notifications_of, standing_of
from services.reporting.views.history import HISTORY, REJECTIONS, streams_of
from services.reporting.views.positions import POSITIONS
from services.reporting.views.tickets import TICKETS

Json = dict[str, Any]
_T = TICKETS.c

_BREACHES: Final = (
    select(func.coalesce(func.sum(CLOCKS.c.breached), 0))
    .where(CLOCKS.c.ticket_id == _T.id)
    .correlate(TICKETS)
    .scalar_subquery()
    .label("breaches")
)
_RENAMED: Final = {"group_name": "group"}
_HIDDEN: Final = frozenset(("search",))
_JSON: Final = frozenset(("tags", "custom_fields", "links"))
_LATEST_NUMBER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """Which tickets; all given conditions hold together. `q` is sought in subjects, case folded;
    a number, with or without #, also finds the ticket of that number."""

    status: Status | None = None
    priority: Priority | None = None
    channel: Channel | None = None
    group: str | None = None
    agent: str | None = None
    category: str | None = None
    external_ref: str | None = None
    number: int | None = None
    breached: bool | None = None
    q: str | None = None

    def conditions(self) -> list[Any]:
        wanted = [
            (_T.status, self.status and self.status.value),
            (_T.priority, self.priority and self.priority.value),
            (_T.channel, self.channel and self.channel.value),
            (_T.group_name, self.group),
            (_T.agent, self.agent),
            (_T.category, self.category),
            (_T.external_ref, self.external_ref),
            (_T.number, self.number),
        ]
        conditions: list[Any] = [column == value for column, value in wanted if value is not None]
        if self.breached is not None:
            late = select(CLOCKS.c.ticket_id).where(CLOCKS.c.breached > 0)
            conditions.append(_T.id.in_(late) if self.breached else _T.id.not_in(late))
        if self.q:
            conditions.append(_sought(self.q))
        return conditions


def _sought(text: str) -> Any:
    found = _T.search.contains(text.casefold(), autoescape=True)
    digits = text.strip().removeprefix("#")
    if digits.isascii() and digits.isdigit() and int(digits) <= _LATEST_NUMBER:
        return or_(found, _T.number == int(digits))
    return found


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is the cursor of the page after this one, None on the last."""

    tickets: list[Json]
    next: str | None


def list_tickets(
    connection: Connection,
    wanted: TicketFilter,
    *,
    limit: int,
    cursor: str | None = None,
) -> Page:
    """The tickets, newest first (by creation, then id: an order that later events never change).

    Raises Poison (422, `bad_cursor`) for a cursor that this did not make.
    """
    query = _with_names(select(TICKETS, _BREACHES)).where(*wanted.conditions())
    if cursor is not None:
        created_us, ticket_id = opened(cursor)
        query = query.where(
            or_(
                _T.created_us < created_us,
                and_(_T.created_us == created_us, _T.id < ticket_id),
            ),
        )
    query = query.order_by(_T.created_us.desc(), _T.id.desc()).limit(limit + 1)
    rows = connection.execute(query).mappings().all()
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    return Page(
        [_json(dict(row)) for row in shown],
        None if last is None else _cursor(last["created_us"], last["id"]),
    )


def count_tickets(connection: Connection, wanted: TicketFilter) -> int:
    """How many tickets the filter finds."""
    query = select(func.count()).select_from(TICKETS).where(*wanted.conditions())
    return int(connection.execute(query).scalar_one())


def get_ticket(connection: Connection, ticket_id: str) -> Json | None:
    """The row, with `clocks`, `routing` (how it stands there), `history`, `notifications` and
    `rejections`; None when there is no such ticket.

    `history` merges the streams of the ticket, its clocks and its routing decisions by time; each
    stream keeps its own order.
    """
    query = _with_names(select(TICKETS, _BREACHES)).where(_T.id == ticket_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return {
        **_json(dict(row)),
        "clocks": _clocks(connection, ticket_id),
        "routing": standing_of(connection, ticket_id),
        "history": _history(connection, ticket_id),
        "notifications": notifications_of(connection, ticket_id),
        "rejections": _rejections(connection, ticket_id),
    }


def known_values(connection: Connection) -> dict[str, list[tuple[str, str]]]:
    """(value, label) of the groups, agents and categories that tickets have: for filter lists."""
    answer = {}
    for name, column in (("group", _T.group_name), ("category", _T.category)):
        query = select(column).where(column.isnot(None)).distinct().order_by(column).limit(500)
        answer[name] = [(value, value) for value in connection.execute(query).scalars()]
    query = (
        select(_T.agent, AGENTS.c.name)
        .outerjoin(AGENTS, AGENTS.c.id == _T.agent)
        .where(_T.agent.isnot(None))
        .distinct()
        .order_by(_T.agent)
        .limit(500)
    )
    answer["agent"] = [(row[0], row[1] or row[0]) for row in connection.execute(query)]
    return answer


def list_positions(connection: Connection) -> list[Json]:
    """Per topic: the greatest position applied, how many events, and when the last was recorded."""
    rows = connection.execute(select(POSITIONS).order_by(POSITIONS.c.topic)).mappings()
    return [
        {
            "topic": row["topic"],
            "position": row["position"],
            "events": row["events"],
            "recorded_time": words(row["recorded_us"]),
        }
        for row in rows
    ]


def _with_names(query: Select[Any]) -> Select[Any]:
    named = query.add_columns(AGENTS.c.name.label("agent_name"))
    return named.outerjoin_from(TICKETS, AGENTS, AGENTS.c.id == _T.agent)


def _json(row: Json) -> Json:
    answer: Json = {}
    for name, value in row.items():
        if name in _HIDDEN:
            continue
        if name.endswith("_us"):
            answer[name.removesuffix("_us") + "_at"] = words(value)
        elif name in _JSON:
            answer[name] = orjson.loads(value)
        else:
            answer[_RENAMED.get(name, name)] = value
    return answer


def _clocks(connection: Connection, ticket_id: str) -> list[Json]:
    query = select(CLOCKS).where(CLOCKS.c.ticket_id == ticket_id).order_by(CLOCKS.c.metric)
    answer = []
    for row in connection.execute(query).mappings():
        clock = _json(dict(row))
        del clock["ticket_id"]
        answer.append(clock)
    return answer


def _history(connection: Connection, ticket_id: str) -> list[Json]:
    streams = streams_of(ticket_id)
    h = HISTORY.c
    own_first = case({name: place for place, name in enumerate(streams)}, value=h.stream_id)
    query = select(HISTORY).where(h.stream_id.in_(streams)).order_by(own_first, h.sequence)
    by_stream: dict[str, list[Json]] = {}
    for row in connection.execute(query).mappings():
        by_stream.setdefault(row["stream_id"], []).append(dict(row))
    merged: Iterable[Json] = heapq.merge(*by_stream.values(), key=lambda row: row["time_us"])
    return [
        {
            "id": f"{row['stream_id']}:{row['sequence']}",
            "stream_id": row["stream_id"],
            "sequence": row["sequence"],
            "type": row["type"],
            "time": words(row["time_us"]),
            "recorded_time": words(row["recorded_us"]),
            "actor": row["actor"],
            "cause": row["cause"] or None,
            "data": orjson.loads(row["data"]),
        }
        for row in merged
    ]


def _rejections(connection: Connection, ticket_id: str) -> list[Json]:
    r = REJECTIONS.c
    query = select(REJECTIONS).where(r.ticket_id == ticket_id).order_by(r.recorded_us, r.command_id)
    return [
        {
            "command_id": row["command_id"],
            "command_type": row["command_type"],
            "code": row["code"],
            "detail": row["detail"],
            "time": words(row["time_us"]),
            "recorded_time": words(row["recorded_us"]),
            "actor": row["actor"],
        }
        for row in connection.execute(query).mappings()
    ]


def _cursor(created_us: int, ticket_id: str) -> str:
    return base64.urlsafe_b64encode(f"{created_us}:{ticket_id}".encode()).decode().rstrip("=")


def opened(cursor: str) -> tuple[int, str]:
    """Where the page that a cursor stands for begins. Raises Poison (422, `bad_cursor`)."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode()
        created, _, ticket_id = text.partition(":")
        created_us = int(created)
    except ValueError as error:
        raise Poison("bad_cursor", "the cursor is not one that this list gave out") from error
    if not ticket_id or "\x00" in ticket_id or abs(created_us) > _LATEST_NUMBER:
        raise Poison("bad_cursor", "the cursor is not one that this list gave out")
    return created_us, ticket_id

"""The tickets as far as routing knows them: one row each.

One schema for SQLite and PostgreSQL. Instants are whole microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json, to_json
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    func,
    or_,
    select,
)

from libs.events.base import Channel, Priority, Status
from libs.runtime.database import upsert
from services.routing.domain.instants import EPOCH, instant, micros
from services.routing.domain.work import Asked, Reservation, Work
from services.routing.views.columns import CHANNELS, instant_of

IN_MAX: Final = 5_000
"""Ids in one IN list: below the limits of both databases."""

STATUSES: Final = {status.value: status for status in Status}
PRIORITIES: Final = {priority.value: priority for priority in Priority}


class TicketTable:
    """`revision` is that of the last change that bears on the floor; `waiting` and `holder` say what
    the ticket is there: in the queue, or with an agent. `pending_*` is the reservation. What only
    few tickets have lies together in `extra`.
    """

    def __init__(self, metadata: MetaData) -> None:
        self.rows = t = Table(
            "tickets",
            metadata,
            Column("id", String(200), primary_key=True),
            Column("sequence", BigInteger, nullable=False),
            Column("number", BigInteger, nullable=False),
            Column("status", String(10), nullable=False),
            Column("priority", String(10), nullable=False),
            Column("category", Text),
            Column("subcategory", Text),
            Column("language", Text),
            Column("channel", String(10), nullable=False),
            Column("tags", Text),
            Column("group_name", Text),
            Column("agent", Text),
            Column("tier", Integer, nullable=False),
            Column("live", Boolean, nullable=False),
            Column("merged", Boolean, nullable=False),
            Column("eligible_since", BigInteger),
            Column("waiting_since", BigInteger),
            Column("last_agent", Text),
            Column("hand_overs", Integer, nullable=False),
            Column("solved_by", Text),
            Column("pending_agent", Text),
            Column("pending_group", Text),
            Column("pending_command", String(36)),
            Column("pending_decision", String(36)),
            Column("pending_until", BigInteger),
            Column("pending_asks", Integer, nullable=False),
            Column("pending_kind", String(10)),
            Column("retry_at", BigInteger),
            Column("refusals", Integer, nullable=False),
            Column("reasons", Text, nullable=False),
            Column("extra", Text),
            Column("waiting", Boolean, nullable=False),
            Column("holder", Text),
            Column("revision", BigInteger, nullable=False),
        )
        c = t.c
        _partial("ix_tickets_waiting", c.waiting, c.id)
        _partial("ix_tickets_holder", c.holder.is_not(None), c.holder)
        _partial("ix_tickets_pending", c.pending_agent.is_not(None), c.pending_agent)
        _partial("ix_tickets_retry", c.retry_at.is_not(None), c.retry_at)
        _partial("ix_tickets_revision", c.live, c.revision)

    def get(self, connection: Connection, ids: Iterable[str]) -> dict[str, Work]:
        """The tickets with these ids, those that are known."""
        wanted = list(ids)
        found: dict[str, Work] = {}
        for start in range(0, len(wanted), IN_MAX):
            query = select(self.rows).where(self.rows.c.id.in_(wanted[start : start + IN_MAX]))
            for row in connection.execute(query):
                found[row[0]] = _work(row)
        return found

    def save(self, connection: Connection, works: Iterable[Work], revision: int) -> None:
        upsert(connection, self.rows, [_row(work, revision) for work in works])

    def on_the_floor(self, connection: Connection) -> Iterator[Work]:
        """Every ticket that waits, is held, or is asked for."""
        c = self.rows.c
        query = select(self.rows).where(
            or_(c.waiting, c.holder.is_not(None), c.pending_agent.is_not(None))
            | c.retry_at.is_not(None)
        )
        rows = connection.execute(query.execution_options(yield_per=1000))
        return (_work(row) for row in rows)

    def changed_since(self, connection: Connection, revision: int) -> list[Work]:
        """The live tickets that changed after this revision."""
        c = self.rows.c
        query = select(self.rows).where(c.live, c.revision > revision)
        return [_work(row) for row in connection.execute(query)]

    def counts(self, connection: Connection) -> dict[str, int]:
        """How many tickets are asked for or offered (`reserved`), and how many intake refused and
        come back into the queue by themselves (`refused`)."""
        columns = {"reserved": self.rows.c.pending_agent, "refused": self.rows.c.retry_at}
        return {
            name: int(
                connection.scalar(
                    select(func.count()).select_from(self.rows).where(column.is_not(None))
                )
                or 0
            )
            for name, column in columns.items()
        }

    def loads(
        self, connection: Connection, weights: Mapping[Channel, int]
    ) -> tuple[dict[str, int], dict[str, int]]:
        """(Agent id → units in use, agent id → units of those only reserved)."""
        c = self.rows.c
        held = select(c.holder, c.channel, func.count()).where(c.holder.is_not(None))
        asked = select(c.pending_agent, c.channel, func.count()).where(
            c.pending_agent.is_not(None), c.holder.is_distinct_from(c.pending_agent)
        )
        used: dict[str, int] = {}
        reserved: dict[str, int] = {}
        for query, only in (
            (held.group_by(c.holder, c.channel), False),
            (asked.group_by(c.pending_agent, c.channel), True),
        ):
            for agent, channel, count in connection.execute(query):
                units = count * weights.get(CHANNELS[channel], 1)
                used[agent] = used.get(agent, 0) + units
                if only:
                    reserved[agent] = reserved.get(agent, 0) + units
        return used, reserved

    def held_by(self, connection: Connection, agent_id: str) -> list[Work]:
        """The tickets that use this agent's capacity, reservations aside."""
        query = select(self.rows).where(self.rows.c.holder == agent_id).order_by(self.rows.c.id)
        return [_work(row) for row in connection.execute(query)]


def _partial(name: str, condition: Any, *columns: Any) -> Index:
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


def _work(row: Row[Any]) -> Work:
    # Unpacked by position, in the order of the table's columns: this runs for every touched ticket.
    (
        ticket_id, sequence, number, status, priority, category, subcategory, language, channel,
        tags, group, agent, tier, live, merged, since, waiting_since, last_agent, hand_overs,
        solved_by, pending_agent, pending_group, command_id, decision_id, until, asks, kind,
        retry_at, refusals, reasons, extra, *_,
    ) = tuple(row)  # fmt: skip
    reservation = None
    if pending_agent is not None:
        deadline = instant_of(until) or EPOCH
        reservation = Reservation(
            pending_agent, pending_group, command_id, decision_id, deadline, asks, kind
        )
    more = from_json(extra) if extra else {}
    work = object.__new__(Work)
    work.__dict__.update(
        id=ticket_id,
        sequence=sequence,
        number=number,
        status=STATUSES[status],
        priority=PRIORITIES[priority],
        category=category,
        subcategory=subcategory,
        language=language,
        channel=CHANNELS[channel],
        tags=tuple(from_json(tags)) if tags else (),
        group=group,
        agent=agent,
        tier=tier,
        live=live,
        merged=merged,
        eligible_since=instant_of(since),
        waiting_since=instant_of(waiting_since),
        last_agent=last_agent,
        hand_overs=hand_overs,
        solved_by=solved_by,
        reservation=reservation,
        retry_at=instant_of(retry_at),
        refusals=refusals,
        reasons=reasons,
        organization=more.get("organization"),
        custom_fields=more.get("custom_fields", {}),
        limit_told=more.get("limit_told", 0),
        escalated=more.get("escalated", False),
        taking_back=_asked(more.get("taking_back")),
        escalating=_asked(more.get("escalating")),
        take_backs=tuple(map(instant, more.get("take_backs", ()))),
        declined={agent: instant(until) for agent, until in more.get("declined", {}).items()},
        dues={metric: instant(due) for metric, due in more.get("dues", {}).items()},
    )
    return work


def _row(work: Work, revision: int) -> dict[str, Any]:
    asked = work.reservation
    return {
        "id": work.id,
        "sequence": work.sequence,
        "number": work.number,
        "status": work.status.value,
        "priority": work.priority.value,
        "category": work.category,
        "subcategory": work.subcategory,
        "language": work.language,
        "channel": work.channel.value,
        "tags": to_json(work.tags).decode() if work.tags else None,
        "group_name": work.group,
        "agent": work.agent,
        "tier": work.tier,
        "live": work.live,
        "merged": work.merged,
        "eligible_since": _micros(work.eligible_since),
        "waiting_since": _micros(work.waiting_since),
        "last_agent": work.last_agent,
        "hand_overs": work.hand_overs,
        "solved_by": work.solved_by,
        "pending_agent": asked.agent if asked else None,
        "pending_group": asked.group if asked else None,
        "pending_command": asked.command_id if asked else None,
        "pending_decision": asked.decision_id if asked else None,
        "pending_until": micros(asked.until) if asked else None,
        "pending_asks": asked.asks if asked else 0,
        "pending_kind": asked.kind if asked else None,
        "retry_at": _micros(work.retry_at),
        "refusals": work.refusals,
        "reasons": work.reasons,
        "extra": _extra(work),
        "waiting": work.waiting,
        "holder": work.holder,
        "revision": revision,
    }


def _extra(work: Work) -> str | None:
    more: dict[str, Any] = {}
    if work.organization:
        more["organization"] = work.organization
    if work.custom_fields:
        more["custom_fields"] = work.custom_fields
    if work.limit_told:
        more["limit_told"] = work.limit_told
    if work.escalated:
        more["escalated"] = True
    for name, asked in (("taking_back", work.taking_back), ("escalating", work.escalating)):
        if asked is not None:
            more[name] = [
                asked.command_id, micros(asked.until), asked.reason, asked.agent, asked.asks
            ]  # fmt: skip
    if work.take_backs:
        more["take_backs"] = [micros(at) for at in work.take_backs]
    if work.declined:
        more["declined"] = {agent: micros(until) for agent, until in work.declined.items()}
    if work.dues:
        more["dues"] = {metric: micros(due) for metric, due in work.dues.items()}
    return to_json(more).decode() if more else None


def _asked(row: list[Any] | None) -> Asked | None:
    if row is None:
        return None
    command_id, until_us, reason, agent, asks = row
    return Asked(command_id, instant(until_us), reason, agent, asks)


def _micros(when: datetime | None) -> int | None:
    return None if when is None else micros(when)

"""Routing's tables, and the rows in them: agents, and tickets as far as routing knows them.

One schema for SQLite and PostgreSQL. Instants are whole microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json
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
    select,
    tuple_,
)

from libs.events.base import Priority, Status
from libs.runtime.database import upsert
from services.routing.domain.agent import Agent
from services.routing.domain.needs import NeedsRules, needs_of
from services.routing.domain.work import Reservation, Work
from services.routing.views.agent_rows import agent_of, agent_row, agents_table
from services.routing.views.columns import CHANNELS, EPOCH, instant_of, json_text, micros

IN_MAX: Final = 5_000
"""Ids in one IN list: below the limits of both databases."""

STATUSES: Final = {status.value: status for status in Status}
PRIORITIES: Final = {priority.value: priority for priority in Priority}


class Tables:
    """`agents.revision` counts all changes of all agents, so that a cached roster can be brought up
    to date by reading only what changed since.

    `tickets.needs_key` is set exactly while a ticket waits: the indices that contain it are the
    queue, and tickets that do not wait (all of an imported history) cost them nothing. `holder` is
    the agent whose capacity the ticket uses, `pending_*` the reservation.
    """

    def __init__(self, metadata: MetaData) -> None:
        self.agents = agents_table(metadata)
        self.tickets = t = Table(
            "tickets",
            metadata,
            Column("id", String(200), primary_key=True),
            Column("sequence", BigInteger, nullable=False),
            Column("number", BigInteger, nullable=False),
            Column("status", String(10), nullable=False),
            Column("priority", String(10), nullable=False),
            Column("category", Text),
            Column("language", Text),
            Column("channel", String(10), nullable=False),
            Column("tags", Text),
            Column("group_name", Text),
            Column("agent", Text),
            Column("tier", Integer, nullable=False),
            Column("live", Boolean, nullable=False),
            Column("merged", Boolean, nullable=False),
            Column("eligible_since", BigInteger),
            Column("rank", Integer, nullable=False),
            Column("needs_key", Text),
            Column("holder", Text),
            Column("pending_agent", Text),
            Column("pending_group", Text),
            Column("pending_command", String(36)),
            Column("pending_decision", String(36)),
            Column("pending_until", BigInteger),
            Column("pending_asks", Integer, nullable=False),
            Column("retry_at", BigInteger),
            Column("refusals", Integer, nullable=False),
            Column("reasons", Text, nullable=False),
        )
        c = t.c
        order = (c.rank, c.eligible_since, c.id)
        _partial("ix_queue_of_needs", c.needs_key.is_not(None), c.needs_key, *order)
        _partial("ix_queue", c.needs_key.is_not(None), *order)
        _partial("ix_holder", c.holder.is_not(None), c.holder)
        _partial("ix_pending_agent", c.pending_agent.is_not(None), c.pending_agent)
        _partial("ix_pending_until", c.pending_until.is_not(None), c.pending_until)
        _partial("ix_retry_at", c.retry_at.is_not(None), c.retry_at)
        self._order = order

    # ------------------------------------------------------------------------------ agents

    def agents_since(self, connection: Connection, revision: int) -> list[Agent]:
        """The agents that changed after this revision, those who left included."""
        query = select(self.agents).where(self.agents.c.revision > revision)
        return [agent_of(row) for row in connection.execute(query)]

    def agent(self, connection: Connection, agent_id: str) -> Agent | None:
        row = connection.execute(select(self.agents).where(self.agents.c.id == agent_id)).first()
        return None if row is None else agent_of(row)

    def revision(self, connection: Connection) -> int:
        return int(connection.scalar(select(func.max(self.agents.c.revision))) or 0)

    def save_agent(self, connection: Connection, agent: Agent, revision: int) -> None:
        upsert(connection, self.agents, [agent_row(agent, revision)])

    # ----------------------------------------------------------------------------- tickets

    def works(self, connection: Connection, ids: Iterable[str]) -> dict[str, Work]:
        """The tickets with these ids, those that are known."""
        wanted = list(ids)
        found: dict[str, Work] = {}
        for start in range(0, len(wanted), IN_MAX):
            query = select(self.tickets).where(
                self.tickets.c.id.in_(wanted[start : start + IN_MAX])
            )
            for row in connection.execute(query):
                found[row[0]] = _work(row)
        return found

    def save_works(self, connection: Connection, works: Iterable[Work], rules: NeedsRules) -> None:
        upsert(connection, self.tickets, [_work_row(work, rules) for work in works])

    def loads(self, connection: Connection) -> dict[str, int]:
        """Agent id → units in use: tickets held, and reservations for tickets not held yet."""
        c = self.tickets.c
        held = select(c.holder, func.count()).where(c.holder.is_not(None)).group_by(c.holder)
        loads: dict[str, int] = {row[0]: row[1] for row in connection.execute(held)}
        for agent, units in connection.execute(self._reserved()):
            loads[agent] = loads.get(agent, 0) + units
        return loads

    def reserved(self, connection: Connection) -> dict[str, int]:
        """Agent id → reservations not answered yet."""
        return {row[0]: row[1] for row in connection.execute(self._reserved())}

    def _reserved(self) -> Any:
        c = self.tickets.c
        return (
            select(c.pending_agent, func.count())
            .where(c.pending_agent.is_not(None), c.holder.is_distinct_from(c.pending_agent))
            .group_by(c.pending_agent)
        )

    def waiting_keys(self, connection: Connection) -> list[str]:
        """The different needs of all waiting tickets, as keys.

        A loose index scan: one step per key, however many tickets wait.
        """
        c = self.tickets.c
        first = select(func.min(c.needs_key).label("key")).where(c.needs_key.is_not(None))
        keys = first.cte("keys", recursive=True)
        following = (
            select(func.min(c.needs_key))
            .where(c.needs_key > keys.c.key)
            .correlate(keys)
            .scalar_subquery()
        )
        keys = keys.union_all(select(following).where(keys.c.key.is_not(None)))
        query = select(keys.c.key).where(keys.c.key.is_not(None))
        return [row[0] for row in connection.execute(query)]

    def queue_of(
        self, connection: Connection, key: str, *, after: Work | None, limit: int
    ) -> list[Work]:
        """The next tickets that wait with these needs, first in the queue first."""
        query = select(self.tickets).where(self.tickets.c.needs_key == key)
        if after is not None and after.eligible_since is not None:
            place = (after.rank, micros(after.eligible_since), after.id)
            query = query.where(tuple_(*self._order) > place)
        query = query.order_by(*self._order).limit(limit)
        return [_work(row) for row in connection.execute(query)]

    def queue(self, connection: Connection, limit: int) -> list[Work]:
        """The tickets that wait, first in the queue first."""
        query = (
            select(self.tickets)
            .where(self.tickets.c.needs_key.is_not(None))
            .order_by(*self._order)
            .limit(limit)
        )
        return [_work(row) for row in connection.execute(query)]

    def outdated(self, connection: Connection, rules: NeedsRules) -> list[Work]:
        """The waiting tickets whose key is not what these rules derive."""
        query = select(self.tickets).where(self.tickets.c.needs_key.is_not(None))
        rows = connection.execute(query.execution_options(yield_per=1000))
        pairs = ((_work(row), row.needs_key) for row in rows)
        return [work for work, key in pairs if needs_of(work, rules).key != key]

    def overdue(self, connection: Connection, now: datetime, limit: int) -> list[Work]:
        """Reservations that intake has not answered in time, oldest first."""
        return self._due(connection, self.tickets.c.pending_until, now, limit)

    def retries(self, connection: Connection, now: datetime, limit: int) -> list[Work]:
        """Refused tickets that may be offered again, oldest first."""
        return self._due(connection, self.tickets.c.retry_at, now, limit)

    def _due(
        self, connection: Connection, column: Column[int], now: datetime, limit: int
    ) -> list[Work]:
        query = (
            select(self.tickets).where(column <= micros(now)).order_by(column, self.tickets.c.id)
        ).limit(limit)
        return [_work(row) for row in connection.execute(query)]

    def counts(self, connection: Connection) -> dict[str, int]:
        """How many tickets wait, are reserved, and stay out after a refusal."""
        c = self.tickets.c
        columns = {"waiting": c.needs_key, "reserved": c.pending_agent, "refused": c.retry_at}
        return {
            name: int(
                connection.scalar(
                    select(func.count()).select_from(self.tickets).where(column.is_not(None))
                )
                or 0
            )
            for name, column in columns.items()
        }

    def held_by(self, connection: Connection, agent_id: str) -> list[Work]:
        """The tickets that use this agent's capacity, reservations aside."""
        query = select(self.tickets).where(self.tickets.c.holder == agent_id)
        return [_work(row) for row in connection.execute(query.order_by(self.tickets.c.id))]


def _partial(name: str, condition: Any, *columns: Any) -> Index:
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


def _work(row: Row[Any]) -> Work:
    # Unpacked by position, in the order of the table's columns: this runs for every touched ticket.
    (
        ticket_id, sequence, number, status, priority, category, language, channel, tags, group,
        agent, tier, live, merged, since, _rank, _key, _holder, pending_agent, pending_group,
        command_id, decision_id, until, asks, retry_at, refusals, reasons,
    ) = tuple(row)  # fmt: skip
    reservation = None
    if pending_agent is not None:
        deadline = instant_of(until) or EPOCH
        reservation = Reservation(
            pending_agent, pending_group, command_id, decision_id, deadline, asks
        )
    work = object.__new__(Work)
    work.__dict__.update(
        id=ticket_id,
        sequence=sequence,
        number=number,
        status=STATUSES[status],
        priority=PRIORITIES[priority],
        category=category,
        language=language,
        channel=CHANNELS[channel],
        tags=tuple(from_json(tags)) if tags else (),
        group=group,
        agent=agent,
        tier=tier,
        live=live,
        merged=merged,
        eligible_since=instant_of(since),
        reservation=reservation,
        retry_at=instant_of(retry_at),
        refusals=refusals,
        reasons=reasons,
    )
    return work


def _work_row(work: Work, rules: NeedsRules) -> dict[str, Any]:
    asked = work.reservation
    return {
        "id": work.id,
        "sequence": work.sequence,
        "number": work.number,
        "status": work.status.value,
        "priority": work.priority.value,
        "category": work.category,
        "language": work.language,
        "channel": work.channel.value,
        "tags": json_text(work.tags) if work.tags else None,
        "group_name": work.group,
        "agent": work.agent,
        "tier": work.tier,
        "live": work.live,
        "merged": work.merged,
        "eligible_since": None if work.eligible_since is None else micros(work.eligible_since),
        "rank": work.rank,
        "needs_key": needs_of(work, rules).key if work.waiting else None,
        "holder": work.holder,
        "pending_agent": asked.agent if asked else None,
        "pending_group": asked.group if asked else None,
        "pending_command": asked.command_id if asked else None,
        "pending_decision": asked.decision_id if asked else None,
        "pending_until": micros(asked.until) if asked else None,
        "pending_asks": asked.asks if asked else 0,
        "retry_at": None if work.retry_at is None else micros(work.retry_at),
        "refusals": work.refusals,
        "reasons": work.reasons,
    }

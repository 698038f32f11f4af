"""Routing's tables: agents, tickets as far as routing knows them, offers, and what was told.

One schema for SQLite and PostgreSQL. Instants are whole microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    select,
)

from libs.runtime.database import upsert
from services.routing.domain.agent import Agent
from services.routing.views.agent_rows import agent_of, agent_row, agents_table
from services.routing.views.tickets import TicketTable


@dataclass(frozen=True, slots=True)
class Mark:
    """What is remembered of an agent besides the agent's own stream. `last_given_us`: when the agent
    was last given a ticket, 0 for never. `misses`: offers in a row that ran out."""

    last_given_us: int = 0
    misses: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """`id` is that of the decision behind it. `state`: open, accepted, declined, timed_out or
    withdrawn."""

    id: str
    ticket_id: str
    number: int
    agent: str
    made_us: int
    until_us: int
    state: str = "open"


class Tables:
    """`revision` in a row is that of the transaction that changed it last (`routing_log`), so that
    a process can read what others changed since it last looked."""

    def __init__(self, metadata: MetaData) -> None:
        self.agents = agents_table(metadata)
        self.tickets = TicketTable(metadata)
        self.marks = Table(
            "agent_marks",
            metadata,
            Column("agent", Text, primary_key=True),
            Column("last_given_us", BigInteger, nullable=False),
            Column("misses", Integer, nullable=False),
            Column("revision", BigInteger, nullable=False, index=True),
        )
        self.offers = Table(
            "offers",
            metadata,
            Column("id", String(36), primary_key=True),
            Column("ticket_id", String(200), nullable=False, index=True),
            Column("number", BigInteger, nullable=False),
            Column("agent", Text, nullable=False),
            Column("made_us", BigInteger, nullable=False),
            Column("until_us", BigInteger, nullable=False),
            Column("state", String(10), nullable=False),
        )
        Index("ix_offers_agent", self.offers.c.agent, self.offers.c.state)
        self.wait_reasons = Table(
            "wait_reasons",
            metadata,
            Column("needs_key", String(36), primary_key=True),
            Column("needs", Text, nullable=False),
            Column("reasons", Text, nullable=False),
            Column("waiting", BigInteger, nullable=False),
        )

    # ------------------------------------------------------------------------------ agents

    def agents_since(self, connection: Connection, revision: int) -> list[Agent]:
        """The agents that changed after this revision, those who left included, by id."""
        a = self.agents
        query = select(a).where(a.c.revision > revision).order_by(a.c.id)
        return [agent_of(row) for row in connection.execute(query)]

    def agent(self, connection: Connection, agent_id: str) -> Agent | None:
        row = connection.execute(select(self.agents).where(self.agents.c.id == agent_id)).first()
        return None if row is None else agent_of(row)

    def save_agent(self, connection: Connection, agent: Agent, revision: int) -> None:
        upsert(connection, self.agents, [agent_row(agent, revision)])

    def marks_of(self, connection: Connection, agents: Sequence[str]) -> dict[str, Mark]:
        m = self.marks.c
        query = select(m.agent, m.last_given_us, m.misses).where(m.agent.in_(agents))
        return {row[0]: Mark(row[1], row[2]) for row in connection.execute(query)}

    def given_since(self, connection: Connection, revision: int) -> dict[str, int]:
        """Agent → `last_given_us`, of those that changed after this revision."""
        m = self.marks.c
        query = select(m.agent, m.last_given_us).where(m.revision > revision)
        return {row[0]: row[1] for row in connection.execute(query)}

    def save_marks(self, connection: Connection, marks: Mapping[str, Mark], revision: int) -> None:
        rows = [
            {
                "agent": agent,
                "last_given_us": mark.last_given_us,
                "misses": mark.misses,
                "revision": revision,
            }
            for agent, mark in marks.items()
        ]
        upsert(connection, self.marks, rows)

    # ------------------------------------------------------------------------------ offers

    def save_offers(self, connection: Connection, offers: Sequence[Offer]) -> None:
        columns = [column.name for column in self.offers.columns]
        rows = [{name: getattr(offer, name) for name in columns} for offer in offers]
        upsert(connection, self.offers, rows)

    def offer(self, connection: Connection, offer_id: str) -> Offer | None:
        row = connection.execute(select(self.offers).where(self.offers.c.id == offer_id)).first()
        return None if row is None else Offer(*row)

    def open_offers(self, connection: Connection, agent_id: str | None) -> list[Offer]:
        """The offers that nobody has answered: to this agent, or (None) all."""
        o = self.offers.c
        query = select(self.offers).where(o.state == "open").order_by(o.made_us, o.id)
        if agent_id is not None:
            query = query.where(o.agent == agent_id)
        return [Offer(*row) for row in connection.execute(query)]

    def offers_to(self, connection: Connection, agent_id: str, limit: int = 100) -> list[Offer]:
        """The offers to this agent, open ones first, then the latest."""
        o = self.offers.c
        query = (
            select(self.offers)
            .where(o.agent == agent_id)
            .order_by((o.state != "open"), o.made_us.desc(), o.id)
            .limit(limit)
        )
        return [Offer(*row) for row in connection.execute(query)]

    # ------------------------------------------------------------------------ wait reasons

    def told_reasons(self, connection: Connection) -> dict[str, tuple[str, str]]:
        """Needs' key → what was last told of those that wait: the reasons, and the needs."""
        w = self.wait_reasons.c
        query = select(w.needs_key, w.reasons, w.needs)
        return {row[0]: (row[1], row[2]) for row in connection.execute(query)}

    def tell_reasons(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Rows of `wait_reasons`; those with nobody waiting are forgotten."""
        upsert(connection, self.wait_reasons, [row for row in rows if row["waiting"]])
        gone = [row["needs_key"] for row in rows if not row["waiting"]]
        if gone:
            w = self.wait_reasons
            connection.execute(delete(w).where(w.c.needs_key.in_(gone)))

"""What people ask routing: who has how much work, who waits and why, who decided what.

The reasons why a ticket waits are worked out at the moment of asking, from the agents and loads of
one snapshot; the decision records tell what they were at each decision.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection, select

from libs.events.topics import ROUTING_DECISIONS
from libs.runtime.errors import Rejected
from libs.runtime.outbox import Outbox
from services.routing.domain import Decision, Needs, Roster, Work, choose, needs_of
from services.routing.views.tables import Tables

DECISIONS_MAX = 200


def queue_view(
    tables: Tables, roster: Roster, connection: Connection, *, limit: int
) -> dict[str, Any]:
    """The waiting tickets in order. `reserved` are asked for and not answered yet; `refused` were
    refused by intake and come back into the queue by themselves."""
    loads = tables.loads(connection)
    known: dict[Needs, Decision] = {}
    tickets = []
    for position, work in enumerate(tables.queue(connection, limit), start=1):
        needs = needs_of(work, roster.rules)
        if needs not in known:
            known[needs] = choose(needs, roster, loads)
        tickets.append({"position": position, **_waiting(work, known[needs])})
    counts = tables.counts(connection)
    return {**counts, "rule_version": roster.rules.version, "tickets": tickets}


def _waiting(work: Work, decision: Decision) -> dict[str, Any]:
    return {
        "id": work.id,
        "number": work.number,
        "status": work.status,
        "priority": work.priority,
        "category": work.category,
        "language": work.language,
        "channel": work.channel,
        "group": work.group,
        "tier": work.tier,
        "eligible_since": work.eligible_since,
        "required_skills": decision.required_skills,
        "reasons": [count.model_dump() for count in decision.rejected],
    }


def decisions_view(
    tables: Tables, outbox: Outbox, connection: Connection, ticket_id: str
) -> dict[str, Any]:
    """The last decisions on the ticket, oldest first. Raises Rejected (404) for an unknown ticket."""
    work = tables.works(connection, [ticket_id]).get(ticket_id)
    if work is None:
        detail = f"Routing has not heard of a ticket {ticket_id!r}."
        raise Rejected("unknown_ticket", detail, status=404)
    rows = outbox.rows.c
    query = (
        select(rows.sequence, rows.meta, rows.data)
        .where(rows.topic == ROUTING_DECISIONS, rows.stream_id == f"decision:{ticket_id}")
        .order_by(rows.sequence.desc())
        .limit(DECISIONS_MAX)
    )
    decisions = [
        {"sequence": sequence, "time": from_json(meta)["time"], **from_json(data)}
        for sequence, meta, data in connection.execute(query)
    ]
    asked = work.reservation
    return {
        "ticket_id": ticket_id,
        "state": _state(work),
        "agent": asked.agent if asked else work.agent,
        "decisions": decisions[::-1],
    }


def _state(work: Work) -> str:
    if work.reservation is not None:
        return "reserved"
    if work.waiting:
        return "waiting"
    if work.eligible:
        return "refused"
    return "held" if work.holder else "not_eligible"

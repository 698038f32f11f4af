"""What people ask routing: who waits and why, who decided what, why somebody has no work.

The reasons are worked out at the moment of asking, on the floor as it is then; the decision records
tell what they were at each decision.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import Connection, select

from libs.events.topics import ROUTING_DECISIONS
from libs.runtime.errors import Rejected
from libs.runtime.outbox import Outbox
from services.routing.domain import duty, reasons
from services.routing.domain.agent import Agent
from services.routing.domain.floor import Decision, Floor
from services.routing.domain.floor.kinds import Kind
from services.routing.domain.floor.lines import Waiting
from services.routing.domain.instants import instant
from services.routing.domain.work import Work
from services.routing.views.tables import Tables

DECISIONS_MAX: Final = 200


def queue_view(
    tables: Tables, connection: Connection, floor: Floor, now: datetime, *, limit: int
) -> dict[str, Any]:
    """The waiting tickets in order. `reserved` are asked for or offered and not answered yet;
    `refused` were refused by intake and come back into the queue by themselves."""
    order = floor.in_order()[:limit]
    works = tables.tickets.get(connection, [ticket.id for ticket in order])
    known: dict[Kind, Decision] = {}
    tickets = []
    for position, ticket in enumerate(order, start=1):
        decision = None if ticket.declined else known.get(ticket.kind)
        if decision is None:
            decision = floor.explain(ticket.id, now) or floor.decide_for(ticket.kind, now)
            if not ticket.declined:
                known[ticket.kind] = decision
        tickets.append({"position": position, **_waiting(works[ticket.id], ticket, decision)})
    return {
        "waiting": len(floor.waiting),
        **tables.tickets.counts(connection),
        "rule_version": str(floor.rules.version),
        "tickets": tickets,
    }


def lines_view(floor: Floor, now: datetime) -> dict[str, Any]:
    """The queues with depth, oldest wait and reasons (those of the ticket to be served next), kind of
    needs by kind of needs."""
    lines = []
    for kind in floor.lines():
        oldest = min(kind.line, key=lambda ticket: (ticket.eligible_us, ticket.id))
        decision = floor.explain_line(kind, now)
        lines.append(
            {
                "queue": kind.queue.name,
                "needs": kind.needs.public().model_dump(),
                "waiting": len(kind.line),
                "oldest_since": instant(oldest.eligible_us),
                "oldest": oldest.id,
                "reasons": [count.model_dump() for count in decision.rejected],
            }
        )
    lines.sort(key=lambda line: (line["oldest_since"], line["queue"]))
    return {"rule_version": str(floor.rules.version), "lines": lines}


def decisions_view(
    tables: Tables,
    outbox: Outbox,
    connection: Connection,
    floor: Floor,
    now: datetime,
    ticket_id: str,
) -> dict[str, Any]:
    """Where the ticket stands and why, as of now, and the last decisions on it, oldest first.

    Raises Rejected (404) for an unknown ticket.
    """
    work = tables.tickets.get(connection, [ticket_id]).get(ticket_id)
    if work is None or work.sequence == 0:
        detail = f"Routing has not heard of a ticket {ticket_id!r}."
        raise Rejected("unknown_ticket", detail, status=404)
    rows = outbox.rows.c
    query = (
        select(rows.sequence, rows.type, rows.meta, rows.data)
        .where(rows.topic == ROUTING_DECISIONS, rows.stream_id == f"decision:{ticket_id}")
        .order_by(rows.sequence.desc())
        .limit(DECISIONS_MAX)
    )
    decisions = [
        {"sequence": sequence, "type": name, "time": from_json(meta)["time"], **from_json(data)}
        for sequence, name, meta, data in connection.execute(query)
    ]
    asked = work.reservation
    return {
        "ticket_id": ticket_id,
        "number": work.number,
        "state": _state(work),
        "because": _because(work),
        "agent": asked.agent if asked else work.agent,
        "until": asked.until if asked else work.retry_at,
        "now": _now(floor, now, work),
        "decisions": decisions[::-1],
    }


def idle_view(floor: Floor, now: datetime, agent: Agent) -> dict[str, Any]:
    """Why this agent has no (more) work now: off duty, no room, or what keeps each kind of waiting
    ticket from the agent.

    `verdict` is one word: retired, off_duty, full, nothing_waits, nothing_fits, or free (which
    lasts only until the next transaction).
    """
    place = floor.columns.places[agent.id]
    columns = floor.columns
    reason = duty.off_duty(agent, now)
    kinds = []
    for kind in floor.lines():
        serving = floor.kinds.serving(kind)
        bits = int(serving.fit[place])
        if not bits and columns.rooms(place, kind.needs.units, kind.needs.channel) < 1:
            full = columns.channel_full(place, kind.needs.channel)
            bits = reasons.CHANNEL_FULL if full else reasons.NO_CAPACITY
        if not bits and floor.keeps(kind, place, now):
            bits = reasons.KEPT
        declined = sum(
            1
            for ticket in kind.line
            for name, until in (ticket.declined or {}).items()
            if name == agent.id and instant(until) > now
        )
        kinds.append(
            {
                "queue": kind.queue.name,
                "needs": kind.needs.public().model_dump(),
                "waiting": len(kind.line),
                "declined": declined,
                "reasons": reasons.words(bits),
            }
        )
    return {
        "agent": agent.id,
        "verdict": _verdict(floor, agent, reason, kinds),
        "off_duty_reason": reason,
        "next_change": None if agent.retired else duty.next_change(agent, now),
        "load": int(columns.load[place]),
        "capacity": agent.capacity,
        "kinds": kinds,
    }


def _verdict(floor: Floor, agent: Agent, off_duty: str | None, kinds: list[dict[str, Any]]) -> str:
    place = floor.columns.places[agent.id]
    if agent.retired:
        return "retired"
    if off_duty is not None:
        return "off_duty"
    if floor.columns.load[place] >= agent.capacity:
        return "full"
    if not kinds:
        return "nothing_waits"
    blocked = all(kind["reasons"] or kind["declined"] == kind["waiting"] for kind in kinds)
    return "nothing_fits" if blocked else "free"


def _now(floor: Floor, now: datetime, work: Work) -> dict[str, Any] | None:
    decision = floor.explain(work.id, now)
    ticket = floor.waiting.get(work.id)
    if decision is None or ticket is None:
        return None
    line = sorted(other.place for other in ticket.kind.line)
    return {
        "as_of": now,
        "position": line.index(ticket.place) + 1,
        "of": len(line),
        **_asked(ticket, decision),
        "candidates": [candidate.model_dump() for candidate in decision.candidates],
    }


def _asked(ticket: Waiting, decision: Decision) -> dict[str, Any]:
    kind = ticket.kind
    return {
        "queue": kind.queue.name,
        "needs": kind.needs.public().model_dump(),
        "required_skills": [skill.name for skill in kind.asked],
        "eligible_since": instant(ticket.eligible_us),
        "waiting_since": instant(ticket.waiting_us),
        "reasons": [count.model_dump() for count in decision.rejected],
    }


def _waiting(work: Work, ticket: Waiting, decision: Decision) -> dict[str, Any]:
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
        "due": work.due,
        **_asked(ticket, decision),
    }


def _because(work: Work) -> str | None:
    """Why the ticket may be given to nobody: merged, imported, or its status; None when it may, or
    when somebody has it."""
    if work.eligible or work.holder is not None:
        return None
    if work.merged:
        return "merged"
    return work.status.value if work.live else "imported"


def _state(work: Work) -> str:
    if work.reservation is not None:
        return "offered" if work.reservation.kind == "offer" else "reserved"
    if work.waiting:
        return "waiting"
    if work.eligible:
        return "refused"
    return "held" if work.holder else "not_eligible"

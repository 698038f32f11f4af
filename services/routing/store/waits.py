"""Why tickets wait, told anew whenever the answer changes: kind by kind, not ticket by ticket."""

from __future__ import annotations

from typing import Any
from uuid import uuid5

from libs.events.routing import WaitReasonsChanged
from libs.events.topics import ROUTING_DECISIONS
from services.routing.domain.floor import Decision
from services.routing.domain.floor.kinds import Kind
from services.routing.domain.instants import instant
from services.routing.store.step import ACTOR, NAMESPACE, Step


def tell_wait_reasons(step: Step) -> int:
    """Say it where the reasons are others than those last told. Returns how many times."""
    told = step.tables.told_reasons(step.connection)
    rows = []
    for kind in step.floor.lines():
        decision = step.floor.decide_for(kind, step.now)
        before = told.pop(kind.key, None)
        if before is None or before[0] != decision.reasons:
            rows.append(_row(step, kind, decision))
    for key in told:
        gone = step.floor.kinds.by_key(key)
        if gone is not None:
            rows.append(_row(step, gone, None))
        else:
            rows.append({"needs_key": key, "reasons": "", "waiting": 0})
    if rows:
        step.tables.tell_reasons(step.connection, rows)
    return len(rows)


def _row(step: Step, kind: Kind, decision: Decision | None) -> dict[str, Any]:
    oldest = min((ticket.eligible_us for ticket in kind.line), default=None)
    fact = WaitReasonsChanged.model_construct(
        queue=kind.queue.name,
        needs=kind.needs.public(),
        waiting=len(kind.line),
        oldest_since=None if oldest is None else instant(oldest),
        reasons=decision.rejected if decision else (),
    )
    stream = f"needs:{uuid5(NAMESPACE, kind.key)}"
    step.outgoing.event(ROUTING_DECISIONS, stream, fact, time=step.now, actor=ACTOR)
    reasons = decision.reasons if decision else ""
    return {"needs_key": kind.key, "reasons": reasons, "waiting": len(kind.line)}

"""Why tickets wait, told anew whenever the answer changes: kind by kind, not ticket by ticket.

The reasons of a line are those of its first ticket, declines included: it is the one to be served
next.
"""

from __future__ import annotations

from typing import Any

from libs.events.routing import WaitReasonsChanged
from libs.events.topics import ROUTING_DECISIONS
from services.routing.domain.floor import Decision
from services.routing.domain.floor.kinds import Kind
from services.routing.domain.instants import instant
from services.routing.domain.needs import Needs
from services.routing.store.step import ACTOR, Step


def tell_wait_reasons(step: Step) -> int:
    """Say it where the reasons are others than those last told. Returns how many times."""
    told = step.tables.told_reasons(step.connection)
    rows = []
    for kind in step.floor.lines():
        decision = step.floor.explain_line(kind, step.now)
        before = told.pop(kind.key, None)
        if before is None or before[0] != decision.reasons:
            rows.append(_row(step, kind.needs, (kind, decision)))
    rows += [_row(step, Needs.of(document), None) for _, document in told.values()]
    if rows:
        step.tables.tell_reasons(step.connection, rows)
    return len(rows)


def _row(step: Step, needs: Needs, told: tuple[Kind, Decision] | None) -> dict[str, Any]:
    """`told` None: nobody waits any more who needs that."""
    line = told[0].line if told else ()
    reasons, rejected = (told[1].reasons, told[1].rejected) if told else ("", ())
    oldest = min((ticket.eligible_us for ticket in line), default=None)
    fact = WaitReasonsChanged.model_construct(
        queue=needs.queue,
        needs=needs.public(),
        waiting=len(line),
        oldest_since=None if oldest is None else instant(oldest),
        reasons=rejected,
    )
    stream = f"needs:{needs.key}"
    step.outgoing.event(ROUTING_DECISIONS, stream, fact, time=step.now, actor=ACTOR)
    return {
        "needs_key": needs.key,
        "needs": needs.document,
        "reasons": reasons,
        "waiting": len(line),
    }

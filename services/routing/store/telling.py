"""What agents are to be told by a second channel because of one transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from libs.events import EventEnvelope
from libs.events.sla import SlaActionTaken
from services.routing.domain.floor import Floor
from services.routing.domain.work import Work
from services.routing.notify import Facts, Kind, Notification


class Telling:
    """Collects the notifications; the transaction enqueues them at its end."""

    def __init__(self, floor: Floor, now: datetime) -> None:
        self.notifications: list[Notification] = []
        self.floor = floor
        self._now = now

    def tell(
        self,
        kind: Kind,
        agent: str,
        cause: str,
        work: Work | None = None,
        at: datetime | None = None,
        **facts: Any,
    ) -> None:
        """Let the agent know. `at`: when it happened, if that is not now."""
        if work is not None:
            facts = {
                "number": work.number,
                "priority": work.priority.value,
                "category": work.category,
                "queue": self.floor.rules.rules.queue_for(work).name,
                "due": work.due,
                **facts,
            }
        ticket_id = work.id if work is not None else None
        self.notifications.append(
            Notification(kind, agent, cause, at or self._now, ticket_id, Facts(**facts))
        )

    def tell_of_clock(self, work: Work | None, envelope: EventEnvelope) -> None:
        """Let those know whom the SLA policy names: agents, the members of a group, the leads."""
        event: SlaActionTaken = envelope.event
        if work is None or event.action != "notify" or not event.live:
            return
        agents = [agent for agent in self.floor.columns.agents if not agent.retired]
        named: set[str] = set()
        for name in event.whom:
            what, _, which = name.partition(":")
            if what == "agent":
                named.add(which)
            elif what == "group":
                named |= {agent.id for agent in agents if which in agent.groups}
            else:
                named.update(self.leads(work))
        for agent_id in sorted(named.intersection(agent.id for agent in agents)):
            used = "breached" if event.fraction is None else f"{event.fraction}% used"
            reason = f"{event.metric}: {used}"
            self.tell("sla", agent_id, envelope.id, work, at=envelope.time, reason=reason)

    def leads(self, work: Work) -> tuple[str, ...]:
        """The leads of the ticket's group, or of its agent's groups, or all when those have none."""
        present = [agent for agent in self.floor.columns.agents if not agent.retired]
        holder = self.floor.columns.get(work.agent) if work.agent else None
        groups = {work.group} if work.group else set(holder.groups if holder else ())
        own = [agent.id for agent in present if groups.intersection(agent.lead_of)]
        return tuple(sorted(own or [agent.id for agent in present if agent.lead_of]))

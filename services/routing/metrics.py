"""The metrics of routing alone: who waits, who is there, and what agents were told."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry

from libs.runtime.metrics import MetricSet

QUEUES_SHOWN: Final = 50


class RoutingMetrics(MetricSet):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        queue = {"queue": f"the {QUEUES_SHOWN} queues with most tickets, other for the rest"}
        self.waiting_tickets = self.gauge(
            "bitacora_routing_waiting_tickets",
            "Tickets that wait for an agent. GET /v1/queue/lines of routing says what they lack.",
            queue,
        )
        self.oldest_waiting_seconds = self.gauge(
            "bitacora_routing_oldest_waiting_seconds",
            "Seconds of the service's clock that the ticket which waits longest has been without an "
            "agent. GET /v1/queue/lines of routing says why.",
            queue,
        )
        self.agents = self.gauge(
            "bitacora_routing_agents",
            "Agents by the presence that they have set, those who left aside.",
            {"presence": "online, away, offline"},
        )
        self.agents_on_duty = self.gauge(
            "bitacora_routing_agents_on_duty",
            "Agents who can be given tickets: online, within working hours, not out of office.",
        )
        self.reserved_tickets = self.gauge(
            "bitacora_routing_reserved_tickets",
            "Tickets offered to an agent who has not answered (offer), or that intake was asked to "
            "assign and has not (assign). Many of the latter: intake does not answer.",
            {"kind": "offer, assign"},
        )
        self.notifications = self.counter(
            "bitacora_notifications_total",
            "Notifications to agents. Failed grows: mend the channel, then retry them.",
            {"channel": "mail, webhook", "outcome": "sent, retried, failed, skipped"},
        )

"""The metrics of intake alone: how commands are decided, and whether the ledger balances."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection

from libs.runtime.commit import CommitTables
from libs.runtime.metrics import SECONDS, SIZES, MetricSet, show
from libs.runtime.store import ServiceStore
from services.intake.store import Books

LEDGER_INTERVAL_S: Final = 5.0
TICKETS_INTERVAL_S: Final = 60.0
TICKETS_SHARE_MAX: Final = 0.01
"""Of the time that counting the tickets may take."""
OUTCOMES: Final = ("received", "ticketed", "appended", "quarantined", "rejected", "duplicates")


class IntakeMetrics(MetricSet):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.commit_batch_size = self.histogram(
            "bitacora_commit_batch_size", "Commands that one group commit carried.", buckets=SIZES
        )
        self.decision_seconds = self.histogram(
            "bitacora_intake_decision_seconds",
            "From when commands reach intake until they are decided and committed: one observation for "
            "each request or poll. Slow: the database's commits are.",
            buckets=SECONDS,
        )
        self.ledger_messages = self.gauge(
            "bitacora_intake_ledger_messages",
            "The intake ledger: what came in, and what became of it, since the store was made.",
            {"channel": "channels of tickets, unknown", "outcome": ", ".join(OUTCOMES)},
        )
        self.ledger_difference_messages = self.gauge(
            "bitacora_intake_ledger_difference_messages",
            "Received, less what was ticketed, appended, quarantined and rejected. Must be 0: else "
            "something that came in is not accounted for; run bitacora verify (I11).",
        )
        self.ledger_difference_tickets = self.gauge(
            "bitacora_intake_ledger_difference_tickets",
            "Tickets in the store, less those that the ledger counts. Must be 0: run bitacora verify.",
        )


class LedgerGauges:
    """Looks the ledger up. The ledger is a row per channel; the tickets have to be counted, so that is
    done seldom."""

    def __init__(
        self, metrics: IntakeMetrics, store: ServiceStore, books: Books, tables: CommitTables
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._books = books
        self._tables = tables

    async def ledger(self) -> None:
        """Raises Transient."""
        channels = await self._store.read(self._books.ledger_by_channel)
        values: dict[tuple[str, ...], float] = {
            (channel, outcome): counts[outcome]
            for channel, counts in channels.items()
            for outcome in OUTCOMES
        }
        difference = sum(self._books.unaccounted(counts) for counts in channels.values())
        show(self._metrics.ledger_messages, values)
        self._metrics.ledger_difference_messages.set(difference)

    async def tickets(self) -> None:
        """Raises Transient."""

        def difference(connection: Connection) -> int:
            ticketed = sum(
                counts["ticketed"] for counts in self._books.ledger_by_channel(connection).values()
            )
            return self._books.count_tickets(connection, self._tables) - ticketed

        self._metrics.ledger_difference_tickets.set(await self._store.read(difference))

"""The ledger as gauges: they say what the ledger says, and whether it balances."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from services.intake.metrics import IntakeMetrics, LedgerGauges
from tests.intake.conftest import Intake


@pytest.fixture
def intake_url(database_url: str) -> str:
    return database_url


async def test_the_ledger_as_gauges(intake: Intake) -> None:
    metrics = IntakeMetrics(CollectorRegistry())
    desk = intake.desk
    gauges = LedgerGauges(metrics, desk.store, desk.books, desk.tables)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"bitacora_intake_ledger_{name}", labels)

    ticket = await intake.create()
    body = {"author": "requester", "author_id": "ana", "body": "Still no sound", "channel": "email"}
    answer = await intake.call("POST", f"/v1/tickets/{ticket}/messages", body)
    assert answer.is_success, answer.text
    await gauges.ledger()
    await gauges.tickets()
    assert value("messages", channel="form", outcome="ticketed") == 1
    assert value("messages", channel="email", outcome="appended") == 1
    assert value("difference_messages") == 0
    assert value("difference_tickets") == 0

    await desk.store.write(
        lambda c, _: c.execute(
            text("UPDATE intake_ledger SET received = received + 2, ticketed = 0")
        )
    )
    await gauges.ledger()
    await gauges.tickets()
    assert value("difference_messages") == 5  # two channels, and the ticket that is not counted
    assert value("difference_tickets") == 1


async def test_decisions_are_timed(intake: Intake) -> None:
    await intake.create()
    registry = intake.service.metrics.registry
    assert registry.get_sample_value("bitacora_intake_decision_seconds_count") == 1
    assert registry.get_sample_value("bitacora_commit_batch_size_sum") == 1
    labels = {"type": "bitacora.CreateTicket.v1", "outcome": "accepted"}
    assert registry.get_sample_value("bitacora_commands_total", labels) == 1

"""The same on Apache Kafka and PostgreSQL: every service shows what is declared, and it is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.system import Options
from libs.events.topics import TICKETS_EVENTS
from libs.runtime.settings import SERVICES
from tests.deploy.live import busy, check_declared, fast_clock, settled, value
from tests.e2e.desk import databases_of_their_own, running, shared_kafka


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.timeout(300)
def test_what_services_show_on_a_cluster(
    backends: Path, postgres_server: str, tmp_path: Path
) -> None:
    with shared_kafka(backends) as kafka, databases_of_their_own(postgres_server):
        options = Options(tmp_path, kafka=kafka, clock=fast_clock(), port_base=0)
        with running(options) as desk:
            busy(desk)
            for service in SERVICES:
                check_declared(desk, service)
                settled(desk, service, "bitacora_ready", 1)
                settled(desk, service, "bitacora_consumer_connected", 1, group=service)
                settled(desk, service, "bitacora_relay_active", 1, relay=f"{service}-outbox")
                settled(
                    desk,
                    service,
                    "bitacora_relay_oldest_unsent_seconds",
                    0,
                    relay=f"{service}-outbox",
                )
                assert (value(desk, service, "bitacora_database_size_bytes") or 0) > 1_000_000
            settled(desk, "intake", "bitacora_intake_ledger_difference_messages", 0)
            settled(desk, "routing", "bitacora_routing_waiting_tickets", 1, queue="default")
            settled(desk, "reporting", "bitacora_parked_depth_messages", 1, topic=TICKETS_EVENTS)
            settled(desk, "reporting", "bitacora_reporting_facts_lag_revisions", 0)
            sent = value(desk, "intake", "bitacora_relay_sent_total", topic=TICKETS_EVENTS)
            assert sent == len(desk.ask("intake", "SELECT 1 FROM stored_events"))

"""Running services, scraped: by the client's own parser, and by a real Prometheus with our rules."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cli.system import Options
from deploy.grafana import generate
from libs.events.topics import TICKETS_EVENTS
from libs.runtime.settings import SERVICES
from tests.backends.shared import PrometheusTools
from tests.deploy.live import busy, check_declared, fast_clock, scraped, settled, value
from tests.deploy.rules import rules
from tests.deploy.server import Prometheus, prometheus
from tests.e2e.desk import Desk, running, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("live-metrics")]

SERIES_MAX: Final = 2_000
QUIET: Final = frozenset({"Retries, failures, topics written again", "Notifications",
                          "Duplicates, gaps, unknown types"})  # fmt: skip
"""Panels a query of which may have nothing to show, because nothing of the kind has happened."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    options = Options(tmp_path_factory.mktemp("live"), clock=fast_clock(), port_base=0)
    with running(options) as desk:
        busy(desk)
        yield desk


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_shows_what_is_declared_and_nothing_else(desk: Desk, service: str) -> None:
    check_declared(desk, service)


@pytest.mark.parametrize("service", SERVICES)
def test_the_number_of_series_is_bounded(desk: Desk, service: str) -> None:
    count = sum(len(family.samples) for family in scraped(desk, service).values())
    assert count < SERIES_MAX


def test_what_happened_is_shown(desk: Desk) -> None:
    settled(
        desk, "intake", "bitacora_intake_ledger_messages", 1, channel="form", outcome="ticketed"
    )
    settled(
        desk, "intake", "bitacora_intake_ledger_messages", 1, channel="email", outcome="ticketed"
    )
    settled(desk, "intake", "bitacora_intake_ledger_difference_messages", 0)
    settled(desk, "routing", "bitacora_routing_waiting_tickets", 1, queue="default")
    settled(desk, "routing", "bitacora_routing_agents", 1, presence="online")
    settled(desk, "reporting", "bitacora_parked_depth_messages", 1, topic=TICKETS_EVENTS)
    settled(desk, "reporting", "bitacora_consumer_connected", 1, group="reporting")
    settled(desk, "reporting", "bitacora_reporting_facts_ready", 1)
    settled(desk, "reporting", "bitacora_reporting_facts_lag_revisions", 0)
    assert value(desk, "reporting", "bitacora_reporting_query_seconds_count")
    settled(desk, "intake", "bitacora_relay_oldest_unsent_seconds", 0, relay="intake-events")
    fired = value(
        desk, "sla", "bitacora_sla_timers_fired_total", kind="breached", metric="first_reply"
    )
    assert fired
    late = value(desk, "sla", "bitacora_timer_lateness_seconds_count")
    assert late
    assert late >= fired
    sent = value(desk, "intake", "bitacora_relay_sent_total", topic=TICKETS_EVENTS)
    assert sent == len(desk.ask("intake", "SELECT 1 FROM stored_events"))


@pytest.fixture(scope="module")
def watched(
    desk: Desk, prometheus_tools: PrometheusTools, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus, when it has seen each service twice and evaluated every rule after that."""
    directory = tmp_path_factory.mktemp("prometheus")
    with prometheus(prometheus_tools, directory, desk.state.urls) as made:
        twice = 'count(count_over_time(up{job="bitacora"}[1m]) > 3)'
        until(lambda: made.value(twice) == len(SERVICES), "every service was scraped")
        assert made.value('count(up{job="bitacora"} == 1)') == len(SERVICES)
        recorded = "service:bitacora_http_requests:rate5m"
        until(lambda: made.query(recorded), "the rules were evaluated")
        yield made


@pytest.mark.prometheus
def test_every_rule_is_evaluated_without_error(watched: Prometheus) -> None:
    found = {rule["name"]: rule for rule in watched.rules()}
    assert found.keys() == {r["alert"] for r in rules("alert")} | {
        r["record"] for r in rules("record")
    }
    assert {
        name: rule.get("lastError") for name, rule in found.items() if rule["health"] != "ok"
    } == {}


@pytest.mark.prometheus
def test_the_alerts_tell_what_is_wrong_here_and_nothing_else(watched: Prometheus) -> None:
    def alarmed() -> dict[str, list[dict[str, Any]]]:
        # (Of a clock that runs so fast, waits and lateness are long.)
        return {
            rule["name"]: rule["alerts"]
            for rule in watched.rules()
            if rule["type"] == "alerting" and rule["alerts"] and not fast(rule["name"])
        }

    def fast(name: str) -> bool:
        return name in {
            "BitacoraTicketWaitsLong",
            "BitacoraSlaVerdictsLate",
            "BitacoraSlaTimersLate",
        }

    until(lambda: "BitacoraMessagesParked" in alarmed(), "what lies parked is noticed")
    found = alarmed()
    assert found.keys() == {"BitacoraMessagesParked"}
    (one,) = [a for a in found["BitacoraMessagesParked"] if a["labels"]["service"] == "routing"]
    assert one["state"] == "pending"  # it has five minutes
    assert one["annotations"]["summary"] == "1 messages of tickets.events lie parked at routing"


@pytest.mark.prometheus
@pytest.mark.parametrize("file", sorted(generate.FILES.glob("*.json")), ids=lambda f: f.stem)
def test_every_query_of_a_dashboard_answers(watched: Prometheus, file: Path) -> None:
    for panel in json.loads(file.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "1m").replace("$service", ".*")
            series = watched.query(expression)
            assert series or panel["title"] in QUIET, (panel["title"], expression)


def test_a_broker_that_hangs_shows_and_heals(desk: Desk) -> None:
    """The last test of this file: alerts look at what went before."""
    relay = {"relay": "intake-events"}
    pid = desk.signal("broker", signal.SIGSTOP)
    try:
        desk.create("while Kafka hangs")
        settled(desk, "intake", "bitacora_relay_backlog_events", 1, **relay)
        until(
            lambda: (
                (value(desk, "intake", "bitacora_relay_oldest_unsent_seconds", **relay) or 0) > 2
            ),
            "it grows older",
        )
        settled(desk, "routing", "bitacora_consumer_connected", 0, group="routing")
    finally:
        os.kill(pid, signal.SIGCONT)
    settled(desk, "intake", "bitacora_relay_backlog_events", 0, **relay)
    settled(desk, "intake", "bitacora_relay_oldest_unsent_seconds", 0, **relay)
    settled(desk, "routing", "bitacora_consumer_connected", 1, group="routing")
    settled(desk, "intake", "bitacora_relay_active", 1, **relay)

"""Running services, scraped: by the client's own parser, and by a real Prometheus with our rules.

The clock runs 600 times as fast, so that a breach comes within seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from cli.system import Options
from deploy import reference
from deploy.grafana import generate
from libs.events.topics import TICKETS_EVENTS
from libs.runtime.clock import AcceleratedClock, RealClock
from libs.runtime.settings import SERVICES
from tests.backends.shared import PrometheusTools
from tests.deploy.rules import rules
from tests.deploy.server import Prometheus, prometheus
from tests.e2e.desk import Desk, running, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("live-metrics")]

MONDAY: Final = datetime(2026, 3, 2, 8, tzinfo=UTC)
RATE: Final = 600
SERIES_MAX: Final = 2_000
QUIET: Final = frozenset({"Retries, failures, topics written again", "Notifications",
                          "Duplicates, gaps, unknown types"})  # fmt: skip
"""Panels a query of which may have nothing to show, because nothing of the kind has happened."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    clock = str(AcceleratedClock(MONDAY, RealClock().now(), RATE))
    options = Options(tmp_path_factory.mktemp("live"), clock=clock, port_base=0)
    with running(options) as desk:
        busy(desk)
        yield desk


def busy(desk: Desk) -> None:
    """Something of everything: an assigned ticket, one that waits and is breached, one refused command,
    and a message that nobody can read."""
    person = {"id": "ana", "name": "Ana", "groups": ["support"], "tiers": [1, 2, 3], "capacity": 1}
    desk.send("routing", "POST", "/v1/agents", "system", **person)
    desk.send("routing", "PUT", "/v1/agents/ana/presence", presence="online")
    first = desk.create("for ana", priority="low", channel="form")
    until(lambda: desk.reported(first).get("agent") == "ana", "ana has it")
    second = desk.create("for nobody", priority="critical", channel="email")
    until(lambda: desk.reported(second).get("breaches"), "its first reply is missed")
    path = f"/v1/tickets/{first}/status"
    desk.http.put(f"{desk.state.urls['intake']}{path}", json={"status": "new"})
    report = "/v1/report?metrics=created&from=2026-03-01&to=2026-04-01"
    until(lambda: desk.get("reporting", report), "reporting answers from its facts")
    desk.produce([(TICKETS_EVENTS, b"nonsense", b"{", [])])
    for service in ("routing", "sla", "reporting"):
        until(lambda service=service: desk.parked(service), f"{service} has parked it")  # type: ignore[misc]


def scraped(desk: Desk, service: str) -> dict[str, Metric]:
    """The families of a service's page, by name."""
    page = desk.http.get(f"{desk.state.urls[service]}/metrics").text
    return {family.name: family for family in text_string_to_metric_families(page)}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_shows_what_is_declared_and_nothing_else(desk: Desk, service: str) -> None:
    families = scraped(desk, service)
    declared = {
        metric.name.removesuffix("_total"): metric
        for metric in [*reference.shared(), *reference.own(service)]
    }
    assert {name for name in families if name.startswith("bitacora_")} == declared.keys()
    for name, family in families.items():
        assert family.documentation, name
        assert family.type != "unknown", name
        if name in declared:
            assert family.type == declared[name].kind, name
            assert family.documentation == declared[name].help, name
            for sample in family.samples:
                assert sample.labels.keys() - {"le"} == set(declared[name].labels), name


@pytest.mark.parametrize("service", SERVICES)
def test_the_number_of_series_is_bounded(desk: Desk, service: str) -> None:
    count = sum(len(family.samples) for family in scraped(desk, service).values())
    assert count < SERIES_MAX


def test_what_happened_is_shown(desk: Desk) -> None:
    def value(service: str, name: str, **labels: str) -> float | None:
        for family in scraped(desk, service).values():
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None

    def settled(service: str, name: str, wanted: float, **labels: str) -> None:
        until(lambda: value(service, name, **labels) == wanted, f"{name} of {service} is {wanted}")

    settled("intake", "bitacora_intake_ledger_messages", 1, channel="form", outcome="ticketed")
    settled("intake", "bitacora_intake_ledger_messages", 1, channel="email", outcome="ticketed")
    settled("intake", "bitacora_intake_ledger_difference_messages", 0)
    settled("routing", "bitacora_routing_waiting_tickets", 1, queue="default")
    settled("routing", "bitacora_routing_agents", 1, presence="online")
    settled("reporting", "bitacora_parked_depth_messages", 1, topic=TICKETS_EVENTS)
    settled("reporting", "bitacora_consumer_connected", 1, group="reporting")
    settled("reporting", "bitacora_reporting_facts_ready", 1)
    settled("reporting", "bitacora_reporting_facts_lag_revisions", 0)
    assert value("reporting", "bitacora_reporting_query_seconds_count")
    settled("intake", "bitacora_relay_oldest_unsent_seconds", 0, relay="intake-events")
    fired = value("sla", "bitacora_sla_timers_fired_total", kind="breached", metric="first_reply")
    assert fired
    late = value("sla", "bitacora_timer_lateness_seconds_count")
    assert late
    assert late >= fired
    sent = value("intake", "bitacora_relay_sent_total", topic=TICKETS_EVENTS)
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

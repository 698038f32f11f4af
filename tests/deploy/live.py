"""A desk at work, for tests of what it shows; and what it shows, read as Prometheus would."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from deploy import reference
from libs.events.topics import TICKETS_EVENTS
from libs.runtime.clock import AcceleratedClock, RealClock
from tests.e2e.desk import Desk, until

MONDAY: Final = datetime(2026, 3, 2, 8, tzinfo=UTC)
RATE: Final = 600


def fast_clock() -> str:
    """600 times as fast, so that a breach comes within seconds."""
    return str(AcceleratedClock(MONDAY, RealClock().now(), RATE))


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


def value(desk: Desk, service: str, name: str, **labels: str) -> float | None:
    """The first sample of this name with these labels."""
    for family in scraped(desk, service).values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    return None


def settled(desk: Desk, service: str, name: str, wanted: float, **labels: str) -> None:
    """Wait until it has that value."""
    until(
        lambda: value(desk, service, name, **labels) == wanted, f"{name} of {service} is {wanted}"
    )


def check_declared(desk: Desk, service: str) -> None:
    """The service shows what is declared, as it is declared, and nothing else of ours."""
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

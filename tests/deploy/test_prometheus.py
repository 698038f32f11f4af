"""The files for Prometheus: valid by its own tool, tested by it, explained, and of metrics that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from libs.runtime.settings import HTTP_PORTS
from tests.backends.shared import PrometheusTools
from tests.deploy.rules import (
    CONFIG,
    PROMETHEUS,
    ROOT,
    RULE_FILES,
    RULE_TESTS,
    known_names,
    load,
    names_in,
    rules,
)

ALERTS: Final = rules("alert")
GUIDE: Final = ROOT / "docs" / "guides" / "alerts.md"
SECTION: Final = re.compile(r"^### (Bitacora\w+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)


def promtool(tools: PrometheusTools, *arguments: str | Path) -> str:
    """What it says of something that is well. Fails the test with what is not."""
    done = subprocess.run(
        [tools.promtool, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.prometheus
def test_the_configuration_is_valid(prometheus_tools: PrometheusTools) -> None:
    assert "2 rule files found" in promtool(prometheus_tools, "check", "config", CONFIG)


@pytest.mark.prometheus
def test_the_rules_are_valid(prometheus_tools: PrometheusTools) -> None:
    said = promtool(prometheus_tools, "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert f"SUCCESS: {len(ALERTS)} rules found" in said


@pytest.mark.prometheus
@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_the_rules_do_what_their_tests_say(file: Path, prometheus_tools: PrometheusTools) -> None:
    assert "SUCCESS" in promtool(prometheus_tools, "test", "rules", file)


@pytest.mark.prometheus
def test_a_rule_that_does_something_else_is_noticed(
    prometheus_tools: PrometheusTools, tmp_path: Path
) -> None:
    (tmp_path / "tests").mkdir()
    for file in [*RULE_FILES, PROMETHEUS / "tests" / "desk.yml"]:
        place = tmp_path / file.relative_to(PROMETHEUS)
        place.write_text(file.read_text("utf-8").replace("> 1800", "> 18000"), "utf-8")
    done = subprocess.run(
        [prometheus_tools.promtool, "test", "rules", tmp_path / "tests" / "desk.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "BitacoraTicketWaitsLong" in done.stdout + done.stderr


def test_the_targets_are_the_services_where_they_listen() -> None:
    (job,) = load(CONFIG)["scrape_configs"]
    found = {one["labels"]["service"]: one["targets"] for one in job["static_configs"]}
    assert found == {name: [f"127.0.0.1:{port}"] for name, port in HTTP_PORTS.items()}


@pytest.mark.parametrize("rule", [*ALERTS, *rules("record")], ids=lambda r: next(iter(r.values())))
def test_a_rule_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    asked = names_in(rule["expr"])
    assert asked
    assert asked <= known_names()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_it_is_about_and_what_to_do(alert: dict[str, Any]) -> None:
    name, notes = alert["alert"], alert["annotations"]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert notes["summary"]
    assert notes["description"]
    assert notes["runbook"] == f"{GUIDE.relative_to(ROOT)}#{name.lower()}"
    section = dict(SECTION.findall(GUIDE.read_text("utf-8")))[name]
    assert [f"**{word}.**" in section for word in ("Means", "Look", "Do")] == [True] * 3


def test_every_section_is_of_an_alert() -> None:
    sections = [name for name, _ in SECTION.findall(GUIDE.read_text("utf-8"))]
    assert sections == [alert["alert"] for alert in ALERTS]


def test_every_alert_is_seen_to_fire_and_not_to_fire() -> None:
    seen: dict[bool, set[str]] = {True: set(), False: set()}
    for file in RULE_TESTS:
        for case in load(file)["tests"]:
            for check in case["promql_expr_test"]:
                name = re.search(r'alertname="(\w+)"', check["expr"])
                assert name is not None
                seen[bool(check["exp_samples"])].add(name[1])
    every = {alert["alert"] for alert in ALERTS}
    assert seen[True] == every
    assert seen[False] == every

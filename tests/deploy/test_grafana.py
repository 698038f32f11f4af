"""The dashboards: as Grafana's own types write them, complete, and of metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana import generate
from deploy.grafana.boards import BOARDS
from tests.backends.shared import missing
from tests.deploy.rules import known_names, names_in

FILES: Final = sorted(generate.FILES.glob("*.json"))
UNITS: Final = frozenset({"short", "s", "bytes", "reqps", "ops", "percentunit"})
VARIABLE: Final = re.compile(r"\$\{?(\w+)")
STRICT: Final = generate.FILES.parent / "strict"
PROVISIONING: Final = generate.FILES.parent / "provisioning"

register_default_plugins()


def load(file: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return made


def panels(file: Path) -> Iterator[dict[str, Any]]:
    """Those that show something."""
    return (panel for panel in load(file)["panels"] if panel["type"] != "row")


def test_the_files_are_current() -> None:
    assert generate.stale() == [], "run `python -m deploy.grafana.generate`"
    assert {file.stem for file in FILES} == {board.uid for board in BOARDS}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dashboard_is_what_grafana_s_own_types_say_it_is(file: Path) -> None:
    """Whatever Grafana does not know would be lost on the way through its types."""
    through = json.loads(json.dumps(Dashboard.from_json(load(file)), cls=JSONEncoder))
    assert through == load(file)
    assert load(file)["schemaVersion"] >= 36


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that reads dashboards by Grafana's Go types."""
    program = tmp_path_factory.mktemp("strict") / "strict"
    if shutil.which("go") is None:
        missing("go", "install Go 1.23 or newer")
    # One package at a time, politely: the other tests need the processors, too.
    command = ["nice", "go", "build", "-p", "1", "-o", str(program), "."]
    done = subprocess.run(command, cwd=STRICT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        missing("go", done.stderr[-1_000:])
    return program


@pytest.mark.go
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_dashboards_are_valid_by_grafana_s_strict_types(strict: Path, tmp_path: Path) -> None:
    done = subprocess.run([strict, *FILES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.json"
    text = FILES[0].read_text("utf-8").replace('"showLegend"', '"showLegende"')
    wrong.write_text(text.replace('"fillOpacity": 8', '"fillOpacity": "8"'), "utf-8")
    done = subprocess.run([strict, wrong], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unexpected field 'showLegende'" in done.stdout
    assert "cannot unmarshal string" in done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_panel_is_complete(file: Path) -> None:
    board = load(file)
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    for panel in panels(file):
        title = panel["title"]
        assert title
        assert panel["description"].endswith("."), title
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in UNITS, title
        assert defaults["thresholds"]["steps"][0]["value"] is None, title
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, title
        assert panel["targets"], title
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", title
            assert target["legendFormat"], title
            used = set(VARIABLE.findall(target["expr"]))
            assert used <= {*variables, "__rate_interval"}, title


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_panel_asks_for_what_there_is(file: Path) -> None:
    for panel in panels(file):
        for target in panel["targets"]:
            asked = names_in(target["expr"])
            assert asked - {"ALERTS"} <= known_names(), panel["title"]
            assert asked or "ALERTS" in target["expr"], panel["title"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_have_places_and_ids_of_their_own(file: Path) -> None:
    board = load(file)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_metric_of_our_own_is_on_a_dashboard_or_in_an_alert() -> None:
    """A metric that nobody looks at costs and helps nobody."""
    from tests.deploy.rules import rules

    expressions = [
        target["expr"] for file in FILES for panel in panels(file) for target in panel["targets"]
    ]
    expressions += [rule["expr"] for kind in ("alert", "record") for rule in rules(kind)]
    asked = set().union(*map(names_in, expressions))
    unseen = {
        name
        for name in known_names()
        if name.startswith("bitacora_") and not name.endswith(("_sum", "_count", "_bucket"))
    } - asked
    assert unseen <= {"bitacora_parked_total"}, unseen


def test_the_provisioning_names_what_there_is() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "bitacora.yaml").read_text("utf-8"))[
        "datasources"
    ]
    assert (source["type"], source["url"]) == ("prometheus", "$BITACORA_PROMETHEUS_URL")
    (provider,) = yaml.safe_load(
        (PROVISIONING / "dashboards" / "bitacora.yaml").read_text("utf-8")
    )["providers"]
    assert provider["options"] == {"path": "$BITACORA_DASHBOARDS"}

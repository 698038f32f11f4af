"""The documented consumer makes the same tickets of the topic as the services do, and the export too."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic_core import to_jsonable_python

from cli.system import Options
from libs.events import Ticket
from tests.backends.shared import ROOT, in_thread
from tests.e2e.desk import Desk, running, until
from tests.faults.work import import_sample

EXAMPLE = ROOT / "docs" / "examples" / "rebuild_tickets.py"
DUCKDB = ROOT / "docs" / "examples" / "duckdb_export.py"
GUIDE = ROOT / "docs" / "guides" / "data-teams.md"

NEXT_MONTH = datetime.now(UTC).date() + timedelta(days=31)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def example(file: Path) -> Any:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rebuild() -> Callable[[str], Coroutine[Any, Any, dict[str, Ticket]]]:
    function: Callable[[str], Coroutine[Any, Any, dict[str, Ticket]]] = example(EXAMPLE).rebuild
    return function


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The whole system on the embedded broker, with an imported history and live work."""
    folder = tmp_path_factory.mktemp("desk")
    with running(Options(data_dir=folder, port_base=0)) as desk:
        assert import_sample(desk, folder / "import.json").wait(120) == 0
        for number in range(10):
            ticket = desk.create(f"Live {number}", priority="high", tags=["vpn"])
            path = f"/v1/tickets/{ticket}"
            desk.send("intake", "PUT", f"{path}/assignment", group="network", agent=f"{number % 3}")
            if number % 2:
                desk.send("intake", "PUT", f"{path}/status", actor="agent:1", status="solved")
                desk.send("intake", "PUT", f"{path}/status", actor="agent:1", status="open")
        yield desk


def api_tickets(desk: Desk) -> dict[str, dict[str, Any]]:
    """Every ticket that intake has, as its API gives it."""
    ids = [
        str(row[0])
        for row in desk.ask("intake", "SELECT DISTINCT originator_id FROM stored_events")
    ]
    found = desk.send("intake", "POST", "/v1/tickets/batch-get", ids=ids)["tickets"]
    assert len(found) == len(ids)
    return {ticket["id"]: ticket for ticket in found}


def as_the_api(ticket: Ticket) -> dict[str, Any]:
    values = {field.name: getattr(ticket, field.name) for field in fields(Ticket)}
    values["tags"] = sorted(ticket.tags)
    values["links"] = [{"kind": kind, "other": other} for kind, other in ticket.links]
    document: dict[str, Any] = to_jsonable_python(values)
    return document


def test_the_example_makes_the_tickets_of_the_api(desk: Desk) -> None:
    rebuilt: dict[str, Ticket] = {}
    api: dict[str, dict[str, Any]] = {}

    def all_there() -> bool:
        """SLA may be about to escalate one of the live tickets, and the relay to publish it."""
        api.update(api_tickets(desk))
        rebuilt.update(in_thread(rebuild()(desk.state.bootstrap)))
        return {i: t["sequence"] for i, t in api.items()} == {
            i: t.sequence for i, t in rebuilt.items()
        }

    until(all_there, "the topic is as far as intake")
    assert len(api) > 300
    for ticket_id, ticket in rebuilt.items():
        mine = as_the_api(ticket)
        assert mine == {name: api[ticket_id][name] for name in mine}, ticket_id


def test_the_export_makes_them_too(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "export"

    def all_there() -> dict[str, Any] | None:
        desk.cli("export", "parquet", "--to", str(folder))
        with pq.ParquetFile(folder / "tickets.parquet") as file:
            rows = {row["id"]: row for row in file.read().to_pylist()}
        same = {i: t["sequence"] for i, t in api_tickets(desk).items()} == {
            i: row["sequence"] for i, row in rows.items()
        }
        return rows if same else None

    rows = until(all_there, "the export is as far as intake") or {}
    api = api_tickets(desk)
    for ticket_id, row in rows.items():
        for name in ("number", "status", "priority", "agent", "group", "reopens", "group_changes"):
            assert row[name] == api[ticket_id][name], (ticket_id, name)
    checked = desk.cli("export", "verify", str(folder), "--topics")
    assert checked["ok"]
    assert checked["compared"] == checked["events"]


def figures(desk: Desk, **asked: str) -> list[tuple[Any, ...]]:
    """Of the report API: the month or the group, and every cell of it."""
    text = "&".join(f"{name}={value}" for name, value in asked.items())
    found = desk.get("reporting", f"/v1/report?{text}&zone=Europe/Madrid")
    return [
        (
            date.fromisoformat(row["bucket_local"][:10])
            if row["bucket"]
            else row["keys"]["priority"],
            *(cell["value"] for cell in row["cells"]),
        )
        for row in found["rows"]
    ]


def test_duckdb_makes_the_figures_of_the_report_api(desk: Desk, tmp_path: Path) -> None:
    module, folder = example(DUCKDB), tmp_path / "export"

    def compared() -> bool:
        desk.cli("export", "parquet", "--to", str(folder))
        desk.cli("export", "facts", "--to", str(folder))
        first = date(2016, 1, 1)
        months = {"granularity": "month", "from": str(first), "to": str(NEXT_MONTH)}
        asked = {"metrics": "resolution_time", "by": "priority", "aggregates": "count,p50,p90"}
        api = (
            figures(desk, metrics="created", **months),
            sorted(figures(desk, **asked)),
            figures(desk, metrics="backlog", **months),
        )
        with module.connect(str(folder)) as connection:
            made = (
                module.created_per_month(connection),
                module.resolution_by_priority(connection),
                module.backlog_per_month(connection),
            )
        known = dict(made[2])
        created = [row for row in api[0] if row[1]]
        backlog = [(month, count) for month, count in api[2] if month in known]
        return (created, api[1], backlog) == made and len(made[0]) > 5 and len(made[2]) > 100

    until(compared, "DuckDB and the API agree")


def test_the_duckdb_example_runs_as_it_is_documented(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    desk.cli("export", "parquet", "--to", str(folder))
    desk.cli("export", "facts", "--to", str(folder))
    done = subprocess.run(
        [sys.executable, DUCKDB, folder], capture_output=True, text=True, timeout=60, check=True
    )
    assert "critical\t" in done.stdout
    assert desk.cli("export", "verify", str(folder))["facts"] > 300


def test_it_runs_as_it_is_documented(desk: Desk) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE, desk.state.bootstrap],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert len(done.stdout.splitlines()) == len(api_tickets(desk))


def test_the_guide_shows_it_as_it_is() -> None:
    body = EXAMPLE.read_text("utf-8").split("\n\n\n", 1)[1].split("\n\n\n", 1)[0]
    assert body in GUIDE.read_text("utf-8")
    assert len(body.splitlines()) <= 20

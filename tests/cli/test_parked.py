"""`bitacora parked` on a real database of a service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import MetaData
from typer.testing import CliRunner

from cli.main import app
from cli.output import FAILED
from libs.runtime.clock import ManualClock
from libs.runtime.consume import ConsumerTables
from libs.runtime.database import Database
from libs.runtime.parking import park, redrive_requested
from libs.runtime.store import ServiceStore
from tests.runtime.streams import NOON, HandRecord

run = CliRunner().invoke


@pytest.fixture
def routing(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceStore:
    """Routing's database with two parked messages."""
    monkeypatch.setenv("BITACORA_ROUTING_DATABASE_URL", database_url)
    monkeypatch.setenv("BITACORA_DATA_DIR", str(tmp_path / "data"))
    metadata = MetaData()
    ConsumerTables(metadata)
    clock = ManualClock(NOON)
    store = ServiceStore(Database(database_url), metadata, source="/test", clock=clock)
    store.create_tables()
    for offset, value in enumerate([b"\xff\x00", b'{"a": 1}']):
        record = HandRecord("tickets.events", 0, offset, b"t", value, [("ce_x", None)])
        with store.database.transaction() as connection:
            park(
                connection,
                store.outbox.open(),
                group="routing",
                clock=clock,
                record=record,
                code="null_header",
                detail="header ce_x is null",
                stream_id="t",
                sequence=record.offset + 1,
            )
    return store


def test_list_and_show(routing: ServiceStore) -> None:
    listed = json.loads(run(app, ["parked", "list", "--json"]).stdout)["parked"]
    assert [message["message"] for message in listed] == ["routing:1", "routing:2"]
    assert listed[0]["value"] == {"base64": "/wA="}
    assert listed[1]["value"] == '{"a": 1}'
    assert listed[0]["headers"] == [["ce_x", None]]
    table = run(app, ["parked", "list", "--stream", "t", "--service", "routing"])
    assert "null_header" in table.stdout
    shown = run(app, ["parked", "show", "routing:2"])
    assert shown.exit_code == 0
    assert '{"a": 1}' in shown.stdout
    assert "header ce_x is null" in shown.stdout
    assert run(app, ["parked", "show", "routing:99"]).exit_code == FAILED
    routing.close()


def test_redrive_one_and_all(routing: ServiceStore) -> None:
    def asked() -> list[int]:
        with routing.database.reading() as connection:
            return [message.id for message in redrive_requested(connection)]

    done = run(app, ["parked", "redrive", "routing:2", "--json"])
    assert json.loads(done.stdout) == {"asked": {"routing": 1}, "running": False}
    assert asked() == [2]
    assert run(app, ["parked", "redrive", "--all"]).exit_code == 0
    assert asked() == [1, 2]
    assert run(app, ["parked", "redrive", "routing:99"]).exit_code == FAILED
    routing.close()


def test_services_without_a_database_have_nothing_parked(tmp_path: Path) -> None:
    shown = run(app, ["parked", "list", "--data-dir", str(tmp_path), "--json"])
    assert json.loads(shown.stdout) == {"parked": []}
    assert list(tmp_path.iterdir()) == [], "looking must not make databases"

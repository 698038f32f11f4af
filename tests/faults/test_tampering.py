"""Stores that somebody has changed behind our back: `bitacora verify` says so, and where."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text
from typer.testing import CliRunner

from cli.main import app
from cli.output import FAILED
from libs.events import CommandEnvelope, Priority
from libs.events.commands import ChangePriority, CreateTicket
from libs.events.ticket import Requester
from libs.runtime.database import Database
from libs.runtime.settings import settings_of
from services.intake.app import build_with_desk
from services.intake.config import IntakeSettings
from services.reporting.app import build as build_reporting
from services.reporting.config import ReportingSettings
from services.routing.app import build as build_routing
from services.routing.config import RoutingSettings
from services.sla.app import build as build_sla
from services.sla.config import SlaSettings

TICKETS = 3
CHANGES = 6


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The data directory of a system that has taken three tickets of seven events, and stopped."""
    others = (
        build_routing(RoutingSettings(data_dir=tmp_path)),
        build_sla(SlaSettings(data_dir=tmp_path)),
        build_reporting(ReportingSettings(data_dir=tmp_path, page=False)),
    )
    for service in others:
        service.store.create_tables()
        service.store.close()
    service, desk = build_with_desk(IntakeSettings(data_dir=tmp_path))
    service.store.create_tables()
    desk.events.create_tables()
    outcomes = asyncio.run(desk.submit_many(_commands()))
    assert all(outcome.status == "accepted" for outcome in outcomes)
    desk.events.close()
    service.store.close()
    assert _verify(tmp_path) == {}
    return tmp_path


def _commands() -> Sequence[CommandEnvelope]:
    made = []
    for number in range(TICKETS):
        ticket = str(uuid4())
        create = CreateTicket(subject=f"ticket {number}", requester=Requester(id="r"))
        made.append(CommandEnvelope(str(uuid4()), ticket, create, "requester:r"))
        for step in range(CHANGES):
            change = ChangePriority(priority=Priority.LOW if step % 2 == 0 else Priority.HIGH)
            made.append(CommandEnvelope(str(uuid4()), ticket, change, "agent:1"))
    return made


def _verify(data_dir: Path) -> dict[str, list[str]]:
    """The problems by invariant, of those that fail."""
    done = CliRunner().invoke(app, ["verify", "--data-dir", str(data_dir), "--json"])
    checks: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
    failed = {c["name"]: c["problems"] for c in checks if c["state"] == "failed"}
    assert done.exit_code == (FAILED if failed else 0)
    return failed


def _change(data_dir: Path, change: Callable[[Connection], object]) -> None:
    database = Database(settings_of("intake", data_dir=data_dir).database_url)
    with database.transaction() as connection:
        change(connection)
    database.close()


def _victim(connection: Connection) -> str:
    return str(connection.execute(text("SELECT originator_id FROM stored_events")).scalar())


@pytest.mark.parametrize("place", ["the data", "the time", "the hash", "a bracket"])
def test_a_flipped_bit_is_found(stopped: Path, place: str) -> None:
    def flip(connection: Connection) -> None:
        where = {"id": _victim(connection)}
        query = "SELECT state FROM stored_events WHERE originator_id = :id AND originator_version=3"
        state = bytes(connection.execute(text(query), where).scalar_one())
        at = {
            "the data": state.rindex(b'"'),
            "the time": state.index(b'"time":"') + len(b'"time":"2026-01-01T00:00:0'),
            "a bracket": state.index(b"{"),
            "the hash": state.rindex(b'"hash":"') + len(b'"hash":"') + 5,
        }[place]
        at -= 1 if place == "the data" else 0
        changed = bytearray(state)
        changed[at] ^= 1
        connection.execute(
            text(
                "UPDATE stored_events SET state = :state"
                " WHERE originator_id = :id AND originator_version = 3"
            ),
            {**where, "state": bytes(changed)},
        )

    _change(stopped, flip)
    failed = _verify(stopped)
    assert "I8" in failed, failed
    assert ":3" in failed["I8"][0] or ":4" in failed["I8"][0]


@pytest.mark.parametrize("sequence", [1, 4, CHANGES + 1])
def test_a_deleted_event_is_found(stopped: Path, sequence: int) -> None:
    def delete(connection: Connection) -> None:
        query = "DELETE FROM stored_events WHERE originator_id = :id AND originator_version = :n"
        connection.execute(text(query), {"id": _victim(connection), "n": sequence})

    _change(stopped, delete)
    # At the end of a stream nothing follows that would show the hole: there the books do.
    assert _verify(stopped).keys() & {"I1", "I3", "I8"}


def test_two_events_that_changed_places_are_found(stopped: Path) -> None:
    def swap(connection: Connection) -> None:
        victim = _victim(connection)
        query = (
            "UPDATE stored_events SET originator_version = :after"
            " WHERE originator_id = :id AND originator_version = :before"
        )
        for before, after in ((3, 1000), (4, 3), (1000, 4)):
            where = {"id": victim, "before": before, "after": after}
            connection.execute(text(query), where)

    _change(stopped, swap)
    assert "I8" in _verify(stopped)


def test_an_event_that_was_inserted_past_us_is_found(stopped: Path) -> None:
    def insert(connection: Connection) -> None:
        query = (
            "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
            " SELECT originator_id, originator_version + 1, topic, state FROM stored_events"
            " WHERE originator_id = :id ORDER BY originator_version DESC LIMIT 1"
        )
        connection.execute(text(query), {"id": _victim(connection)})

    _change(stopped, insert)
    failed = _verify(stopped)
    assert {"I1", "I8"} <= failed.keys(), failed


def test_a_ticket_that_was_taken_away_whole_is_found(stopped: Path) -> None:
    def delete(connection: Connection) -> None:
        query = "DELETE FROM stored_events WHERE originator_id = :id"
        connection.execute(text(query), {"id": _victim(connection)})

    _change(stopped, delete)
    failed = _verify(stopped)
    assert {"I1", "I11"} <= failed.keys(), failed


def test_an_answer_that_was_changed_in_the_command_log_is_found(stopped: Path) -> None:
    def forget(connection: Connection) -> None:
        connection.execute(
            text("DELETE FROM command_log WHERE sequence = 2 AND ticket_id = :id"),
            {"id": _victim(connection)},
        )

    _change(stopped, forget)
    assert "I1" in _verify(stopped)

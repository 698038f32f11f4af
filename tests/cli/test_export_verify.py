"""Damage to an export is found; and the command, with everything that can go wrong with it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.export.checkpoint import Checkpoint
from cli.export.layout import MANIFEST, parts_in
from cli.main import app
from cli.output import FAILED, UNREACHABLE, USAGE, CommandError
from tests.backends.shared import ROOT, Kafka
from tests.cli.exporting import (
    ALL,
    desk_events,
    publish,
    rows_of,
    run,
    verified,
)
from tests.runtime.streams import stream

EVENTS = desk_events()


# -- damage ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export whose broker is gone."""
    from libs.runtime.embedded import EmbeddedBroker

    folder = tmp_path_factory.mktemp("export")
    with EmbeddedBroker(log_file=folder / "broker.log") as broker:
        kafka = Kafka(broker.bootstrap, embedded=True, broker=broker)
        publish(kafka, EVENTS)
        run(kafka, folder / "made")
    return folder / "made"


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-r", whole, tmp_path / "copy"], check=True)
    return tmp_path / "copy"


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_copy_is_checked_without_a_desk(copy: Path) -> None:
    done = CliRunner().invoke(app, ["export", "verify", str(copy), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["ok"], said["events"], said["compared"]) == (True, len(EVENTS), None)


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "tickets", "manifest"])
def test_damage_is_found(copy: Path, damage: str) -> None:
    part = copy / list(parts_in(copy))[3]
    if damage == "flipped":
        _flip(part)
    elif damage == "cut":
        part.write_bytes(part.read_bytes()[:-7])
    elif damage == "gone":
        part.unlink()
    elif damage == "tickets":
        _flip(copy / "tickets.parquet")
    else:
        (copy / MANIFEST).write_text("{")
    done = CliRunner().invoke(app, ["export", "verify", str(copy)])
    assert done.exit_code == FAILED
    assert {
        "flipped": "changed or damaged",
        "cut": "changed or damaged",
        "gone": "is missing",
        "tickets": "tickets.parquet was changed",
        "manifest": "run the export again",
    }[damage] in done.stderr


def test_a_doubled_event_is_found_although_the_manifest_agrees(copy: Path) -> None:
    """A file that is there twice under two names, both in the manifest."""
    path = copy / MANIFEST
    manifest = json.loads(path.read_text())
    entry = manifest["files"][0]
    twin = entry["path"].replace("part-000001", "part-000002")
    (copy / twin).write_bytes((copy / entry["path"]).read_bytes())
    manifest["files"].append({**entry, "path": twin})
    manifest["topics"][entry["topic"]]["exported"] += entry["rows"]
    manifest["topics"][entry["topic"]]["events"] += entry["rows"]
    path.write_text(json.dumps(manifest))
    problems = verified(copy).problems
    assert f"{entry['rows']} events are there more than once" in problems


def test_a_forged_manifest_does_not_pass_beside_the_topics(
    embedded_kafka: Kafka, tmp_path: Path
) -> None:
    publish(embedded_kafka, EVENTS[:80])
    run(embedded_kafka, tmp_path)
    path = tmp_path / MANIFEST
    manifest = json.loads(path.read_text())
    (gone, *rest) = manifest["files"]
    (tmp_path / gone["path"]).unlink()
    manifest["files"] = rest
    manifest["topics"][gone["topic"]]["exported"] -= gone["rows"]
    manifest["topics"][gone["topic"]]["events"] -= gone["rows"]
    path.write_text(json.dumps(manifest))
    problems = verified(tmp_path, embedded_kafka).problems
    assert (
        f"{gone['topic']}: the events of {gone['day']} differ from those on the topic" in problems
    )


def test_an_export_whose_file_is_gone_is_not_gone_on_with(copy: Path) -> None:
    (copy / next(parts_in(copy))).unlink()
    with pytest.raises(CommandError, match="is gone or was changed"):
        Checkpoint(copy, ALL)


def test_files_without_their_progress_are_not_touched(copy: Path) -> None:
    subprocess.run(["rm", "-r", copy / ".progress"], check=True)
    before = list(parts_in(copy))
    with pytest.raises(CommandError, match="export into another directory"):
        Checkpoint(copy, ALL)
    assert list(parts_in(copy)) == before


# -- the command -----------------------------------------------------------------------------------


def test_the_command(
    embedded_kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(embedded_kafka, EVENTS)
    monkeypatch.setenv("BITACORA_KAFKA_BOOTSTRAP_SERVERS", embedded_kafka.bootstrap)
    arguments = ["export", "parquet", "--data-dir", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["new_events"] == len(EVENTS)
    assert sum(topic["exported"] for topic in said["topics"].values()) == len(EVENTS)
    folder = tmp_path / "export"
    assert said["folder"] == str(folder)
    assert said["tickets"] == len(rows_of(folder / "tickets.parquet"))
    publish(embedded_kafka, [stream("00000000-0000-4000-8000-000000000001", 2)[1]])
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == FAILED
    assert "1 events are held back" in shown.stderr
    checked = CliRunner().invoke(app, ["export", "verify", str(folder), "--topics"])
    assert checked.exit_code == FAILED
    assert "NOT whole" in checked.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["parquet", "--topic", "tickets.evnets"],
        ["parquet", "--topic", "tickets.commands"],
        ["parquet", "--topic", "agents.commands"],
        ["parquet", "--first-day", "yesterday"],
        ["parquet", "--first-day", "2026-03-09", "--last-day", "2026-03-02"],
        ["verify", "nothing-here"],
    ],
)
def test_wrong_usage(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["export", *arguments])
    assert done.exit_code == USAGE
    assert done.stderr.startswith("error: ")


def test_kafka_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    done = CliRunner().invoke(app, ["export", "parquet", "--to", str(tmp_path / "x")])
    assert done.exit_code == UNREACHABLE
    assert "bitacora up" in done.stderr


def test_a_full_disk_is_told_and_the_next_run_goes_on(
    embedded_kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(embedded_kafka, EVENTS)
    monkeypatch.setenv("BITACORA_KAFKA_BOOTSTRAP_SERVERS", embedded_kafka.bootstrap)
    folder = tmp_path / "export"
    command = [sys.executable, "-m", "cli.main", "export", "parquet", "--to", str(folder)]

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    done = subprocess.run(
        command, cwd=ROOT, preexec_fn=no_room, capture_output=True, text=True, check=False
    )
    assert done.returncode == FAILED, done.stderr
    assert f"cannot write to {folder}" in done.stderr
    assert not list(parts_in(folder))
    assert run(embedded_kafka, folder).new_events == len(EVENTS)
    assert verified(folder, embedded_kafka).problems == []

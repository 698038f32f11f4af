"""`bitacora routing simulate`: files, the log, what is told, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.output import FAILED, OK, UNREACHABLE, USAGE
from cli.routing.arrivals import Recorded, read_file, write_file
from cli.routing.chance import drawn_answers, handling_s
from cli.routing.simulate import StrategyName, WayName
from libs.events import Event, Status
from libs.events.agent import AgentRegistered, PresenceChanged
from libs.events.ticket import Assigned, StatusChanged, Unassigned
from libs.runtime.localserver import free_port
from services.routing.domain.rules import Strategy
from services.routing.domain.simulation import Policy
from tests.routing.house import START, created, envelope

Simulate = Callable[..., Result]

ARRIVALS = """\
{"id": "a", "at": "2026-03-02T09:00:00Z", "category": "vpn", "handle_s": 600}

{"id": "b", "at": "2026-03-02T10:01:00+01:00", "category": "vpn", "priority": "high"}
{"id": "c", "at": "2026-03-03T09:00:00Z", "tags": ["vip"], "custom_fields": {"site": "north"}}
"""
STAFF = """\
agents:
  - {id: ana, name: Ana, capacity: 1, skills: [{name: vpn, level: 5}]}
"""
TWO = STAFF + "  - {id: bo, name: Bo, capacity: 1, skills: [{name: vpn, level: 2}]}\n"


@pytest.fixture
def run(tmp_path: Path) -> Simulate:
    for name, text in (("day.jsonl", ARRIVALS), ("staff.yaml", STAFF), ("two.yaml", TWO)):
        (tmp_path / name).write_text(text, "utf-8")

    def run(*arguments: str) -> Result:
        named = [
            str(tmp_path / one) if one.endswith((".jsonl", ".yaml")) else one for one in arguments
        ]
        line = ["routing", "simulate", *named, "--data-dir", str(tmp_path / "data")]
        return CliRunner().invoke(app, line)

    return run


BOTH = ("--events", "day.jsonl", "--agents", "staff.yaml")


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == OK, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_day_with_one_agent_and_with_two(run: Simulate) -> None:
    found = told(run(*BOTH, "--baseline-agents", "two.yaml", "--day", "2026-03-02", "--json"))
    assert found["from"] == "2026-03-02T00:00:00Z"
    assert (found["tickets"], found["handling_times_known"]) == (2, 1)
    alone, both = found["variants"]["defaults"], found["variants"]["baseline"]
    assert alone["waits"]["max_s"] == 540
    assert both["waits"]["max_s"] == 0
    assert both["agents"]["bo"]["given"] == 1
    assert set(alone["priorities"]) == {"high", "medium"}


def test_every_way_side_by_side_in_words(run: Simulate) -> None:
    ways = ("--beside", "greedy_idle", "--beside", "round_robin", "--strategy", "longest_idle")
    result = run(*BOTH, *ways, "--baseline-strategy", "least_flexible")
    assert result.exit_code == OK, result.output
    head = next(line for line in result.stdout.splitlines() if "defaults" in line).split()
    assert head == ["defaults", "baseline", "greedy_idle", "round_robin"]
    assert "utilization" in result.stdout
    assert "3 tickets from 2026-03-02 00:00 to 2026-03-04 00:00" in result.stderr


def test_names_of_options_are_those_of_the_domain() -> None:
    assert {name.value for name in StrategyName} == set(get_args(Strategy))
    assert {name.value for name in WayName} == set(get_args(Policy)) - {"floor"}


def test_rules_are_read_and_the_zone_counts(run: Simulate, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("queues: [{name: all, mode: offer}]\n", "utf-8")
    found = told(
        run(*BOTH, "--rules", "rules.yaml", "--zone", "Europe/Madrid", "--answer", "5", "--json")
    )
    assert found["from"] == "2026-03-01T23:00:00Z"
    rules = found["variants"]["rules"]
    assert (rules["offers"], rules["waits"]["p50_s"]) == (3, 5)
    assert list(rules["queues"]) == ["all"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), USAGE, "give one of --events FILE and --from-log"),
        (("--events", "day.jsonl"), USAGE, "name a roster"),
        ((*BOTH, "--day", "2026-03-02", "--to", "2026-03-03"), USAGE, "give --day, or"),
        ((*BOTH, "--from", "2026-03-03", "--to", "2026-03-02"), USAGE, "must be before"),
        ((*BOTH, "--day", "9999-12-31"), USAGE, "within the calendar"),
        ((*BOTH, "--from", "0001-01-01", "--zone", "Asia/Tokyo"), USAGE, "within the calendar"),
        ((*BOTH, "--zone", "Mars/North"), USAGE, "name one such as Europe/Madrid"),
        ((*BOTH, "--declined", "0.7", "--missed", "0.7"), USAGE, "more than 1"),
        ((*BOTH, "--day", "2026-04-01"), FAILED, "no ticket came between"),
        ((*BOTH, "--rules", "no-such.yaml"), USAGE, "No such file"),
        (("--events", "staff.yaml", "--agents", "staff.yaml"), USAGE, "line 1:"),
        (("--events", "day.jsonl", "--agents", "day.jsonl"), USAGE, "day.jsonl"),
    ],
)
def test_what_is_wrong_is_said(
    run: Simulate, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr


def test_every_wrong_line_is_named(run: Simulate, tmp_path: Path) -> None:
    lines = [
        '{"id": "a", "at": "2026-03-02T09:00:00Z"}',
        '{"id": "a", "at": "2026-03-02T09:00:00Z"}',
        '{"id": "b", "at": "2026-03-02T09:00:00", "handle_s": -1}',
        '{"id": "c", "at": "2026-03-02T09:00:00Z", "prio": "high"}',
        '{"id": "d", "at": "9999-12-31T23:59:59-12:00"}',
        '{"id": "e", "at": "0001-01-01T00:00:00Z"}',
        '{"id": "f", "at": 1772442000}',
    ]
    (tmp_path / "bad.jsonl").write_text("\n".join(lines), "utf-8")
    result = run("--events", "bad.jsonl", "--agents", "staff.yaml")
    assert result.exit_code == USAGE
    for expected in (
        *("line 2: id: 'a'", "line 3: at:", "line 3: handle_s:", "line 4: prio:"),
        *("line 5: at:", "line 6: at:", "line 7: at:"),
    ):
        assert expected in result.stderr


def test_what_is_saved_is_read_again(run: Simulate, tmp_path: Path) -> None:
    before = read_file(tmp_path / "day.jsonl")
    write_file(tmp_path / "saved.jsonl", before)
    after = read_file(tmp_path / "saved.jsonl")
    facts = [(one.at, one.handle_s, one.work.tags, one.work.custom_fields) for one in before]
    assert facts == [(one.at, one.handle_s, one.work.tags, one.work.custom_fields) for one in after]
    saved = told(run(*BOTH, "--day", "2026-03-03", "--save", "again.jsonl", "--json"))
    assert saved["tickets"] == 1
    assert [one.work.id for one in read_file(tmp_path / "again.jsonl")] == ["c"]


def test_no_kafka_is_said(run: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    result = run("--from-log")
    assert result.exit_code == UNREACHABLE, result.output
    assert "start the system" in result.stderr


def test_the_log_tells_how_long_the_solver_was_at_it() -> None:
    recorded = Recorded()
    open_ = StatusChanged(status=Status.OPEN, previous=Status.NEW)
    pending = StatusChanged(status=Status.PENDING, previous=Status.OPEN)
    again = StatusChanged(status=Status.OPEN, previous=Status.PENDING)
    solved = StatusChanged(status=Status.SOLVED, previous=Status.OPEN)
    story: list[tuple[int, Event]] = [
        (0, created(1, category="vpn")),
        (5, Assigned(agent="bo")),
        (6, open_),
        (9, Unassigned(previous_agent="bo")),
        (10, Assigned(agent="ana")),
        (20, pending),
        (50, again),
        (53, solved),
    ]
    for sequence, (minute, event) in enumerate(story, start=1):
        one = envelope("t1", sequence, event, START + timedelta(minutes=minute))
        recorded.take(one)
        recorded.take(one)  # a second delivery changes nothing
    recorded.take(envelope("t2", 1, created(2), START + timedelta(minutes=1)))
    first, second = recorded.arrivals()
    assert (first.at, first.handle_s, first.work.category) == (START, 13 * 60, "vpn")
    assert first.work.agent is None
    assert (second.work.id, second.handle_s) == ("t2", None)


def test_the_log_tells_who_was_there_when() -> None:
    recorded = Recorded()
    for sequence, (minute, event) in enumerate(
        [
            (0, AgentRegistered(name="Ana", capacity=2)),
            (5, PresenceChanged(presence="online", previous="offline")),
        ],
        start=1,
    ):
        recorded.take(envelope("agent:ana", sequence, event, START + timedelta(minutes=minute)))
    assert recorded.agents_at(START - timedelta(minutes=1)) == []
    (at_first,) = recorded.agents_at(START)
    assert (at_first.id, at_first.capacity, at_first.presence) == ("ana", 2, "offline")
    ((when, later),) = recorded.changes(START, START + timedelta(hours=1))
    assert (when, later.presence) == (START + timedelta(minutes=5), "online")


def test_what_is_drawn_depends_on_the_seed_and_the_ticket_alone() -> None:
    drawn = [handling_s(f"t{n}", 600, 0.5, seed=7) for n in range(2_000)]
    assert drawn == [handling_s(f"t{n}", 600, 0.5, seed=7) for n in range(2_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(600, rel=0.05)
    answers = drawn_answers(7, declined=0.2, missed=0.1)
    said = [answers(f"t{n}", "ana", 0).said for n in range(2_000)]
    assert said.count("declined") / 2_000 == pytest.approx(0.2, abs=0.04)
    assert said.count("missed") / 2_000 == pytest.approx(0.1, abs=0.03)

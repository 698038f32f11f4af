"""The simulated desk: its plan, its people, and a short run of the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta
from itertools import islice, pairwise, takewhile
from random import Random

import pytest

from cli.demo.people import STAFF, ZONE
from cli.demo.plan import Script, per_hour, requests
from cli.demo.requesters import request_of
from cli.demo.run import BEGIN
from cli.demo.settle import Open
from cli.demo.summary import Summary
from cli.demo.texts import CATEGORIES, LANGUAGES, REQUESTS
from services.intake.bodies import NewTicket

PLANNED = 300


def planned(seed: int) -> list[Script]:
    return list(islice(requests(Random(seed), BEGIN), PLANNED))


def test_one_seed_plans_one_day_and_another_another() -> None:
    assert planned(3) == planned(3)
    assert planned(3) != planned(4)


def test_the_plan_follows_the_day() -> None:
    week = BEGIN + timedelta(days=7)
    scripts = list(takewhile(lambda s: s.at < week, requests(Random(1), BEGIN)))
    assert [s.at for s in scripts] == sorted(s.at for s in scripts)
    local = [s.at.astimezone(ZONE) for s in scripts]
    mornings = sum(1 for at in local if at.hour in (9, 10) and at.weekday() < 5)
    nights = sum(1 for at in local if at.hour in (1, 2) and at.weekday() < 5)
    assert mornings > 10 * nights
    sunday = datetime(2026, 3, 8, 10, tzinfo=ZONE)
    assert per_hour(sunday) < per_hour(sunday - timedelta(days=3)) / 2


def test_every_language_channel_and_course_turns_up() -> None:
    scripts = planned(1)
    assert {s.language for s in scripts} == set(LANGUAGES)
    assert len({s.channel for s in scripts}) == 7
    assert {step.kind for s in scripts for step in s.steps} == {
        "ask",
        "solve",
        "escalate",
        "recategorize",
        "hold",
    }
    assert all(s.step(99).kind == "solve" for s in scripts)


def test_texts_are_filled_in() -> None:
    assert all("{" not in s.subject + s.description for s in planned(2))
    for language in LANGUAGES:
        assert set(REQUESTS[language]) == set(CATEGORIES)


def test_intake_takes_what_requesters_send() -> None:
    for script in planned(5):
        NewTicket.model_validate(request_of(script))


@pytest.mark.parametrize("tier", [1, 2])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("category", CATEGORIES)
def test_there_is_somebody_for_every_kind_of_ticket(
    tier: int, language: str, category: str
) -> None:
    able = [
        a for a in STAFF if tier in a.tiers and language in a.languages and category in a.skills
    ]
    assert len(able) >= 2


def test_shifts_come_in_order_and_leave_the_weekend_to_those_who_work_it() -> None:
    friday = datetime(2026, 3, 6, 15, tzinfo=ZONE)
    for agent in STAFF:
        shifts = list(islice(agent.shifts(friday), 3))
        assert all(s.start < s.lunch < s.end for s in shifts)
        assert all(a.end < b.start for a, b in pairwise(shifts))
        weekdays = [s.start.weekday() for s in shifts]
        assert weekdays == ([4, 5, 6] if agent.weekend else [4, 0, 1])


def test_a_run_in_which_nothing_happened_or_not_all_ended_has_problems() -> None:
    summary = Summary(1, 720.0, "", "", unsettled=str(Open({"intake-events": 3}, {}, 0)))
    summary.judge()
    assert not summary.ok
    assert "nothing happened: created is 0" in summary.problems
    assert "still under way: 3 behind the relay of intake-events" in summary.problems


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_short_run_of_the_whole() -> None:
    command = [sys.executable, "-m", "cli.main", "demo", "--json", "--minutes-of-wall", "0.35"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    summary = json.loads(done.stdout)
    assert summary["ok"]
    assert summary["problems"] == []
    assert summary["invariants"] == dict.fromkeys(
        ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I11"), "ok"
    )
    for name in ("created", "assigned", "first_replies", "solved", "warnings", "breaches"):
        assert summary[name] > 0, name
    assert set(summary["languages"]) == set(LANGUAGES)
    assert sum(summary["tickets"].values()) == summary["created"] == summary["acknowledged"]
    assert summary["ledger"]["ticketed"] == summary["created"]
    assert summary["http"]["unexpected_total"] == 0
    assert "files and logs are kept" not in done.stderr

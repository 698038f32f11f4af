"""`bitacora sla what-if`: beside a count by hand, on small histories and on the imported log."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from bench.equality.plain.attainment import attainment
from cli.main import app
from cli.output import FAILED, OK, UNREACHABLE, USAGE
from cli.sla.tally import WhatIf, rows_of
from libs.events import format_time
from libs.runtime.localserver import free_port
from libs.worktime.instants import FIRST_US, SECOND_US, to_us
from services.sla.defaults import CALENDARS
from services.sla.domain.book import Book
from services.sla.domain.clocks import breached
from services.sla.domain.policy import PolicySet
from tests.cli.importing import SAMPLE
from tests.sla.desk import Case, Stream, at, book_of, created, policy, reply, status
from tests.sla.test_incident_log import DESK, POLICY, WHOLE, events_of
from tests.sla.test_standing import EVENTS

Ask = Callable[..., Result]


def policies(target_s: int, **more: Any) -> dict[str, Any]:
    target = {"target_s": target_s, "calendar": "always"}
    every = {name: dict(target) for name in ("low", "medium", "high", "critical")}
    return {"policies": [policy(targets={"first_reply": every}, **more)]}


def lines_of(streams: Iterable[Stream]) -> str:
    return "".join(
        json.dumps(
            {
                "ticket_id": one.stream_id,
                "sequence": one.sequence,
                "type": one.type,
                "time": format_time(one.time),
                "actor": one.actor,
                "data": json.loads(one.data),
            }
        )
        + "\n"
        for stream in streams
        for one in stream.envelopes
    )


def desk() -> list[Stream]:
    """Replies after 10 and 50 minutes, one ticket without a reply."""
    streams = [Stream("one"), Stream("two"), Stream("three")]
    for number, stream in enumerate(streams, start=1):
        stream.add("10:00", created(number=number, priority="high" if number == 1 else "low"))
    streams[0].add("10:10", reply(), "agent:7")
    streams[1].add("10:50", reply(), "agent:7")
    streams[2].add("10:55", status("open", "new"))
    return streams


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Runs the command on the small desk's history, an hour against half an hour."""
    (tmp_path / "events.jsonl").write_text(lines_of(desk()), "utf-8")
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(policies(3600)), "utf-8")
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(policies(1800)["policies"]), "utf-8")

    def run(*more: str, **other: str) -> Result:
        files = {"policy": "new.yaml", "against": "old.yaml", "events": "events.jsonl"} | other
        line = [part for name, file in files.items() for part in (f"--{name}", tmp_path / file)]
        return CliRunner().invoke(app, ["sla", "what-if", *map(str, line), *more])

    return run


def test_old_and_new_side_by_side(ask: Ask) -> None:
    shown = ask("--json")
    assert shown.exit_code == OK, shown.output
    found = json.loads(shown.stdout)
    whole = next(row for row in found["attainment"] if row["priority"] == "all")
    assert whole["old"] == {"kept": 2, "running": 1, "attainment": 1.0}
    assert whole["new"] == {"kept": 1, "missed": 2, "attainment": 1 / 3}
    assert [(one["number"], one["old"], one["new"]) for one in found["changes"]] == [
        (2, "kept", "missed"),
        (3, "running", "missed"),
    ]
    assert found["changes"][0]["new_breached_at"] == "2026-06-01T10:30:00Z"
    assert (found["tickets"], found["events"], found["as_of"]) == (3, 6, "2026-06-01T10:55:00Z")


def test_for_people(ask: Ask) -> None:
    shown = ask("--limit", "1")
    assert shown.exit_code == OK, shown.output
    assert "100.0%" in shown.stdout
    assert "33.3%" in shown.stdout
    assert "-66.7" in shown.stdout
    assert "kept → missed" in shown.stdout
    assert "running → missed" not in shown.stdout
    assert "2 clocks have another verdict (1 more" in shown.stderr


def test_the_same_history_gives_the_same_answer_in_any_order_of_tickets(
    ask: Ask, tmp_path: Path
) -> None:
    first = ask("--json").stdout
    lines = (tmp_path / "events.jsonl").read_text("utf-8").splitlines()
    moved = [*lines[4:], *lines[2:4], *lines[:2], *lines[:2]]  # and some of it twice
    with gzip.open(tmp_path / "events.jsonl", "wt") as file:
        file.write("\n".join(moved))
    assert ask("--json").stdout == first


def test_only_the_clocks_of_a_time(ask: Ask) -> None:
    assert json.loads(ask("--json", "--from", "2026-06-02").stdout)["attainment"] == []
    assert json.loads(ask("--json", "--to", "2026-06-01T12:00:00+02:00").stdout)["changed"] == 0
    assert json.loads(ask("--json", "--to", "2026-06-01T10:00:01Z").stdout)["changed"] == 2


def test_clocks_that_run_are_judged_as_of_a_time_that_is_said(ask: Ask) -> None:
    found = json.loads(ask("--json").stdout)
    assert found["as_of_is"] == "the last event"
    late = json.loads(ask("--json", "--as-of", "2026-06-01T11:00:00Z").stdout)
    assert (late["as_of"], late["as_of_is"]) == ("2026-06-01T11:00:00Z", "as asked")
    assert late["last_event"] == found["last_event"] == "2026-06-01T10:55:00Z"
    third = [one for one in late["changes"] if one["number"] == 3]
    assert third == []  # an hour is over as well: missed by both
    assert late["attainment"][-1]["old"] == {"kept": 2, "missed": 1, "attainment": 2 / 3}
    assert "2026-06-01T11:00:00Z (as asked)" in ask("--as-of", "2026-06-01T11:00:00Z").stderr
    early = ask("--as-of", "2026-06-01T10:54:00Z")
    assert (early.exit_code, "2026-06-01T10:55:00Z" in early.stderr) == (USAGE, True)


def test_a_time_that_ends_before_it_begins_is_refused(ask: Ask) -> None:
    shown = ask("--from", "2026-06-02", "--to", "2026-06-01")
    assert (shown.exit_code, "--from 2026-06-02 is later" in shown.stderr) == (USAGE, True)
    assert ask("--from", "2026-06-02", "--to", "2026-06-02").exit_code == OK


@pytest.mark.parametrize("year", [1996, 2026, 2066])
def test_holidays_of_countries_are_those_of_the_history_s_years(
    ask: Ask, tmp_path: Path, year: int
) -> None:
    stream = Stream("holiday")
    when = at("10:00").replace(year=year, month=12, day=25)
    stream.add(when, created(number=1))
    stream.add(when + timedelta(hours=2), reply(), "agent:7")
    (tmp_path / "events.jsonl").write_text(lines_of([stream]), "utf-8")
    week = {day: [["00:00", "24:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    desk_ = {"id": "desk", "zone": "UTC", "hours": week, "holiday_countries": [{"country": "US"}]}
    (tmp_path / "desk.yaml").write_text(yaml.safe_dump(desk_), "utf-8")
    (tmp_path / "new.yaml").write_text(
        yaml.safe_dump(policies(1800)).replace("always", "desk"), "utf-8"
    )
    shown = ask("--json", "--calendar", str(tmp_path / "desk.yaml"))
    assert shown.exit_code == OK, shown.output
    assert [(one["old"], one["new"]) for one in json.loads(shown.stdout)["changes"]] == [
        ("missed", "kept")
    ]


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("new.yaml", "policies: [{id: p, targets: {speed: {}}}]", "'speed' cannot be timed"),
        ("new.yaml", "policies: [{targets: {}}]", "policies.0.id: Field required"),
        ("new.yaml", "a: [", "line 1"),
        ("events.jsonl", "{}\n", "line 1: 'ticket_id' is missing"),
        ("events.jsonl", "x\n", "line 1"),
        ("calendar.yaml", "id: c\nzone: Europe/Madird\nhours: null", "Europe/Madrid"),
    ],
)
def test_a_bad_file_is_named_with_the_place(
    ask: Ask, tmp_path: Path, file: str, text: str, told: str
) -> None:
    (tmp_path / file).write_text(text, "utf-8")
    more = ("--calendar", str(tmp_path / file)) if file == "calendar.yaml" else ()
    shown = ask(*more)
    assert (shown.exit_code, f"{tmp_path / file}: " in shown.stderr) == (USAGE, True)
    assert told in shown.stderr


def test_wrong_usage(ask: Ask) -> None:
    assert ask("--from", "yesterday").exit_code == USAGE
    assert ask(events="none.jsonl").exit_code == USAGE
    assert "none.jsonl" in ask(policy="none.jsonl").stderr


def test_an_unknown_calendar_says_what_to_do(ask: Ask, tmp_path: Path) -> None:
    written = yaml.safe_dump(policies(1800)).replace("always", "desk")
    (tmp_path / "new.yaml").write_text(written, "utf-8")
    shown = ask()
    assert (shown.exit_code, "no calendar 'desk'" in shown.stderr) == (USAGE, True)
    assert "--calendar" in shown.stderr
    (tmp_path / "desk.yaml").write_text("id: desk\nzone: UTC\nhours: {mon: [[09:00, 11:00]]}")
    assert ask("--calendar", str(tmp_path / "desk.yaml")).exit_code == OK


def test_a_gap_in_a_ticket_is_refused(ask: Ask, tmp_path: Path) -> None:
    lines = (tmp_path / "events.jsonl").read_text("utf-8").splitlines()
    gap = lines[1].replace('"sequence": 2', '"sequence": 3')
    (tmp_path / "events.jsonl").write_text("\n".join([lines[0], gap]), "utf-8")
    shown = ask()
    assert (shown.exit_code, "event 3 comes after event 1" in shown.stderr) == (FAILED, True)


def test_nothing_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_SLA_HTTP_PORT", str(free_port()))
    line = ["sla", "what-if", "--policy", "p.yaml", "--data-dir", str(tmp_path)]
    assert CliRunner().invoke(app, line).exit_code == UNREACHABLE


# ---- beside a count by hand --------------------------------------------------------------------

OLD = book_of(policy(id="a"))
NEW = book_of(
    policy(
        id="b",
        targets={
            "first_reply": {"high": {"target_s": 20_000, "calendar": "business"}},
            "next_reply": {"high": {"target_s": 900, "calendar": "always"}},
            "requester_wait": {
                "low": {"target_s": 9_000, "calendar": "business"},
                "high": {"target_s": 3_600, "calendar": "always"},
                "critical": {"target_s": 30_000, "calendar": "always"},
            },
        },
    )
)
histories = st.lists(
    st.lists(st.tuples(st.integers(0, 30_000), st.sampled_from(EVENTS)), max_size=8),
    min_size=1,
    max_size=6,
)


def by_hand(streams: list[Stream], book: Book, end_us: int) -> Counter[tuple[str, str]]:
    """(metric, verdict), each ticket from its first event to its last in one go."""
    found: Counter[tuple[str, str]] = Counter()
    for stream in streams:
        case, past = Case(book), []
        for one in stream.envelopes:
            case.at_us(to_us(one.time), one.event, one.actor)
            past += [fact.past for fact in case.facts if fact.past is not None]
        assert case.ticket is not None
        case.until_us(end_us)
        for clock in (*past, *case.ticket.clocks):
            verdict = {"satisfied": "kept", "paused": "running"}.get(clock.state, clock.state)
            found[clock.metric, "missed" if breached(clock) else verdict] += 1
    return found


@settings(max_examples=60, deadline=None)
@given(histories, st.randoms(use_true_random=False), st.integers(1, 4))
def test_any_history_is_counted_as_by_hand_however_little_is_held_in_memory(
    drawn: list[list[tuple[int, Any]]], random: Any, open_max: int
) -> None:
    streams = []
    for number, steps in enumerate(drawn, start=1):
        stream = Stream(f"ticket {number}")
        stream.add("05:00", created(number=number, priority="high"))
        when = at("05:00")
        for gap_s, event in steps:
            when += timedelta(seconds=gap_s)
            stream.add(when, event)
        streams.append(stream)
    made = WhatIf(OLD, NEW, open_max=open_max)
    waiting = [list(stream.envelopes) for stream in streams]
    while waiting := [stream for stream in waiting if stream]:
        made.apply(random.choice(waiting).pop(0))
    list(made.changes())
    for book, cells in ((OLD, made.old), (NEW, made.new)):
        counted: Counter[tuple[str, str]] = Counter()
        for (metric, _), cell in cells.items():
            for verdict, count in cell.counts.items():
                counted[metric, verdict] += count
        assert counted == by_hand(streams, book, made.end_us)
    for metric, priority_, *cells_of in rows_of(made):
        assert metric
        assert priority_
        assert len(cells_of) == 2


# ---- beside pandas, on the imported log ----------------------------------------------------------


def check_log(path: Path, incidents: int | None) -> Counter[str]:
    """The stated policy against none at all: every clock changes its verdict, and is the one that the
    independent script finds."""
    stated = book_of(POLICY, calendars=(*CALENDARS, DESK))
    none = Book((PolicySet(1, FIRST_US, ()),), stated.calendars)
    made = WhatIf(none, stated)
    for _, events in islice(groupby(events_of(path), key=lambda one: one.stream_id), incidents):
        made.apply(*events)
    expected = attainment(path)
    verdicts: Counter[str] = Counter()
    for one in made.changes():
        verdicts[one.new] += 1
        missed, breach_s = expected[one.name, one.metric, one.activation][:2]
        if one.new == "running":
            continue  # its time ends with its last event; the script goes on to the end of the log
        assert missed == (one.new == "missed"), one
        assert breach_s == (None if one.new_breach_us is None else one.new_breach_us // SECOND_US)
    assert made.tickets == incidents or incidents is None
    return verdicts


def test_the_sample_of_the_log_is_counted_as_pandas_does() -> None:
    verdicts = check_log(SAMPLE, None)
    assert verdicts["kept"] > 0
    assert verdicts["missed"] > 0


@pytest.mark.slow
@pytest.mark.skipif(not WHOLE.exists(), reason="the whole log is not here: set BITACORA_TEST_DATA")
def test_a_slice_of_the_log_is_counted_as_pandas_does() -> None:
    verdicts = check_log(WHOLE, 2_000)
    assert verdicts.total() > 6_000

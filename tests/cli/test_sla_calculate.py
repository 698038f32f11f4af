"""`bitacora sla calculate`: lines in, lines out, in order, as they come."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.output import FAILED, OK
from cli.sla.calculate import LINE_MAX_BYTES
from libs.runtime.clock import monotonic_s

run = CliRunner().invoke
EXAMPLES = Path(__file__).parents[1] / "sla" / "worked_examples.jsonl"


def line(name: int) -> str:
    start, end = "2026-06-01T07:00:00Z", f"2026-06-01T07:00:{name % 60:02}Z"
    return json.dumps({"id": name, "kind": "elapsed", "hours": None, "start": start, "end": end})


def test_answers_come_in_the_order_of_the_questions() -> None:
    examples = [json.loads(text) for text in EXAMPLES.read_text("utf-8").splitlines()]
    asked = "".join(json.dumps(example["question"]) + "\n" for example in examples)
    shown = run(app, ["sla", "calculate"], input=asked)
    assert shown.exit_code == OK, shown.output
    assert [json.loads(text) for text in shown.stdout.splitlines()] == [
        example["answer"] for example in examples
    ]
    assert shown.stderr == ""


def test_a_bad_line_is_told_and_the_others_are_answered() -> None:
    shown = run(app, ["sla", "calculate"], input=f"{line(1)}\nnonsense\n\n{line(2)}")
    assert shown.exit_code == FAILED
    answers = [json.loads(text) for text in shown.stdout.splitlines()]
    assert answers[0] == {"id": 1, "elapsed_s": 1}
    assert (answers[1]["id"], list(answers[1])) == (None, ["id", "error"])
    assert answers[2:] == [{"id": 2, "elapsed_s": 2}]
    assert "1 of 3 lines" in shown.stderr


def test_nothing_asked_is_nothing_answered() -> None:
    shown = run(app, ["sla", "calculate"], input="")
    assert (shown.exit_code, shown.stdout) == (OK, "")


def test_lines_longer_than_what_is_read_at_once() -> None:
    padded = line(7).replace("{", "{" + " " * 200_000, 1)
    shown = run(app, ["sla", "calculate"], input=f"{padded}\n{line(8)}\n{padded}")
    assert [json.loads(text)["id"] for text in shown.stdout.splitlines()] == [7, 8, 7]


@pytest.mark.parametrize("over", [1, 60_000_000])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_line_without_an_end_in_sight_is_told_and_not_held(over: int, end: str) -> None:
    exact = line(7).replace("{", "{" + " " * (LINE_MAX_BYTES - len(line(7))), 1)
    asked = f"{line(1)}\n{exact}\n{exact}{' ' * over}\n\n{line(2)}\n{exact}{' ' * over}{end}"
    started = monotonic_s()
    shown = run(app, ["sla", "calculate"], input=asked)
    assert monotonic_s() - started < 20
    answers = [json.loads(text) for text in shown.stdout.splitlines()]
    assert [one["id"] for one in answers] == [1, 7, None, 2, None]
    assert all("1000000 bytes" in one["error"] for one in answers if one["id"] is None)
    assert "2 of 5 lines" in shown.stderr


@pytest.mark.parametrize("more", ["", "\n", f"\n{line(2)}\n"])
def test_a_byte_order_mark_is_skipped_on_the_first_line_only(more: str) -> None:
    assert run(app, ["sla", "calculate"], input=f"\ufeff{line(1)}{more}").exit_code == OK
    again = run(app, ["sla", "calculate"], input=f"\ufeff{line(1)}\n\ufeff{line(2)}")
    assert again.exit_code == FAILED
    assert json.loads(again.stdout.splitlines()[0]) == {"id": 1, "elapsed_s": 1}


def test_good_answers_stay_beside_lines_that_try_to_break_it() -> None:
    deep = '{"id": "deep", "hours": ' + "[" * 100_000
    huge = line(2).replace("elapsed", "due").replace("{", '{"target_s": 1e308, ', 1)
    shown = run(app, ["sla", "calculate"], input="\n".join([line(1), deep, huge, line(3)]))
    answers = [json.loads(text) for text in shown.stdout.splitlines()]
    assert [answers[0], answers[3]] == [{"id": 1, "elapsed_s": 1}, {"id": 3, "elapsed_s": 3}]
    assert (answers[1]["id"], answers[2]["id"]) == ("deep", 2)
    assert "error" in answers[1]
    assert "never used up" in answers[2]["error"]
    assert shown.exit_code == FAILED


def test_each_line_is_answered_before_the_next_is_there() -> None:
    command = [sys.executable, "-m", "cli.main", "sla", "calculate"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in range(3):
            process.stdin.write(line(name).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == {"id": name, "elapsed_s": name}
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == OK


def test_a_reader_that_has_enough_ends_it_quietly() -> None:
    command = [sys.executable, "-m", "cli.main", "sla", "calculate"]
    asked = "".join(line(name) + "\n" for name in range(20_000)).encode()
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(asked[:2000])
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.write(asked)
            process.stdin.close()
        told = process.stderr.read()
    assert b"Traceback" not in told

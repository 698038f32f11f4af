"""`bitacora sla calculate` as a whole command, beside reading and writing the same lines of JSON alone.

Half of the lines ask for a due instant, half for elapsed time, over up to sixty days, in four zones and
with holidays and up to two pauses. Each line carries its calendar, as lines of the calculator do; there
are few different ones, as in a log of real tickets. The limit does nothing but decode each line into
objects and encode them again, with the same library, in this process.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.harness import ROOT, How, Result, now_s, settle, spread, workspace
from services.sla.domain.calculator import answer_line

NAME: Final = "sla_calculate"
WHAT: Final = "questions about business time answered by `bitacora sla calculate`, lines per second"
LINES: Final = 200_000
ROUNDS: Final = 3
ZONES: Final = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
SHIFTS: Final[dict[str, Any]] = {
    "split": [["09:00", "13:00"], ["14:00", "18:00"]],
    "night": [["22:00", "06:00"]],
}
WORKDAYS: Final = ("mon", "tue", "wed", "thu", "fri")
HOLIDAYS: Final = ("2026-01-01", "2026-05-01", "2026-12-25")


async def run(how: How) -> Result:
    count, rounds = (2_000, 1) if how.quick else (LINES, ROUNDS)
    with workspace() as directory:
        asked, long = directory / "asked.jsonl", directory / "long.jsonl"
        asked.write_bytes(b"".join(_line(random.Random(n), n, 60) for n in range(count)))
        long.write_bytes(b"".join(_line(random.Random(n), n, 3650) for n in range(count)))
        rates: dict[str, list[float]] = {"command": [], "json": [], "arithmetic": [], "long": []}
        complete = True
        for number in range(rounds):
            settle()
            rate, answers = await asyncio.to_thread(_command, asked)
            complete = complete and _complete(answers, count)
            rates["command"].append(rate)
            rates["long"].append((await asyncio.to_thread(_command, long))[0])
            lines = asked.read_bytes().splitlines()
            rates["json"].append(_json_alone(lines))
            rates["arithmetic"].append(_in_process(lines))
            now = ", ".join(f"{name} {found[-1]:,.0f}" for name, found in rates.items())
            how.tell(f"round {number + 1} of {rounds}: {now} lines/s")
    medians = {name: spread(found)["median"] for name, found in rates.items()}
    return Result(
        NAME,
        WHAT,
        ours=medians["command"],
        unit="lines/s",
        limit=medians["json"],
        ratio=medians["command"] / medians["json"],
        ratio_to="JSON alone",
        also={"every line is answered, in order": complete},
        details={
            "lines": count,
            "rounds": {name: spread(found) for name, found in rates.items()},
            "without_start_and_pipes": medians["arithmetic"],
            "spans_of_ten_years": medians["long"],
        },
    )


def _line(chance: random.Random, number: int, days: int) -> bytes:
    """A question over at most so many days."""
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(31_536_000))
    pauses = [start + timedelta(hours=30 * n) for n in range(chance.randrange(3))]
    question: dict[str, Any] = {
        "id": number,
        "kind": ("due", "elapsed")[number % 2],
        "tz": chance.choice(ZONES),
        "hours": dict.fromkeys(WORKDAYS, SHIFTS[chance.choice(tuple(SHIFTS))]),
        "holidays": HOLIDAYS,
        "start": start.isoformat(),
        "pauses": [[at.isoformat(), (at + timedelta(hours=5)).isoformat()] for at in pauses],
    }
    if question["kind"] == "due":
        question["target_s"] = chance.randrange(60, days * 4 * 3600)
    else:
        question["end"] = (start + timedelta(seconds=chance.randrange(days * 86_400))).isoformat()
    return json.dumps(question).encode() + b"\n"


def _command(asked: Path) -> tuple[float, bytes]:
    """Lines per second of the whole command, its start included, and what it answered."""
    command = [sys.executable, "-m", "cli.main", "sla", "calculate"]
    with asked.open("rb") as stdin:
        begun_s = now_s()
        done = subprocess.run(command, cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, check=True)
        took_s = now_s() - begun_s
    return done.stdout.count(b"\n") / took_s, done.stdout


def _json_alone(lines: list[bytes]) -> float:
    decode, encode = msgspec.json.decode, msgspec.json.encode
    begun_s = now_s()
    for line in lines:
        encode(decode(line))
    return len(lines) / (now_s() - begun_s)


def _in_process(lines: list[bytes]) -> float:
    begun_s = now_s()
    for line in lines:
        answer_line(line)
    return len(lines) / (now_s() - begun_s)


def _complete(answers: bytes, count: int) -> bool:
    found = [json.loads(line) for line in answers.splitlines()]
    ids = [answer["id"] for answer in found]
    return ids == list(range(count)) and not any("error" in answer for answer in found)

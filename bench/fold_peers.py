"""One simple fold per ticket, kept durably: ours beside quixstreams, bytewax and faust-streaming.

How many events a ticket has, and its last status. All read the same topic of one Apache Kafka from its
beginning, each keeps its state as its own documentation has it (bench/peers, bench/fold_ours.py), and
ends when all is read and durable. The clock runs from the first event to that end. What each of them
counted must be equal.

The peers need other versions of packages than the project does: each is installed into a virtual
environment of its own, kept in `BITACORA_BENCH_PEERS` or else in the user's cache.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.desk_year import Plan, piece
from bench.harness import ROOT, How, Result, apache_kafka_or_missing, now_s, workspace
from libs.events import encode_event
from libs.events.topics import Topic
from libs.runtime.apache import ApacheKafka
from libs.runtime.kafka import ensure_topics, producer

NAME: Final = "fold_peers"
WHAT: Final = "a durable fold per ticket (events counted, last status)"
GOAL: Final = 1.5
TICKETS: Final = 26_000
QUICK_TICKETS: Final = 300
ROUNDS: Final = 3
WITHIN_S: Final = 300.0
TOPIC: Final = Topic("bench.fold", "bench", "ticket events")
PEERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "quixstreams": ("fold_quix.py", ("quixstreams==3.28.1",)),
    "bytewax": ("fold_bytewax.py", ("bytewax[kafka]==0.21.1",)),
    "faust-streaming": ("fold_faust.py", ("faust-streaming==0.15.3", "rocksdict==0.3.29", "cramjam==2.14.0", "setuptools<81")),
}  # fmt: skip
"""Peer → its program in bench/peers, and what it needs."""


async def run(how: How) -> Result:
    """Raises Missing without Apache Kafka."""
    apache_kafka_or_missing()
    rounds = 1 if how.quick else ROUNDS
    notes: list[str] = []
    found: dict[str, list[dict[str, Any]]] = {}
    with workspace() as directory, ApacheKafka(directory / "kafka") as broker:
        events = await _publish(broker.bootstrap, QUICK_TICKETS if how.quick else TICKETS)
        how.tell(f"{events:,} events on the topic")
        pythons = await asyncio.to_thread(_pythons, how.tell, notes)
        for number in range(rounds):
            for name, command in _commands(pythons).items():
                if name in found or number == 0:
                    await _take(name, command, broker.bootstrap, events, directory, found, notes)
    rates = {
        name: statistics.median(one["events"] / one["seconds"] for one in runs)
        for name, runs in found.items()
    }
    ours = rates.pop("ours")
    quix = rates.get("quixstreams")
    digests = {one["digest"] for runs in found.values() for one in runs}
    return Result(
        NAME,
        WHAT,
        ours=ours,
        unit="events/s",
        peers={name: rates.get(name) for name in PEERS},
        ratio=ours / quix if quix else None,
        ratio_to="quixstreams with state",
        goal=GOAL,
        goal_for="ratio",
        also={"all count the same": len(digests) == 1},
        notes=notes,
        details={"events": events, "rounds": found},
    )


async def _publish(bootstrap: str, tickets: int) -> int:
    """The ticket events of a part of a year onto the topic, in order of time."""
    plan = Plan(tickets, agents=24)
    streams = [
        stream
        for number in range(plan.pieces)
        for stream in piece(plan, number)
        if not stream[0].stream_id.startswith("sla:")
    ]
    envelopes = sorted(
        (e for stream in streams for e in stream), key=lambda e: (e.time, e.sequence)
    )
    await ensure_topics(bootstrap, [TOPIC])
    sender = producer(bootstrap, embedded=False)
    await sender.start()
    try:
        for envelope in envelopes:
            key, value, headers = encode_event(envelope)
            await sender.send(TOPIC.name, value, key=key, headers=headers)
        await sender.flush()
    finally:
        await sender.stop()
    return len(envelopes)


def _pythons(tell: Callable[[str], None], notes: list[str]) -> dict[str, Path]:
    """Peer → the Python that has it. What cannot be installed is left out, with a note."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = Path(os.environ.get("BITACORA_BENCH_PEERS") or Path(cache) / "bitacora-bench-peers")
    pythons = {}
    for name, (_, needs) in PEERS.items():
        place = home / "-".join([name, *needs]).translate(str.maketrans("[]=<>", "_____"))
        python = place / "bin" / "python"
        try:
            if not (place / "complete").exists():
                tell(f"installing {name} into {place}")
                _quietly(sys.executable, "-m", "venv", "--clear", str(place))
                _quietly(str(python), "-m", "pip", "install", "--quiet", *needs)
                (place / "complete").touch()
            pythons[name] = python
        except subprocess.CalledProcessError as error:
            reason = error.stderr.strip().splitlines()[-1:] or ["no reason given"]
            notes.append(f"{name} cannot be installed: {reason[0][:200]}")
    return pythons


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _commands(pythons: dict[str, Path]) -> dict[str, list[str]]:
    commands = {"ours": [sys.executable, "-m", "bench.fold_ours"]}
    for name, python in pythons.items():
        commands[name] = [str(python), str(ROOT / "bench" / "peers" / PEERS[name][0])]
    return commands


async def _take(
    name: str,
    command: list[str],
    bootstrap: str,
    events: int,
    directory: Path,
    found: dict[str, list[dict[str, Any]]],
    notes: list[str],
) -> None:
    """One run; every run reads the topic anew, as a cluster of its own would: groups, state and
    changelogs of the run before are told apart by the run's number."""
    number = len(found.get(name, []))
    home = directory / f"{name}-{number}"
    home.mkdir()
    plan = home / "plan.json"
    plan.write_text(
        json.dumps(
            {
                "bootstrap": bootstrap,
                "topic": TOPIC.name,
                "partitions": TOPIC.partitions,
                "events": events,
                "directory": str(home),
                "group": f"fold-{name}-{number}",
            }
        ),
        "utf-8",
    )
    begun_s = now_s()
    try:
        answer = await _run([*command, str(plan)], home / "log")
    except (RuntimeError, TimeoutError) as error:
        if name == "ours":
            raise
        notes.append(f"{name} failed: {str(error)[-300:]}")
        return
    answer["with_start_s"] = now_s() - begun_s
    found.setdefault(name, []).append(answer)


async def _run(command: list[str], log: Path) -> dict[str, Any]:
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
        try:
            answer, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    lines = [line for line in answer.decode().splitlines() if line.startswith("{")]
    if process.returncode != 0 or not lines:
        told = await asyncio.to_thread(log.read_text, "utf-8")
        raise RuntimeError(f"exit status {process.returncode}: {told[-300:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found

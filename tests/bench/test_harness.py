from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHMARKS
from bench.harness import (
    ROOT,
    Result,
    Usage,
    child,
    incident_log,
    machine,
    now_s,
    percentile,
    spread,
    until,
    workspace,
)
from bench.http_create import PEERS, _peer
from bench.http_load import load
from bench.profiles import summary
from bench.report import BEGIN, END, figure, sentence, write_table
from bench.wire import pool
from libs.runtime.supervisor import answers

ANSWER = {"name", "ours", "limit", "peers", "unit", "ratio", "goal", "met", "machine"}


def result(**changes: object) -> Result:
    given: dict[str, object] = {"name": "x", "what": "a thing", "ours": 50.0, "unit": "s"}
    return Result(**(given | changes))  # type: ignore[arg-type]


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile(values, 100) == 100
    assert percentile([7.0], 1) == 7
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({"goal": 60, "better": "lower"}, True),
        ({"goal": 40, "better": "lower"}, False),
        ({"goal": 40}, True),
        ({"goal": 0.6, "goal_for": "ratio", "ratio": 0.61}, True),
        ({"goal": 0.6, "goal_for": "ratio", "ratio": 0.59}, False),
        ({"goal": 0.6, "goal_for": "ratio"}, None),
        ({"goal": 40, "also": {"nothing is lost": False}}, False),
        ({"also": {"nothing is lost": False}}, False),
        ({}, None),
    ],
)
def test_a_goal_is_met_only_with_all_its_conditions(
    changes: dict[str, object], met: object
) -> None:
    assert result(**changes).met is met


def test_a_result_holds_what_is_promised() -> None:
    found = result(peers={"somebody": None}, details={"runs": [1.23456789]}).as_json()
    assert found.keys() >= ANSWER
    assert found["details"] == {"runs": [1.235]}
    assert {"cpu", "cores", "python"} <= machine().keys()
    assert "somebody: not here" in sentence(found)


def test_figures_as_people_read_them() -> None:
    assert [figure(one) for one in (None, 0.61234, 12.345, 5635.3)] == [
        "not here",
        "0.612",
        "12.3",
        "5,635",
    ]


def test_the_table_replaces_only_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    found = result(goal=60, better="lower", peers={"a peer": 5.0}, ratio=10.0)
    (tmp_path / "x.json").write_text(json.dumps(found.as_json()), "utf-8")
    write_table(page, tmp_path, ["x", "never measured"])
    text = page.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| `x`: a thing | 50 s | a peer: 5 s | 10 | ≤ 60 s: met |" in text
    (tmp_path / "x.json").unlink()
    (tmp_path / "y.json").write_text(json.dumps(result(name="y").as_json()), "utf-8")
    write_table(page, tmp_path, ["x", "y"])
    both = page.read_text("utf-8")
    assert "| `x`: a thing | 50 s | a peer: 5 s | 10 | ≤ 60 s: met |\n| `y`: a thing |" in both
    assert both.count("Load average at the end: `x` ") == 1
    page.write_text("no marks", "utf-8")
    with pytest.raises(ValueError, match="must hold"):
        write_table(page, tmp_path, ["y"])


def test_the_page_has_its_marks() -> None:
    text = (ROOT / "docs" / "performance.md").read_text("utf-8")
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    for name in BENCHMARKS:
        assert f"**`{name}`.**" in text


def test_list_names_every_benchmark() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(BENCHMARKS)


def test_quick_takes_the_sample() -> None:
    assert incident_log(quick=True).name == "incident_sample.csv.gz"
    assert incident_log(quick=False).exists()


def test_a_workspace_goes_away() -> None:
    with workspace() as directory:
        (directory / "file").write_text("x")
    assert not directory.exists()


async def test_usage_counts_a_child_that_works_and_its_end_is_its_own() -> None:
    work = "x = b'x' * 60_000_000; print(sum(range(8_000_000)), flush=True)"
    with Usage() as usage:
        async with child("-c", f"{work}\nimport time\ntime.sleep(600)") as process:
            usage.add("worker", process.pid)
            assert process.stdout is not None
            await process.stdout.readline()
            before = usage.samples

            async def looked() -> bool:
                return usage.samples > before + 1

            await until(looked, within_s=30, every_s=0.02, what="a look at the worker")
        assert process.returncode is not None
    used = usage.as_json()["worker"]
    assert used["cpu_s"] > 0.02
    assert used["peak_mb"] > 30


async def test_what_does_not_happen_is_told() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(TimeoutError, match="rain did not happen"):
        await until(never, within_s=0.05, every_s=0.01, what="rain")


@pytest.mark.parametrize("kind", list(PEERS))
async def test_our_client_counts_what_a_peer_accepts(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BITACORA_WRK", raising=False)
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))  # noqa: PTH120 - no wrk in there
    async with _peer(kind, tmp_path) as port:
        begun_s = now_s()
        found = await load(port, 3, 0.5, tmp_path)
        assert found.errors == 0
        assert len(set(found.accepted)) == len(found.accepted) > 0
        assert 0 < found.per_second < 1e6
        assert found.p50_ms <= found.p99_ms
        assert now_s() - begun_s < 60
        async with pool(port) as http:
            status, _ = await http.post(b'{"subject":"","requester":{"id":"r"}}')
            assert status == 422  # the same validation as intake
    assert not await answers(f"tcp://127.0.0.1:{port}")  # it ends with its context


def test_folded_stacks_are_summed(tmp_path: Path) -> None:
    file = tmp_path / "stacks.txt"
    file.write_text("main;a;b 50\nmain;a 25\nmain;b;b 25\n", "utf-8")
    found = summary(file)
    assert found["self"] == {"b": 1.5, "a": 0.5}
    assert found["total"] == {"main": 2.0, "a": 1.5, "b": 1.5}


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    connections = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    async with server, pool(server.sockets[0].getsockname()[1]) as http:
        for number in (1, 2):
            assert await asyncio.wait_for(http.post(b"{}"), 10) == (201, b"ok")

            async def gone() -> bool:
                return all(one.closed for one in http.connections)

            await until(gone, within_s=10, every_s=0.005, what="the end of the connection")
            assert connections == number

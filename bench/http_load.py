"""Clients that keep a connection each and post distinct tickets as fast as they are answered.

`wrk` where it is installed (`BITACORA_WRK` names another place), else a small client of our own; both
are processes of their own: `python -m bench.http_load PORT CLIENTS SECONDS FILE`. The id of every
ticket that was accepted (201) goes to FILE, one a line.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.harness import child, now_s, percentile
from bench.wire import PATH, Connection

CREATED: Final = 201
SUBJECTS: Final = ("Printer offline", "No puedo entrar", "Не работает почта", "Invoice is wrong")
LUA: Final = """\
local n, out = 0, nil
local subjects = {%(subjects)s}
function init(args) out = io.open(args[1], "w"); math.randomseed(os.time()) end
function request()
  n = n + 1
  local body = string.format([[%(body)s]], subjects[n %% #subjects + 1], n, n %% 997, n %% 997)
  return wrk.format("POST", "%(path)s", {["Content-Type"] = "application/json"}, body)
end
function response(status, headers, body)
  if status == 201 then out:write(string.match(body, '"id":"([^"]+)"'), "\\n") end
end
function done(summary, latency, requests)
  io.write(string.format('{"seconds":%%f,"p50_ms":%%f,"p99_ms":%%f,"errors":%%d}\\n',
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.connect + summary.errors.read
      + summary.errors.write + summary.errors.timeout))
end
"""
BODY: Final = (
    '{"subject":"%s %d","description":"It began this morning and nothing helps.",'
    '"requester":{"id":"r-%d","name":"Requester %d","email":"requester@example.org"},'
    '"channel":"form","language":"en","priority":"medium","tags":["from-form"]}'
)


@dataclass(frozen=True, slots=True)
class Load:
    """What one round of load saw. `accepted` holds ids; `errors` counts other answers."""

    accepted: tuple[str, ...]
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        return len(self.accepted) / self.seconds


def client_name() -> str:
    return "wrk" if _wrk() else "a client of our own (wrk is not installed)"


def _wrk() -> str | None:
    return os.environ.get("BITACORA_WRK") or shutil.which("wrk")


async def load(port: int, clients: int, seconds: float, directory: Path) -> Load:
    """Load a server on 127.0.0.1 for some seconds. Raises RuntimeError when the client fails."""
    ids = directory / "accepted.txt"
    ids.write_text("", "utf-8")
    program = _wrk()
    if program:
        found = await _run_wrk(program, port, clients, seconds, directory, ids)
    else:
        arguments = ("-m", "bench.http_load", str(port), str(clients), str(seconds), str(ids))
        async with child(*arguments) as process:
            output, _ = await process.communicate()
            found = _answer(output, process.returncode)
    return Load(tuple(ids.read_text("utf-8").split()), **found)


async def _run_wrk(
    program: str, port: int, clients: int, seconds: float, directory: Path, ids: Path
) -> dict[str, Any]:
    script = directory / "load.lua"
    quoted = ",".join(json.dumps(one, ensure_ascii=False) for one in SUBJECTS)
    script.write_text(LUA % {"subjects": quoted, "body": BODY, "path": PATH}, "utf-8")
    process = await asyncio.create_subprocess_exec(
        *(program, "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "-s", str(script)),
        *(f"http://127.0.0.1:{port}", "--", str(ids)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return _answer(output, process.returncode)


def _answer(output: bytes, status: int | None) -> dict[str, Any]:
    if status != 0:
        raise RuntimeError(f"the load client ended with status {status}: {output.decode()[-500:]}")
    last = output.decode().strip().splitlines()[-1]
    found: dict[str, Any] = json.loads(last)
    return found


# -- our own client --------------------------------------------------------------------------------


async def drive(port: int, count: int, seconds: float) -> tuple[list[str], dict[str, float]]:
    """All connections at once: the ids of accepted tickets, and what else `Load` holds."""
    connections = [await Connection.open(port) for _ in range(count)]
    ids: list[str] = []
    waits_ms: list[float] = []
    errors = 0
    begun_s = now_s()

    async def client(number: int, connection: Connection) -> None:
        nonlocal errors
        n = number * 1_000_000
        while (sent_s := now_s()) < begun_s + seconds:
            n += 1
            text = BODY % (SUBJECTS[n % len(SUBJECTS)], n, n % 997, n % 997)
            status, answer = await connection.post(text.encode())
            if status == CREATED:
                waits_ms.append((now_s() - sent_s) * 1e3)
                ids.append(json.loads(answer)["id"])
            else:
                errors += 1
        connection.close()

    await asyncio.gather(*(client(*one) for one in enumerate(connections)))
    ended_s = now_s()
    waits_ms = waits_ms or [0.0]
    return ids, {
        "seconds": ended_s - begun_s,
        "p50_ms": percentile(waits_ms, 50),
        "p99_ms": percentile(waits_ms, 99),
        "errors": errors,
    }


def main(port: str, count: str, seconds: str, file: str) -> None:
    import uvloop

    ids, found = uvloop.run(drive(int(port), int(count), float(seconds)))
    Path(file).write_text("\n".join(ids), "utf-8")
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

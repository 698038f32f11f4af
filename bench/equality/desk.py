"""A whole desk that has imported a log: four services, their broker, and the stated policy."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import text

from bench.equality.plain.attainment import CLOSED, SHIFTS, TARGETS_H, ZONE
from bench.harness import Reporting, child, running, until
from cli.system import Options, System
from libs.events.topics import SLA_EVENTS, TICKETS_EVENTS
from libs.runtime.database import Database

WITHIN_S: Final = 900.0
QUIET_S: Final = 1.0
LAG: Final = re.compile(r"^bitacora_reporting_facts_lag_revisions\S* (\S+)$", re.MULTILINE)
GAUGES: Final = 8
"""Looks at the gauge, half a second apart, that must say the same."""
BEFORE: Final = "2009-01-01T00:00:00+00:00"
"""When the policy was put in force: before the first ticket of either log."""

CALENDAR: Final = {
    "id": "business",  # by which reporting counts business time, too
    "zone": ZONE,
    "hours": {
        day: [list(shift) for shift in SHIFTS] for day in ("mon", "tue", "wed", "thu", "fri")
    },
    "holidays": list(CLOSED),
}
POLICY: Final = {
    "id": "stated",
    "when": {},
    "targets": {
        metric: {
            priority: {
                "target_s": hours * 3600,
                "calendar": "always" if priority == "critical" else CALENDAR["id"],
            }
            for priority, hours in per_priority.items()
        }
        for metric, per_priority in TARGETS_H.items()
    },
}


@dataclass(frozen=True, slots=True)
class Desk:
    """`sent`: what the import says it sent, and `import_s` how long it took."""

    http: httpx.AsyncClient
    system: System
    sent: Mapping[str, int]

    async def get(self, path: str, **parameters: Any) -> Any:
        """JSON of reporting's API. Raises RuntimeError with the problem's words."""
        url = self.system.state.urls["reporting"]
        answer = await self.http.get(f"{url}{path}", params=parameters)
        if answer.is_error:
            raise RuntimeError(f"{path} {parameters}: {answer.text[:500]}")
        return answer.json()


@asynccontextmanager
async def imported(
    arguments: tuple[str, ...], directory: Path, tell: Callable[[str], None]
) -> AsyncIterator[Desk]:
    """The desk once reporting has applied every event that follows from the import.

    `arguments`: of `bitacora import`. Raises RuntimeError, TimeoutError.
    """
    # Else only the verdicts of imported clocks are published, not when they start and go on.
    edges = {"BITACORA_SLA_PUBLISH_IMPORTED_EDGES": "true"}
    options = Options(data_dir=directory, port_base=0, environment=edges)
    tell("the policy is put in force")
    await _state_policy(options, tell)
    async with running(options, tell) as system, httpx.AsyncClient(timeout=300) as http:
        tell(f"importing: bitacora import {' '.join(arguments[:1])}")
        sent = await _import(system, arguments)
        if sent["rejected"] or sent["duplicates"]:
            raise RuntimeError(f"not every command was accepted: {sent}")
        tell(f"{sent['events']:,} events; waiting until every service has applied them")
        await _settled(system, http, sent["events"])
        yield Desk(http, system, sent)


async def _state_policy(options: Options, tell: Callable[[str], None]) -> None:
    """By the API, on a clock that shows the year before the logs begin: a policy is never put in
    force in the past."""
    clock = f"accelerated:{BEFORE},{datetime.now(UTC).isoformat()},1"
    early = Options(data_dir=options.data_dir, port_base=0, clock=clock)
    async with running(early, tell) as system, httpx.AsyncClient(timeout=60) as http:
        url = system.state.urls["sla"]
        for path, body in (
            ("/v1/calendars", {"calendars": [CALENDAR]}),
            ("/v1/policies", {"policies": [POLICY]}),
        ):
            answer = await http.put(
                f"{url}{path}", json=body, headers={"X-Bitacora-Actor": "agent:bench"}
            )
            if answer.is_error:
                raise RuntimeError(f"{path}: {answer.text[:500]}")


async def _import(system: System, arguments: tuple[str, ...]) -> Mapping[str, int]:
    url = system.state.urls["intake"]
    log = system.options.data_dir / "importer.log"
    command = ("-m", "cli.main", "import", *arguments, "--url", url, "--json")
    async with child(*command, log=log) as process:
        answer, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the import failed: {log.read_text('utf-8')[-1000:]}")
    sent: dict[str, int] = json.loads(answer)["sent"]
    return sent


async def _settled(system: System, http: httpx.AsyncClient, events: int) -> None:
    """First SLA has read every ticket event, then reporting everything that SLA has said."""
    database = Database(system.state.database_urls["sla"], pool_size=1)

    def read() -> tuple[int, int]:
        with database.reading() as connection:
            offsets = "SELECT COALESCE(SUM(next_offset), 0) FROM consumer_offsets WHERE topic = :t"
            stated = "SELECT COUNT(*) FROM outbox WHERE stream_id IS NOT NULL"
            taken = connection.execute(text(offsets), {"t": TICKETS_EVENTS}).scalar_one()
            return int(taken), int(connection.execute(text(stated)).scalar_one())

    async def sla_is_there() -> bool:
        return (await asyncio.to_thread(read))[0] >= events

    try:
        await until(sla_is_there, within_s=WITHIN_S, every_s=0.2, what="SLA reads all events")
        _, stated = await asyncio.to_thread(read)
    finally:
        database.close()

    def complete(applied: Mapping[str, int]) -> bool:
        tickets, clocks = applied.get(TICKETS_EVENTS, 0), applied.get(SLA_EVENTS, 0)
        return tickets >= events and clocks >= stated

    url = system.state.urls["reporting"]
    reporting = Reporting(http, url)
    await reporting.settled(complete, quiet_s=QUIET_S, within_s=WITHIN_S)
    last: list[Any] = []

    async def facts_are_there() -> bool:
        """Their gauge is set now and then: it must say twice that nothing is left, and they must not
        have changed in between."""
        lag = LAG.search((await http.get(f"{url}/metrics")).text)
        report = await http.get(f"{url}/v1/report", params={"metrics": "created"})
        stamp = report.json()["stamp"] if report.is_success else None
        last.append(stamp if lag is not None and float(lag[1]) == 0 else None)
        return len(last) > GAUGES and last[-1] is not None and len(set(last[-GAUGES:])) == 1

    await until(facts_are_there, within_s=WITHIN_S, every_s=0.5, what="the fact tables catch up")

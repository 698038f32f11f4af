"""Sending batches to intake: a few requests in flight, order within a case, patient retries.

Sending a batch again is always safe: the ids of its commands are derived from the file, and intake
answers a command that it has seen with "duplicate".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import stamina

from cli.importing.batches import Batch
from cli.importing.errors import GoneAway, RequestRefused
from cli.importing.report import Sent
from cli.output import NotRunning
from cli.system import service_url

IN_FLIGHT: Final = 3
PATIENCE_S: Final = 120.0
"""How long one request is tried again while intake is away (a restart takes seconds)."""
REQUEST_TIMEOUT_S: Final = 60.0
RETRIED_STATUSES: Final = frozenset({408, 425, 429, 502, 503, 504})
READ_AT_ONCE: Final = 2_000


class _Later(Exception):
    """Intake is there, but asks to come back later."""


def intake_address(url: str | None, data_dir: Path) -> str:
    """`url`, or where the desk that runs on `data_dir` has its intake. Raises NotRunning."""
    return (url or service_url("intake", data_dir)).rstrip("/")


class Intake:
    """Intake's HTTP interface, as an import needs it. Use `connect`."""

    def __init__(
        self, http: httpx.AsyncClient, *, patience_s: float, on_retry: Callable[[str], None]
    ) -> None:
        self._http = http
        self._patience_s = patience_s
        self._on_retry = on_retry
        self.retries = 0

    async def send(
        self,
        batches: Iterable[Batch],
        *,
        in_flight: int = IN_FLIGHT,
        on_answer: Callable[[Batch, Sent], None] = lambda _batch, _sent: None,
    ) -> Sent:
        """Sends all batches; never two at once that hold commands of the same case.

        Raises GoneAway when intake stays away, RequestRefused when it refuses a request. What had
        been answered until then stays done; sending all again later finishes the rest.
        """
        sent = Sent()
        running: dict[asyncio.Task[dict[str, Any]], Batch] = {}

        async def settle(tasks: Iterable[asyncio.Task[dict[str, Any]]]) -> None:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                batch = running.pop(task)
                sent.add(task.result())
                sent.commands += batch.commands
                on_answer(batch, sent)

        try:
            for batch in batches:
                while len(running) >= in_flight:
                    await settle(running)
                while same := [t for t, other in running.items() if other.cases & batch.cases]:
                    await settle(same)
                task = asyncio.create_task(self._post("/v1/commands/batch", batch.body))
                running[task] = batch
                await asyncio.sleep(0)  # let it go out while the next batch is being made
            while running:
                await settle(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        sent.retries = self.retries
        return sent

    async def tickets(self, ids: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
        """The present state of these tickets, as JSON objects; unknown ids are left out."""
        for start in range(0, len(ids), READ_AT_ONCE):
            body = orjson.dumps({"ids": list(ids[start : start + READ_AT_ONCE])})
            answer = await self._post("/v1/tickets/batch-get", body)
            for ticket in answer["tickets"]:
                yield ticket

    async def _post(self, path: str, body: bytes) -> dict[str, Any]:
        try:
            async for attempt in stamina.retry_context(
                on=(httpx.TransportError, _Later),
                attempts=None,
                timeout=self._patience_s,
                wait_initial=0.2,
                wait_max=5.0,
            ):
                with attempt:
                    if attempt.num > 1:
                        self.retries += 1
                    if attempt.num == 2:  # noqa: PLR2004 - once per request is enough
                        self._on_retry("intake does not answer; trying again")
                    return _answer(await self._http.post(path, content=body), path)
        except (httpx.TransportError, _Later) as error:
            raise GoneAway(
                f"Intake at {self._http.base_url} did not answer for {self._patience_s:.0f} s "
                f"({str(error) or type(error).__name__}). What it answered so far is kept: start the "
                "desk and run the same import again; it goes on where it stopped."
            ) from error
        raise AssertionError("unreachable")


def _answer(response: httpx.Response, path: str) -> dict[str, Any]:
    if response.status_code in RETRIED_STATUSES:
        raise _Later(f"status {response.status_code}")
    if response.status_code != httpx.codes.OK:
        raise RequestRefused(
            f"Intake refused {path} with status {response.status_code}: {response.text[:1000]}"
        )
    answer: dict[str, Any] = orjson.loads(response.content)
    return answer


@asynccontextmanager
async def connect(
    url: str,
    *,
    patience_s: float = PATIENCE_S,
    on_retry: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Intake]:
    """Intake at `url`. Raises NotRunning at once when nothing answers there at all."""
    stamina.instrumentation.set_on_retry_hooks([])  # its own would write into our output
    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient(
        base_url=url, timeout=REQUEST_TIMEOUT_S, headers=headers, trust_env=False
    ) as http:
        try:
            await http.get("/health/live")
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise NotRunning(
                f"Nothing answers at {url} ({str(error) or type(error).__name__}). Start the desk with "
                "`bitacora up`, or name intake's address with --url."
            ) from error
        yield Intake(http, patience_s=patience_s, on_retry=on_retry)

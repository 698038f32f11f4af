"""The services' HTTP APIs as the desk's people use them: every call is counted.

A refusal because somebody else came first (409, 412) is part of the work and is counted by its code.
While a service is away (it crashed and is being started again) a call is repeated under the same
Idempotency-Key, so that it takes effect once. Anything else is unexpected, and kept for the summary.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from uuid import uuid4

import httpx

from libs.runtime.clock import monotonic_s

TIMEOUT_S: Final = 15.0
AWAY_S_MAX: Final = 45.0
"""Real seconds for which a service may be away before a call to it counts as failed."""
AGAIN_S: Final = 0.1
AGAIN_S_MAX: Final = 1.0
"""Real seconds between two tries: twice as long each time, so that a crowd that waits does not hinder
the service in starting."""
CONNECTIONS_MAX: Final = 40
UNEXPECTED_MAX: Final = 50
EXPECTED: Final = frozenset({409, 412})
AWAY: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """`ok` False: it was refused, and `body` is the problem. `etag` is to be sent as `if_match`."""

    ok: bool
    status: int
    body: dict[str, Any]
    etag: str | None


@dataclass(slots=True)
class Calls:
    """How the calls went. `unexpected` holds the first of them as text; `unexpected_total` all."""

    made: int = 0
    repeated: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    unexpected_total: int = 0

    def note_unexpected(self, what: str) -> None:
        self.unexpected_total += 1
        if len(self.unexpected) < UNEXPECTED_MAX:
            self.unexpected.append(what)


class Api:
    """`urls`: service → base URL."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._http = httpx.AsyncClient(
            timeout=TIMEOUT_S,
            trust_env=False,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
        )
        self._run = uuid4().hex[:12]
        self._keys = count(1)
        self.calls = Calls()

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, service: str, path: str, **query: Any) -> Answer:
        return await self._call("GET", service, path, query=query, headers={})

    async def send(
        self,
        method: str,
        service: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        actor: str,
        if_match: str | None = None,
    ) -> Answer:
        """A request that changes something, once however often it is repeated."""
        headers = {"X-Bitacora-Actor": actor, "Idempotency-Key": f"{self._run}-{next(self._keys)}"}
        if if_match is not None:
            headers["If-Match"] = if_match
        return await self._call(method, service, path, body=body, headers=headers)

    async def _call(
        self,
        method: str,
        service: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        self.calls.made += 1
        give_up_s, again_s = monotonic_s() + AWAY_S_MAX, AGAIN_S
        while True:
            try:
                response = await self._http.request(
                    method, self._urls[service] + path, params=query, json=body, headers=headers
                )
            except httpx.TransportError as error:
                problem = f"{type(error).__name__} {error}".strip()
            else:
                if response.status_code not in AWAY:
                    return self._answer(f"{method} {service}{path}", response)
                problem = f"HTTP {response.status_code}"
            if monotonic_s() > give_up_s:
                self.calls.note_unexpected(f"{method} {service}{path}: {problem}")
                return Answer(ok=False, status=0, body={}, etag=None)
            self.calls.repeated += 1
            await asyncio.sleep(again_s)
            again_s = min(2 * again_s, AGAIN_S_MAX)

    def _answer(self, what: str, response: httpx.Response) -> Answer:
        try:
            body = response.json()
        except ValueError:
            body = {}
        if not response.is_success:
            code = str(body.get("code", "no code"))
            if response.status_code in EXPECTED:
                self.calls.refused[code] += 1
            else:
                detail = str(body.get("detail", response.text))[:200]
                self.calls.note_unexpected(f"{what}: HTTP {response.status_code} {code}: {detail}")
        return Answer(response.is_success, response.status_code, body, response.headers.get("etag"))


def by_status(report: Answer) -> dict[str, int]:
    """Status → how many tickets have it, from a report whose first metric is `created`, by status."""
    return {row["keys"]["status"]: row["cells"][0]["value"] for row in report.body["rows"]}

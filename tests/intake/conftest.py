"""A real intake on SQLite, spoken to over HTTP in the same process; no Kafka is needed for that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.runtime.clock import ManualClock
from libs.runtime.service import Service
from services.intake.app import build_with_desk
from services.intake.config import IntakeSettings
from services.intake.handlers import Closer
from services.intake.store import Desk
from tests.intake.language import START

NEW = {"subject": "No sound", "requester": {"id": "ana", "name": "Ana"}, "channel": "form"}


@dataclass
class Intake:
    service: Service
    desk: Desk
    clock: ManualClock
    http: httpx.AsyncClient
    closer: Closer

    async def call(
        self, method: str, path: str, body: Any = None, actor: str = "system", **headers: str
    ) -> httpx.Response:
        """`headers` in Python's spelling: if_match="…"."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["X-Bitacora-Actor"] = actor
        return await self.http.request(method, path, json=body, headers=sent)

    async def create(self, **fields: Any) -> str:
        """The id of a new ticket."""
        answer = await self.call("POST", "/v1/tickets", NEW | fields)
        assert answer.status_code == 201, answer.text
        ticket_id = answer.json()["id"]
        assert isinstance(ticket_id, str)
        return ticket_id

    async def ticket(self, ticket_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/v1/tickets/{ticket_id}")
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state

    async def ledger(self) -> dict[str, Any]:
        ledger: dict[str, Any] = (await self.http.get("/v1/ledger")).json()
        return ledger


@pytest.fixture
def intake_url(sqlite_url: str) -> str:
    """Where intake keeps its store; a module may say otherwise."""
    return sqlite_url


@pytest.fixture
async def intake(tmp_path: Path, intake_url: str) -> AsyncIterator[Intake]:
    settings = IntakeSettings(data_dir=tmp_path, database_url=intake_url)
    service, desk = build_with_desk(settings)
    clock = ManualClock(START)
    service.store.clock = clock
    service._create()
    transport = httpx.ASGITransport(app=service.http)
    async with httpx.AsyncClient(transport=transport, base_url="http://intake") as http:
        closer = Closer(desk, settings.domain().close_after, poll_s=60)
        yield Intake(service, desk, clock, http, closer)
    service.store.close()
    desk.events.close()

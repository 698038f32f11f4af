"""Two intake processes on one PostgreSQL: what a hand-over requires has one order with decisions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.events import commands as c
from services.intake.app import build_with_desk
from services.intake.config import IntakeSettings
from services.intake.store import Desk
from tests.intake.conftest import Intake
from tests.intake.test_requirements import NOTHING, ORDER, PATH, STEPS, ask, require

pytestmark = pytest.mark.postgres


@pytest.fixture
def intake_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
async def other(intake: Intake, intake_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    """A second intake on the same database, as another process would be."""
    settings = IntakeSettings(data_dir=tmp_path / "other", database_url=intake_url)
    service, desk = build_with_desk(settings)
    yield desk
    service.store.close()
    desk.events.close()


async def test_the_other_process_decides_by_the_new_version(intake: Intake, other: Desk) -> None:
    ticket_id = await intake.create()
    for number, (document, code) in enumerate(
        ((ORDER, "missing_information"), (NOTHING, ""), (STEPS, "missing_information"))
    ):
        await require(intake, document)
        outcome = await other.submit(ask(f"o-{number}", ticket_id, c.EscalateTicket(), "agent:7"))
        assert outcome.code == code


async def test_decisions_and_versions_have_one_order(intake: Intake, other: Desk) -> None:
    """Escalations in the one process while the other one changes the rules to and fro: an event
    stands only where the version in force at its position allowed it."""
    tickets = [await intake.create() for _ in range(40)]

    async def hand_over(desk: Desk, name: str, ids: list[str]) -> None:
        for ticket_id in ids:
            await desk.submit(ask(f"{name}-{ticket_id}", ticket_id, c.EscalateTicket(), "agent:7"))

    async def change() -> None:
        for number in range(20):
            await require(intake, NOTHING if number % 2 else ORDER)

    await asyncio.gather(
        hand_over(other, "a", tickets[:20]), hand_over(intake.desk, "b", tickets[20:]), change()
    )
    versions = (await intake.http.get(f"{PATH}/versions")).json()["versions"]
    assert [version["version"] for version in versions] == list(range(20, 0, -1))
    for escalated in intake.desk.events.read_log(len(tickets), 1_000):
        in_force = next((v for v in versions if v["after_position"] < escalated.position), None)
        assert in_force is None or in_force["requirements"] == []

"""Who gets a ticket when two ask at once: one process, and two on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from libs.events import Command, CommandEnvelope, Event, Status, Ticket
from libs.events import commands as c
from libs.events import ticket as t
from libs.runtime.commit import Outcome
from services.intake.app import build_with_desk
from services.intake.config import IntakeSettings
from services.intake.store import Desk
from tests.intake.conftest import Intake

ROUTER = "service:routing"
ROUNDS = 15


@pytest.fixture
def intake_url(database_url: str) -> str:
    """These run on SQLite and on PostgreSQL."""
    return database_url


@dataclass
class Rivals:
    """Two ways to the tickets: one process twice, or two processes on PostgreSQL."""

    intake: Intake
    other: Desk
    asked: int = 0

    async def at_once(
        self, ticket_id: str, first: tuple[Command, str], second: tuple[Command, str]
    ) -> tuple[Outcome, Outcome]:
        """Both asked together, now the one first and now the other."""
        self.asked += 1
        desks = (self.intake.desk, self.other)
        calls = [
            desk.submit(CommandEnvelope(f"{self.asked}-{n}", ticket_id, command, actor))
            for n, (desk, (command, actor)) in enumerate(zip(desks, (first, second), strict=True))
        ]
        if self.asked % 2:
            return tuple(await asyncio.gather(*calls))  # type: ignore[return-value]
        late, early = await asyncio.gather(*reversed(calls))
        return early, late

    def events(self, ticket_id: str) -> list[Event]:
        return [envelope.event for envelope in self.intake.desk.events.history(ticket_id)][1:]

    async def ticket(self, ticket_id: str) -> Ticket:
        found = await self.intake.desk.ticket(ticket_id)
        assert found is not None
        return found


@pytest.fixture
async def rivals(intake: Intake, intake_url: str, tmp_path: Path) -> AsyncIterator[Rivals]:
    if intake_url.startswith("sqlite"):
        yield Rivals(intake, intake.desk)
        return
    settings = IntakeSettings(data_dir=tmp_path / "other", database_url=intake_url)
    service, desk = build_with_desk(settings)
    yield Rivals(intake, desk)
    service.store.close()
    desk.events.close()


def offer(agent: str, **guards: str) -> tuple[Command, str]:
    command = c.AssignTicket(
        group="audio", agent=agent, if_unassigned=True, decision_id=f"d-{agent}", **guards
    )
    return command, ROUTER


async def test_two_routers_give_a_ticket_to_one_agent(rivals: Rivals) -> None:
    for _ in range(ROUNDS):
        ticket_id = await rivals.intake.create()
        outcomes = await rivals.at_once(ticket_id, offer("7"), offer("8"))
        assert sorted(o.code for o in outcomes) == ["", "already_assigned"]
        winner = "7" if outcomes[0].status == "accepted" else "8"
        assert rivals.events(ticket_id) == [
            t.Assigned(group="audio", agent=winner, decision_id=f"d-{winner}"),
            t.StatusChanged(status=Status.OPEN, previous=Status.NEW, reason="assigned"),
        ]


async def test_a_person_has_the_last_word_over_a_router(rivals: Rivals) -> None:
    """Whoever comes first: afterwards the person's choice stands, and the router's unit is
    answered for, by an event with its decision or by a refusal."""
    for _ in range(ROUNDS):
        ticket_id = await rivals.intake.create()
        by_hand = (c.AssignTicket(group="video", agent="9"), "agent:lead")
        routed, handed = await rivals.at_once(ticket_id, offer("7"), by_hand)
        assert handed.status == "accepted"
        assert (await rivals.ticket(ticket_id)).agent == "9"
        given = [e for e in rivals.events(ticket_id) if isinstance(e, t.Assigned)]
        if routed.status == "accepted":
            assert [(e.agent, e.decision_id) for e in given] == [("7", "d-7"), ("9", None)]
            assert given[-1].previous_agent == "7"
        else:
            assert routed.code == "already_assigned"
            assert [(e.agent, e.decision_id) for e in given] == [("9", None)]


async def test_a_group_named_by_hand_is_kept_by_a_guarded_offer(rivals: Rivals) -> None:
    for _ in range(ROUNDS):
        ticket_id = await rivals.intake.create()
        by_hand = (c.AssignTicket(group="video"), "agent:lead")
        routed, handed = await rivals.at_once(ticket_id, offer("7", if_group=""), by_hand)
        assert handed.status == "accepted"
        assert routed.code in {"", "group_changed"}
        assert (await rivals.ticket(ticket_id)).group == "video"


async def test_a_take_back_never_hits_the_next_holder(rivals: Rivals) -> None:
    for _ in range(ROUNDS):
        ticket_id = await rivals.intake.create()
        first = CommandEnvelope(f"hold-{ticket_id}", ticket_id, *offer("7"))
        await rivals.intake.desk.submit(first)
        take_back = (c.UnassignTicket(reason="out of office", if_agent="7"), ROUTER)
        on = (c.AssignTicket(group="audio", agent="8"), "agent:7")
        taken, handed = await rivals.at_once(ticket_id, take_back, on)
        assert handed.status == "accepted"
        assert taken.code in {"", "not_held_by"}
        assert (await rivals.ticket(ticket_id)).agent == "8"


async def test_a_take_back_asked_twice_takes_back_once(rivals: Rivals) -> None:
    for _ in range(ROUNDS):
        ticket_id = await rivals.intake.create()
        first = CommandEnvelope(f"hold-{ticket_id}", ticket_id, *offer("7"))
        await rivals.intake.desk.submit(first)
        take_back = (c.UnassignTicket(if_agent="7"), ROUTER)
        outcomes = await rivals.at_once(ticket_id, take_back, take_back)
        assert sorted(o.code for o in outcomes) == ["", "not_held_by"]

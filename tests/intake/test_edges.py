"""Commands from Kafka, and what is still known after a restart."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic_core import from_json
from sqlalchemy import select

from libs.events import Channel, Command, CommandEnvelope, encode_command
from libs.events import commands as c
from libs.events.topics import TICKETS_COMMANDS, TICKETS_REJECTIONS
from libs.runtime.commands import CommandConsumer
from services.intake.app import build_with_desk
from services.intake.config import IntakeSettings
from tests.intake.conftest import NEW, Intake

DAY_S = 86_400


@dataclass
class Sent:
    """A record as the consumer sees it."""

    value: bytes | None
    headers: list[tuple[str, Any]]
    offset: int
    key: bytes | None = None
    topic: str = TICKETS_COMMANDS
    partition: int = 0
    timestamp: int = 0


@dataclass
class Edge:
    """`tickets.commands` without a broker."""

    intake: Intake
    offset: int = 0
    consumer: CommandConsumer = field(init=False)

    def __post_init__(self) -> None:
        self.consumer = CommandConsumer("intake", self.intake.service.store, self.intake.desk)

    def record(self, value: bytes | None, headers: list[tuple[str, Any]]) -> Sent:
        self.offset += 1
        return Sent(value, headers, self.offset)

    def ask(self, command_id: str, ticket_id: str, command: Command, actor: str) -> Sent:
        envelope = CommandEnvelope(command_id, ticket_id, command, actor, source="/x")
        _, value, headers = encode_command(envelope)
        return self.record(value, list(headers))

    async def rejections(self) -> list[str]:
        """The codes on `tickets.rejections`, in order."""
        outbox = self.intake.service.store.outbox.rows
        query = select(outbox).where(outbox.c.topic == TICKETS_REJECTIONS).order_by("position")
        rows = await self.intake.service.store.read(lambda c: list(c.execute(query)))
        return [from_data(row.data) for row in rows]


def from_data(data: bytes) -> str:
    code: str = from_json(data)["code"]
    return code


async def test_commands_from_services_are_decided_once(intake: Intake) -> None:
    edge = Edge(intake)
    ticket_id = await intake.create()
    take = c.AssignTicket(agent="7", if_unassigned=True)
    give = c.AssignTicket(agent="8", if_unassigned=True)
    first = edge.ask("r-1", ticket_id, take, "service:routing")
    second = edge.ask("r-2", ticket_id, give, "service:routing")
    assert await edge.consumer.work([first, second]) == 0
    assert await edge.consumer.work([first, second]) == 0, "delivered again after a crash"
    state = await intake.ticket(ticket_id)
    assert (state["agent"], state["status"], state["sequence"]) == ("7", "open", 3)
    assert await edge.rejections() == ["already_assigned"]


async def test_a_broken_command_is_parked_and_the_others_go_on(intake: Intake) -> None:
    edge = Edge(intake)
    ticket_id = await intake.create()
    good = edge.ask("s-1", ticket_id, c.EscalateTicket(tier=2, cause="sla"), "service:sla")
    broken = [
        edge.record(b"{", good.headers),
        edge.record(None, good.headers),
        edge.record(b"{}", [("ce_type", None), ("x", b"\xff")]),
        edge.record(b"{}", [(n, b"DropTicket" if n == "ce_type" else v) for n, v in good.headers]),
        edge.record(b'{"tier": 2, "assignee": "me"}', good.headers),
        # A refusal could not name it.
        edge.record(good.value, [(n, b"k" * 230 if n == "ce_id" else v) for n, v in good.headers]),
    ]
    assert await edge.consumer.work([*broken, good]) == len(broken)
    assert (await intake.ticket(ticket_id))["tier"] == 2
    ledger = await intake.ledger()
    assert (ledger["total"]["quarantined"], ledger["balanced"]) == (len(broken), True)


async def test_a_reply_from_a_channel_to_a_closed_ticket(intake: Intake) -> None:
    edge = Edge(intake)
    ticket_id = await intake.create()
    await intake.call("PUT", f"/v1/tickets/{ticket_id}/status", {"status": "solved"}, "agent:7")
    intake.clock.advance(5 * DAY_S)
    await intake.closer.close_due()
    reply = c.AddMessage(author="requester", author_id="ana", body="Again", channel=Channel.EMAIL)
    record = edge.ask("m-1", ticket_id, reply, "requester:ana")
    await edge.consumer.work([record])
    await edge.consumer.work([record])
    links = (await intake.ticket(ticket_id))["links"]
    assert len(links) == 1
    follow_up = await intake.ticket(links[0]["other"])
    assert (follow_up["channel"], follow_up["number"]) == ("email", 2)
    assert (await intake.ledger())["tickets"] == 2


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    settings = IntakeSettings(data_dir=tmp_path)
    answers = []
    for _ in range(2):
        service, desk = build_with_desk(settings)
        service._create()
        transport = httpx.ASGITransport(app=service.http)
        async with httpx.AsyncClient(transport=transport, base_url="http://intake") as http:
            key = {"Idempotency-Key": "k"}
            answers.append((await http.post("/v1/tickets", json=NEW, headers=key)).json())
            second = await http.post("/v1/tickets", json=NEW)
            history = await http.get(f"/v1/tickets/{answers[0]['id']}/history")
        service.store.close()
        desk.events.close()
    assert answers[0] == answers[1]
    assert second.json()["number"] == 3
    assert len(history.json()["events"]) == 1

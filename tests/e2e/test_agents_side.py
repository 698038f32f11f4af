"""What an agent does at the desk travels as a command over Kafka, through real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic_core import from_json

from cli.system import Options
from libs.events import AgentCommandEnvelope, encode_agent_command
from libs.events.agent_commands import AcceptOffer, AgentRequest, SetAgentPresence
from libs.events.topics import AGENTS_COMMANDS, ROUTING_DECISIONS
from tests.e2e.desk import Desk, Raw, running, until
from tests.faults.work import published

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with running(Options(data_dir=tmp_path, kafka="embedded", port_base=0)) as desk:
        yield desk


def request(agent: str, command: AgentRequest) -> Raw:
    asked = AgentCommandEnvelope(
        str(uuid4()), agent, command, f"agent:{agent}", source="/bitacora/reporting"
    )
    return (AGENTS_COMMANDS, *encode_agent_command(asked))


def test_an_accepted_offer_becomes_an_assignment_and_duplicates_are_harmless(desk: Desk) -> None:
    chats = [{"name": "chats", "mode": "offer"}]
    desk.send("routing", "PUT", "/v1/rules", queues=chats, offers={"timeout_s": 600})
    desk.send("routing", "POST", "/v1/agents", id="ana", name="Ana", capacity=1)
    ticket = desk.create("May I have a word?", channel="chat")

    online = request("ana", SetAgentPresence(presence="online"))
    desk.produce([online, online])
    (offer,) = until(lambda: offers(desk, "open"), "coming online gets ana the offer")
    accept = request("ana", AcceptOffer(offer_id=offer["id"]))
    late = request("ana", AcceptOffer(offer_id="no such offer"))
    desk.produce([accept, late, accept, late])
    until(lambda: desk.reported(ticket).get("agent") == "ana", "ana holds the ticket")
    until(lambda: refusals(desk) == ["unknown_offer"], "the other answer is refused, once")

    # The embedded broker's offsets are not trusted: a new process reads all of it again.
    desk.restarted("routing", desk.signal("routing"))
    done = request("ana", SetAgentPresence(presence="away"))
    desk.produce([accept, online, done])
    until(lambda: presence(desk) == "away", "what was asked last is done last")
    assert desk.types(ticket).count("Assigned") == 1
    assert [one["state"] for one in offers(desk)] == ["accepted"]
    assert refusals(desk) == ["unknown_offer"]
    assert desk.parked("routing") == []
    desk.verified()


def offers(desk: Desk, state: str = "") -> list[dict[str, Any]]:
    found = desk.get("routing", "/v1/agents/ana/offers") or {"offers": []}
    return [offer for offer in found["offers"] if state in ("", offer["state"])]


def presence(desk: Desk) -> str:
    agent = desk.get("routing", "/v1/agents/ana") or {}
    return str(agent.get("presence"))


def refusals(desk: Desk) -> list[str]:
    records = published(desk.state.bootstrap, [ROUTING_DECISIONS])
    refused = [r for r in records if dict(r.headers)["ce_subject"].startswith(b"refusal:")]
    return [from_json(record.value)["code"] for record in refused]

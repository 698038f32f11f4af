"""The agent's side over Kafka: what arrives on `agents.commands`, carried out by the real desk."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import select

from libs.events import (
    EVENTS,
    AgentCommandEnvelope,
    decode_agent_command,
    encode_agent_command,
)
from libs.events.agent import PresenceChanged
from libs.events.agent_commands import AcceptOffer, AgentRequest, DeclineOffer, SetAgentPresence
from libs.events.routing import AgentCommandRefused, OfferEnded
from libs.events.topics import AGENTS_COMMANDS, topic_named
from libs.runtime import parking
from libs.runtime.answering import AnsweringConsumer
from libs.runtime.mapper import envelope_of
from libs.runtime.metrics import Metrics
from services.routing.domain.rules import Offers, QueueRule, RoutingRules
from services.routing.handlers import RequestsHandler
from tests.routing.house import T1, T2, House, agent_of
from tests.runtime.streams import HandRecord

RULES = RoutingRules(queues=(QueueRule(name="chats", mode="offer"),), offers=Offers(timeout_s=30))


class Edge:
    """`agents.commands` without a broker, on a real desk."""

    def __init__(self, house: House) -> None:
        self.house = house
        parking.add_parked_table(house.store.metadata)
        topic, handler = topic_named(AGENTS_COMMANDS), RequestsHandler(house.desk)
        self.consumer = AnsweringConsumer(
            "routing", house.store, topic, decode_agent_command, handler, Metrics()
        )
        house.store.create_tables()
        self._offset = 0

    def record(self, agent: str, command: AgentRequest, **around: object) -> HandRecord:
        self._offset += 1
        given = {"actor": f"agent:{agent}", "command_id": str(uuid4()), **around}
        asked = AgentCommandEnvelope(agent_id=agent, command=command, **given)  # type: ignore[arg-type]
        key, value, headers = encode_agent_command(asked)
        return HandRecord(AGENTS_COMMANDS, 0, self._offset, key, value, [*headers])

    async def ask(self, agent: str, command: AgentRequest, **around: object) -> str:
        """Every request comes twice. The code of its refusal; empty when it was carried out."""
        before = len(self.refusals())
        record = self.record(agent, command, **around)
        assert await self.consumer.work([record, record]) == 0
        new = self.refusals()[before:]
        assert len(new) <= 1
        return new[0].code if new else ""

    def refusals(self) -> list[AgentCommandRefused]:
        """What was refused, in order."""
        rows = self.house.store.outbox.rows
        query = select(rows.c.data).where(rows.c.type == AgentCommandRefused.TYPE)
        with self.house.store.database.reading() as connection:
            found = connection.scalars(query.order_by(rows.c.position)).all()
        return [EVENTS.decode(AgentCommandRefused.TYPE, data) for data in found]

    def offer(self, agent: str) -> str:
        """The id of the open offer to this agent."""
        with self.house.store.database.reading() as connection:
            offers = self.house.tables.offers_to(connection, agent, 10)
        [offer] = [offer for offer in offers if offer.state == "open"]
        return offer.id

    def presence(self, agent: str) -> str:
        with self.house.store.database.reading() as connection:
            found = self.house.tables.agent(connection, agent)
        assert found is not None
        return found.presence


@pytest.fixture
def edge(database_url: str) -> Iterator[Edge]:
    house = House(database_url, rules=RULES)
    yield Edge(house)
    house.close()


async def test_an_accepted_offer_becomes_one_assignment(edge: Edge) -> None:
    house = edge.house
    house.agent("ana", 1)
    house.ticket(T1)
    record = edge.record("ana", AcceptOffer(offer_id=edge.offer("ana")), command_id="k-1")
    for _ in range(3):
        assert await edge.consumer.work([record, record]) == 0
    [asked] = house.commands()
    assert (agent_of(asked), asked.causation_id, asked.correlation_id) == ("ana", "k-1", "k-1")
    ended = [fact for fact in house.facts if isinstance(fact, OfferEnded)]
    assert [fact.outcome for fact in ended] == ["accepted"]
    house.intake.decide(asked)
    house.deliver()
    assert (house.holder(T1), house.loads()) == ("ana", {"ana": 1})
    assert edge.refusals() == []


async def test_a_declined_offer_goes_to_the_next(edge: Edge) -> None:
    edge.house.agent("ana", 1)
    edge.house.agent("luis", 1)
    edge.house.ticket(T1)
    declined = DeclineOffer(offer_id=edge.offer("ana"), reason="in a call")
    assert await edge.ask("ana", declined, actor="service:reporting") == ""
    assert await edge.ask("luis", AcceptOffer(offer_id=edge.offer("luis"))) == ""
    edge.house.answer()
    assert edge.house.holder(T1) == "luis"


async def test_the_presence_is_set_and_work_pulled(edge: Edge) -> None:
    house = edge.house
    house.agent("ana", 1)
    assert await edge.ask("ana", SetAgentPresence(presence="away", reason="lunch")) == ""
    assert edge.presence("ana") == "away"
    house.ticket(T1)
    assert await edge.ask("ana", SetAgentPresence(presence="online"), command_id="k-9") == ""
    edge.offer("ana")
    rows = house.store.outbox.rows
    query = select(rows).where(rows.c.type == PresenceChanged.TYPE).order_by(rows.c.position.desc())
    with house.store.database.reading() as connection:
        row = connection.execute(query).first()
    assert row is not None
    told = envelope_of(
        source="",
        type_name=row.type,
        stream_id=row.stream_id,
        sequence=row.sequence,
        position=row.position,
        meta=row.meta,
        data=row.data,
    )
    assert (told.causation_id, told.actor) == ("k-9", "agent:ana")


async def test_what_http_refuses_is_refused_here_with_the_same_code(edge: Edge) -> None:
    house = edge.house
    house.agent("ana", 2)
    house.agent("luis", 0)
    house.ticket(T1)
    offer = edge.offer("ana")
    accept, online = AcceptOffer(offer_id=offer), SetAgentPresence(presence="online")
    assert await edge.ask("luis", accept) == "not_your_offer"
    assert await edge.ask("ana", accept, actor="agent:luis") == "not_your_offer"
    assert await edge.ask("ana", accept, expected_sequence=1) == "not_conditional"
    assert await edge.ask("ana", AcceptOffer(offer_id="none")) == "unknown_offer"
    assert await edge.ask("nobody", online) == "unknown_agent"
    assert await edge.ask("ana", online, expected_sequence=99) == "stale_version"
    assert house.commands() == []
    house.clock.advance(31)
    assert await edge.ask("ana", accept) == "offer_ended"
    last = edge.refusals()[-1]
    assert (last.agent, last.command_type) == ("ana", "bitacora.AcceptOffer.v1")
    assert "It ran out at" in last.detail
    house.sweep()
    house.ticket(T2)
    assert house.works()[0].holder is None, "nothing was given away by what was refused"

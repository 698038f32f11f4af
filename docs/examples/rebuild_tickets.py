"""Rebuilds every ticket from the topic: `python rebuild_tickets.py 127.0.0.1:9092`."""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer

from libs.events import EventEnvelope, Ticket, decode_event, evolve


async def rebuild(bootstrap: str) -> dict[str, Ticket]:
    """Every ticket by its id, as the events on `tickets.events` tell it."""
    tickets: dict[str, Ticket] = {}
    where = {"bootstrap_servers": bootstrap, "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer("tickets.events", **where) as consumer:
        while batch := await consumer.getmany(timeout_ms=3_000):  # nothing for 3 s: the end
            for record in (record for records in batch.values() for record in records):
                envelope = decode_event(record.value, record.headers)
                if isinstance(envelope, EventEnvelope):  # else it is no event: pass over it
                    ticket = tickets.get(envelope.stream_id)
                    if envelope.sequence == (ticket.sequence if ticket else 0) + 1:
                        tickets[envelope.stream_id] = evolve(ticket, envelope)
    return tickets


if __name__ == "__main__":
    for ticket in asyncio.run(rebuild(sys.argv[1])).values():
        print(ticket.number, ticket.status, ticket.agent, ticket.subject, sep="\t")

"""Waiting until nothing is under way any more: relays empty, commands decided, reporting caught up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, text

from cli.demo.api import Api
from libs.events.topics import TICKETS_COMMANDS, TICKETS_EVENTS
from libs.runtime.clock import monotonic_s
from libs.runtime.database import Database
from libs.runtime.mapper import unpack_headers

LOOK_S: Final = 0.25
CALM_LOOKS: Final = 3
"""How many looks in a row must find nothing: a command may be on its way between two services."""
SPEAKERS: Final = ("intake", "routing", "sla")


@dataclass(frozen=True, slots=True)
class Open:
    """What is still to be done: `relays` messages stored and not on Kafka, `reporting` events that
    it has not applied, by topic; `commands` sent by services and not decided."""

    relays: Mapping[str, int]
    reporting: Mapping[str, int]
    commands: int

    @property
    def settled(self) -> bool:
        return not (self.relays or self.reporting or self.commands)

    def __str__(self) -> str:
        parts = [f"{number} behind the relay of {name}" for name, number in self.relays.items()]
        parts += [
            f"{number} of {topic} not in reporting" for topic, number in self.reporting.items()
        ]
        if self.commands:
            parts.append(f"{self.commands} commands undecided")
        return ", ".join(parts) or "nothing"


async def settle(api: Api, databases: Mapping[str, str], *, timeout_s: float) -> Open:
    """Return when all is done, or after `timeout_s` with what is not. `databases`: service → URL."""
    give_up_s, calm = monotonic_s() + timeout_s, 0
    opened = {name: Database(url) for name, url in databases.items()}
    try:
        while True:
            found = await _look(api, opened)
            calm = calm + 1 if found.settled else 0
            if calm >= CALM_LOOKS or monotonic_s() > give_up_s:
                return found
            await asyncio.sleep(LOOK_S)
    finally:
        for one in opened.values():
            one.close()


async def _look(api: Api, databases: Mapping[str, Database]) -> Open:
    # The stores first: whatever comes meanwhile can only make the others look more advanced.
    stored = await asyncio.to_thread(_stores, databases)
    answer = await api.get("reporting", "/v1/positions")
    applied = {row["topic"]: row["events"] for row in answer.body.get("positions", ())}
    behind = {
        topic: number - applied.get(topic, 0)
        for topic, number in sorted(stored.said.items())
        if number > applied.get(topic, 0)
    }
    return Open(stored.relays, behind, stored.undecided)


@dataclass(slots=True)
class _Stores:
    """`said`: events by topic. `relays`: messages that a relay still has to send, by its name."""

    said: Counter[str] = field(default_factory=Counter)
    relays: dict[str, int] = field(default_factory=dict)
    undecided: int = 0


def _stores(databases: Mapping[str, Database]) -> _Stores:
    found = _Stores()
    asked: set[str] = set()
    for name in SPEAKERS:
        with databases[name].reading() as connection:
            rows = connection.execute(text("SELECT relay, position FROM relay_checkpoints"))
            reached: dict[str, int] = {row[0]: row[1] for row in rows}
            heads = {f"{name}-outbox": _one(connection, "SELECT MAX(position) FROM outbox")}
            if name == "intake":
                column = "rowid" if databases[name].is_sqlite else "notification_id"
                query = f"SELECT MAX({column}) FROM stored_events"  # noqa: S608 - one of two names
                heads["intake-events"] = _one(connection, query)
                count = _one(connection, "SELECT COUNT(*) FROM stored_events")
                found.said[TICKETS_EVENTS] += count
            for relay, head in heads.items():
                if head > reached.get(relay, 0):
                    found.relays[relay] = head - reached.get(relay, 0)
            rows = connection.execute(text(_SAID))
            found.said.update({row[0]: int(row[1]) for row in rows})
            rows = connection.execute(text(_ASKED), {"topic": TICKETS_COMMANDS})
            asked |= {_command_id(bytes(row[0])) for row in rows}
    with databases["intake"].reading() as connection:
        rows = connection.execute(text("SELECT command_id FROM command_log"))
        found.undecided = len(asked.difference(rows.scalars()))
    return found


_SAID: Final = "SELECT topic, COUNT(*) FROM outbox WHERE stream_id IS NOT NULL GROUP BY topic"
_ASKED: Final = "SELECT meta FROM outbox WHERE stream_id IS NULL AND topic = :topic"


def _one(connection: Connection, query: str) -> int:
    return int(connection.execute(text(query)).scalar_one() or 0)


def _command_id(meta: bytes) -> str:
    headers = dict(unpack_headers(meta))
    return (headers.get("ce_id") or b"").decode()

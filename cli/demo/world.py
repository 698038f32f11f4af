"""What the simulated people share: time, the APIs, the open cases, and who is at work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cli.demo.api import Answer, Api
from cli.demo.people import Agent
from cli.demo.plan import Script, Step
from cli.demo.simtime import Crowd, SimTime


@dataclass(slots=True)
class Case:
    """A ticket as the simulation knows it: whose it is, and how many of the planned turns are done."""

    id: str
    script: Script
    turns: int = 0
    triaged: bool = False
    reopened: bool = False

    def next_step(self) -> Step:
        return self.script.step(self.turns)


@dataclass(slots=True)
class World:
    time: SimTime
    api: Api
    crowd: Crowd
    cases: dict[str, Case] = field(default_factory=dict)
    """By ticket id: everything that intake has acknowledged."""
    at_work: dict[str, Agent] = field(default_factory=dict)
    """Who is online, by id."""
    busy: set[str] = field(default_factory=set)
    """Of those, who works on a ticket at this moment."""

    async def ticket(self, ticket_id: str) -> Answer:
        """The ticket's present state, from intake."""
        return await self.api.get("intake", f"/v1/tickets/{ticket_id}")

    async def change(
        self,
        method: str,
        ticket_id: str,
        what: str,
        body: dict[str, Any] | None = None,
        *,
        actor: str,
        if_match: str | None = None,
    ) -> Answer:
        path = f"/v1/tickets/{ticket_id}/{what}"
        return await self.api.send(method, "intake", path, body, actor=actor, if_match=if_match)

    async def write(
        self,
        ticket_id: str,
        author: str,
        author_id: str,
        text: str,
        *,
        internal: bool = False,
        if_match: str | None = None,
    ) -> Answer:
        """A message on the ticket. `author` is requester, agent or system."""
        body = {
            "author": author,
            "author_id": author_id,
            "visibility": "internal" if internal else "public",
            "body": text,
        }
        actor = "system" if author == "system" else f"{author}:{author_id}"
        return await self.change(
            "POST", ticket_id, "messages", body, actor=actor, if_match=if_match
        )

"""The Kafka edge of intake: what arrives on `tickets.commands` is decided, refused, or parked.

A command counts once by its `command_id`, in the transaction that appends its events (see
`libs.runtime.commit`). The Kafka offset is committed after that; a crash between the two brings the
same commands again, and they are answered as duplicates.
"""

from __future__ import annotations

from collections.abc import Sequence

from libs.events import CommandEnvelope, Malformed, decode_command
from libs.events.topics import TICKETS_COMMANDS
from libs.runtime.commit import GroupCommit
from libs.runtime.requests import RequestConsumer
from libs.runtime.store import ServiceStore


class CommandConsumer(RequestConsumer[CommandEnvelope]):
    """Does one poll's commands; see the module's text."""

    def __init__(self, group: str, store: ServiceStore, commit: GroupCommit) -> None:
        super().__init__(group, store, TICKETS_COMMANDS, decode_command)
        self._commit = commit

    async def answer(self, requests: Sequence[CommandEnvelope]) -> list[Malformed | None]:
        """Decide these commands, in order, together."""
        outcomes = await self._commit.submit_many(list(requests), publish_rejections=True)
        return [
            Malformed(outcome.code, outcome.detail, request.ticket_id)
            if outcome.status == "failed"
            else None
            for request, outcome in zip(requests, outcomes, strict=True)
        ]

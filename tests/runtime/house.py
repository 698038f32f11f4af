"""A small intake: two commands on a group commit, for tests of what runs around it."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from sqlalchemy import MetaData

from libs.events import CommandEnvelope, Event, Priority, Ticket
from libs.events.commands import ChangePriority, CreateTicket
from libs.events.ticket import PriorityChanged, Requester, TicketCreated
from libs.runtime.clock import ManualClock
from libs.runtime.commit import CommitTables, GroupCommit
from libs.runtime.database import Database
from libs.runtime.errors import Rejected
from libs.runtime.eventstore import EventStore
from libs.runtime.parking import add_parked_table
from libs.runtime.relay import checkpoint_table
from libs.runtime.store import ServiceStore
from tests.runtime.streams import NOON


def decide(
    envelope: CommandEnvelope, state: Ticket | None, now: datetime, number: int
) -> tuple[Event, ...]:
    command = envelope.command
    if isinstance(command, CreateTicket):
        if state is not None:
            raise Rejected("ticket_exists", "this id is taken")
        return (
            TicketCreated(
                number=number,
                subject=command.subject,
                requester=command.requester,
                channel=command.channel,
            ),
        )
    if isinstance(command, ChangePriority):
        if state is None:
            raise Rejected("unknown_ticket", "there is no such ticket", status=404)
        if command.priority == state.priority:
            return ()
        if command.priority is Priority.CRITICAL:
            raise ZeroDivisionError("a bug")
        return (PriorityChanged(priority=command.priority, previous=state.priority),)
    raise AssertionError(envelope)


class Intake:
    """A database with a group commit on it."""

    def __init__(self, url: str) -> None:
        metadata = MetaData()
        self.store = ServiceStore(
            Database(url), metadata, source="/bitacora/intake", clock=ManualClock(NOON)
        )
        self.tables = CommitTables(metadata)
        self.checkpoints = checkpoint_table(metadata)
        add_parked_table(metadata)
        self.store.create_tables()
        self.events = EventStore(self.store.database, source="/bitacora/intake")
        self.events.create_tables()
        self.batches: list[int] = []
        self.commit = self.group_commit()

    def group_commit(self) -> GroupCommit:
        return GroupCommit(
            self.store,
            self.events,
            self.tables,
            decide=decide,
            refusals=(Rejected,),
            on_batch=self.batches.append,
        )

    def close(self) -> None:
        self.events.close()
        self.store.close()


def create(ticket_id: str | None = None, *, subject: str = "help") -> CommandEnvelope:
    command = CreateTicket(subject=subject, requester=Requester(id="r1"))
    return CommandEnvelope(str(uuid4()), ticket_id or str(uuid4()), command, "system")

"""One row per ticket: the published fold's facts, and the durations that figures are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    select,
)

from libs.events import Channel, EventEnvelope, Priority, Status, Ticket, evolve
from libs.events import ticket as t
from services.reporting.domain import EPOCH, SETTLED, microseconds
from services.reporting.views.sql import METADATA, RowTuple, Save, big, clean
from services.reporting.views.work import Work

TICKETS = Table(
    "tickets",
    METADATA,
    Column("id", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("substatus", String),
    Column("priority", String, nullable=False),
    Column("category", String),
    Column("subcategory", String),
    Column("subject", String, nullable=False),
    Column("requester_id", String),
    Column("organization", String),
    Column("channel", String, nullable=False),
    Column("language", String),
    Column("tags", String, nullable=False),
    Column("custom_fields", String, nullable=False),
    Column("links", String, nullable=False),
    Column("group_name", String),
    Column("agent", String),
    Column("tier", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("first_replied_us", BigInteger),
    Column("last_requester_message_us", BigInteger),
    Column("first_solved_us", BigInteger),
    Column("solved_us", BigInteger),
    Column("solved_by", String),
    Column("closed_us", BigInteger),
    Column("public_replies", Integer, nullable=False),
    Column("requester_messages", Integer, nullable=False),
    Column("internal_notes", Integer, nullable=False),
    Column("reopens", Integer, nullable=False),
    Column("group_changes", Integer, nullable=False),
    Column("hand_overs", Integer, nullable=False),
    Column("escalations", Integer, nullable=False),
    Column("merged_into", String),
    Column("follow_up_of", String),
    Column("rating", String),
    Column("imported_from", String),
    Column("external_ref", String),
    Column("live", Boolean, nullable=False),
    Column("first_reply_s", BigInteger),
    Column("first_resolution_s", BigInteger),
    Column("resolution_s", BigInteger),
    Column("search", String, nullable=False),
)
"""Times are business times, in microseconds since 1970 (UTC); `tags`, `custom_fields` and `links`
are JSON; `search` is the subject in folded case (SQLite folds ASCII alone). Descriptions and the requester's name and addresses stay in the history alone."""

_C = TICKETS.c
Index("tickets_created", _C.created_us, _C.id)
Index("tickets_number", _C.number)
for _name in ("external_ref", "agent", "group_name"):
    Index(f"tickets_{_name}", _C[_name], sqlite_where=_C[_name].isnot(None))

_STATUS: Final = {str(value): value for value in Status}
_PRIORITY: Final = {str(value): value for value in Priority}
_CHANNEL: Final = {str(value): value for value in Channel}
_save = Save(TICKETS)


class TicketsView:
    """Keeps `tickets`, and tells `work` of what changed."""

    def apply(
        self,
        connection: Connection,
        envelopes: Sequence[EventEnvelope],
        work: Work,
    ) -> None:
        """Fold the events (in order per stream) into the rows of the tickets they touch.

        Events before a stream's TicketCreated are left out: there is no ticket to show yet.
        """
        states, first_solved = _load(connection, {e.stream_id for e in envelopes})
        touched: dict[str, Ticket] = {}
        for envelope in envelopes:
            ticket_id, kind = envelope.stream_id, type(envelope.event)
            before = states.get(ticket_id)
            if before is None and kind is not t.TicketCreated:
                continue
            after = evolve(before, envelope)
            states[ticket_id] = touched[ticket_id] = after
            work.note(before, after, envelope)
            if ticket_id not in first_solved and after.status in SETTLED:
                first_solved[ticket_id] = microseconds(envelope.time)
        _save(connection, [row_of(s, first_solved.get(s.id)) for s in touched.values()])


def _load(
    connection: Connection,
    ids: Iterable[str],
) -> tuple[dict[str, Ticket], dict[str, int]]:
    states: dict[str, Ticket] = {}
    first_solved: dict[str, int] = {}
    for row in connection.execute(select(TICKETS).where(_C.id.in_(list(ids)))):
        values = dict(zip(_NAMES, row, strict=True))
        if values["first_solved_us"] is not None:
            first_solved[values["id"]] = values["first_solved_us"]
        states[values["id"]] = ticket_of(values)
    return states, first_solved


_NAMES: Final = tuple(column.name for column in TICKETS.c)


def ticket_of(row: dict[str, Any]) -> Ticket:
    """The folded ticket of a row, complete enough to fold on (the fold reads no description)."""
    requester_id = row["requester_id"]
    ticket = object.__new__(Ticket)  # as the fold does: a frozen class pays for every field
    ticket.__dict__.update(
        id=row["id"],
        sequence=row["sequence"],
        number=row["number"],
        status=_STATUS[row["status"]],
        substatus=row["substatus"],
        priority=_PRIORITY[row["priority"]],
        category=row["category"],
        subcategory=row["subcategory"],
        subject=row["subject"],
        description="",
        requester=None
        if requester_id is None
        else t.Requester.model_construct(id=requester_id, organization=row["organization"]),
        channel=_CHANNEL[row["channel"]],
        language=row["language"],
        tags=_NO_TAGS if row["tags"] == "[]" else frozenset(orjson.loads(row["tags"])),
        custom_fields={} if row["custom_fields"] == "{}" else orjson.loads(row["custom_fields"]),
        group=row["group_name"],
        agent=row["agent"],
        tier=row["tier"],
        created_at=_time(row["created_us"]),
        updated_at=_time(row["updated_us"]),
        first_replied_at=_time(row["first_replied_us"]),
        last_requester_message_at=_time(row["last_requester_message_us"]),
        solved_at=_time(row["solved_us"]),
        solved_by=row["solved_by"],
        closed_at=_time(row["closed_us"]),
        public_replies=row["public_replies"],
        requester_messages=row["requester_messages"],
        internal_notes=row["internal_notes"],
        reopens=row["reopens"],
        group_changes=row["group_changes"],
        hand_overs=row["hand_overs"],
        escalations=row["escalations"],
        merged_into=row["merged_into"],
        follow_up_of=row["follow_up_of"],
        links=() if row["links"] == "[]" else tuple(map(tuple, orjson.loads(row["links"]))),
        rating=row["rating"],
        imported_from=row["imported_from"],
        external_ref=row["external_ref"],
        live=row["live"],
    )
    return ticket


_NO_TAGS: Final[frozenset[str]] = frozenset()


def row_of(s: Ticket, first_solved_us: int | None) -> RowTuple:
    """The reverse of `ticket_of`, in the order of the columns. Raises Poison for a number that no
    column holds."""
    created, replied, solved = _us(s.created_at), _us(s.first_replied_at), _us(s.solved_at)
    row = (
        s.id,
        s.sequence,
        big(s.number),
        s.status.value,
        s.substatus,
        s.priority.value,
        s.category,
        s.subcategory,
        s.subject,
        s.requester.id if s.requester else None,
        s.requester.organization if s.requester else None,
        s.channel.value,
        s.language,
        orjson.dumps(sorted(s.tags)).decode() if s.tags else "[]",
        orjson.dumps(s.custom_fields).decode() if s.custom_fields else "{}",
        orjson.dumps(s.links).decode() if s.links else "[]",
        s.group,
        s.agent,
        s.tier,
        created,
        _us(s.updated_at),
        replied,
        _us(s.last_requester_message_at),
        first_solved_us,
        solved,
        s.solved_by,
        _us(s.closed_at),
        s.public_replies,
        s.requester_messages,
        s.internal_notes,
        s.reopens,
        s.group_changes,
        s.hand_overs,
        s.escalations,
        s.merged_into,
        s.follow_up_of,
        s.rating,
        s.imported_from,
        s.external_ref,
        s.live,
        _seconds(created, replied),
        _seconds(created, first_solved_us),
        _seconds(created, solved),
        s.subject.casefold(),
    )
    if any(type(value) is str and "\x00" in value for value in row):
        return tuple(clean(value) if isinstance(value, str) else value for value in row)
    return row


def _us(instant: datetime | None) -> int | None:
    return None if instant is None else microseconds(instant)


def _time(us: int | None) -> datetime | None:
    return None if us is None else EPOCH + timedelta(microseconds=us)


def _seconds(start_us: int | None, end_us: int | None) -> int | None:
    if start_us is None or end_us is None:
        return None
    return (end_us - start_us) // 1_000_000

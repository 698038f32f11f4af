"""The durable queue: one row per notification and channel, written with what causes it.

A row is `waiting` until it was `sent`, has `failed` for good, or was `skipped` with a reason. Taking a
row sets its next try *before* it is sent, so a row that a process took and then died with is tried
again by whoever comes next, and no two processes hold one at a time (SKIP LOCKED on PostgreSQL, the
write lock on SQLite). So each is sent at least once, and repeated only after such a death.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic_core import from_json, to_json
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from libs.runtime.clock import Clock
from services.routing.domain.instants import instant, micros
from services.routing.notify.model import KINDS, Facts, Kind, Notification, Outcome, State
from services.routing.views.columns import instant_of

SECOND_US: Final = 1_000_000
STALE_S: Final = 86_400.0
"""A cause that is older when it is processed tells nobody: history that is replayed is no news."""
FIRST_DELAY_S: Final = 60.0
DELAY_S_MAX: Final = 14_400.0
DELETED_MAX: Final = 5_000
REASON_MAX: Final = 500

NO_CHANNEL: Final = "no channel is set up"
FINISHED: Final = ("sent", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row: a notification on its way by one channel. `attempts` counts the one under way."""

    id: str
    kind: Kind
    channel: str | None
    agent: str
    ticket_id: str | None
    facts: Facts
    at: datetime
    until: datetime | None
    attempts: int
    next_try: datetime | None
    state: State
    reason: str | None
    sent: datetime | None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one try. `outcome` None: another try is due, if any is left."""

    delivery: Delivery
    outcome: Outcome | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a notification ended on its channel."""

    delivery: Delivery
    outcome: Outcome
    reason: str | None


class Notifications:
    """`channels` are those that are set up, `kinds` those that agents are told of."""

    def __init__(
        self,
        metadata: MetaData,
        clock: Clock,
        *,
        channels: Sequence[str] = (),
        kinds: Iterable[str] = KINDS,
        attempts_max: int = 14,
    ) -> None:
        self.channels = tuple(channels)
        self.kinds = frozenset(kinds)
        self.attempts_max = attempts_max
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self.rows = Table(
            "notifications",
            metadata,
            Column("id", String(36), primary_key=True),
            Column("kind", String(20), nullable=False),
            Column("channel", String(20)),
            Column("agent", String(200), nullable=False),
            Column("ticket_id", String(200)),
            Column("number", BigInteger),
            Column("facts", Text, nullable=False),
            Column("at_us", BigInteger, nullable=False),
            Column("created_us", BigInteger, nullable=False),
            Column("until_us", BigInteger),
            Column("attempts", Integer, nullable=False),
            Column("next_try_us", BigInteger),
            Column("state", String(10), nullable=False),
            Column("reason", String(REASON_MAX)),
            Column("sent_us", BigInteger),
        )
        c = self.rows.c
        waiting = c.state == "waiting"
        Index(
            "ix_notifications_due",
            c.channel,
            c.next_try_us,
            c.id,
            sqlite_where=waiting,
            postgresql_where=waiting,
        )
        Index("ix_notifications_of_agent", c.agent, c.created_us)
        Index("ix_notifications_of_ticket", c.ticket_id, c.created_us)
        Index("ix_notifications_created", c.created_us)

    # ----------------------------------------------------------------------------- writing

    def enqueue(self, connection: Connection, notifications: Iterable[Notification]) -> None:
        """Write them in the caller's transaction: they are told if, and only if, it commits.

        What was enqueued before is passed over. Wakes the senders of this process.
        """
        now = self._clock.now()
        rows = [
            self._row(item, channel, now)
            for item in notifications
            if item.kind in self.kinds
            for channel in self.channels or (None,)
        ]
        if not rows:
            return
        rows.sort(key=lambda row: str(row["id"]))
        module: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
        statement = module.insert(self.rows).on_conflict_do_nothing(index_elements=["id"])
        connection.execute(statement, rows)
        self.wake()

    def listen(self, wake: Callable[[], None]) -> None:
        """`wake` is called, in any thread and perhaps before the commit, when rows were added."""
        self._listeners.append(wake)

    def wake(self) -> None:
        for listener in self._listeners:
            listener()

    def _row(self, item: Notification, channel: str | None, now: datetime) -> dict[str, Any]:
        reason = None if channel else NO_CHANNEL
        if now - item.at > timedelta(seconds=STALE_S * self._clock.rate):
            reason = "it was old news when it was processed"
        return {
            "id": item.id_for(channel or ""),
            "kind": item.kind,
            "channel": channel,
            "agent": item.agent,
            "ticket_id": item.ticket_id,
            "number": item.facts.number,
            "facts": to_json(item.facts.known()).decode(),
            "at_us": micros(item.at),
            "created_us": micros(now),
            "until_us": micros(item.facts.until) if item.facts.until else None,
            "attempts": 0,
            "next_try_us": None if reason else micros(now),
            "state": "skipped" if reason else "waiting",
            "reason": reason,
            "sent_us": None,
        }

    # ----------------------------------------------------------------------------- sending

    def take(
        self, connection: Connection, channel: str, limit: int
    ) -> tuple[list[Delivery], int | None]:
        """At most `limit` rows that are due on this channel, and when the next one is (µs).

        They are this caller's until their next try is due, which is later than any try may last.
        """
        c = self.rows.c
        now_us = micros(self._clock.now())
        due = (
            select(self.rows)
            .where(c.state == "waiting", c.channel == channel, c.next_try_us <= now_us)
            .order_by(c.next_try_us, c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taken = [_delivery(row) for row in connection.execute(due)]
        if taken:
            marks = [
                {
                    "b_id": row.id,
                    "attempts": row.attempts + 1,
                    "next_try_us": now_us + self._delay_us(row.attempts + 1),
                }
                for row in taken
            ]
            self._set(connection, marks)
        upcoming = select(func.min(c.next_try_us)).where(c.state == "waiting", c.channel == channel)
        tried = [replace(row, attempts=row.attempts + 1) for row in taken]
        return tried, connection.scalar(upcoming)

    def settle(self, connection: Connection, results: Sequence[Result]) -> list[Ending]:
        """Write what became of the tries. Returns those that are over."""
        over: list[Ending] = []
        marks: list[dict[str, Any]] = []
        now_us = micros(self._clock.now())
        for result in results:
            outcome = result.outcome
            if outcome is None and result.delivery.attempts >= self.attempts_max:
                outcome = "failed"
            if outcome is not None:
                over.append(Ending(result.delivery, outcome, result.reason))
            marks.append(
                {
                    "b_id": result.delivery.id,
                    "state": outcome or "waiting",
                    "reason": result.reason and result.reason[:REASON_MAX],
                    "sent_us": now_us if outcome == "sent" else None,
                }
            )
        if marks:
            self._set(connection, marks)
        return over

    def orphans(self, connection: Connection) -> list[Delivery]:
        """What waits for a channel that is no longer set up."""
        c = self.rows.c
        query = select(self.rows).where(c.state == "waiting", c.channel.not_in(self.channels))
        return [_delivery(row) for row in connection.execute(query.with_for_update())]

    def retry(self, connection: Connection, notification_id: str) -> Delivery | None:
        """Try a failed one again, from the first attempt. None when there is no such one on a
        channel that is set up."""
        c = self.rows.c
        again = (
            update(self.rows)
            .where(c.id == notification_id, c.state == "failed", c.channel.in_(self.channels))
            .values(state="waiting", attempts=0, next_try_us=micros(self._clock.now()))
        )
        if connection.execute(again).rowcount == 0:
            return None
        self.wake()
        return self.one(connection, notification_id)

    def prune(self, connection: Connection, before: datetime) -> int:
        """Delete what is over and older than `before`, a bounded number of rows."""
        c = self.rows.c
        old = (
            select(c.id)
            .where(c.created_us < micros(before), c.state.in_(FINISHED))
            .order_by(c.created_us)
            .limit(DELETED_MAX)
        )
        return connection.execute(delete(self.rows).where(c.id.in_(old))).rowcount

    def _set(self, connection: Connection, marks: list[dict[str, Any]]) -> None:
        changed: dict[str, Any] = {name: bindparam(name) for name in marks[0] if name != "b_id"}
        statement = self.rows.update().where(self.rows.c.id == bindparam("b_id")).values(changed)
        connection.execute(statement, sorted(marks, key=lambda mark: str(mark["b_id"])))

    def _delay_us(self, attempt: int) -> int:
        return round(delay_s(attempt) * SECOND_US * self._clock.rate)

    # ----------------------------------------------------------------------------- reading

    def one(self, connection: Connection, notification_id: str) -> Delivery | None:
        query = select(self.rows).where(self.rows.c.id == notification_id)
        row = connection.execute(query).first()
        return None if row is None else _delivery(row)

    def log(
        self,
        connection: Connection,
        *,
        agent: str | None = None,
        state: str | None = None,
        ticket_id: str | None = None,
        limit: int,
    ) -> list[Delivery]:
        """The log of deliveries, newest first."""
        c = self.rows.c
        query = select(self.rows)
        for column, value in ((c.agent, agent), (c.state, state), (c.ticket_id, ticket_id)):
            if value is not None:
                query = query.where(column == value)
        query = query.order_by(c.created_us.desc(), c.id).limit(limit)
        return [_delivery(row) for row in connection.execute(query)]


def delay_s(attempt: int) -> float:
    """Real seconds from one try to the next: one minute, doubled each time, at most four hours."""
    return float(min(FIRST_DELAY_S * 2 ** (attempt - 1), DELAY_S_MAX))


def _delivery(row: Row[Any]) -> Delivery:
    facts = from_json(row.facts)
    for name in ("due", "until"):
        if facts.get(name):
            facts[name] = datetime.fromisoformat(facts[name])
    return Delivery(
        id=row.id,
        kind=row.kind,
        channel=row.channel,
        agent=row.agent,
        ticket_id=row.ticket_id,
        facts=Facts(**facts),
        at=instant(row.at_us),
        until=instant_of(row.until_us),
        attempts=row.attempts,
        next_try=instant_of(row.next_try_us) if row.state == "waiting" else None,
        state=row.state,
        reason=row.reason,
        sent=instant_of(row.sent_us),
    )

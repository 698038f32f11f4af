"""What a what-if counts: the same history under two books, ticket by ticket, in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

import msgspec

from cli.sla.past import is_new
from libs.events import EventEnvelope, Priority
from libs.events import ticket as t
from libs.events.sla import Metric
from libs.worktime.instants import FIRST_US, LAST_US, to_us
from services.sla.domain.book import Book
from services.sla.domain.clocks import breached
from services.sla.domain.metrics import METRICS
from services.sla.domain.state import CANCELLED, SATISFIED, Clock
from services.sla.domain.ticket import Cause, TicketClocks, advance, expire

OPEN_MAX: Final = 10_000
"""Tickets that are held in memory; the others wait in a temporary file."""

KEPT: Final = "kept"
MISSED: Final = "missed"
UNDECIDED: Final = "running"
NONE: Final = "no clock"
PRIORITIES: Final = tuple(str(priority) for priority in reversed(Priority))


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of one activation of a clock: `kept`, `missed`, `running` or `cancelled`. `started_by`
    is the sequence of the event that activated it, `priority` that of the ticket at its end."""

    metric: Metric
    started_by: int
    activation: int
    started_us: int
    verdict: str
    breach_us: int | None
    priority: str


class Side(msgspec.Struct, array_like=True):
    """One ticket under one book. `ended_at` has the priority at which each metric's clock last ended."""

    ticket: TicketClocks | None = None
    past: list[Outcome] = []
    ended_at: dict[str, str] = {}

    def apply(self, envelope: EventEnvelope, book: Book) -> None:
        cause = Cause(to_us(envelope.time), envelope.sequence, envelope.actor)
        ticket, facts = advance(self.ticket, envelope.event, cause, book)
        for fact in facts:
            if fact.past is not None:
                self.past.append(self._outcome(fact.past))
            if fact.kind in {"satisfied", "cancelled"} and ticket is not None:
                self.ended_at[fact.clock.metric] = ticket.fields["priority"]
        self.ticket = ticket

    def outcomes(self, book: Book, end_us: int) -> list[Outcome]:
        """Every activation, as it stands at `end_us`; of imported history at the ticket's last event."""
        if self.ticket is None:
            return []
        until_us = max(end_us, self.ticket.last_us) if self.ticket.live else self.ticket.last_us
        self.ticket, _ = expire(self.ticket, until_us, book)
        return [*self.past, *(self._outcome(clock) for clock in self.ticket.clocks)]

    def _outcome(self, clock: Clock) -> Outcome:
        assert self.ticket is not None  # noqa: S101 - it has a clock
        verdict = UNDECIDED
        if breached(clock):
            verdict = MISSED
        elif clock.state == SATISFIED:
            verdict = KEPT
        elif clock.state == CANCELLED:
            verdict = CANCELLED
        priority = self.ticket.fields["priority"]
        if not clock.active:
            priority = self.ended_at.get(clock.metric, priority)
        return Outcome(
            clock.metric,
            clock.started_by,
            clock.activation,
            clock.started_us,
            verdict,
            clock.breach_us,
            priority,
        )


class Replayed(msgspec.Struct, array_like=True):
    """One ticket: its number and name, the last sequence, and both sides."""

    id: str
    number: int
    name: str
    last: int
    old: Side
    new: Side


class Change(NamedTuple):
    """A clock whose verdict is another one under the new policies."""

    ticket_id: str
    number: int
    name: str
    metric: str
    activation: int
    priority: str
    old: str
    new: str
    old_breach_us: int | None
    new_breach_us: int | None


class Cell:
    """Clocks of one metric and priority, by verdict."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, verdict: str) -> None:
        self.counts[verdict] = self.counts.get(verdict, 0) + 1

    def __iadd__(self, other: Cell) -> Self:
        for verdict, count in other.counts.items():
            self.counts[verdict] = self.counts.get(verdict, 0) + count
        return self

    @property
    def attainment(self) -> float | None:
        """Kept of those that are decided; None when none is."""
        kept, missed = self.counts.get(KEPT, 0), self.counts.get(MISSED, 0)
        return kept / (kept + missed) if kept or missed else None


class Shelf:
    """Tickets by id. The most are in memory; those that were not asked for lately in a temporary file."""

    def __init__(self, open_max: int = OPEN_MAX) -> None:
        self._open_max = open_max
        self._open: dict[str, Replayed] = {}
        self._file: sqlite3.Connection | None = None
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Replayed).decode

    def take(self, ticket_id: str) -> Replayed | None:
        """The ticket, to be given back with `put`."""
        found = self._open.pop(ticket_id, None)
        if found is None and self._file is not None:
            query = "DELETE FROM tickets WHERE id = ? RETURNING state"
            for row in self._file.execute(query, (ticket_id,)):
                found = self._decode(row[0])
        return found

    def put(self, replayed: Replayed) -> None:
        self._open[replayed.id] = replayed
        if len(self._open) > self._open_max:
            self._lay_down(self._open_max // 2)

    def all(self) -> Iterator[Replayed]:
        """Every ticket, by number and id."""
        if self._file is None:
            yield from sorted(self._open.values(), key=lambda one: (one.number, one.id))
            return
        self._lay_down(len(self._open))
        for row in self._file.execute("SELECT state FROM tickets ORDER BY number, id"):
            yield self._decode(row[0])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _lay_down(self, count: int) -> None:
        """The ones that were put back longest ago."""
        if self._file is None:
            self._file = sqlite3.connect("", isolation_level=None)  # a private temporary file
            self._file.execute(
                "CREATE TABLE tickets (id TEXT PRIMARY KEY, number INTEGER, state BLOB)"
            )
        oldest = [self._open.pop(key) for key in list(self._open)[:count]]
        self._file.execute("BEGIN")
        self._file.executemany(
            "INSERT INTO tickets VALUES (?, ?, ?)",
            [(one.id, one.number, self._encode(one)) for one in oldest],
        )
        self._file.execute("COMMIT")


class WhatIf:
    """One pass over a history under two books. Clocks count that were activated from `from_us` on and
    before `to_us`."""

    def __init__(
        self,
        old: Book,
        new: Book,
        *,
        from_us: int = FIRST_US,
        to_us: int = LAST_US,
        open_max: int = OPEN_MAX,
    ) -> None:
        self.books = old, new
        self.span_us = from_us, to_us
        self.shelf = Shelf(open_max)
        self.tickets = self.events = self.headless = 0
        self.end_us = self.as_of_us = FIRST_US
        self.old: dict[tuple[str, str], Cell] = {}
        self.new: dict[tuple[str, str], Cell] = {}

    def apply(self, *envelopes: EventEnvelope) -> None:
        """The next events; those of one ticket in order. Raises CommandError at a gap."""
        for envelope in envelopes:
            self._apply(envelope)

    def _apply(self, envelope: EventEnvelope) -> None:
        replayed = self.shelf.take(envelope.stream_id)
        if replayed is None:
            if not isinstance(envelope.event, t.TicketCreated):
                self.headless += 1  # its beginning lies before the history
                return
            event = envelope.event
            last, name = envelope.sequence - 1, event.external_ref or ""
            replayed = Replayed(envelope.stream_id, event.number, name, last, Side(), Side())
            self.tickets += 1
        if is_new(replayed.last, envelope):
            replayed.last = envelope.sequence
            replayed.old.apply(envelope, self.books[0])
            replayed.new.apply(envelope, self.books[1])
            self.events += 1
            self.end_us = max(self.end_us, to_us(envelope.time))
        self.shelf.put(replayed)

    def changes(self, as_of_us: int = FIRST_US) -> Iterator[Change]:
        """Closes the history: counts every clock as it stands at `as_of_us`, or at the last event of all
        if that is later, and gives those whose verdict is another one, by ticket number. To be called
        once, and read to its end."""
        self.as_of_us = max(as_of_us, self.end_us)
        for replayed in self.shelf.all():
            old = self._counted(replayed.old, self.books[0], self.old)
            new = self._counted(replayed.new, self.books[1], self.new)
            order = sorted(old.keys() | new.keys(), key=lambda key: (_ORDER[key[0]], key[1]))
            for key in order:
                was, now = old.get(key), new.get(key)
                one = was or now
                verdicts = [NONE if side is None else side.verdict for side in (was, now)]
                if one is not None and verdicts[0] != verdicts[1]:
                    yield Change(
                        replayed.id,
                        replayed.number,
                        replayed.name,
                        one.metric,
                        one.activation,
                        one.priority,
                        verdicts[0],
                        verdicts[1],
                        None if was is None else was.breach_us,
                        None if now is None else now.breach_us,
                    )
        self.shelf.close()

    def _counted(
        self, side: Side, book: Book, cells: dict[tuple[str, str], Cell]
    ) -> dict[tuple[Metric, int], Outcome]:
        found: dict[tuple[Metric, int], Outcome] = {}
        for one in side.outcomes(book, self.as_of_us):
            if self.span_us[0] <= one.started_us < self.span_us[1]:
                found[one.metric, one.started_by] = one
                cells.setdefault((one.metric, one.priority), Cell()).add(one.verdict)
        return found


_ORDER: Final = {metric: number for number, metric in enumerate(METRICS)}


def rows_of(what_if: WhatIf) -> Iterator[tuple[str, str, Cell, Cell]]:
    """Metric, priority, old and new; after the priorities of a metric a row for `all`."""
    for metric in METRICS:
        whole = Cell(), Cell()
        for priority in PRIORITIES:
            key = metric, priority
            if key in what_if.old or key in what_if.new:
                cells = what_if.old.get(key, Cell()), what_if.new.get(key, Cell())
                for sum_, cell in zip(whole, cells, strict=True):
                    sum_ += cell  # noqa: PLW2901 - in place
                yield metric, priority, *cells
        if whole[0].counts or whole[1].counts:
            yield metric, "all", *whole

"""The tickets that wait, in the order in which they are to be served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.routing.domain.floor.kinds import Kind

Place = tuple[int, str]
"""The smaller urgency goes first, then the smaller id."""


@dataclass(slots=True)
class Waiting:
    """A ticket that waits. `urgency` is an instant in microseconds: smaller goes first.

    `base` is the kind it came into the queue as, `kind` what it has become by waiting. Both instants
    are microseconds since 1970. `declined`: agent → until when the agent is not asked again.
    """

    id: str
    number: int
    base: Kind
    kind: Kind
    urgency: int
    eligible_us: int
    waiting_us: int
    preferred: str | None = None
    declined: Mapping[str, int] | None = None

    @property
    def place(self) -> Place:
        return (self.urgency, self.id)


class Line:
    """The tickets of one kind that wait. Putting one in or taking it out costs O(log n)."""

    def __init__(self) -> None:
        self._entries: dict[str, Waiting] = {}
        self._heap: list[tuple[int, str]] = []
        self._declined = 0
        self._said_no: tuple[int, frozenset[str]] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._entries.values())

    @property
    def all_declined(self) -> bool:
        """True when tickets wait, and each was declined by at least one agent."""
        return 0 < self._declined == len(self._entries)

    def said_no(self, now_us: int) -> frozenset[str]:
        """The agents who declined every ticket of the line and are not to be asked again yet."""
        if self._said_no is None or self._said_no[0] != now_us:
            agents: frozenset[str] | None = None
            for ticket in self:
                barred = {a for a, until in (ticket.declined or {}).items() if until > now_us}
                agents = frozenset(barred) if agents is None else agents & barred
                if not agents:
                    break
            self._said_no = (now_us, agents or frozenset())
        return self._said_no[1]

    def put(self, ticket: Waiting) -> None:
        self.remove(ticket.id)
        self._said_no = None
        self._declined += bool(ticket.declined)
        self._entries[ticket.id] = ticket
        heappush(self._heap, ticket.place)

    def remove(self, ticket_id: str) -> None:
        ticket = self._entries.pop(ticket_id, None)
        if ticket is None:
            return
        self._said_no = None
        self._declined -= bool(ticket.declined)
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [ticket.place for ticket in self._entries.values()]
            heapify(self._heap)

    def first(self) -> Waiting | None:
        """The one to be served first."""
        while self._heap:
            urgency, ticket_id = self._heap[0]
            ticket = self._entries.get(ticket_id)
            if ticket is not None and ticket.urgency == urgency:
                return ticket
            heappop(self._heap)
        return None

    def pop(self) -> None:
        """Step over the first one, which stays in the line and comes back with `restore`."""
        heappop(self._heap)

    def restore(self, ticket: Waiting) -> None:
        """Give back a ticket that was stepped over, unless it has been removed since."""
        if self._entries.get(ticket.id) is ticket:
            heappush(self._heap, ticket.place)

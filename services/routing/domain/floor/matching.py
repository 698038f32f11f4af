"""Who gets what: the tickets that wait and the agents who have room, matched in one go.

The rules, strongest first:

1. Work that only higher tiers can do goes first, and while such work waits nobody who could do it is
   given what a lower tier can do (`RoutingRules.keep_specialists`). Could do it: is able to, has the
   capacity for it when holding nothing, has not used up the limit of its channel, and has not
   declined every such ticket a short time ago. Whoever lacks one of these is not kept for it.
2. Tickets are served in the order of precedence and urgency: no ticket waits because an agent who
   could have taken it was given a later one.
3. Among all ways to serve the same tickets, the one with the least cost is chosen: a linear
   assignment over tickets and free places, not ticket by ticket.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from services.routing.domain.floor.columns import Columns, Floats, Ints
from services.routing.domain.floor.costs import best, costs
from services.routing.domain.floor.kinds import Kind, Kinds
from services.routing.domain.floor.lines import Waiting

if TYPE_CHECKING:
    from services.routing.domain.floor.explain import Decision

BATCH_MAX: Final = 64
"""Tickets that are matched together."""

PREFERRED_COST: Final = -1e12
FORBIDDEN_COST: Final = 1e15


@dataclass(frozen=True, slots=True)
class Match:
    """This ticket goes to this agent. `batch`: how many tickets were matched together."""

    ticket: Waiting
    agent: str
    kind: Kind
    batch: int
    decision: Decision


class Session:
    """One settling of the floor at one instant (`now_us`)."""

    def __init__(
        self, columns: Columns, kinds: Kinds, now_us: int, *, keep_specialists: bool
    ) -> None:
        self._columns = columns
        self._kinds = kinds
        self._now_us = now_us
        self._keep = keep_specialists
        self._stepped_over: list[Waiting] = []
        self._seen: set[str] = set()

    def batches(self, kinds: Iterable[Kind]) -> Iterable[list[Waiting]]:
        """The next tickets to be matched together, again and again until nobody is free for them.

        The caller takes those that found an agent out of their lines before it asks for more.
        """
        open_ = list(kinds)
        while True:
            # Places only become fewer, but those kept for others are given back when that work is
            # given out: so a kind is done with when nobody is free for it, kept or not.
            open_ = [k for k in open_ if len(k.line) and len(self._kinds.serving(k).free())]
            free = {kind: places for kind in open_ if len(places := self._unkept(kind))}
            batch = self._next(list(free), self._slots_left(list(free.values()))) if free else []
            if not batch:
                return
            yield batch

    def restore(self) -> None:
        """Put those who were stepped over back into their lines."""
        for ticket in self._stepped_over:
            ticket.kind.line.restore(ticket)
        self._stepped_over.clear()

    def match(self, batch: list[Waiting]) -> list[tuple[Waiting, int]]:
        """Pairs of a ticket and the place of its agent, in the order of the tickets."""
        first = batch[0].kind
        if len(batch) == 1:
            place = self.choose(batch[0])
            return [] if place is None else [(batch[0], place)]
        plain = all(t.kind is first and not t.declined and not t.preferred for t in batch)
        return self._alike(batch, first) if plain else self._assign(batch)

    def choose(self, ticket: Waiting) -> int | None:
        """The place of the best agent for this ticket alone; None when nobody is free for it."""
        free = self.free_for(ticket)
        if not len(free):
            return None
        preferred = self._columns.places.get(ticket.preferred or "")
        if preferred is not None and preferred in free:
            return preferred
        return best(self._kinds.serving(ticket.kind), self._columns, free)

    def free_for(self, ticket: Waiting) -> Ints:
        """The places of those who could be given this ticket now."""
        free = self._unkept(ticket.kind)
        if ticket.declined:
            barred = [
                self._columns.places[agent]
                for agent, until in ticket.declined.items()
                if until > self._now_us and agent in self._columns.places
            ]
            free = free[~np.isin(free, barred)]
        return free

    def kept(self, kind: Kind, places: Ints) -> Ints:
        """Those of `places` who are kept for work that waits and that nobody of a lower tier can
        do, while `kind` is something that a lower tier can do."""
        if not self._keep:
            return places[:0]
        higher = places[self._columns.top[places] > kind.lowest()]
        if not len(higher):
            return higher
        kept: Ints = higher[self._kinds.wanted(higher, self._now_us)]
        return kept

    # ------------------------------------------------------------------------------ one batch

    def _slots_left(self, free: list[Ints]) -> int:
        """An upper bound of the tickets that can be served now."""
        places = np.unique(np.concatenate(free))
        if len(places) >= BATCH_MAX:
            return BATCH_MAX
        return min(BATCH_MAX, int((self._columns.capacity - self._columns.load)[places].sum()))

    def _next(self, open_: list[Kind], most: int) -> list[Waiting]:
        """The first tickets by the order of service that can share one matching: of one rank, and
        using the same units. At most `most`."""
        batch: list[Waiting] = []
        shape: tuple[object, ...] | None = None
        while len(batch) < most:
            heads = [(self._rank(k), t.place, k, t) for k in open_ if (t := self._head(k))]
            if not heads:
                break
            rank, _, kind, ticket = min(heads, key=lambda head: head[:2])
            needs = kind.needs
            own = (rank, needs.units, needs.channel if self._columns.limits else None)
            if shape not in {None, own}:
                break
            shape = own
            batch.append(ticket)
            kind.line.pop()
            self._seen.add(ticket.id)
            self._stepped_over.append(ticket)
        return batch

    def _head(self, kind: Kind) -> Waiting | None:
        while (ticket := kind.line.first()) is not None:
            if ticket.id not in self._seen:
                return ticket
            kind.line.pop()  # an old entry of a ticket that was looked at already
        return None

    def _rank(self, kind: Kind) -> tuple[int, int]:
        return (-kind.lowest() if self._keep else 0, -kind.queue.precedence)

    def _unkept(self, kind: Kind) -> Ints:
        free = self._kinds.serving(kind).free()
        if self._keep and len(free):
            kept = self.kept(kind, free)
            if len(kept):
                free = free[~np.isin(free, kept)]
        return free

    def _alike(self, batch: list[Waiting], kind: Kind) -> list[tuple[Waiting, int]]:
        """Tickets that all need the same: the first ones go to the best places."""
        free = self._unkept(kind)
        slots = self._slots(batch, [kind], [free])
        order = np.argsort(self._row(kind, free, slots), kind="stable")[: len(batch)]
        return [(t, slots[int(i)][0]) for t, i in zip(batch, order, strict=False)]

    def _assign(self, batch: list[Waiting]) -> list[tuple[Waiting, int]]:
        kinds = list(dict.fromkeys(ticket.kind for ticket in batch))
        free = [self._unkept(kind) for kind in kinds]
        slots = self._slots(batch, kinds, free)
        if not slots:
            return []
        cost = np.full((len(batch), len(slots)), FORBIDDEN_COST)
        places = np.array([place for place, _ in slots])
        rows = {k: self._row(k, some, slots) for k, some in zip(kinds, free, strict=True)}
        for i, ticket in enumerate(batch):
            cost[i] = rows[ticket.kind]
            if ticket.declined:
                cost[i, ~np.isin(places, self.free_for(ticket))] = FORBIDDEN_COST
            preferred = self._columns.places.get(ticket.preferred or "")
            if preferred is not None:
                own = (places == preferred) & (cost[i] < FORBIDDEN_COST)
                cost[i, own] += PREFERRED_COST
        served = _servable(cost < FORBIDDEN_COST)
        pairs = zip(*linear_sum_assignment(cost[served]), strict=True)
        return [(batch[served[int(row)]], slots[int(column)][0]) for row, column in pairs]

    def _row(self, kind: Kind, free: Ints, slots: list[tuple[int, int]]) -> Floats:
        """What each slot costs a ticket of this kind."""
        serving = self._kinds.serving(kind)
        places = np.array([place for place, _ in slots], np.int64)
        numbers = np.array([number for _, number in slots], np.int64)
        row = np.full(len(slots), FORBIDDEN_COST)
        able = np.isin(places, free)
        for number in np.unique(numbers[able]):
            these = able & (numbers == number)
            row[these] = costs(serving, self._columns, places[these], int(number))
        return row

    def _slots(
        self, batch: list[Waiting], kinds: list[Kind], free: list[Ints]
    ) -> list[tuple[int, int]]:
        """(place, how many of the batch came to it before): the free places that the batch could
        need. Those are the best ones of each kind, one for every ticket, and as many more as one of
        its tickets was declined by; and the agents whom tickets prefer."""
        most = len(batch)
        needs = kinds[0].needs
        candidates: dict[int, None] = {}
        for kind, some in zip(kinds, free, strict=True):
            own = [ticket for ticket in batch if ticket.kind is kind]
            enough = most + max(len(ticket.declined or ()) for ticket in own)
            near = some
            if len(some) > enough:
                cost = costs(self._kinds.serving(kind), self._columns, some)
                near = some[np.argpartition(cost, enough - 1)[:enough]]
            candidates |= dict.fromkeys(int(place) for place in near)
            preferred = {self._columns.places.get(ticket.preferred or "", -1) for ticket in own}
            candidates |= dict.fromkeys(preferred.intersection(some.tolist()))
        slots = []
        order = self._columns.id_order()
        for place in sorted(candidates, key=lambda place: int(order[place])):
            room = self._columns.rooms(place, needs.units, needs.channel)
            slots += [(place, number) for number in range(min(room, most))]
        return slots


def _servable(possible: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> list[int]:
    """The rows that can be served together, an earlier one never giving way to a later one.

    A greedy matroid: a row is taken when the rows taken so far can be moved so that it fits.
    """
    owner: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column in np.flatnonzero(possible[row]):
            key = int(column)
            if key in tried:
                continue
            tried.add(key)
            if key not in owner or place(owner[key], tried):
                owner[key] = row
                return True
        return False

    return [row for row in range(len(possible)) if place(row, set())]

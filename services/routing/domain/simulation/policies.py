"""Who gives the tickets out: the floor of the service, or, to compare, what other systems do.

All of them know the same rules, agents and queues, and look again at each event. The others decide
ticket by ticket, in the order of the queue, and give each to one of those who are able and have room:

- `greedy_idle`: to who has neither got nor finished any work for the longest time;
- `round_robin`: to the next one in turn, by id.

Neither looks at what else an agent could do, and neither keeps specialists for their own work.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Final, Literal

from services.routing.domain.floor import Floor, Match
from services.routing.domain.floor.columns import Ints
from services.routing.domain.floor.kinds import Kind
from services.routing.domain.floor.lines import Place
from services.routing.domain.floor.matching import Session
from services.routing.domain.instants import micros
from services.routing.domain.rules import VersionedRules
from services.routing.domain.work import Work

Head = tuple[int, Place, int]
"""The order of service of the first ticket of a kind, and the kind's number."""


class OneByOne(Floor):
    """Serves one ticket after the other; a subclass says which agent gets it."""

    def __init__(self, rules: VersionedRules) -> None:
        plain = rules.rules.model_copy(update={"keep_specialists": False, "affinity": False})
        super().__init__(VersionedRules(rules.version, plain))

    @abstractmethod
    def choose(self, free: Ints) -> int:
        """The place of the agent who gets the ticket, one of these."""

    def settle(self, now: datetime) -> list[Match]:
        matches: list[Match] = []
        while kinds := self._kinds_to_look_at():
            matches += self._serve(kinds, now)
        return matches

    def _serve(self, kinds: list[Kind], now: datetime) -> Iterable[Match]:
        now_us = micros(now)
        session = Session(self.columns, self.kinds, now_us, keep_specialists=False)
        heads = [head for number, kind in enumerate(kinds) if (head := _head(number, kind))]
        heapify(heads)
        barred = []
        while heads:
            _, _, number = heappop(heads)
            kind = kinds[number]
            ticket = kind.line.first()
            if ticket is None:
                continue
            free = session.free_for(ticket)
            if len(free):
                yield self._give(ticket, self.choose(free), session, now_us, 1)
            elif ticket.declined:
                barred.append(ticket)
                kind.line.pop()
            else:
                continue  # nobody is free for the others of this kind either
            if following := _head(number, kind):
                heappush(heads, following)
        for ticket in barred:
            ticket.kind.line.restore(ticket)


class GreedyIdle(OneByOne):
    """To who has neither got nor finished any work for the longest time; of equals, the first id."""

    def __init__(self, rules: VersionedRules) -> None:
        super().__init__(rules)
        self._busy_until: dict[int, float] = {}

    def put_work(self, work: Work, now: datetime) -> None:
        super().put_work(work, now)
        for place in self._freed:
            self._busy_until[place] = now.timestamp()

    def choose(self, free: Ints) -> int:
        last = self.columns.last_given
        order = self.columns.id_order()
        places: list[int] = free.tolist()
        return min(
            places,
            key=lambda place: (max(last[place], self._busy_until.get(place, 0.0)), order[place]),
        )


class RoundRobin(OneByOne):
    """To the next one in turn, by id."""

    def __init__(self, rules: VersionedRules) -> None:
        super().__init__(rules)
        self._last = ""

    def choose(self, free: Ints) -> int:
        places: list[int] = free.tolist()
        ids = {self.columns.agents[place].id: place for place in places}
        later = [name for name in ids if name > self._last]
        self._last = min(later or ids)
        return ids[self._last]


def _head(number: int, kind: Kind) -> Head | None:
    ticket = kind.line.first()
    return None if ticket is None else (-kind.queue.precedence, ticket.place, number)


Policy = Literal["floor", "greedy_idle", "round_robin"]

POLICIES: Final[dict[Policy, Callable[[VersionedRules], Floor]]] = {
    "floor": Floor,
    "greedy_idle": GreedyIdle,
    "round_robin": RoundRobin,
}
